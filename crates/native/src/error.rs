//! Turns errors of the wire crate into Python exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use tailrace_wire::encode::debezium as wire;
use tailrace_wire::error::Error;

create_exception!(
    tailrace._native,
    Unregistered,
    PyException,
    "Schemas that need an id before a batch can be encoded: `schemas`."
);

static REJECT: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// `ValueError` for bytes that are not understood, `OSError` for limits and disks, `tailrace.Reject` for unencodable values.
pub fn raise(py: Python<'_>, error: Error) -> PyErr {
    match error {
        Error::Io(error) => match error.raw_os_error() {
            Some(code) => PyOSError::new_err((code, format!("spill file: {error}"))),
            None => PyOSError::new_err(format!("spill file: {error}")),
        },
        Error::Limit(message) => PyOSError::new_err((libc::EDQUOT, message)),
        Error::Named(message) => told(py, "Fatal", message),
        Error::Unregistered(schemas) => unregistered(py, schemas).unwrap_or_else(|error| error),
        Error::Usage(message) => PyRuntimeError::new_err(message),
        Error::Reject(reasons) => reject(py, reasons).unwrap_or_else(|error| error),
        error @ Error::Malformed { .. } => PyValueError::new_err(error.to_string()),
    }
}

/// An exception of `tailrace.error`, whose message reaches the user: only for messages of names, which hold no row values.
pub fn told(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = py.import("tailrace.error").and_then(|module| module.getattr(class)?.call1((message,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

fn unregistered(py: Python<'_>, schemas: Vec<wire::Unregistered>) -> PyResult<PyErr> {
    let error = Unregistered::new_err("schemas without an id");
    let half = |half| match half {
        wire::Half::Key => "key",
        wire::Half::Value => "value",
    };
    let told: Vec<_> =
        schemas.into_iter().map(|one| (one.version, half(one.half), one.topic, one.name, one.kind, one.text)).collect();
    error.value(py).setattr("schemas", told)?;
    Ok(error)
}

fn reject(py: Python<'_>, reasons: Vec<(usize, String)>) -> PyResult<PyErr> {
    let class = REJECT.import(py, "tailrace.error", "Reject")?;
    let mapping = PyDict::new(py);
    for (index, reason) in reasons {
        mapping.set_item(index, reason)?;
    }
    Ok(PyErr::from_value(class.call1((mapping,))?))
}
