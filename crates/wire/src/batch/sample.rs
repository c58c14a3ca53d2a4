//! Batches for the tests of this crate.

use std::sync::Arc;

use super::{
    ABSENT, Batch, Cell, Entry, OldImage, Op, Origin, Part, RowRef, Segment, SegmentBuilder, SnapshotFlag, Txn,
};
use super::{OpenSegment, Settlement, SpillFile, SpillQuota};
use crate::position::Phase;
use crate::table::{Column, Note, Table, Type};

/// An owned cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Unchanged,
    Text(String),
}

pub use Value::{Null, Unchanged};

impl Value {
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Null => Cell::Null,
            Unchanged => Cell::Unchanged,
            Self::Text(text) => Cell::Text(text.as_bytes()),
        }
    }

    pub fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Null,
            Cell::Unchanged => Unchanged,
            Cell::Text(text) => t(&String::from_utf8_lossy(text)),
        }
    }
}

pub fn t(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A row image of texts.
pub fn texts(cells: &[&str]) -> Vec<Value> {
    cells.iter().map(|text| t(text)).collect()
}

/// A change before it is in a segment.
#[derive(Clone, Debug)]
pub struct Row {
    pub op: Op,
    pub table: Arc<Table>,
    pub old: Option<(OldImage, Vec<Value>)>,
    pub new: Option<Vec<Value>>,
}

impl Row {
    pub fn insert(table: &Arc<Table>, new: Vec<Value>) -> Self {
        Self { op: Op::Create, table: Arc::clone(table), old: None, new: Some(new) }
    }

    pub fn update(table: &Arc<Table>, old: Option<(OldImage, Vec<Value>)>, new: Vec<Value>) -> Self {
        Self { op: Op::Update, table: Arc::clone(table), old, new: Some(new) }
    }

    pub fn delete(table: &Arc<Table>, image: OldImage, old: Vec<Value>) -> Self {
        Self { op: Op::Delete, table: Arc::clone(table), old: Some((image, old)), new: None }
    }

    pub fn truncate(table: &Arc<Table>) -> Self {
        Self { op: Op::Truncate, table: Arc::clone(table), old: None, new: None }
    }

    /// The change as it stands in a segment.
    pub fn of(row: RowRef<'_>) -> Self {
        let image = |tuple: super::Tuple<'_>| tuple.cells().map(Value::of).collect::<Vec<_>>();
        Self {
            op: row.op(),
            table: Arc::clone(row.table().unwrap()),
            old: row.before().map(|tuple| (row.entry().old_image, image(tuple))),
            new: row.after().map(image),
        }
    }
}

/// A table; columns are (name, type), nullable unless the name ends with `!`.
pub fn table(name: &str, columns: &[(&str, &str)], key: &[u16]) -> Arc<Table> {
    let column = |(name, kind): &(&str, &str)| Column {
        name: name.trim_end_matches('!').to_owned(),
        kind: Type::parse(kind).unwrap(),
        native: (*kind).to_owned(),
        nullable: !name.ends_with('!'),
        labels: Vec::new(),
        note: Note::default(),
    };
    Table::new("public".into(), name.into(), columns.iter().map(column).collect(), key.to_vec())
}

pub fn txn(lsn: u64) -> Txn {
    let at_us = 1_795_350_896_789_000 + i64::try_from(lsn).unwrap();
    Txn { xid: 7, phase: Phase::Row, lsn, end: lsn + 8, timeline: 1, at_us, origin: None }
}

pub fn builder() -> SegmentBuilder {
    builder_of("postgres/1/shop/slot")
}

fn builder_of(lineage: &str) -> SegmentBuilder {
    let lineage = lineage.into();
    SegmentBuilder::new(Arc::new(Origin { connector: "postgresql".into(), database: "shop".into(), lineage }))
}

/// One transaction of these rows; ordinals count from `first`.
pub fn segment(rows: &[Row], first: u64) -> Segment {
    fill(builder(), rows, first)
}

/// The same in another lineage.
pub fn segment_of(lineage: &str, rows: &[Row]) -> Segment {
    fill(builder_of(lineage), rows, 0)
}

fn fill(mut builder: SegmentBuilder, rows: &[Row], first: u64) -> Segment {
    let txn = builder.txn(txn(16)).unwrap();
    for (ordinal, row) in (first..).zip(rows) {
        let table = builder.table(&row.table).unwrap();
        let mut image = |cells: &[Value]| builder.tuple(cells.iter().map(Value::cell)).unwrap();
        let old = row.old.as_ref().map_or(ABSENT, |(_, cells)| image(cells));
        let new = row.new.as_ref().map_or(ABSENT, |cells| image(cells));
        let old_image = row.old.as_ref().map_or(OldImage::None, |(kind, _)| *kind);
        let (op, snapshot, flags, lsn) = (row.op, SnapshotFlag::Not, 0, 16);
        builder.push(Entry { op, snapshot, old_image, flags, table, txn, old, new, ordinal, lsn });
    }
    builder.seal()
}

/// A batch of one transaction, cut into segments of `size` rows, in memory or in a spill file.
pub fn batch(rows: &[Row], size: usize, spilled: bool) -> Batch {
    let mut first = 0;
    let mut parts = Vec::new();
    let quota = SpillQuota::new(std::env::temp_dir(), u64::MAX);
    let file = SpillFile::create(&quota).unwrap();
    let settlement = Arc::new(Settlement { txn: txn(16), aborted: rustc_hash::FxHashSet::default() });
    for rows in rows.chunks(size) {
        let segment = segment(rows, first);
        parts.push(if spilled {
            let open: OpenSegment = file.append(segment).unwrap();
            Part::Spilled(Arc::new(open.settle(&settlement, first)))
        } else {
            Part::Memory(Arc::new(segment))
        });
        first += rows.len() as u64;
    }
    Batch::new(parts, Vec::new(), None)
}

/// All changes of a batch.
pub fn rows(batch: &Batch) -> Vec<Row> {
    batch.parts().iter().flat_map(|part| part.load().unwrap().rows().map(Row::of).collect::<Vec<_>>()).collect()
}
