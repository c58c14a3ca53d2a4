//! `Change` and `Message`: read-only views into a segment.

use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyType};
use tailrace_wire::batch::{
    ABSENT, Cell, FLAG_CASCADE, FLAG_RESTART, FLAG_TRANSACTIONAL, Op, Segment, SegmentBuilder, Tuple,
};
use tailrace_wire::read::{AT_US_MAX, AT_US_MIN};

use crate::error::raise;
use crate::row::{Image, Row};
use crate::table::{Position, Table};
use crate::value::{Written, reads_as, text};

/// A logical decoding message.
#[pyclass(frozen, get_all, module = "tailrace._native")]
pub struct Message {
    prefix: String,
    content: Py<PyBytes>,
    transactional: bool,
}

/// One row event, a read-only view into its batch.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Change {
    pub segment: Arc<Segment>,
    pub index: usize,
    table: Option<Py<Table>>,
    convert: Option<Py<PyAny>>,
    before: PyOnceLock<Py<PyAny>>,
    after: PyOnceLock<Py<PyAny>>,
}

static FROM_TIMESTAMP: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

/// Microseconds since the Unix epoch as an aware datetime in UTC; a time that Python's calendar does not have is its first
/// or last one.
pub fn datetime(py: Python<'_>, at_us: i64) -> PyResult<Py<PyAny>> {
    let at_us = at_us.clamp(AT_US_MIN, AT_US_MAX);
    let (epoch, delta) = FROM_TIMESTAMP.get_or_try_init(py, || -> PyResult<_> {
        let module = py.import("datetime")?;
        let epoch = module.getattr("datetime")?.call_method1("fromisoformat", ("1970-01-01T00:00:00+00:00",))?;
        Ok((epoch.unbind(), module.getattr("timedelta")?.unbind()))
    })?;
    let offset = delta.bind(py).call1((0, at_us.div_euclid(1_000_000), at_us.rem_euclid(1_000_000)))?;
    Ok(epoch.bind(py).add(offset)?.unbind())
}

impl Change {
    pub fn new(segment: Arc<Segment>, index: usize, table: Option<Py<Table>>) -> Self {
        Self { segment, index, table, convert: None, before: PyOnceLock::new(), after: PyOnceLock::new() }
    }

    fn row(&self, py: Python<'_>, image: Image) -> Option<Row> {
        let table = self.table.as_ref()?.clone_ref(py);
        let row = Row { segment: Arc::clone(&self.segment), index: self.index, image, table };
        row.tuple().is_some().then_some(row)
    }

    fn image(&self, py: Python<'_>, image: Image) -> PyResult<Py<PyAny>> {
        let Some(row) = self.row(py, image) else { return Ok(py.None()) };
        let whole = image == Image::After
            || self.segment.row(self.index).entry().old_image == tailrace_wire::batch::OldImage::Full;
        let row = Py::new(py, row)?;
        match &self.convert {
            Some(convert) if whole => convert.call1(py, (row,)),
            _ => Ok(row.into_any()),
        }
    }

    /// Copy an image with some cells replaced.
    fn rewrite(
        &self,
        builder: &mut SegmentBuilder,
        image: Option<Tuple<'_>>,
        new: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<u32> {
        let Some(image) = image else { return Ok(ABSENT) };
        let Some(table) = self.table.as_ref().map(|table| &table.get().inner) else { return Ok(ABSENT) };
        let mut written: Vec<Option<Written>> = table.columns.iter().map(|_| None).collect();
        for (name, object) in new.into_iter().flatten() {
            let name: String = name.extract()?;
            let column =
                table.column(&name).ok_or_else(|| PyKeyError::new_err(format!("{table} has no column {name}")))?;
            let kind = &table.columns[column].kind;
            if image.cell(column).is_some_and(|cell| reads_as(&object, cell, kind)) {
                continue; // What a function only passes on keeps its own spelling.
            }
            written[column] = Some(text(&object, kind)?);
        }
        let cells = image.cells().zip(&written).map(|(cell, new)| new.as_ref().map_or(cell, Written::cell));
        let cells: Vec<Cell<'_>> = cells.collect();
        let py = new.map(|new| new.py());
        builder.tuple(cells.into_iter()).map_err(|error| match py {
            Some(py) => raise(py, error),
            None => PyValueError::new_err(error.to_string()),
        })
    }
}

#[pymethods]
impl Change {
    #[getter]
    fn op(&self) -> char {
        self.segment.row(self.index).op().letter()
    }

    #[getter]
    fn table(&self, py: Python<'_>) -> Option<Py<Table>> {
        self.table.as_ref().map(|table| table.clone_ref(py))
    }

