//! `BatchBuilder`: batches from text cells, for tests, replays and third parties.

use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use tailrace_wire::batch as wire;
use tailrace_wire::batch::{
    ABSENT, Cell, End, Entry, FLAG_CASCADE, FLAG_RESTART, FLAG_TRANSACTIONAL, NO_TABLE, OldImage, Op, Origin, Part,
    SegmentBuilder, SnapshotFlag, Txn,
};
use tailrace_wire::position::{Phase, Position as Place};
use tailrace_wire::table as wire_table;

use crate::batch::Batch;
use crate::error::raise;
use crate::table::Table;
use crate::value::Unchanged;

/// Builds batches from text cells.
#[pyclass(module = "tailrace._native")]
pub struct BatchBuilder {
    builder: SegmentBuilder,
    parts: Vec<Part>,
    txn: Option<Txn>,
    ordinal: u64,
    /// The changes' own LSN, where that is not the transaction's.
    lsn: Option<u64>,
    end: Option<End>,
}

type Snapshot = (String, Py<Table>, bool, bool);

impl BatchBuilder {
    fn entry(&mut self, py: Python<'_>, op: Op, table: Option<&Arc<wire_table::Table>>) -> PyResult<Entry> {
        let txn = self.txn.clone().ok_or_else(|| PyRuntimeError::new_err("call begin() first"))?;
        let table = match table {
            None => NO_TABLE,
            Some(table) => match self.builder.table(table) {
                Some(index) => index,
                None => {
                    self.parts.push(Part::Memory(Arc::new(self.builder.seal())));
                    self.builder.table(table).ok_or_else(|| PyRuntimeError::new_err("too many tables"))?
                }
            },
        };
        let known = self.builder.segment().txns();
        let txn = match known.last() {
            Some(last) if *last == txn => u32::try_from(known.len() - 1).unwrap_or(u32::MAX),
            _ => self.builder.txn(txn).map_err(|error| raise(py, error))?,
        };
        let lsn = self.lsn.unwrap_or(self.builder.segment().txns()[txn as usize].lsn);
        let ordinal = self.ordinal;
        self.ordinal += 1;
        let snapshot = if op == Op::Read { SnapshotFlag::Middle } else { SnapshotFlag::Not };
        let (old, new, old_image, flags) = (ABSENT, ABSENT, OldImage::None, 0);
        Ok(Entry { op, snapshot, old_image, flags, table, txn, old, new, ordinal, lsn })
    }

    /// Write one image; says also whether cells were left out.
    fn image(&mut self, py: Python<'_>, table: &wire_table::Table, cells: &Bound<'_, PyDict>) -> PyResult<(u32, bool)> {
        let mut texts: Vec<Option<Option<String>>> = Vec::with_capacity(table.columns.len());
        let mut partial = false;
        for column in &table.columns {
            texts.push(match cells.get_item(&column.name)? {
                None => {
                    partial = true;
                    Some(None)
                }
                Some(object) if object.is_none() => Some(None),
                Some(object) if object.is_instance_of::<Unchanged>() => None,
                Some(object) => Some(Some(object.cast::<PyString>()?.to_str()?.to_owned())),
            });
        }
        for name in cells.keys() {
            let name: String = name.extract()?;
            table.column(&name).ok_or_else(|| PyKeyError::new_err(format!("{table} has no column {name}")))?;
        }
        let cells = texts.iter().map(|text| match text {
            None => Cell::Unchanged,
            Some(None) => Cell::Null,
            Some(Some(text)) => Cell::Text(text.as_bytes()),
        });
        Ok((self.builder.tuple(cells).map_err(|error| raise(py, error))?, partial))
    }
}

#[pymethods]
impl BatchBuilder {
    #[new]
    #[pyo3(signature = (lineage, *, connector="postgresql", database="test"))]
    fn new(lineage: &str, connector: &str, database: &str) -> Self {
        let origin =
            Origin { connector: connector.to_owned(), database: database.to_owned(), lineage: lineage.to_owned() };
        let builder = SegmentBuilder::new(Arc::new(origin));
        Self { builder, parts: Vec::new(), txn: None, ordinal: 0, lsn: None, end: None }
    }

