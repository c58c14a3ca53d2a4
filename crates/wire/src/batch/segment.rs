//! A few MB of changes: an arena of cells as the server sent them, and an index of rows over it.

use std::sync::Arc;

use super::tuple::Tuple;
use crate::position::{Phase, Position};
use crate::table::Table;

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// Insert.
    Create = b'c',
    /// Update.
    Update = b'u',
    /// Delete.
    Delete = b'd',
    /// A row read by a snapshot.
    Read = b'r',
    /// TRUNCATE of one table.
    Truncate = b't',
    /// A logical decoding message.
    Message = b'm',
}

impl Op {
    /// Debezium's letter.
    #[must_use]
    pub fn letter(self) -> char {
        self as u8 as char
    }

    /// The op of a letter.
    #[must_use]
    pub fn parse(letter: u8) -> Option<Self> {
        Some(match letter {
            b'c' => Self::Create,
            b'u' => Self::Update,
            b'd' => Self::Delete,
            b'r' => Self::Read,
            b't' => Self::Truncate,
            b'm' => Self::Message,
            _ => return None,
        })
    }
}

/// Where a snapshot row lies within its attempt; Debezium's `source.snapshot`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SnapshotFlag {
    /// Not a snapshot row.
    #[default]
    Not = 0,
    /// First row of the attempt.
    First = 1,
    /// First row of a later table.
    FirstInTable = 2,
    /// Any other row.
    Middle = 3,
    /// Last row of a table.
    LastInTable = 4,
    /// Last row of the attempt.
    Last = 5,
}

/// What the server sent of a row's old version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OldImage {
    /// Nothing.
    None = 0,
    /// The columns of the replica identity only; the others are null in the tuple and mean "not sent".
    Key = 1,
    /// All columns (replica identity full).
    Full = 2,
}

/// Which stream the rows come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin {
    /// Debezium's connector name, `postgresql`.
    pub connector: String,
    /// Database name.
    pub database: String,
    /// Lineage of the positions.
    pub lineage: String,
}

/// What the rows of one transaction (or one snapshot attempt) share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// The server's transaction id; 0 when it has none.
    pub xid: u32,
    /// Phase of the positions.
    pub phase: Phase,
    /// Start of the commit record, consistent point, or message LSN.
    pub lsn: u64,
    /// End of the commit record.
    pub end: u64,
    /// Timeline of the server.
    pub timeline: u32,
    /// Commit time, microseconds since the Unix epoch.
    pub at_us: i64,
    /// Replication origin's name and LSN, when the transaction came through one.
    pub origin: Option<(Arc<str>, u64)>,
}

/// TRUNCATE … CASCADE.
pub const FLAG_CASCADE: u8 = 1;
/// TRUNCATE … RESTART IDENTITY.
pub const FLAG_RESTART: u8 = 2;
/// A transactional message.
pub const FLAG_TRANSACTIONAL: u8 = 4;

/// "No such image" in [`Entry::old`] and [`Entry::new`].
pub const ABSENT: u32 = u32::MAX;
/// "No table" in [`Entry::table`] (messages).
pub const NO_TABLE: u16 = u16::MAX;

/// Index of one change over the arena.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it did.
    pub op: Op,
    /// Snapshot marker.
    pub snapshot: SnapshotFlag,
    /// What `old` holds.
    pub old_image: OldImage,
    /// `FLAG_…` bits.
    pub flags: u8,
    /// Index into [`Segment::tables`].
    pub table: u16,
    /// Index into [`Segment::txns`].
    pub txn: u32,
    /// Arena offset of the old image, or [`ABSENT`].
    pub old: u32,
    /// Arena offset of the new image (for a message: a tuple of prefix and content), or [`ABSENT`].
    pub new: u32,
    /// Ordinal of the position.
    pub ordinal: u64,
    /// LSN of the change's own WAL record.
    pub lsn: u64,
}

/// Rows of whole or partial transactions in commit order; one version of each table (I5).
#[derive(Debug)]
pub struct Segment {
    pub(super) origin: Arc<Origin>,
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) txns: Vec<Txn>,
    pub(super) entries: Vec<Entry>,
    pub(super) arena: Vec<u8>,
}

