//! Rows whose transaction has not ended yet, in memory and on disk, and those that are ready to be taken.
//!
//! It never looks at a message: `row` reads them, `stream` says which transactions end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::{FxHashMap, FxHashSet};

use super::relation::Known;
use crate::batch::{
    Entry, Mark, OpenSegment, Origin, Part, Segment, SegmentBuilder, Settlement, SpillFile, SpillQuota, Txn,
};
use crate::error::{Error, Result};
use crate::position::{Phase, Position};
use crate::table::Table;

/// Complete transactions in commit order, and where they end.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) parts: Vec<Part>,
    pub(super) nbytes: usize,
    pub(super) end: Option<Position>,
}

impl Ready {
    pub(super) fn push(&mut self, part: Part) {
        if !part.is_empty() {
            self.nbytes += part.nbytes();
            self.parts.push(part);
        }
    }
}

#[derive(Debug)]
enum Sealed {
    Memory(Segment),
    Spilled(OpenSegment),
}

/// Names every segment that is begun, so that a relation knows whether its slot is still that of the present one.
static EPOCHS: AtomicU64 = AtomicU64::new(1);

fn next_epoch() -> u64 {
    EPOCHS.fetch_add(1, Ordering::Relaxed)
}

/// A segment in the making, and those that its open transaction filled before.
///
/// Small plain transactions follow each other in one segment: what lies before `mark` is complete.
#[derive(Debug)]
pub(super) struct OpenRows {
    pub(super) builder: SegmentBuilder,
    epoch: u64,
    mark: Mark,
    sealed: Vec<Sealed>,
    /// Memory of the sealed segments.
    sealed_weight: usize,
    /// Disk of the sealed segments.
    spilled: usize,
    file: Option<Arc<SpillFile>>,
    /// What the rows of the open transaction share, as far as it is known.
    shared: Txn,
    /// Rows of the open transaction.
    count: u64,
    /// The (sub)transaction of the last row and its index in the segment.
    last: Option<(u32, u32)>,
    /// All subtransactions of the segment.
    indexes: FxHashMap<u32, u32>,
}

impl OpenRows {
    pub(super) fn new(origin: Arc<Origin>) -> Self {
        Self {
            builder: SegmentBuilder::new(origin),
            epoch: next_epoch(),
            mark: Mark::default(),
            sealed: Vec::new(),
            sealed_weight: 0,
            spilled: 0,
            file: None,
            shared: Txn { xid: 0, phase: Phase::Row, lsn: 0, end: 0, timeline: 0, at_us: 0, origin: None },
            count: 0,
            last: None,
            indexes: FxHashMap::default(),
        }
    }

    /// Memory of the open transaction.
    pub(super) fn weight(&self) -> usize {
        self.sealed_weight + self.builder.weight_since(self.mark)
    }

    /// Memory and disk of the open transaction.
    pub(super) fn nbytes(&self) -> usize {
        self.weight() + self.spilled
    }

    /// Bytes of cells of the complete transactions.
    pub(super) fn complete_nbytes(&self) -> usize {
        self.builder.segment().nbytes() - self.builder.nbytes_since(self.mark)
    }

    /// Index of the relation's table in the present segment; a new segment is begun when another version is in it (I5).
    #[inline]
    pub(super) fn slot(&mut self, known: &mut Known, ready: &mut Ready) -> Result<u16> {
        if known.epoch == self.epoch {
            return Ok(known.slot);
        }
        self.find_slot(known, ready)
    }

    #[cold]
    fn find_slot(&mut self, known: &mut Known, ready: &mut Ready) -> Result<u16> {
        let table =
            known.table.as_ref().ok_or_else(|| Error::Usage(format!("{} is not described", known.relation.name)))?;
        let slot = match self.builder.table(table) {
            Some(slot) => slot,
            None => {
                self.seal(ready);
                let full = || Error::Limit("no room for a table in an empty segment".into());
                self.builder.table(table).ok_or_else(full)?
            }
        };
        (known.slot, known.epoch) = (slot, self.epoch);
        Ok(slot)
    }

    /// The rows of one version of a table are of another, which has the same columns.
    pub(super) fn replace_table(&mut self, old: &Arc<Table>, new: &Arc<Table>) {
        self.builder.replace_table(old, new);
        for sealed in &mut self.sealed {
            match sealed {
                Sealed::Memory(segment) => segment.replace_table(old, new),
                Sealed::Spilled(open) => open.replace_table(old, new),
            }
        }
    }

