//! The PyO3 skin over `tailrace-wire`; nothing else knows Python. `_native.pyi` documents every class.

mod arrow;
mod batch;
mod build;
mod change;
mod copy_rows;
mod decode;
mod encode;
mod error;
mod libpq;
mod read;
mod row;
mod script;
mod table;
mod transform;
mod value;

use pyo3::prelude::*;

/// The native half of Tailrace; `_native.pyi` documents it.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<arrow::ArrowStream>()?;
    module.add_class::<batch::Batch>()?;
    module.add_class::<build::BatchBuilder>()?;
    module.add_class::<change::Change>()?;
    module.add_class::<change::Message>()?;
    module.add_class::<decode::CopyRows>()?;
    module.add_class::<decode::PgOutput>()?;
    module.add_class::<decode::Relation>()?;
    module.add_class::<encode::DebeziumJson>()?;
    module.add_class::<encode::Encoded>()?;
    module.add_class::<read::EventReader>()?;
    module.add("Unregistered", py.get_type::<error::Unregistered>())?;
    module.add_class::<libpq::Chunk>()?;
    module.add_class::<libpq::CopyReader>()?;
    module.add_class::<row::Row>()?;
    module.add_class::<table::Column>()?;
    module.add_class::<table::Position>()?;
    module.add_class::<table::SnapshotMark>()?;
    module.add_class::<table::Table>()?;
    module.add_class::<table::TypeDefinition>()?;
    module.add_class::<transform::Globs>()?;
    module.add_class::<transform::Mask>()?;
    module.add_class::<transform::Rename>()?;
    module.add_class::<transform::Select>()?;
    module.add_class::<value::Unchanged>()?;
    module.add("UNCHANGED", value::unchanged(py)?)?;
    py.import("collections.abc")?.getattr("Mapping")?.call_method1("register", (module.getattr("Row")?,))?;
    Ok(())
}
