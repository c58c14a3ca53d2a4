//! `Row`: a read-only mapping over one image of a change, decoded cell by cell.

use std::sync::Arc;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use tailrace_wire::batch::{Cell, OldImage, Segment, Tuple};
use tailrace_wire::table::Type;

use crate::table::Table;
use crate::value::{raw, value};

/// Which image of a change a row shows, and which of its columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Image {
    Before,
    After,
    /// The key columns of the image after the change, or before it when there is no other.
    Key,
}

/// A read-only mapping of column name to Python value.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Row {
    pub segment: Arc<Segment>,
    pub index: usize,
    pub image: Image,
    pub table: Py<Table>,
}

impl Row {
    pub fn tuple(&self) -> Option<Tuple<'_>> {
        let row = self.segment.row(self.index);
        match self.image {
            Image::Before => row.before(),
            Image::After => row.after(),
            Image::Key => row.after().or_else(|| row.before()),
        }
    }

    /// Whether the server sent the column at all.
    fn sent(&self, column: usize, cell: Cell<'_>) -> bool {
        let partial = || self.segment.row(self.index).entry().old_image == OldImage::Key;
        match self.image {
            Image::After => true,
            Image::Before => !(matches!(cell, Cell::Null) && partial()),
            Image::Key => self.table.get().inner.key.iter().any(|key| usize::from(*key) == column),
        }
    }

    /// The sent cells with their column indexes.
    fn cells(&self) -> impl Iterator<Item = (usize, Cell<'_>)> {
        let cells = self.tuple().map(|tuple| tuple.cells()).into_iter().flatten();
        cells.enumerate().filter(|(column, cell)| self.sent(*column, *cell))
    }

    fn find(&self, name: &str) -> Option<(usize, Cell<'_>)> {
        let column = self.table.get().inner.column(name)?;
        let cell = self.tuple()?.cell(column)?;
        self.sent(column, cell).then_some((column, cell))
    }

    fn value<'py>(&self, py: Python<'py>, column: usize, cell: Cell<'_>) -> PyResult<Bound<'py, PyAny>> {
        value(py, cell, &self.table.get().inner.columns[column].kind)
    }

    fn view(slf: &Bound<'_, Self>, class: &PyOnceLock<Py<PyType>>, name: &str) -> PyResult<Py<PyAny>> {
        Ok(class.import(slf.py(), "collections.abc", name)?.call1((slf,))?.unbind())
    }
}

static KEYS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

#[pymethods]
impl Row {
    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.find(name) {
            Some((column, cell)) => self.value(py, column, cell),
            None => Err(PyKeyError::new_err(name.to_owned())),
        }
    }

    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(&self, py: Python<'py>, key: &str, default: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        match self.find(key) {
            Some((column, cell)) => self.value(py, column, cell),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>().is_ok_and(|name| self.find(name).is_some())
    }

    fn __len__(&self) -> usize {
        self.cells().count()
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let names = self.table.get().names.bind(py);
        let sent: Vec<_> = self.cells().map(|(column, _)| names.get_item(column)).collect::<PyResult<_>>()?;
        Ok(PyTuple::new(py, sent)?.try_iter()?.into_any().unbind())
    }

    fn keys(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::view(slf, &KEYS, "KeysView")
    }

    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let values: Vec<_> =
            self.cells().map(|(column, cell)| self.value(py, column, cell)).collect::<PyResult<_>>()?;
        PyList::new(py, values)
    }

    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let names = self.table.get().names.bind(py);
        let pair = |(column, cell)| Ok((names.get_item(column)?, self.value(py, column, cell)?));
        PyList::new(py, self.cells().map(pair).collect::<PyResult<Vec<_>>>()?)
    }

    /// All sent columns as a dict.
    fn asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let names = self.table.get().names.bind(py);
        for (column, cell) in self.cells() {
            dict.set_item(names.get_item(column)?, self.value(py, column, cell)?)?;
        }
        Ok(dict)
    }

    /// The values of these columns, in this order.
    fn values_of<'py>(&self, py: Python<'py>, names: Vec<Bound<'py, PyString>>) -> PyResult<Bound<'py, PyTuple>> {
        let table = &self.table.get().inner;
        let cells: Vec<Cell<'_>> = self.tuple().map(|tuple| tuple.cells().collect()).unwrap_or_default();
        let mut values = Vec::with_capacity(names.len());
        let mut guess = 0;
        for name in names {
            let text = name.to_str()?;
            let follows = table.columns.get(guess).is_some_and(|column| column.name == text);
            let column = if follows { Some(guess) } else { table.column(text) };
            let found = column.and_then(|column| Some((column, *cells.get(column)?)));
            match found.filter(|(column, cell)| self.sent(*column, *cell)) {
                Some((column, cell)) => {
                    values.push(self.value(py, column, cell)?);
                    guess = column + 1;
                }
                None => return Err(PyKeyError::new_err(text.to_owned())),
            }
        }
        PyTuple::new(py, values)
    }

    /// The cell as the server sent it.
    fn text<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.find(name) {
            Some((_, cell)) => raw(py, cell),
            None => Err(PyKeyError::new_err(name.to_owned())),
        }
    }

    /// A cell, of an array its elements, as the server sent them.
    fn elements<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.find(name) {
            Some((_, cell)) => value(py, cell, &Type::Array(Box::new(Type::Text))),
            None => Err(PyKeyError::new_err(name.to_owned())),
        }
    }

    /// All sent cells as the server sent them.
    fn texts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let names = self.table.get().names.bind(py);
        for (column, cell) in self.cells() {
            dict.set_item(names.get_item(column)?, raw(py, cell)?)?;
        }
        Ok(dict)
    }

    /// Every column of the table was sent and none is UNCHANGED.
    #[getter]
    fn complete(&self) -> bool {
        let columns = self.table.get().inner.columns.len();
        let partial = self.image != Image::After && self.segment.row(self.index).entry().old_image == OldImage::Key;
        self.image != Image::Key
            && !(partial && self.image == Image::Before)
            && self.cells().filter(|(_, cell)| !matches!(cell, Cell::Unchanged)).count() == columns
    }

    fn __eq__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<bool> {
        let mine = self.asdict(py)?;
        match other.cast::<Self>() {
            Ok(row) => mine.eq(row.get().asdict(py)?),
            Err(_) => mine.eq(other),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.asdict(py)?.repr()?.to_string())
    }
}
