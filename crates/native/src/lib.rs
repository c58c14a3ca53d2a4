//! The PyO3 skin over `tailrace-wire`; nothing else knows Python.

use pyo3::prelude::*;

/// The native half of Tailrace; `_native.pyi` documents it.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
