//! Makes segments, one change after another.

use std::sync::Arc;

use super::segment::{ABSENT, Entry, Origin, RowRef, Segment, Txn};
use super::tuple::{Cell, Tuple};
use crate::error::{Error, Result};
use crate::table::Table;

/// A segment in the making. The caller decides when it is large enough, and seals it.
#[derive(Debug)]
pub struct SegmentBuilder {
    segment: Segment,
}

/// A point in a builder that can be split at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    entries: usize,
    arena: usize,
    txns: usize,
}

impl SegmentBuilder {
    /// An empty segment of this stream.
    #[must_use]
    pub fn new(origin: Arc<Origin>) -> Self {
        let (tables, txns, entries, arena) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { segment: Segment { origin, tables, txns, entries, arena } }
    }

    /// Whether there are no changes yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segment.is_empty()
    }

    /// What was built so far.
    #[must_use]
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Index of a table version, added when new; None when another version of that table is in the segment already (I5):
    /// seal it and go on in a new one.
    pub fn table(&mut self, table: &Arc<Table>) -> Option<u16> {
        let tables = &mut self.segment.tables;
        if let Some(index) = tables.iter().position(|known| Arc::ptr_eq(known, table)) {
            return u16::try_from(index).ok();
        }
        let taken = tables.iter().any(|known| known.schema == table.schema && known.name == table.name);
        if taken || tables.len() >= usize::from(u16::MAX) {
            return None;
        }
        tables.push(Arc::clone(table));
        u16::try_from(tables.len() - 1).ok()
    }

    /// See [`Segment::replace_table`].
    pub fn replace_table(&mut self, old: &Arc<Table>, new: &Arc<Table>) {
        self.segment.replace_table(old, new);
    }

    /// Add a transaction; entries refer to it by the index that is returned.
    ///
    /// # Errors
    /// [`Error::Limit`] beyond 2³² transactions.
    pub fn txn(&mut self, txn: Txn) -> Result<u32> {
        self.segment.txns.push(txn);
        u32::try_from(self.segment.txns.len() - 1)
            .map_err(|_| Error::Limit("too many transactions in a segment".into()))
    }

    /// Index of the transaction of another segment's row, added unless it is the one that was added last.
    ///
    /// # Errors
    /// [`Error::Limit`] beyond 2³² transactions.
    pub fn txn_of(&mut self, row: RowRef<'_>) -> Result<u32> {
        let txns = &self.segment.txns;
        match txns.last() {
            Some(last) if last == row.txn() => Ok(u32::try_from(txns.len() - 1).unwrap_or(u32::MAX)),
            _ => self.txn(row.txn().clone()),
        }
    }

    /// The transaction added last, to be completed when its commit is known.
    pub fn last_txn(&mut self) -> Option<&mut Txn> {
        self.segment.txns.last_mut()
    }

    /// Copy a tuple that [`Tuple::measure`] has validated into the arena; returns its offset.
    ///
    /// # Errors
    /// [`Error::Limit`] when the arena would pass 4 GB.
    pub fn copy_tuple(&mut self, bytes: &[u8]) -> Result<u32> {
        let offset = self.offset(bytes.len())?;
        self.segment.arena.extend_from_slice(bytes);
        Ok(offset)
    }

    /// Write a tuple cell by cell; returns its offset.
    ///
    /// # Errors
    /// [`Error::Limit`] when the arena would pass 4 GB or there are more than 65,535 cells.
    pub fn tuple<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> Result<u32> {
        let offset = self.offset(0)?;
        let arena = &mut self.segment.arena;
        arena.extend_from_slice(&[0, 0]);
        let mut count: u16 = 0;
        for cell in cells {
            count = count.checked_add(1).ok_or_else(|| Error::Limit("more than 65,535 cells in a row".into()))?;
            match cell {
                Cell::Null => arena.push(b'n'),
                Cell::Unchanged => arena.push(b'u'),
                Cell::Text(text) => {
                    let length =
                        u32::try_from(text.len()).map_err(|_| Error::Limit("a cell of more than 4 GB".into()))?;
                    arena.push(b't');
                    arena.extend_from_slice(&length.to_be_bytes());
                    arena.extend_from_slice(text);
                }
            }
        }
        let start = offset as usize;
        arena[start..start + 2].copy_from_slice(&count.to_be_bytes());
        self.offset(0)?;
        Ok(offset)
    }

    /// Append bytes that a decoder lays out itself (COPY rows); the arena is handed out for just that.
    pub fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.segment.arena
    }

    /// Offset of the next tuple, when `more` bytes still fit behind it.
    ///
    /// # Errors
    /// [`Error::Limit`] when the arena would pass 4 GB.
    pub fn offset(&self, more: usize) -> Result<u32> {
        let end = self.segment.arena.len().saturating_add(more);
        match u32::try_from(end) {
            Ok(end) if end < ABSENT => Ok(u32::try_from(self.segment.arena.len()).unwrap_or(ABSENT)),
            _ => Err(Error::Limit("a segment of more than 4 GB: a single row is too large".into())),
        }
    }

    /// Add a change whose images were written before.
    pub fn push(&mut self, entry: Entry) {
        self.segment.entries.push(entry);
    }

    /// All entries, to be completed.
    pub fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.segment.entries
    }

    /// Bytes of memory in use, the index included.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight_since(Mark::default())
    }

    /// Bytes of memory in use behind `mark`, the index included.
    #[must_use]
    pub fn weight_since(&self, mark: Mark) -> usize {
        let Segment { entries, arena, txns, .. } = &self.segment;
        (arena.len() - mark.arena)
            + (entries.len() - mark.entries) * size_of::<Entry>()
            + (txns.len() - mark.txns) * size_of::<Txn>()
    }

    /// Bytes of cells behind `mark`.
    #[must_use]
    pub fn nbytes_since(&self, mark: Mark) -> usize {
        self.segment.arena.len() - mark.arena
    }

    /// Where the builder stands.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let Segment { entries, arena, txns, .. } = &self.segment;
        Mark { entries: entries.len(), arena: arena.len(), txns: txns.len() }
    }

    /// Take away what came before `mark` as a segment and keep what came after; the part after is copied, so it should
    /// be the smaller one.
    pub fn split(&mut self, mark: Mark) -> Segment {
        let mut rest = Segment {
            origin: Arc::clone(&self.segment.origin),
            tables: self.segment.tables.clone(),
            txns: self.segment.txns.split_off(mark.txns),
            entries: self.segment.entries.split_off(mark.entries),
            arena: self.segment.arena.split_off(mark.arena),
        };
        let moved =
            |offset: u32| if offset == ABSENT { ABSENT } else { offset - u32::try_from(mark.arena).unwrap_or(0) };
        for entry in &mut rest.entries {
            entry.old = moved(entry.old);
            entry.new = moved(entry.new);
            entry.txn -= u32::try_from(mark.txns).unwrap_or(0);
        }
        rest.drop_unused_tables();
        let mut before = std::mem::replace(&mut self.segment, rest);
        before.drop_unused_tables();
        before.give_back_spare();
        before
    }

    /// The whole segment; the builder starts anew.
    pub fn seal(&mut self) -> Segment {
        let fresh = Self::new(Arc::clone(&self.segment.origin));
        let mut segment = std::mem::replace(self, fresh).segment;
        segment.give_back_spare();
        segment
    }

    /// Copy one change of another segment, with other images if given (cells of the same table).
    ///
    /// # Errors
    /// [`Error::Limit`] when the arena would pass 4 GB; [`Error::Usage`] when the table's version does not fit (I5).
    pub fn copy(&mut self, from: &Segment, index: usize, txn: u32) -> Result<()> {
        let row = from.row(index);
        let mut entry = *row.entry();
        if let Some(table) = row.table() {
            entry.table =
                self.table(table).ok_or_else(|| Error::Usage(format!("two versions of {table} in one segment")))?;
        }
        entry.txn = txn;
        entry.old = self.copy_image(from, entry.old)?;
        entry.new = self.copy_image(from, entry.new)?;
        self.push(entry);
        Ok(())
    }

    fn copy_image(&mut self, from: &Segment, offset: u32) -> Result<u32> {
        if offset == ABSENT {
            return Ok(ABSENT);
        }
        let bytes = &from.arena[offset as usize..];
        let columns = Tuple::trusted(bytes).len();
        let end = Tuple::measure(bytes, 0, columns)?;
        self.copy_tuple(&bytes[..end])
    }
}
