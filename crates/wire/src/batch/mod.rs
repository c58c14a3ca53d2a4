//! A run of changes in commit order, as a list of segments in memory or on disk.

mod builder;
mod derived;
#[cfg(test)]
pub(crate) mod sample;
mod segment;
mod spill;
mod tuple;

use std::sync::Arc;

pub use builder::{Mark, SegmentBuilder};
pub use derived::{Derive, DerivedSegment};
pub use segment::{
    ABSENT, Entry, FLAG_CASCADE, FLAG_RESTART, FLAG_TRANSACTIONAL, NO_TABLE, OldImage, Op, Origin, RowRef, Segment,
    SnapshotFlag, Txn,
};
pub use spill::{OpenSegment, Settlement, SpillFile, SpillQuota, SpilledSegment};
pub use tuple::{Cell, Cells, Tuple};
pub(crate) use tuple::{SHARED_BIT, column_bit};

use crate::error::Result;
use crate::table::Table;

/// A segment in memory or on disk.
#[derive(Clone, Debug)]
pub enum Part {
    /// In memory.
    Memory(Arc<Segment>),
    /// In a spill file.
    Spilled(Arc<SpilledSegment>),
    /// Made from such parts when it is needed.
    Derived(Arc<DerivedSegment>),
}

impl Part {
    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(segment) => segment.len(),
            Self::Spilled(spilled) => spilled.len(),
            Self::Derived(derived) => derived.len(),
        }
    }

    /// Whether it has no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Table versions of its rows.
    #[must_use]
    pub fn tables(&self) -> &[Arc<Table>] {
        match self {
            Self::Memory(segment) => segment.tables(),
            Self::Spilled(spilled) => spilled.tables(),
            Self::Derived(derived) => derived.tables(),
        }
    }

    /// Bytes of cells.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        match self {
            Self::Memory(segment) => segment.nbytes(),
            Self::Spilled(spilled) => spilled.nbytes(),
            Self::Derived(derived) => derived.nbytes(),
        }
    }

    /// The segment, read back from disk when it lies there, made when it is derived. Not cached: hold it no longer than needed.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] when the spill file cannot be read; those of [`Derive::derive`].
    pub fn load(&self) -> Result<Arc<Segment>> {
        match self {
            Self::Memory(segment) => Ok(Arc::clone(segment)),
            Self::Spilled(spilled) => spilled.load().map(Arc::new),
            Self::Derived(derived) => derived.load(),
        }
    }
}

/// Where a batch ends in one lineage; the text is opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The lineage.
    pub lineage: Arc<str>,
    /// The position's text.
    pub text: String,
}

/// Which part of a snapshot a batch carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMark {
    /// Names the attempt; another attempt has another name.
    pub attempt: Arc<str>,
    /// The table that is being read; None when a transform left all of it out.
    pub table: Option<Arc<Table>>,
    /// The first batch of this table.
    pub begin: bool,
    /// The last batch of this table.
    pub end: bool,
}

impl SnapshotMark {
    fn version(&self) -> Option<u64> {
        self.table.as_ref().map(|table| table.version)
    }
}

/// A run of changes in commit order; it ends where a transaction ends. Without changes it is progress.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    parts: Vec<Part>,
    len: usize,
    ends: Vec<End>,
    snapshot: Option<SnapshotMark>,
}

impl Batch {
    /// Put parts together; empty ones are left out.
    #[must_use]
    pub fn new(parts: Vec<Part>, ends: Vec<End>, snapshot: Option<SnapshotMark>) -> Self {
        let parts: Vec<Part> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let len = parts.iter().map(Part::len).sum();
        Self { parts, len, ends, snapshot }
    }

    /// The segments in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is progress only.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it ends, once for each lineage.
    #[must_use]
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// Which part of a snapshot it carries.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotMark> {
        self.snapshot.as_ref()
    }

    /// Bytes of cells, wherever they lie.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.parts.iter().map(Part::nbytes).sum()
    }

    /// Bytes of memory that it holds.
    #[must_use]
    pub fn resident(&self) -> usize {
        let memory = |part: &Part| match part {
            Part::Memory(segment) => segment.resident(),
            Part::Spilled(_) | Part::Derived(_) => 0,
        };
        self.parts.iter().map(memory).sum()
    }

    /// Commit time of the last change, microseconds since the Unix epoch; None for progress.
    #[must_use]
    pub fn at_us(&self) -> Option<i64> {
        self.parts.last().and_then(|part| match part {
            Part::Memory(segment) => segment.txns().last().map(|txn| txn.at_us),
            Part::Spilled(spilled) => Some(spilled.at_us()),
            Part::Derived(derived) => Some(derived.at_us()),
        })
    }

    /// Table versions of its rows, each once, in order of appearance.
    #[must_use]
    pub fn tables(&self) -> Vec<Arc<Table>> {
        let mut tables: Vec<Arc<Table>> = Vec::new();
        for table in self.parts.iter().flat_map(Part::tables) {
            if !tables.iter().any(|known| Arc::ptr_eq(known, table)) {
                tables.push(Arc::clone(table));
            }
        }
        tables
    }

    /// What its changes did, each op once.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] when a spill file cannot be read.
    pub fn ops(&self) -> Result<Vec<Op>> {
        let mut ops = Vec::new();
        for part in &self.parts {
            for row in part.load()?.rows() {
                if !ops.contains(&row.op()) {
                    ops.push(row.op());
                }
            }
        }
        Ok(ops)
    }

    /// Other parts, the same ends and snapshot mark: what every transform makes.
    #[must_use]
    pub fn with_parts(&self, parts: Vec<Part>) -> Self {
        Self::new(parts, self.ends.clone(), self.snapshot.clone())
    }

    /// Join neighbours as far as their snapshot marks allow: a merged batch is of one table and one attempt, or has no mark.
    #[must_use]
    pub fn merge(batches: Vec<Self>) -> Vec<Self> {
        let mut merged: Vec<Self> = Vec::with_capacity(1);
        for next in batches {
            match merged.last_mut() {
                Some(last) if last.joins(&next) => last.append(next),
                _ => merged.push(next),
            }
        }
        merged
    }

    fn joins(&self, next: &Self) -> bool {
        match (&self.snapshot, &next.snapshot) {
            (None, None) => true,
            (Some(a), Some(b)) => a.attempt == b.attempt && a.version() == b.version() && !a.end && !b.begin,
            _ => false,
        }
    }

    fn append(&mut self, next: Self) {
        self.parts.extend(next.parts);
        self.len += next.len;
        for end in next.ends {
            match self.ends.iter_mut().find(|known| known.lineage == end.lineage) {
                Some(known) => known.text = end.text,
                None => self.ends.push(end),
            }
        }
        if let (Some(mark), Some(other)) = (&mut self.snapshot, next.snapshot) {
            mark.end = other.end;
        }
    }
}
