//! `ArrowStream`: record batches over the Arrow C stream interface, by the PyCapsule protocol; and back.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tailrace_wire::arrow::Encoder;
use tailrace_wire::batch::{Batch, Part};
use tailrace_wire::error::{Error, Result};
use tailrace_wire::table::Table;

use crate::error::raise;

type Failure = Arc<Mutex<Option<Error>>>;

/// Encodes one segment after another, as the consumer pulls.
struct Reader {
    table: Arc<Table>,
    encoder: Encoder,
    first: Option<RecordBatch>,
    parts: std::vec::IntoIter<Part>,
    index: usize,
    failure: Failure,
}

impl Reader {
    fn pull(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        for part in self.parts.by_ref() {
            let index = self.index;
            self.index += part.len();
            if part.tables().contains(&self.table) {
                let segment = part.load()?;
                if let Some(rows) = self.encoder.encode(&segment, index)? {
                    return Ok(Some(rows));
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Reader {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.pull() {
            Ok(rows) => rows.map(Ok),
            Err(error) => {
                let told = ArrowError::ExternalError(error.to_string().into());
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Some(Err(told))
            }
        }
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.encoder.schema())
    }
}

/// Record batches of one table; consumed once.
#[pyclass(frozen, module = "tailrace._native")]
pub struct ArrowStream {
    schema: SchemaRef,
    reader: Mutex<Option<Reader>>,
    failure: Failure,
}

impl ArrowStream {
    pub fn new(py: Python<'_>, batch: &Batch, table: &Arc<Table>) -> PyResult<Self> {
        let (encoder, failure) = (Encoder::new(table), Failure::default());
        let schema = Arc::clone(encoder.schema());
        let parts = batch.parts().to_vec().into_iter();
        let mut reader =
            Reader { table: Arc::clone(table), encoder, first: None, parts, index: 0, failure: Arc::clone(&failure) };
        if batch.parts().len() == 1 {
            reader.first = py.detach(|| reader.pull()).map_err(|error| raise(py, error))?;
        }
        Ok(Self { schema, reader: Mutex::new(Some(reader)), failure })
    }
}

#[pymethods]
impl ArrowStream {
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The protocol lets a producer ignore a requested schema that it cannot serve.
        drop(requested_schema);
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reader = reader.ok_or_else(|| PyRuntimeError::new_err("this ArrowStream was consumed already"))?;
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref());
        let schema = schema.map_err(|error| PyValueError::new_err(error.to_string()))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// Raise the `Reject` that ended the stream early, if one did.
    fn raise_reject(&self, py: Python<'_>) -> PyResult<()> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(raise(py, error)),
            None => Ok(()),
        }
    }
}

/// Record batches of any object that speaks the PyCapsule protocol.
pub fn import(object: &Bound<'_, PyAny>) -> PyResult<Vec<RecordBatch>> {
    let capsule = object
        .call_method0("__arrow_c_stream__")
        .map_err(|_| PyTypeError::new_err("expected an object with __arrow_c_stream__, such as a pyarrow table"))?;
    let capsule = capsule.cast_into::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: the capsule's name promises an ArrowArrayStream; `from_raw` moves it out and leaves a released one behind.
    let reader = unsafe { RecordBatchStreamReader::from_raw(pointer.as_ptr()) };
    let bad = |error: ArrowError| PyValueError::new_err(error.to_string());
    reader.map_err(bad)?.collect::<std::result::Result<Vec<_>, _>>().map_err(bad)
}
