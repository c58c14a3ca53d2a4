//! Records that are no event of a row: the two ends of a transaction, and heartbeats. They go with the batch in which they
//! fall, before or behind its rows.

use super::plan;
use super::profile::Profile;
use super::schema;
use super::transaction::Open;
use crate::encode::Encoded;
use crate::encode::connect::Schema;
use crate::encode::encoded::opening;
use crate::encode::json::integer;

/// How such records are written.
#[derive(Debug)]
pub(super) struct Control {
    transactions: Stationery,
    heartbeats: Stationery,
    /// `{"serverName":…}`
    server: Vec<u8>,
}

/// What stands around the keys and values of one topic.
#[derive(Debug)]
struct Stationery {
    opening: Vec<u8>,
    heads: [Vec<u8>; 2],
}

/// Writes a key or a value.
type Part<'a> = &'a dyn Fn(&mut Vec<u8>);

impl Stationery {
    fn new(topic: &str, schemas: [Schema; 2], profile: &Profile) -> Self {
        let heads = schemas.map(|schema| if profile.schemas { plan::head(&schema) } else { Vec::new() });
        Self { opening: opening(topic), heads }
    }

    /// Write a record; `change` is the index of the change that it stands at.
    fn write(&self, change: usize, out: &mut Encoded, parts: [Part<'_>; 2]) {
        let [key, value] = parts;
        let mut line = out.open(&self.opening);
        let part = |head: &[u8], write: Part<'_>, bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(head);
            write(bytes);
            bytes.extend((!head.is_empty()).then_some(b'}'));
        };
        part(&self.heads[0], key, &mut out.bytes);
        out.end_key(&mut line);
        part(&self.heads[1], value, &mut out.bytes);
        out.end_value(&mut line);
        // Such a record is short.
        let _ = out.close(&line, change);
    }
}

impl Control {
    pub(super) fn new(profile: &Profile) -> Self {
        let prefix = &profile.topic_prefix;
        let transactions = [schema::transaction_key(), schema::transaction_value()];
        let heartbeats = [schema::heartbeat_key(), schema::heartbeat_value()];
        let mut server = Vec::new();
        plan::member("{\"serverName\":", prefix, &mut server);
        server.push(b'}');
        Self {
            transactions: Stationery::new(&profile.topics.transaction(prefix), transactions, profile),
            heartbeats: Stationery::new(&profile.topics.heartbeat(prefix), heartbeats, profile),
            server,
        }
    }

    /// The record at the beginning of a transaction, which names its first change, or at its end.
    pub(super) fn transaction(&self, open: &Open, begin: Option<u64>, change: usize, out: &mut Encoded) {
        self.transactions.write(
            change,
            out,
            [&|bytes| open.write_key(begin, bytes), &|bytes| open.write_value(begin, bytes)],
        );
    }

    /// A heartbeat.
    pub(super) fn heartbeat(&self, now_ns: i64, change: usize, out: &mut Encoded) {
        let value = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(b"{\"ts_ms\":");
            integer(now_ns.div_euclid(1_000_000), bytes);
            bytes.push(b'}');
        };
        self.heartbeats.write(change, out, [&|bytes| bytes.extend_from_slice(&self.server), &value]);
    }
}
