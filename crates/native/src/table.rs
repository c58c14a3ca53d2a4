//! `Position`, `Column`, `Table` and `SnapshotMark`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use tailrace_wire::table as wire;

/// A place in one totally ordered stream.
#[pyclass(frozen, eq, ord, hash, module = "tailrace._native")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    lineage: Arc<str>,
    text: Arc<str>,
}

impl Position {
    pub fn of(lineage: &str, text: &str) -> Self {
        Self { lineage: lineage.into(), text: text.into() }
    }

    pub fn end(&self) -> tailrace_wire::batch::End {
        tailrace_wire::batch::End { lineage: Arc::clone(&self.lineage), text: self.text.to_string() }
    }
}

#[pymethods]
impl Position {
    #[new]
    fn new(lineage: &str, text: &str) -> Self {
        Self::of(lineage, text)
    }

    #[getter]
    fn lineage(&self) -> &str {
        &self.lineage
    }

    #[getter]
    fn text(&self) -> &str {
        &self.text
    }

    fn __getnewargs__(&self) -> (&str, &str) {
        (&self.lineage, &self.text)
    }

    fn __repr__(&self) -> String {
        format!("Position(lineage={:?}, text={:?})", self.lineage, self.text)
    }
}

/// One column of a table version.
#[pyclass(frozen, eq, hash, module = "tailrace._native")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Column {
    pub inner: wire::Column,
}

#[pymethods]
impl Column {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    #[pyo3(signature = (
        name, r#type, *, native=None, nullable=true, labels=Vec::new(), comment=None, identity=false, backfill=None,
        default=None, defaulted=false
    ))]
    fn new(
        name: String,
        r#type: &str,
        native: Option<String>,
        nullable: bool,
        labels: Vec<String>,
        comment: Option<String>,
        identity: bool,
        backfill: Option<String>,
        default: Option<String>,
        defaulted: bool,
    ) -> PyResult<Self> {
        let kind = wire::Type::parse(r#type).ok_or_else(|| {
            PyValueError::new_err(format!("{type:?} is not a portable type; write 'other' for the server's own types"))
        })?;
        let native = native.unwrap_or_else(|| r#type.to_owned());
        let note = wire::Note { comment, identity, backfill, default, defaulted };
        Ok(Self { inner: wire::Column { name, kind, native, nullable, labels, note } })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    #[getter]
    fn r#type(&self) -> String {
        self.inner.kind.to_string()
    }

    #[getter]
    fn native(&self) -> &str {
        &self.inner.native
    }

    #[getter]
    fn nullable(&self) -> bool {
        self.inner.nullable
    }

    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.inner.labels)
    }

    #[getter]
    fn comment(&self) -> Option<&str> {
        self.inner.note.comment.as_deref()
    }

    #[getter]
    fn identity(&self) -> bool {
        self.inner.note.identity
    }

    #[getter]
    fn backfill(&self) -> Option<&str> {
        self.inner.note.backfill.as_deref()
    }

    #[getter]
    fn default(&self) -> Option<&str> {
        self.inner.note.default.as_deref()
    }

    #[getter]
    fn defaulted(&self) -> bool {
        self.inner.note.defaulted
    }

    /// The Arrow type in `Batch.arrow`.
    #[getter]
    fn arrow(&self) -> String {
        tailrace_wire::arrow::arrow_name(&self.inner)
    }

    /// The DuckDB type of the closed table of types.
    #[getter]
    fn duckdb(&self) -> String {
        tailrace_wire::arrow::duckdb_type(&self.inner)
    }

    fn __repr__(&self) -> String {
        format!("Column({:?}, {:?})", self.inner.name, self.inner.kind.to_string())
    }
}

/// A type that is not the server's own.
#[pyclass(frozen, eq, hash, module = "tailrace._native")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TypeDefinition {
    inner: wire::TypeDefinition,
}

#[pymethods]
impl TypeDefinition {
    #[new]
    #[pyo3(signature = (schema, name, kind, *, labels=Vec::new(), parts=Vec::new()))]
    fn new(schema: String, name: String, kind: String, labels: Vec<String>, parts: Vec<(String, String)>) -> Self {
        Self { inner: wire::TypeDefinition { schema, name, kind, labels, parts } }
    }

    #[getter]
    fn schema(&self) -> &str {
        &self.inner.schema
    }

    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    #[getter]
    fn kind(&self) -> &str {
        &self.inner.kind
    }

    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.inner.labels)
    }

    #[getter]
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.inner.parts)
    }

    fn __str__(&self) -> String {
        format!("{}.{}", self.inner.schema, self.inner.name)
    }

    fn __repr__(&self) -> String {
        let wire::TypeDefinition { schema, name, kind, .. } = &self.inner;
        format!("TypeDefinition({schema:?}, {name:?}, {kind:?})")
    }
}