impl Segment {
    /// The stream it comes from.
    #[must_use]
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Table versions that its rows refer to.
    #[must_use]
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Transactions that its rows refer to.
    #[must_use]
    pub fn txns(&self) -> &[Txn] {
        &self.txns
    }

    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of cells.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.arena.len()
    }

    /// Bytes of memory, the index included.
    #[must_use]
    pub fn resident(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Give memory back that growing in steps has left unused: a segment may wait on the shelf for long.
    pub(super) fn give_back_spare(&mut self) {
        self.arena.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// Let the rows of one version be of another, which has the same columns.
    pub fn replace_table(&mut self, old: &Arc<Table>, new: &Arc<Table>) {
        replace_table(&mut self.tables, old, new);
    }

    /// Forget the table versions that no row refers to (any more).
    pub(super) fn drop_unused_tables(&mut self) {
        let mut used = vec![false; self.tables.len()];
        for entry in &self.entries {
            if let Some(used) = used.get_mut(usize::from(entry.table)) {
                *used = true;
            }
        }
        if used.iter().all(|used| *used) {
            return;
        }
        let mut next = 0;
        let place = |used: &bool| {
            let place = next;
            next += u16::from(*used);
            place
        };
        let places: Vec<u16> = used.iter().map(place).collect();
        for entry in &mut self.entries {
            if let Some(place) = places.get(usize::from(entry.table)) {
                entry.table = *place;
            }
        }
        let mut used = used.into_iter();
        self.tables.retain(|_| used.next().unwrap_or(true));
    }

    /// One change.
    ///
    /// # Panics
    /// When `index` is not below [`Segment::len`].
    #[must_use]
    pub fn row(&self, index: usize) -> RowRef<'_> {
        RowRef { segment: self, entry: &self.entries[index] }
    }

    /// All changes in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = RowRef<'_>> {
        self.entries.iter().map(|entry| RowRef { segment: self, entry })
    }
}

pub(super) fn replace_table(tables: &mut [Arc<Table>], old: &Arc<Table>, new: &Arc<Table>) {
    for table in tables.iter_mut().filter(|table| Arc::ptr_eq(table, old)) {
        *table = Arc::clone(new);
    }
}

/// One change of a segment.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    segment: &'a Segment,
    entry: &'a Entry,
}

impl<'a> RowRef<'a> {
    /// The segment that it lies in.
    #[must_use]
    pub fn segment(&self) -> &'a Segment {
        self.segment
    }

    /// The raw index entry.
    #[must_use]
    pub fn entry(&self) -> &'a Entry {
        self.entry
    }

    /// What it did.
    #[must_use]
    pub fn op(&self) -> Op {
        self.entry.op
    }

    /// The table; None for a message.
    #[must_use]
    pub fn table(&self) -> Option<&'a Arc<Table>> {
        self.segment.tables.get(usize::from(self.entry.table))
    }

    /// The transaction it belongs to.
    #[must_use]
    pub fn txn(&self) -> &'a Txn {
        &self.segment.txns[self.entry.txn as usize]
    }

    /// The old image, if one was sent; see [`Entry::old_image`].
    #[must_use]
    pub fn before(&self) -> Option<Tuple<'a>> {
        self.tuple(self.entry.old)
    }

    /// The new image, if there is one.
    #[must_use]
    pub fn after(&self) -> Option<Tuple<'a>> {
        match self.entry.op {
            Op::Message => None,
            _ => self.tuple(self.entry.new),
        }
    }

    /// Prefix and content of a message.
    #[must_use]
    pub fn message(&self) -> Option<(&'a [u8], &'a [u8])> {
        use super::tuple::Cell::Text;
        let mut cells = match self.entry.op {
            Op::Message => self.tuple(self.entry.new)?.cells(),
            _ => return None,
        };
        match (cells.next(), cells.next()) {
            (Some(Text(prefix)), Some(Text(content))) => Some((prefix, content)),
            _ => None,
        }
    }

    /// Its own position (I7).
    #[must_use]
    pub fn position(&self) -> Position {
        let Txn { phase, lsn, end, timeline, .. } = *self.txn();
        Position { lsn, phase, ordinal: self.entry.ordinal, timeline, end }
    }

    /// Bytes of its images, a message's included.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        let images = [self.entry.old, self.entry.new].into_iter().filter_map(|offset| self.tuple(offset));
        images.map(|image| image.raw().len()).sum()
    }

    fn tuple(&self, offset: u32) -> Option<Tuple<'a>> {
        (offset != ABSENT).then(|| Tuple::trusted(&self.segment.arena[offset as usize..]))
    }
}