    /// Add a row of a (sub)transaction; ordinal and transaction are filled in.
    #[inline]
    pub(super) fn push(&mut self, xid: u32, entry: Entry) -> Result<()> {
        let txn = match self.last {
            Some((last, index)) if last == xid => index,
            _ => self.find_txn(xid)?,
        };
        self.builder.push(Entry { txn, ordinal: self.count, ..entry });
        self.count += 1;
        Ok(())
    }

    #[cold]
    fn find_txn(&mut self, xid: u32) -> Result<u32> {
        let index = match self.indexes.get(&xid) {
            Some(index) => *index,
            None => {
                let index = self.builder.txn(Txn { xid, ..self.shared.clone() })?;
                self.indexes.insert(xid, index);
                index
            }
        };
        self.last = Some((xid, index));
        Ok(index)
    }

    /// A plain transaction begins behind what is complete.
    pub(super) fn begin(&mut self, shared: Txn) {
        (self.shared, self.count) = (shared, 0);
        self.forget_txns();
    }

    /// The open transaction came through a replication origin.
    pub(super) fn set_origin(&mut self, origin: (Arc<str>, u64)) {
        self.shared.origin = Some(origin);
    }

    fn forget_txns(&mut self) {
        self.last = None;
        self.indexes.clear();
    }

    /// Part with what is complete; the rows of the open transaction stay, in a segment of their own.
    pub(super) fn cut(&mut self, ready: &mut Ready) {
        if self.mark == Mark::default() {
            return;
        }
        let whole = self.mark == self.builder.mark();
        let complete = if whole { self.builder.seal() } else { self.builder.split(self.mark) };
        ready.push(Part::Memory(Arc::new(complete)));
        self.mark = Mark::default();
        self.epoch = next_epoch();
        // Only a plain transaction lies behind a mark, and it is one entry of the index.
        self.last = self.last.map(|(xid, _)| (xid, 0));
        self.indexes.clear();
        self.indexes.extend(self.last);
    }

    /// End the present segment.
    pub(super) fn seal(&mut self, ready: &mut Ready) {
        self.cut(ready);
        if self.builder.is_empty() {
            return;
        }
        self.sealed_weight += self.builder.weight();
        self.sealed.push(Sealed::Memory(self.builder.seal()));
        self.epoch = next_epoch();
        self.forget_txns();
    }

    /// Move every sealed segment to disk.
    pub(super) fn spill(&mut self, quota: &Arc<SpillQuota>) -> Result<()> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(SpillFile::create(quota)?)),
        };
        for sealed in std::mem::take(&mut self.sealed) {
            self.sealed.push(match sealed {
                Sealed::Memory(segment) => {
                    let spilled = file.append(segment)?;
                    self.spilled += spilled.nbytes();
                    Sealed::Spilled(spilled)
                }
                spilled @ Sealed::Spilled(_) => spilled,
            });
        }
        self.sealed_weight = 0;
        Ok(())
    }

    /// The plain transaction, or what stands for one, is complete; returns where it ends.
    pub(super) fn commit(&mut self, end: u64, ready: &mut Ready) -> Position {
        self.shared.end = end;
        if !self.sealed.is_empty() {
            self.settle(Settlement { txn: self.shared.clone(), aborted: FxHashSet::default() }, ready);
        }
        if self.last.is_some()
            && let Some(last) = self.builder.last_txn()
        {
            last.end = end;
        }
        self.mark = self.builder.mark();
        let Txn { lsn, phase, timeline, .. } = self.shared;
        Position { lsn, phase, ordinal: self.count.saturating_sub(1), timeline, end }
    }

    /// The sealed segments of a transaction that committed; returns the number of rows that survived.
    pub(super) fn settle(&mut self, settlement: Settlement, ready: &mut Ready) -> u64 {
        let settlement = Arc::new(settlement);
        let mut rows = 0;
        for sealed in std::mem::take(&mut self.sealed) {
            let part = match sealed {
                Sealed::Memory(mut segment) => {
                    segment.settle(&settlement, rows);
                    Part::Memory(Arc::new(segment))
                }
                Sealed::Spilled(open) => Part::Spilled(Arc::new(open.settle(&settlement, rows))),
            };
            rows += part.len() as u64;
            ready.push(part);
        }
        (self.sealed_weight, self.spilled, self.file) = (0, 0, None);
        rows
    }
}