/// One version of a table.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Table {
    pub inner: Arc<wire::Table>,
    pub names: Py<PyTuple>,
}

static KNOWN: Mutex<Vec<(u64, Py<Table>)>> = Mutex::new(Vec::new());
const KNOWN_MAX: usize = 4096;

impl Table {
    /// The one Python object of a table version; a bounded memory of the versions seen last.
    pub fn of(py: Python<'_>, table: &Arc<wire::Table>) -> PyResult<Py<Self>> {
        let find = |known: &[(u64, Py<Self>)]| {
            known.iter().rev().find(|(version, _)| *version == table.version).map(|(_, table)| table.clone_ref(py))
        };
        if let Some(found) = find(&KNOWN.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(found);
        }
        let made = Py::new(py, Self::make(py, Arc::clone(table))?)?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.push((table.version, made.clone_ref(py)));
        Ok(made)
    }

    fn make(py: Python<'_>, inner: Arc<wire::Table>) -> PyResult<Self> {
        let names = PyTuple::new(py, inner.columns.iter().map(|column| PyString::intern(py, &column.name)))?.unbind();
        Ok(Self { inner, names })
    }
}

#[pymethods]
impl Table {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    #[pyo3(signature = (schema, name, columns, *, key=Vec::new(), comment=None, types=Vec::new(), oid=None))]
    fn new(
        py: Python<'_>,
        schema: String,
        name: String,
        columns: Vec<PyRef<'_, Column>>,
        key: Vec<String>,
        comment: Option<String>,
        types: Vec<PyRef<'_, TypeDefinition>>,
        oid: Option<u32>,
    ) -> PyResult<Self> {
        let columns: Vec<wire::Column> = columns.iter().map(|column| column.inner.clone()).collect();
        let mut indexes = Vec::with_capacity(key.len());
        for part in &key {
            let index = columns.iter().position(|column| column.name == *part);
            let index = index.and_then(|index| u16::try_from(index).ok());
            indexes.push(index.ok_or_else(|| PyKeyError::new_err(format!("key column {part:?} is not a column")))?);
        }
        let types = types.iter().map(|definition| definition.inner.clone()).collect();
        let notes = Arc::new(wire::Notes { comment, types, oid });
        Self::make(py, wire::Table::noted(schema, name, columns, indexes, notes))
    }

    #[getter]
    fn schema(&self) -> &str {
        &self.inner.schema
    }

    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.columns.iter().map(|inner| Column { inner: inner.clone() }))
    }

    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.key.iter().map(|index| &self.inner.columns[usize::from(*index)].name))
    }

    #[getter]
    fn comment(&self) -> Option<&str> {
        self.inner.notes.comment.as_deref()
    }

    #[getter]
    fn types<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.notes.types.iter().map(|inner| TypeDefinition { inner: inner.clone() }))
    }

    #[getter]
    fn oid(&self) -> Option<u32> {
        self.inner.notes.oid
    }

    #[getter]
    fn version(&self) -> u64 {
        self.inner.version
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().inner == self.inner)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let wire::Table { schema, name, columns, key, version: _, notes: _ } = &*self.inner;
        (schema, name, columns, key).hash(&mut hasher);
        hasher.finish()
    }

    fn __str__(&self) -> String {
        self.inner.to_string()
    }

    fn __repr__(&self) -> String {
        format!("Table({:?}, {:?}, {} columns)", self.inner.schema, self.inner.name, self.inner.columns.len())
    }
}

/// Which part of a snapshot a batch carries.
#[pyclass(frozen, module = "tailrace._native")]
pub struct SnapshotMark {
    pub inner: tailrace_wire::batch::SnapshotMark,
}

#[pymethods]
impl SnapshotMark {
    #[getter]
    fn attempt(&self) -> &str {
        &self.inner.attempt
    }

    #[getter]
    fn table(&self, py: Python<'_>) -> PyResult<Option<Py<Table>>> {
        self.inner.table.as_ref().map(|table| Table::of(py, table)).transpose()
    }

    #[getter]
    fn begin(&self) -> bool {
        self.inner.begin
    }

    #[getter]
    fn end(&self) -> bool {
        self.inner.end
    }

    fn __repr__(&self) -> String {
        let tailrace_wire::batch::SnapshotMark { attempt, table, begin, end } = &self.inner;
        let table = table.as_ref().map_or("None".into(), ToString::to_string);
        format!("SnapshotMark(attempt={attempt:?}, table={table}, begin={begin}, end={end})")
    }
}
