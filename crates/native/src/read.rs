//! `EventReader`: the records of one Kafka partition as batches.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tailrace_wire::read::{Plain, Reader, Record, Settings};

use crate::batch::Batch;
use crate::error::raise;

/// Reads change events back.
#[pyclass(module = "tailrace._native")]
pub struct EventReader {
    reader: Reader,
}

/// Key, value, time in milliseconds, offset.
type Given<'py> = (Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>, i64, i64);

#[pymethods]
impl EventReader {
    #[new]
    #[pyo3(signature = (
        lineage, *, topic, partition=0, plain="append",
        unavailable_value_placeholder="__debezium_unavailable_value", segment_bytes=1 << 20
    ))]
    fn new(
        lineage: String,
        topic: String,
        partition: i32,
        plain: &str,
        unavailable_value_placeholder: &str,
        segment_bytes: usize,
    ) -> PyResult<Self> {
        let plain = match plain {
            "append" => Plain::Append,
            "upsert" => Plain::Upsert,
            _ => return Err(PyValueError::new_err("plain is append or upsert")),
        };
        let unavailable = unavailable_value_placeholder.to_owned();
        let reader = Reader::new(Settings { lineage, topic, partition, plain, unavailable, segment_bytes });
        Ok(Self { reader })
    }

    /// Read records; what comes before one that is not understood is not lost.
    fn feed(&mut self, py: Python<'_>, records: Vec<Given<'_>>) -> PyResult<()> {
        let records: Vec<Record<'_>> = records
            .iter()
            .map(|(key, value, timestamp_ms, offset)| Record {
                key: key.as_ref().map(|key| key.as_bytes()),
                value: value.as_ref().map(|value| value.as_bytes()),
                timestamp_ms: *timestamp_ms,
                offset: *offset,
            })
            .collect();
        let reader = &mut self.reader;
        let read = py.detach(|| records.into_iter().try_for_each(|record| reader.feed(record)));
        read.map_err(|error| raise(py, error))
    }

    fn take(&mut self) -> Option<Batch> {
        self.reader.take().map(Batch::of)
    }
}