    #[pyo3(signature = (*, xid, committed_at_us, lsn=0, at=None, lsns=None, origin=None))]
    fn begin(
        &mut self,
        xid: u32,
        committed_at_us: i64,
        lsn: u64,
        at: Option<&str>,
        lsns: Option<(u64, u64)>,
        origin: Option<(&str, u64)>,
    ) -> PyResult<()> {
        if self.txn.is_some() {
            return Err(PyRuntimeError::new_err("commit() the open transaction first"));
        }
        let mut first = match at {
            Some(text) => Place::parse(text).map_err(|error| PyValueError::new_err(error.to_string()))?,
            None => Place { lsn, phase: Phase::Row, ordinal: 0, timeline: 1, end: lsn.saturating_add(1) },
        };
        if let (Some((own, commit)), Phase::Offset) = (lsns, first.phase) {
            (first.lsn, first.end) = (commit, own);
        }
        self.lsn = lsns.map(|(own, _)| own);
        let Place { lsn, phase, ordinal, timeline, end } = first;
        let origin = origin.map(|(name, lsn)| (name.into(), lsn));
        self.txn = Some(Txn { xid, phase, lsn, end, timeline, at_us: committed_at_us, origin });
        self.ordinal = ordinal;
        Ok(())
    }

    #[pyo3(signature = (op, table, *, before=None, after=None, truncate_options=(false, false)))]
    fn add(
        &mut self,
        py: Python<'_>,
        op: char,
        table: PyRef<'_, Table>,
        before: Option<&Bound<'_, PyDict>>,
        after: Option<&Bound<'_, PyDict>>,
        truncate_options: (bool, bool),
    ) -> PyResult<()> {
        let op = u8::try_from(op).ok().and_then(Op::parse).filter(|op| *op != Op::Message);
        let op = op.ok_or_else(|| PyValueError::new_err("op is one of c, u, d, r, t"))?;
        let fits = match op {
            Op::Create | Op::Read => before.is_none() && after.is_some(),
            Op::Update => after.is_some(),
            Op::Delete => before.is_some() && after.is_none(),
            Op::Truncate | Op::Message => before.is_none() && after.is_none(),
        };
        if !fits {
            return Err(PyValueError::new_err(format!("these images do not fit op {}", op.letter())));
        }
        if let (Op::Read, Some(txn)) = (op, &mut self.txn)
            && txn.phase != Phase::Offset
        {
            txn.phase = Phase::Snapshot;
        }
        let mut entry = self.entry(py, op, Some(&table.inner))?;
        let (cascade, restart) = truncate_options;
        entry.flags |= if cascade { FLAG_CASCADE } else { 0 } | if restart { FLAG_RESTART } else { 0 };
        if let Some(before) = before {
            let (offset, partial) = self.image(py, &table.inner, before)?;
            entry.old = offset;
            entry.old_image = if partial { OldImage::Key } else { OldImage::Full };
        }
        if let Some(after) = after {
            (entry.new, _) = self.image(py, &table.inner, after)?;
        }
        self.builder.push(entry);
        Ok(())
    }

    #[pyo3(signature = (prefix, content, *, transactional=true))]
    fn message(&mut self, py: Python<'_>, prefix: &str, content: &[u8], transactional: bool) -> PyResult<()> {
        let mut entry = self.entry(py, Op::Message, None)?;
        entry.flags = if transactional { FLAG_TRANSACTIONAL } else { 0 };
        let cells = [Cell::Text(prefix.as_bytes()), Cell::Text(content)];
        entry.new = self.builder.tuple(cells.into_iter()).map_err(|error| raise(py, error))?;
        self.builder.push(entry);
        Ok(())
    }

    fn commit(&mut self) -> PyResult<()> {
        let txn = self.txn.take().ok_or_else(|| PyRuntimeError::new_err("no transaction is open"))?;
        let position = Place {
            lsn: txn.lsn,
            phase: txn.phase,
            ordinal: self.ordinal.saturating_sub(1),
            timeline: txn.timeline,
            end: txn.end,
        };
        let lineage = self.builder.segment().origin().lineage.as_str().into();
        self.end = Some(End { lineage, text: position.to_string() });
        Ok(())
    }

    #[pyo3(signature = (*, snapshot=None))]
    fn take(&mut self, snapshot: Option<Snapshot>) -> PyResult<Batch> {
        if self.txn.is_some() {
            return Err(PyRuntimeError::new_err("commit() the open transaction first"));
        }
        let mut parts = std::mem::take(&mut self.parts);
        parts.push(Part::Memory(Arc::new(self.builder.seal())));
        let snapshot = snapshot.map(|(attempt, table, begin, end)| wire::SnapshotMark {
            attempt: attempt.into(),
            table: Some(Arc::clone(&table.get().inner)),
            begin,
            end,
        });
        Ok(Batch::of(wire::Batch::new(parts, self.end.clone().into_iter().collect(), snapshot)))
    }
}
