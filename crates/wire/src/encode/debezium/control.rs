//! Records that are no event of a row: the two ends of a transaction, and heartbeats. They go with the batch in which they
//! fall, before or behind its rows.

use super::form::{Forms, HEARTBEATS, Spell, TRANSACTIONS};
use super::profile::Profile;
use super::transaction::{End, Open, Summary};
use super::{Refusal, plan, schema};
use crate::encode::Encoded;
use crate::encode::connect::{Field, Format, Schema};
use crate::encode::encoded::opening;

/// How such records are written.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) transactions: Stationery,
    pub(super) heartbeats: Stationery,
    server: String,
}

/// What stands around the keys and values of one topic.
#[derive(Debug)]
pub(super) struct Stationery {
    topic: String,
    opening: Vec<u8>,
    schemas: [Schema; 2],
    heads: [Vec<u8>; 2],
    /// Under which the ids of its schemas are known.
    number: u64,
}

impl Stationery {
    fn new(topic: String, schemas: [Schema; 2], number: u64, profile: &Profile) -> Self {
        let heads = schemas.each_ref().map(|schema| if profile.schemas { plan::head(schema) } else { Vec::new() });
        Self { opening: opening(&topic), topic, schemas, heads, number }
    }

    /// Ask for the ids that its records need.
    pub(super) fn want(&self, forms: &mut Forms) {
        forms.want(self.number, &self.topic, self.schemas.each_ref().map(Some));
    }

    /// Write a record; `change` is the index of the change that it stands at.
    fn write(&self, change: usize, forms: &Forms, out: &mut Encoded, key: impl Spell, value: impl Spell) {
        let mut line = out.open(&self.opening);
        let [key_spelling, value_spelling] = forms.spellings(self.number);
        // Neither a place nor a time is ever refused, and such a record is short.
        let _ = key_spelling.write(&self.heads[0], &self.schemas[0], key, &mut out.bytes);
        out.end_key(&mut line);
        let _ = value_spelling.write(&self.heads[1], &self.schemas[1], value, &mut out.bytes);
        out.end_value(&mut line);
        let _ = out.close(&line, change);
    }
}

impl Control {
    pub(super) fn new(profile: &Profile) -> Self {
        let prefix = &profile.topic_prefix;
        let transactions = [schema::transaction_key(), schema::transaction_value()];
        let heartbeats = [schema::heartbeat_key(), schema::heartbeat_value()];
        let (topics, beats) = (profile.topics.transaction(prefix), profile.topics.heartbeat(prefix));
        Self {
            transactions: Stationery::new(topics, transactions, TRANSACTIONS, profile),
            heartbeats: Stationery::new(beats, heartbeats, HEARTBEATS, profile),
            server: prefix.clone(),
        }
    }

    /// The record at the beginning of a transaction, which names its first change, or at its end.
    pub(super) fn transaction(&self, open: &Open, begin: Option<u64>, change: usize, forms: &Forms, out: &mut Encoded) {
        self.transactions.write(change, forms, out, End { open, begin }, Summary(End { open, begin }));
    }

    /// A heartbeat.
    pub(super) fn heartbeat(&self, now_ns: i64, change: usize, forms: &Forms, out: &mut Encoded) {
        self.heartbeats.write(change, forms, out, Server(&self.server), Beat(now_ns.div_euclid(1_000_000)));
    }
}

/// The key of a heartbeat.
struct Server<'a>(&'a str);

impl Spell for Server<'_> {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        static NAME: Field = Field::fixed(0, b"\"serverName\":", false);
        out.begin_struct();
        out.field(&NAME);
        out.string(self.0.as_bytes()).map_err(Refusal::Row)?;
        out.end_struct();
        Ok(())
    }
}

/// Its value: when, in milliseconds.
struct Beat(i64);

impl Spell for Beat {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        static TS_MS: Field = Field::fixed(0, b"\"ts_ms\":", false);
        out.begin_struct();
        out.field(&TS_MS);
        out.integer(self.0);
        out.end_struct();
        Ok(())
    }
}
