//! `Batch` and its iterators.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tailrace_wire::batch as wire;
use tailrace_wire::batch::{Op, Part, Segment, SegmentBuilder};
use tailrace_wire::encode::copy::Plan;
use tailrace_wire::error::Error;
use tailrace_wire::transform;

use crate::arrow::{self, ArrowStream};
use crate::change::{Change, datetime};
use crate::copy_rows::CopyIterator;
use crate::encode::{DebeziumJson, Encodings};
use crate::error::{raise, told};
use crate::table::{Position, SnapshotMark, Table};

/// A run of changes in commit order.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Batch {
    pub inner: wire::Batch,
    /// The segment that was looked at last: `batch[i]` in a loop must not read a spill file each time.
    last: Mutex<Option<(usize, Arc<Segment>)>>,
}

impl Batch {
    pub fn of(inner: wire::Batch) -> Self {
        Self { inner, last: Mutex::new(None) }
    }

    fn segment(&self, py: Python<'_>, part: usize) -> PyResult<Arc<Segment>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, segment)) = &*last
            && *known == part
        {
            return Ok(Arc::clone(segment));
        }
        let segment = self.inner.parts()[part].load().map_err(|error| raise(py, error))?;
        *last = Some((part, Arc::clone(&segment)));
        Ok(segment)
    }
}

/// The indexes of any collection: a list as well as a set or the keys of a mapping.
fn collected(indexes: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    indexes.try_iter()?.map(|index| index?.extract()).collect()
}

/// Python's tables of a segment, in the order of its indexes.
pub fn tables(py: Python<'_>, segment: &Segment) -> PyResult<Vec<Py<Table>>> {
    segment.tables().iter().map(|table| Table::of(py, table)).collect()
}

/// A view of one change of a segment.
pub fn change(py: Python<'_>, segment: &Arc<Segment>, index: usize, tables: &[Py<Table>]) -> Change {
    let table = tables.get(usize::from(segment.row(index).entry().table)).map(|table| table.clone_ref(py));
    Change::new(Arc::clone(segment), index, table)
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __bool__(&self) -> bool {
        !self.inner.is_empty()
    }

    fn __iter__(slf: Py<Self>) -> Changes {
        Changes { batch: slf, part: 0, index: 0, segment: None, tables: Vec::new() }
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<Change> {
        let len = self.inner.len();
        let wanted = if index < 0 { index.checked_add_unsigned(len) } else { Some(index) };
        let Some(mut index) = wanted.and_then(|index| usize::try_from(index).ok()).filter(|index| *index < len) else {
            return Err(PyIndexError::new_err("batch index out of range"));
        };
        for (part, held) in self.inner.parts().iter().enumerate() {
            if index < held.len() {
                let segment = self.segment(py, part)?;
                let tables = tables(py, &segment)?;
                return Ok(change(py, &segment, index, &tables));
            }
            index -= held.len();
        }
        Err(PyIndexError::new_err("batch index out of range"))
    }

    #[getter]
    fn positions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.ends().iter().map(|end| Position::of(&end.lineage, &end.text)))
    }

    #[getter]
    fn tables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let tables: Vec<_> = self.inner.tables().iter().map(|table| Table::of(py, table)).collect::<PyResult<_>>()?;
        PyTuple::new(py, tables)
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.nbytes()
    }

    #[getter]
    fn resident_nbytes(&self) -> usize {
        self.inner.resident()
    }

    #[getter]
    fn snapshot(&self) -> Option<SnapshotMark> {
        self.inner.snapshot().map(|mark| SnapshotMark { inner: mark.clone() })
    }

    #[getter]
    fn committed_at(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.inner.at_us().map(|at_us| datetime(py, at_us)).transpose()
    }

    /// Encode for `profile`, one `Encoded` a segment.
    fn json(slf: Py<Self>, profile: Py<DebeziumJson>) -> Encodings {
        Encodings::new(slf, profile)
    }

    /// One batch a segment, each made when it is asked for: a batch may hold the segment that was looked at last.
    fn segments(&self) -> Segments {
        Segments { batch: self.inner.clone(), part: 0 }
    }

    /// The changes of a table version as Arrow record batches.
    fn arrow(&self, py: Python<'_>, table: &Table) -> PyResult<ArrowStream> {
        ArrowStream::new(py, &self.inner, &table.inner)
    }

    /// Replace the changes of `table` by Arrow rows.
    fn with_arrow(&self, py: Python<'_>, table: &Table, stream: &Bound<'_, PyAny>) -> PyResult<Self> {
        let rows = arrow::import(stream)?;
        let batch = py.detach(|| tailrace_wire::arrow::with_arrow(&self.inner, &table.inner, &rows));
        batch.map(Self::of).map_err(|error| match error {
            Error::Usage(message) => told(py, "Fatal", message),
            other => raise(py, other),
        })
    }

    /// One folded change a key.
    #[pyo3(signature = (*, split_keys=false))]
    fn latest(&self, py: Python<'_>, split_keys: bool) -> PyResult<Self> {
        let folded = py.detach(|| tailrace_wire::fold::latest(&self.inner, split_keys));
        folded.map(Self::of).map_err(|error| raise(py, error))
    }

    /// The letters of its changes.
    fn ops(&self, py: Python<'_>) -> PyResult<String> {
        let ops = py.detach(|| self.inner.ops()).map_err(|error| raise(py, error))?;
        Ok(ops.into_iter().map(Op::letter).collect())
    }

    /// The rows of `table` for COPY, one segment after another.
    #[pyo3(signature = (table, columns, *, constants=Vec::new(), receivers=Vec::new(), staged=false))]
    fn copy_rows(
        &self,
        py: Python<'_>,
        table: &Table,
        columns: Vec<String>,
        constants: Vec<String>,
        receivers: Vec<String>,
        staged: bool,
    ) -> PyResult<CopyIterator> {
        let plan = Plan::new(&table.inner, &columns, &constants, &receivers, staged);
        let plan = plan.map_err(|error| raise(py, error))?;
        Ok(CopyIterator::new(self.inner.clone(), &table.inner, plan))
    }

    fn without(&self, py: Python<'_>, indexes: &Bound<'_, PyAny>) -> PyResult<Self> {
        let indexes = collected(indexes)?;
        let kept = py.detach(|| transform::without(&self.inner, &indexes));
        kept.map(Self::of).map_err(|error| raise(py, error))
    }

    fn only(&self, py: Python<'_>, indexes: &Bound<'_, PyAny>) -> PyResult<Self> {
        let indexes = collected(indexes)?;
        let kept = py.detach(|| transform::only(&self.inner, &indexes));
        kept.map(Self::of).map_err(|error| raise(py, error))
    }

    /// Pieces of whole transactions, each made when it is asked for.
    fn cut(&self, py: Python<'_>, nbytes_max: usize) -> PyResult<Pieces> {
        let cuts = py.detach(|| transform::cut(&self.inner, nbytes_max)).map_err(|error| raise(py, error))?;
        Ok(Pieces { batch: self.inner.clone(), cuts: cuts.into_iter() })
    }

    /// The same positions with these changes.
    fn with_changes(&self, py: Python<'_>, changes: Vec<PyRef<'_, Change>>) -> PyResult<Self> {
        let mut parts = Vec::new();
        let mut builder: Option<SegmentBuilder> = None;
        for change in &changes {
            let row = change.segment.row(change.index);
            let mut target = match builder.take() {
                Some(builder) if builder.segment().origin() == change.segment.origin() => builder,
                other => {
                    parts.extend(other.map(|mut builder| builder.seal()));
                    SegmentBuilder::new(Arc::clone(change.segment.origin()))
                }
            };
            if row.table().is_some_and(|table| target.table(table).is_none()) {
                parts.push(target.seal());
            }
            let count = target.segment().txns().len();
            let txn = match target.segment().txns().last() {
                Some(last) if last == row.txn() => u32::try_from(count - 1).unwrap_or(u32::MAX),
                _ => target.txn(row.txn().clone()).map_err(|error| raise(py, error))?,
            };
            target.copy(&change.segment, change.index, txn).map_err(|error| raise(py, error))?;
            builder = Some(target);
        }
        parts.extend(builder.map(|mut builder| builder.seal()));
        let parts = parts.into_iter().map(|segment| Part::Memory(Arc::new(segment))).collect();
        Ok(Self::of(self.inner.with_parts(parts)))
    }

    /// Join neighbours into as few batches as their snapshot marks allow.
    #[staticmethod]
    fn merge(batches: Vec<PyRef<'_, Self>>) -> Vec<Self> {
        let merged = wire::Batch::merge(batches.iter().map(|batch| batch.inner.clone()).collect());
        merged.into_iter().map(Self::of).collect()
    }

    /// Progress without data.
    #[staticmethod]
    fn progress(position: &Position) -> Self {
        Self::of(wire::Batch::new(Vec::new(), vec![position.end()], None))
    }

    fn __repr__(&self) -> String {
        let ends: Vec<&str> = self.inner.ends().iter().map(|end| end.text.as_str()).collect();
        format!("<Batch of {} changes to {}>", self.inner.len(), ends.join(", "))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a Batch cannot be pickled; send an encoding of it"))
    }
}

