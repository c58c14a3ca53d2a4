//! Puts the records of one partition together to batches: segments, transactions, positions. Knows no encoding, so that
//! every format that is read shares it.

use std::sync::Arc;

use crate::batch::{
    ABSENT, Batch, Cell, End, Entry, OldImage, Op, Origin, Part, SegmentBuilder, SnapshotFlag, Tuple, Txn,
};
use crate::error::{Error, Result};
use crate::position::{Phase, Position};
use crate::table::Table;

/// What a record says beside its images.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) op: Op,
    pub(super) snapshot: SnapshotFlag,
    pub(super) flags: u8,
    pub(super) lsn: u64,
    /// Connector and database.
    pub(super) stream: (String, String),
    pub(super) txn: Txn,
}

/// A run of records in the making.
#[derive(Debug)]
pub(super) struct Assembler {
    lineage: Arc<str>,
    builder: SegmentBuilder,
    parts: Vec<Part>,
    segment_bytes: usize,
    end: Option<i64>,
}

impl Assembler {
    pub(super) fn new(lineage: &str, segment_bytes: usize) -> Self {
        let origin = origin(lineage, "", "");
        let (builder, parts) = (SegmentBuilder::new(Arc::new(origin)), Vec::new());
        Self { lineage: lineage.into(), builder, parts, segment_bytes, end: None }
    }

    /// Where the images of the next record go. Behind them `push` must be called, or the arena cut back.
    pub(super) fn arena(&mut self) -> &mut Vec<u8> {
        self.builder.arena()
    }

    /// Make room for the rows of a table version and a stream; a segment has one of each (I5).
    pub(super) fn enter(&mut self, table: Option<&Arc<Table>>, (connector, database): (&str, &str)) -> Result<u16> {
        let known = self.builder.segment().origin();
        if known.connector != connector || known.database != database {
            self.seal();
            self.builder = SegmentBuilder::new(Arc::new(origin(&self.lineage, connector, database)));
        }
        let Some(table) = table else { return Ok(crate::batch::NO_TABLE) };
        if let Some(index) = self.builder.table(table) {
            return Ok(index);
        }
        self.seal();
        if self.builder.is_empty() {
            // A record that failed may have left its table without a row.
            self.builder = SegmentBuilder::new(Arc::clone(self.builder.segment().origin()));
        }
        self.builder.table(table).ok_or_else(|| Error::Limit("no room for a table in an empty segment".into()))
    }

    /// Arena offset of what comes next, when `more` bytes still fit behind it.
    pub(super) fn offset(&self, more: usize) -> Result<u32> {
        self.builder.offset(more)
    }

    /// Connector and database of the records before.
    pub(super) fn stream(&self) -> (String, String) {
        let origin = self.builder.segment().origin();
        (origin.connector.clone(), origin.database.clone())
    }

    /// Append a tuple; returns its offset.
    pub(super) fn tuple<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> Result<u32> {
        self.builder.tuple(cells)
    }

    /// Of the tuple at `offset`, the last one, keep only the cells of the table's key.
    pub(super) fn keep_key(&mut self, offset: u32, table: &Table) -> Result<()> {
        let image = self.builder.arena().split_off(offset as usize);
        let (tuple, ..) = Tuple::read(&image, 0, table.columns.len())?;
        let key = |index: usize| table.key.iter().any(|key| usize::from(*key) == index);
        let cells = tuple.cells().enumerate().map(|(index, cell)| if key(index) { cell } else { Cell::Null });
        self.builder.tuple(cells).map(drop)
    }

    /// Add the change of the record at `offset`, whose images were written.
    pub(super) fn push(&mut self, fact: Fact, table: u16, images: (OldImage, u32, u32), offset: i64) -> Result<()> {
        let (old_image, old, new) = images;
        self.builder.offset(0)?;
        let txns = self.builder.segment().txns();
        let txn = match txns.last() {
            Some(last) if *last == fact.txn => u32::try_from(txns.len() - 1).unwrap_or(u32::MAX),
            _ => self.builder.txn(fact.txn)?,
        };
        let Fact { op, snapshot, flags, lsn, .. } = fact;
        let ordinal = u64::try_from(offset).unwrap_or(0);
        self.builder.push(Entry { op, snapshot, old_image, flags, table, txn, old, new, ordinal, lsn });
        if self.builder.weight() >= self.segment_bytes {
            self.seal();
        }
        Ok(())
    }

    /// The record at `offset` is dealt with, also when no change came of it.
    pub(super) fn reach(&mut self, offset: i64) {
        self.end = Some(offset);
    }

    /// What was read so far, if there is anything new.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let ordinal = u64::try_from(self.end.take()?).unwrap_or(0);
        self.seal();
        let at = Position { lsn: 0, phase: Phase::Offset, ordinal, timeline: 0, end: 0 };
        let end = End { lineage: Arc::clone(&self.lineage), text: at.to_string() };
        Some(Batch::new(std::mem::take(&mut self.parts), vec![end], None))
    }

    fn seal(&mut self) {
        if !self.builder.is_empty() {
            self.parts.push(Part::Memory(Arc::new(self.builder.seal())));
        }
    }
}

fn origin(lineage: &str, connector: &str, database: &str) -> Origin {
    Origin { connector: connector.to_owned(), database: database.to_owned(), lineage: lineage.to_owned() }
}

/// No image.
pub(super) const NOTHING: (OldImage, u32, u32) = (OldImage::None, ABSENT, ABSENT);
