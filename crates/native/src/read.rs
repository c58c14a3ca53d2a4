//! `EventReader`: the records of one Kafka partition as batches.

use std::collections::HashMap;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tailrace_wire::encode::debezium::unavailable;
use tailrace_wire::read::{Plain, Reader, Record, SchemaKind, Settings};

use crate::batch::Batch;
use crate::error::raise;

/// Reads change events back.
#[pyclass(module = "tailrace._native")]
pub struct EventReader {
    reader: Reader,
}

/// Key, value, time in milliseconds, offset.
type Given<'py> = (Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>, i64, i64);

fn given<'a>((key, value, timestamp_ms, offset): &'a Given<'_>) -> Record<'a> {
    Record {
        key: key.as_ref().map(|key| key.as_bytes()),
        value: value.as_ref().map(|value| value.as_bytes()),
        timestamp_ms: *timestamp_ms,
        offset: *offset,
    }
}

#[pymethods]
impl EventReader {
    #[new]
    #[pyo3(signature = (
        lineage, *, topic, partition=0, plain="append",
        unavailable_value_placeholder="__debezium_unavailable_value", binary_handling_mode="bytes", truncates=true,
        segment_bytes=1 << 20
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        lineage: String,
        topic: String,
        partition: i32,
        plain: &str,
        unavailable_value_placeholder: &str,
        binary_handling_mode: &str,
        truncates: bool,
        segment_bytes: usize,
    ) -> PyResult<Self> {
        let plain = match plain {
            "append" => Plain::Append,
            "upsert" => Plain::Upsert,
            _ => return Err(PyValueError::new_err("plain is append or upsert")),
        };
        let unavailable = unavailable(unavailable_value_placeholder).map_err(PyValueError::new_err)?;
        let hex = match binary_handling_mode {
            "bytes" | "base64" | "base64-url-safe" => false,
            "hex" => true,
            _ => return Err(PyValueError::new_err("binary_handling_mode is bytes, base64, base64-url-safe or hex")),
        };
        let reader =
            Reader::new(Settings { lineage, topic, partition, plain, unavailable, hex, truncates, segment_bytes });
        Ok(Self { reader })
    }

    #[getter]
    fn truncates(&self) -> bool {
        self.reader.truncates()
    }

    #[setter]
    fn set_truncates(&mut self, truncates: bool) {
        self.reader.set_truncates(truncates);
    }

    /// Read records; what comes before one that is not understood is not lost. Some may be data of CloudEvents, whose
    /// attributes stand under their offsets.
    #[pyo3(signature = (records, *, attributes=None))]
    fn feed(
        &mut self,
        py: Python<'_>,
        records: Vec<Given<'_>>,
        attributes: Option<HashMap<i64, Vec<u8>>>,
    ) -> PyResult<()> {
        let records: Vec<Record<'_>> = records.iter().map(given).collect();
        let reader = &mut self.reader;
        let read = py.detach(|| {
            records.into_iter().try_for_each(|record| match attributes.as_ref().and_then(|of| of.get(&record.offset)) {
                Some(attributes) => reader.feed_data(record, attributes),
                None => reader.feed(record),
            })
        });
        read.map_err(|error| raise(py, error))
    }

    /// Ids of schemas that keys and values are framed with and nobody told yet, each once.
    fn unknown(&self, records: Vec<Given<'_>>) -> Vec<u32> {
        let mut ids: Vec<u32> = Vec::new();
        for record in &records {
            ids.extend(self.reader.unknown(&given(record)));
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Tell the schema of an id.
    #[pyo3(signature = (id, kind, text, *, references))]
    fn add_schema(
        &mut self,
        py: Python<'_>,
        id: u32,
        kind: &str,
        text: &str,
        references: Vec<(String, String)>,
    ) -> PyResult<()> {
        let kind = match kind {
            "AVRO" => SchemaKind::Avro,
            "JSON" => SchemaKind::Json,
            "PROTOBUF" => SchemaKind::Protobuf,
            _ => return Err(PyValueError::new_err("a schema's kind is AVRO, JSON or PROTOBUF")),
        };
        self.reader.add_schema(id, kind, text, &references).map_err(|error| raise(py, error))
    }

    fn take(&mut self) -> Option<Batch> {
        self.reader.take().map(Batch::of)
    }
}
