//! `provide.transaction.metadata`: the block in events, and the records at both ends of a transaction. They belong to the
//! rows of their batch: what is stored, offered again or parked is so together with them.

use rustc_hash::FxHashMap;

use crate::batch::{FLAG_TRANSACTIONAL, Op, RowRef};
use crate::encode::json::{self, integer};
use crate::position::Phase;

/// A transaction of which some rows were seen.
#[derive(Clone, Debug)]
pub(super) struct Open {
    xid: u32,
    /// Start of its commit record: what tells it from others.
    commit: u64,
    end: u64,
    at_ms: i64,
    events: u64,
    /// By table: when it came, and how many events it has.
    tables: FxHashMap<String, (usize, u64)>,
}

/// An event's place in its transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    xid: u32,
    lsn: u64,
    total: u64,
    of_table: u64,
}

impl Open {
    /// The transaction of a row; None for rows of a snapshot and for messages that belong to none.
    pub(super) fn of(row: &RowRef<'_>) -> Option<Self> {
        let (txn, entry) = (row.txn(), row.entry());
        let within = txn.phase == Phase::Row && (row.op() != Op::Message || entry.flags & FLAG_TRANSACTIONAL != 0);
        within.then(|| Self {
            xid: txn.xid,
            commit: txn.lsn,
            end: txn.end,
            at_ms: txn.at_us.div_euclid(1000),
            events: 0,
            tables: FxHashMap::default(),
        })
    }

    /// Whether a row belongs to it.
    pub(super) fn holds(&self, row: &RowRef<'_>) -> bool {
        let txn = row.txn();
        txn.phase == Phase::Row && (self.xid, self.commit) == (txn.xid, txn.lsn)
    }

    /// Count an event of a table.
    pub(super) fn count(&mut self, table: &str, lsn: u64) -> Block {
        self.events += 1;
        let of_table = match self.tables.get_mut(table) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.tables.insert(table.to_owned(), (self.tables.len(), 1));
                1
            }
        };
        Block { xid: self.xid, lsn, total: self.events, of_table }
    }

    /// The key of the record at its beginning, which names the first change's LSN, or at its end.
    pub(super) fn write_key(&self, begin: Option<u64>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        id(self.xid, begin.unwrap_or(self.end), out);
        out.push(b'}');
    }

    /// The value of that record.
    pub(super) fn write_value(&self, begin: Option<u64>, out: &mut Vec<u8>) {
        let status: &[u8] =
            if begin.is_some() { b"{\"status\":\"BEGIN\",\"id\":" } else { b"{\"status\":\"END\",\"id\":" };
        out.extend_from_slice(status);
        id(self.xid, begin.unwrap_or(self.end), out);
        if begin.is_some() {
            out.extend_from_slice(b",\"event_count\":null,\"data_collections\":null");
        } else {
            out.extend_from_slice(b",\"event_count\":");
            integer(self.events, out);
            out.extend_from_slice(b",\"data_collections\":[");
            for (at, (table, count)) in self.collections().into_iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"{\"data_collection\":" } else { b",{\"data_collection\":" });
                json::text(table, out);
                out.extend_from_slice(b",\"event_count\":");
                integer(count, out);
                out.push(b'}');
            }
            out.push(b']');
        }
        out.extend_from_slice(b",\"ts_ms\":");
        integer(self.at_ms, out);
        out.push(b'}');
    }

    /// Tables with their counts in the order of Java's `HashMap`.
    fn collections(&self) -> Vec<(&str, u64)> {
        let buckets = (self.tables.len() * 4).div_ceil(3).next_power_of_two().max(16);
        let mut found: Vec<_> = self
            .tables
            .iter()
            .map(|(table, (at, count))| (java_hash(table) as usize & (buckets - 1), *at, table.as_str(), *count))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, _, table, count)| (table, count)).collect()
    }
}

impl Block {
    /// Append it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        id(self.xid, self.lsn, out);
        out.extend_from_slice(b",\"total_order\":");
        integer(self.total, out);
        out.extend_from_slice(b",\"data_collection_order\":");
        integer(self.of_table, out);
        out.push(b'}');
    }
}

fn id(xid: u32, lsn: u64, out: &mut Vec<u8>) {
    out.push(b'"');
    integer(xid, out);
    out.push(b':');
    integer(lsn, out);
    out.push(b'"');
}

/// What `HashMap` makes of `String.hashCode`.
fn java_hash(text: &str) -> u32 {
    let hash = text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    hash ^ (hash >> 16)
}
