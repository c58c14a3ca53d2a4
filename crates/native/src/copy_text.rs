//! `CopyText`: rows in COPY's text format.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use tailrace_wire::batch::Batch;
use tailrace_wire::encode::copy_text as wire;
use tailrace_wire::table::Table;

use crate::error::raise;

/// One `CopyText` for each segment of a batch that has rows of a table.
#[pyclass(module = "tailrace._native")]
pub struct CopyTexts {
    batch: Batch,
    table: Arc<Table>,
    plan: wire::Plan,
    part: usize,
}

impl CopyTexts {
    pub fn new(batch: Batch, table: &Arc<Table>, plan: wire::Plan) -> Self {
        Self { batch, table: Arc::clone(table), plan, part: 0 }
    }
}

#[pymethods]
impl CopyTexts {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<CopyText>> {
        while let Some(part) = self.batch.parts().get(self.part) {
            self.part += 1;
            if part.tables().iter().any(|table| table.version == self.table.version) {
                let Self { table, plan, .. } = self;
                let encode = || wire::CopyText::encode(part.load()?.as_ref(), table, plan);
                let inner = py.detach(encode).map_err(|error| raise(py, error))?;
                return Ok(Some(CopyText { inner, table: Arc::clone(table) }));
            }
        }
        Ok(None)
    }
}

/// The rows of one segment.
#[pyclass(frozen, module = "tailrace._native")]
pub struct CopyText {
    inner: wire::CopyText,
    table: Arc<Table>,
}

#[pymethods]
impl CopyText {
    fn __len__(&self) -> usize {
        self.inner.counts.iter().sum()
    }

    /// How many rows are inserts, updates, deletes.
    #[getter]
    fn counts(&self) -> (usize, usize, usize) {
        self.inner.counts.into()
    }

    /// The sets of columns that updates did not send.
    #[getter]
    fn unsent(&self) -> Vec<Vec<&str>> {
        let name = |column: &usize| self.table.columns[*column].name.as_str();
        self.inner.unsent.iter().map(|set| set.iter().map(name).collect()).collect()
    }

    /// The rows, read-only, as unsigned bytes.
    ///
    /// # Safety
    /// `view` comes from the interpreter. The bytes are never changed while `slf` lives, and `view` keeps `slf` alive.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() || flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("a CopyText is read-only"));
        }
        let bytes = &slf.get().inner.bytes;
        let data = bytes.as_ptr() as *mut c_void;
        let len = isize::try_from(bytes.len()).map_err(|_| PyBufferError::new_err("too large"))?;
        // SAFETY: see above; PyBuffer_FillInfo takes its own reference to `slf`.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), data, len, 1, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}