/// Iterates over the segments of a batch.
#[pyclass(module = "tailrace._native")]
pub struct Segments {
    batch: wire::Batch,
    part: usize,
}

#[pymethods]
impl Segments {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self) -> Option<Batch> {
        let part = self.batch.parts().get(self.part)?.clone();
        self.part += 1;
        Some(Batch::of(self.batch.with_parts(vec![part])))
    }
}

/// Iterates over the pieces of a batch.
#[pyclass(module = "tailrace._native")]
pub struct Pieces {
    batch: wire::Batch,
    cuts: std::vec::IntoIter<transform::Cut>,
}

#[pymethods]
impl Pieces {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Batch>> {
        let Some(cut) = self.cuts.next() else { return Ok(None) };
        let piece = py.detach(|| cut.make(&self.batch)).map_err(|error| raise(py, error))?;
        Ok(Some(Batch::of(piece)))
    }
}

/// Iterates over the changes of a batch, one segment in memory at a time.
#[pyclass(module = "tailrace._native")]
pub struct Changes {
    batch: Py<Batch>,
    part: usize,
    index: usize,
    segment: Option<Arc<Segment>>,
    tables: Vec<Py<Table>>,
}

#[pymethods]
impl Changes {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Change>> {
        loop {
            if let Some(segment) = &self.segment {
                if self.index < segment.len() {
                    self.index += 1;
                    return Ok(Some(change(py, segment, self.index - 1, &self.tables)));
                }
                self.segment = None;
                self.part += 1;
            }
            let Some(part) = self.batch.get().inner.parts().get(self.part) else { return Ok(None) };
            let part = part.clone();
            let segment = py.detach(|| part.load()).map_err(|error| raise(py, error))?;
            self.tables = tables(py, &segment)?;
            self.segment = Some(segment);
            self.index = 0;
        }
    }
}
