//! `Select`, `Rename`, `Mask`: transforms made once, applied to many batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tailrace_wire::error::{Error, Result};
use tailrace_wire::transform as wire;

use crate::batch::Batch;
use crate::error::{raise, told};

/// A plan that does not make sense is the user's mistake.
fn made<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
    result.map_err(|error| match error {
        Error::Usage(message) => PyValueError::new_err(message),
        other => raise(py, other),
    })
}

/// So is one that does not fit the tables which come.
fn applied(py: Python<'_>, result: Result<tailrace_wire::batch::Batch>) -> PyResult<Batch> {
    result.map(Batch::of).map_err(|error| match error {
        Error::Usage(message) => told(py, "ConfigError", message),
        other => raise(py, other),
    })
}

/// Patterns over names.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Globs {
    inner: wire::Globs,
}

#[pymethods]
impl Globs {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned values")]
    fn new(py: Python<'_>, patterns: Vec<String>) -> PyResult<Self> {
        Ok(Self { inner: made(py, wire::Globs::new(&patterns))? })
    }

    fn matches(&self, name: &str) -> bool {
        self.inner.matches(name)
    }
}

/// Keeps what matches.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Select {
    inner: Arc<wire::Select>,
}

#[pymethods]
impl Select {
    #[new]
    #[pyo3(signature = (
        *, tables=None, exclude_tables=Vec::new(), columns=None, exclude_columns=Vec::new(), ops=None
    ))]
    fn new(
        py: Python<'_>,
        tables: Option<Vec<String>>,
        exclude_tables: Vec<String>,
        columns: Option<Vec<String>>,
        exclude_columns: Vec<String>,
        ops: Option<String>,
    ) -> PyResult<Self> {
        let selection = wire::Selection { tables, exclude_tables, columns, exclude_columns, ops };
        Ok(Self { inner: made(py, wire::Select::new(selection))? })
    }

    fn __call__(&self, py: Python<'_>, batch: &Batch) -> PyResult<Batch> {
        applied(py, py.detach(|| self.inner.apply(&batch.inner)))
    }
}

/// Gives tables and columns other names.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Rename {
    inner: Arc<wire::Rename>,
}

#[pymethods]
impl Rename {
    #[new]
    fn new(py: Python<'_>, names: BTreeMap<String, String>) -> PyResult<Self> {
        Ok(Self { inner: made(py, wire::Rename::new(names.into_iter().collect()))? })
    }

    fn __call__(&self, py: Python<'_>, batch: &Batch) -> PyResult<Batch> {
        applied(py, py.detach(|| self.inner.apply(&batch.inner)))
    }
}

/// Masks cells.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Mask {
    inner: Arc<wire::Mask>,
}

#[pymethods]
impl Mask {
    #[new]
    #[pyo3(signature = (columns, method, *, salt=Vec::new(), length=0))]
    fn new(py: Python<'_>, columns: Vec<String>, method: &str, salt: Vec<u8>, length: usize) -> PyResult<Self> {
        let method = match method {
            "redact" => wire::Method::Redact,
            "hash" => wire::Method::Hash(salt),
            "truncate" => wire::Method::Truncate(length),
            other => {
                return Err(PyValueError::new_err(format!("method is redact, hash or truncate, not {other:?}")));
            }
        };
        Ok(Self { inner: made(py, wire::Mask::new(columns, method))? })
    }

    fn __call__(&self, py: Python<'_>, batch: &Batch) -> PyResult<Batch> {
        applied(py, py.detach(|| self.inner.apply(&batch.inner)))
    }
}
