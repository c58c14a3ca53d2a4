//! `provide.transaction.metadata`: the block in events, and the records at both ends of a transaction. They belong to the
//! rows of their batch: what is stored, offered again or parked is so together with them.

use rustc_hash::FxHashMap;

use super::Refusal;
use super::form::Spell;
use crate::batch::{FLAG_TRANSACTIONAL, Op, RowRef};
use crate::encode::connect::{Field, Format};
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

    fn write_collections<F: Format>(&self, out: &mut F) {
        let collections = self.collections();
        out.begin_list();
        for (at, (table, count)) in collections.iter().enumerate() {
            out.element(at == 0, true);
            out.begin_struct();
            out.field(&COLLECTION);
            text(table, out);
            out.field(&COUNT);
            out.integer(count.cast_signed());
            out.end_struct();
        }
        out.end_list(collections.len());
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
    /// Write it.
    pub(super) fn write<F: Format>(self, out: &mut F) {
        out.begin_struct();
        for (place, field) in [&BLOCK_ID, &TOTAL_ORDER, &COLLECTION_ORDER].into_iter().enumerate() {
            out.field(field);
            self.member(place, out);
        }
        out.end_struct();
    }

    /// Write one of its members, by its place.
    pub(super) fn member<F: Format>(self, place: usize, out: &mut F) {
        match place {
            0 => id(self.xid, self.lsn, out),
            1 => out.integer(self.total.cast_signed()),
            _ => out.integer(self.of_table.cast_signed()),
        }
    }
}

/// The key of the record at a transaction's beginning, or at its end.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) open: &'a Open,
    /// Where its first change is, at its beginning.
    pub(super) begin: Option<u64>,
}

impl Spell for End<'_> {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        out.begin_struct();
        out.field(&KEY_ID);
        self.id(out);
        out.end_struct();
        Ok(())
    }
}

/// The value of that record.
pub(super) struct Summary<'a>(pub(super) End<'a>);

impl Spell for Summary<'_> {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        out.begin_struct();
        for (place, field) in [&STATUS, &ID, &EVENT_COUNT, &COLLECTIONS, &TS_MS].into_iter().enumerate() {
            out.field(field);
            self.0.member(place, out);
        }
        out.end_struct();
        Ok(())
    }
}

impl End<'_> {
    /// Write its id, all that its key holds.
    pub(super) fn id<F: Format>(&self, out: &mut F) {
        id(self.open.xid, self.begin.unwrap_or(self.open.end), out);
    }

    /// Write one of the members of its value, by its place.
    pub(super) fn member<F: Format>(&self, place: usize, out: &mut F) {
        match (place, self.begin) {
            (0, begin) => text(if begin.is_some() { "BEGIN" } else { "END" }, out),
            (1, _) => self.id(out),
            (2, None) => out.integer(self.open.events.cast_signed()),
            (3, None) => self.open.write_collections(out),
            (2 | 3, Some(_)) => out.null(),
            _ => out.integer(self.open.at_ms),
        }
    }
}

static BLOCK_ID: Field = Field::fixed(0, b"\"id\":", false);
static TOTAL_ORDER: Field = Field::fixed(1, b",\"total_order\":", false);
static COLLECTION_ORDER: Field = Field::fixed(2, b",\"data_collection_order\":", false);
static KEY_ID: Field = Field::fixed(0, b"\"id\":", false);
static STATUS: Field = Field::fixed(0, b"\"status\":", false);
static ID: Field = Field::fixed(1, b",\"id\":", false);
static EVENT_COUNT: Field = Field::fixed(2, b",\"event_count\":", true);
static COLLECTIONS: Field = Field::fixed(3, b",\"data_collections\":", true);
static TS_MS: Field = Field::fixed(4, b",\"ts_ms\":", false);
static COLLECTION: Field = Field::fixed(0, b"\"data_collection\":", false);
static COUNT: Field = Field::fixed(1, b",\"event_count\":", false);

fn id<F: Format>(xid: u32, lsn: u64, out: &mut F) {
    text(&format!("{xid}:{lsn}"), out);
}

fn text<F: Format>(text: &str, out: &mut F) {
    let written = out.string(text.as_bytes());
    debug_assert!(written.is_ok());
}

/// What `HashMap` makes of `String.hashCode`.
fn java_hash(text: &str) -> u32 {
    let hash = text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    hash ^ (hash >> 16)
}