    #[getter]
    fn key(&self, py: Python<'_>) -> Option<Row> {
        let has_key = self.table.as_ref().is_some_and(|table| !table.get().inner.key.is_empty());
        has_key.then(|| self.row(py, Image::Key)).flatten()
    }

    #[getter]
    fn before(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.before.get_or_try_init(py, || self.image(py, Image::Before)).map(|image| image.clone_ref(py))
    }

    #[getter]
    fn after(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.after.get_or_try_init(py, || self.image(py, Image::After)).map(|image| image.clone_ref(py))
    }

    #[getter]
    fn committed_at(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        datetime(py, self.segment.row(self.index).txn().at_us)
    }

    #[getter]
    fn position(&self) -> Position {
        let position = self.segment.row(self.index).position();
        Position::of(&self.segment.origin().lineage, &position.to_string())
    }

    #[getter]
    fn transaction(&self) -> Option<u32> {
        Some(self.segment.row(self.index).txn().xid).filter(|xid| *xid != 0)
    }

    #[getter]
    fn message(&self, py: Python<'_>) -> Option<Message> {
        let row = self.segment.row(self.index);
        let (prefix, content) = row.message()?;
        Some(Message {
            prefix: String::from_utf8_lossy(prefix).into_owned(),
            content: PyBytes::new(py, content).unbind(),
            transactional: row.entry().flags & FLAG_TRANSACTIONAL != 0,
        })
    }

    #[getter]
    fn origin(&self) -> Option<String> {
        self.segment.row(self.index).txn().origin.as_ref().map(|(name, _)| name.to_string())
    }

    #[getter]
    fn origin_lsn(&self) -> Option<u64> {
        self.segment.row(self.index).txn().origin.as_ref().map(|(_, lsn)| *lsn)
    }

    /// What an event says of its source: connector, database, LSN of the change and of its commit.
    #[getter]
    fn source(&self) -> (String, String, u64, u64) {
        let (row, origin) = (self.segment.row(self.index), self.segment.origin());
        (origin.connector.clone(), origin.database.clone(), row.entry().lsn, row.txn().lsn)
    }

    /// TRUNCATE's options: (cascade, restart identity).
    #[getter]
    fn truncate_options(&self) -> (bool, bool) {
        let flags = self.segment.row(self.index).entry().flags;
        (flags & FLAG_CASCADE != 0, flags & FLAG_RESTART != 0)
    }

    /// The same change with its images passed through `convert`.
    fn cast(&self, py: Python<'_>, convert: Py<PyAny>) -> Self {
        let table = self.table(py);
        Self { convert: Some(convert), ..Self::new(Arc::clone(&self.segment), self.index, table) }
    }

    /// A copy with other cells.
    #[pyo3(signature = (*, after=None, before=None))]
    fn replace(
        &self,
        py: Python<'_>,
        after: Option<&Bound<'_, PyAny>>,
        before: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let dict = |mapping: Option<&Bound<'_, PyAny>>| -> PyResult<Option<Py<PyDict>>> {
            let Some(mapping) = mapping else { return Ok(None) };
            let dict = PyDict::new(py);
            dict.call_method1("update", (mapping,))?;
            Ok(Some(dict.unbind()))
        };
        let (after, before) = (dict(after)?, dict(before)?);
        let row = self.segment.row(self.index);
        for (given, image, name) in [(&after, row.after(), "after"), (&before, row.before(), "before")] {
            if given.is_some() && image.is_none() {
                return Err(PyValueError::new_err(format!("a change of op {} has no {name} image", self.op())));
            }
        }
        let mut builder = SegmentBuilder::new(Arc::clone(self.segment.origin()));
        let txn = builder.txn(row.txn().clone()).map_err(|error| raise(py, error))?;
        builder.copy(&self.segment, self.index, txn).map_err(|error| raise(py, error))?;
        let old = self.rewrite(&mut builder, row.before(), before.as_ref().map(|dict| dict.bind(py)))?;
        let new = match row.op() {
            Op::Message => builder.entries_mut()[0].new,
            _ => self.rewrite(&mut builder, row.after(), after.as_ref().map(|dict| dict.bind(py)))?,
        };
        for entry in builder.entries_mut() {
            (entry.old, entry.new) = (old, new);
        }
        Ok(Self::new(Arc::new(builder.seal()), 0, self.table(py)))
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let alias = class.py().import("types")?.getattr("GenericAlias")?;
        Ok(alias.call1((class, item))?.unbind())
    }

    fn __repr__(&self) -> String {
        let row = self.segment.row(self.index);
        let table = row.table().map_or_else(|| "message".to_owned(), ToString::to_string);
        format!("<Change {} {table} at {}>", row.op().letter(), row.position())
    }
}
