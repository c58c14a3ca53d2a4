//! Rows for COPY.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tailrace_wire::batch::Batch;
use tailrace_wire::encode::copy as wire;
use tailrace_wire::table::Table;

use crate::error::raise;

/// The rows of a table, for each segment of a batch that has any.
#[pyclass(module = "tailrace._native")]
pub struct CopyIterator {
    batch: Batch,
    table: Arc<Table>,
    plan: wire::Plan,
    part: usize,
}

impl CopyIterator {
    pub fn new(batch: Batch, table: &Arc<Table>, plan: wire::Plan) -> Self {
        Self { batch, table: Arc::clone(table), plan, part: 0 }
    }
}

/// Rows; whether they are binary; how many are inserts, updates, deletes; the sets of columns that updates did not send.
type Rows = (Py<PyBytes>, bool, (usize, usize, usize), Vec<Vec<String>>);

#[pymethods]
impl CopyIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Rows>> {
        while let Some(part) = self.batch.parts().get(self.part) {
            self.part += 1;
            if part.tables().iter().any(|table| table.version == self.table.version) {
                let Self { table, plan, .. } = self;
                let encode = || wire::CopyRows::encode(part.load()?.as_ref(), table, plan);
                let wire::CopyRows { bytes, binary, counts, unsent } =
                    py.detach(encode).map_err(|error| raise(py, error))?;
                let name = |column: &usize| table.columns[*column].name.clone();
                let unsent = unsent.iter().map(|set| set.iter().map(name).collect()).collect();
                return Ok(Some((PyBytes::new(py, &bytes).unbind(), binary, counts.into(), unsent)));
            }
        }
        Ok(None)
    }
}
