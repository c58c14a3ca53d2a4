//! `PgOutput`, `Relation` and `CopyRows`: the decoders of PostgreSQL's stream and snapshot.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tailrace_wire::position::Position;
use tailrace_wire::{copy, pgoutput};

use crate::batch::Batch;
use crate::error::raise;
use crate::libpq::Chunk;
use crate::table::Table;

/// A pgoutput Relation message that the decoder has not seen, or whose rows contradict what it was described as.
#[pyclass(frozen, module = "tailrace._native")]
pub struct Relation {
    inner: pgoutput::Relation,
    xid: Option<u32>,
}

#[pymethods]
impl Relation {
    #[getter]
    fn oid(&self) -> u32 {
        self.inner.oid
    }

    #[getter]
    fn schema(&self) -> &str {
        &self.inner.schema
    }

    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    #[getter]
    fn replica_identity(&self) -> char {
        self.inner.replica_identity
    }

    #[getter]
    fn xid(&self) -> Option<u32> {
        self.xid
    }

    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let columns = self.inner.columns.iter();
        PyTuple::new(py, columns.map(|column| (&column.name, column.type_oid, column.modifier, column.key)))
    }

    #[getter]
    fn nullable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.nullable.iter().map(|column| &self.inner.columns[*column].name))
    }

    fn __repr__(&self) -> String {
        format!("Relation({}, {:?}, {:?})", self.inner.oid, self.inner.schema, self.inner.name)
    }
}

/// Decodes pgoutput inside `XLogData` and keepalives.
#[pyclass(module = "tailrace._native")]
pub struct PgOutput {
    decoder: pgoutput::Decoder,
}

#[pymethods]
impl PgOutput {
    #[new]
    #[pyo3(signature = (
        lineage, *, database, timeline, start_after, streaming, segment_bytes, transaction_bytes_max, spill_bytes_max,
        spill_dir
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        lineage: String,
        database: String,
        timeline: u32,
        start_after: Option<&str>,
        streaming: bool,
        segment_bytes: usize,
        transaction_bytes_max: usize,
        spill_bytes_max: u64,
        spill_dir: PathBuf,
    ) -> PyResult<Self> {
        let start_after = start_after.map(Position::parse).transpose().map_err(|error| raise(py, error))?;
        let decoder = pgoutput::Decoder::new(pgoutput::Settings {
            lineage,
            database,
            timeline,
            start_after,
            streaming,
            segment_bytes,
            transaction_bytes_max,
            spill_bytes_max,
            spill_dir,
        });
        Ok(Self { decoder })
    }

    /// Decode; stops at a Relation that must be described first, or again.
    fn feed(&mut self, py: Python<'_>, chunk: Option<&Chunk>) -> PyResult<Option<Relation>> {
        let chunk = chunk.map(|chunk| Arc::clone(&chunk.inner));
        let decoder = &mut self.decoder;
        let found = py.detach(|| decoder.feed(chunk)).map_err(|error| raise(py, error))?;
        Ok(found.map(|inner| Relation { inner, xid: self.decoder.committed_xid() }))
    }

    fn hand_over(&mut self, xid: u32, lsn: u64) {
        self.decoder.hand_over(xid, lsn);
    }

    #[pyo3(signature = (oid, table, *, settled=true))]
    fn describe(&mut self, py: Python<'_>, oid: u32, table: &Table, settled: bool) -> PyResult<()> {
        let described = match settled {
            true => self.decoder.describe(oid, &table.inner),
            false => self.decoder.describe_for_now(oid, &table.inner),
        };
        described.map_err(|error| raise(py, error))
    }

    fn take(&mut self) -> Option<Batch> {
        self.decoder.take().map(Batch::of)
    }

    #[getter]
    fn ready_nbytes(&self) -> usize {
        self.decoder.ready_nbytes()
    }

    #[getter]
    fn open_nbytes(&self) -> usize {
        self.decoder.open_nbytes()
    }

    #[getter]
    fn reply_requested(&mut self) -> bool {
        self.decoder.take_reply_requested()
    }

    #[getter]
    fn received_lsn(&self) -> u64 {
        self.decoder.received_lsn()
    }

    #[getter]
    fn idle_lsn(&self) -> Option<u64> {
        self.decoder.idle_lsn()
    }
}

/// Decodes COPY TO STDOUT (text format) of one table into snapshot batches.
#[pyclass(module = "tailrace._native")]
pub struct CopyRows {
    rows: copy::Rows,
}

#[pymethods]
impl CopyRows {
    #[new]
    #[pyo3(signature = (
        lineage, table, *, database, attempt, lsn, timeline, xid, at_us, first_ordinal, first_table, segment_bytes
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        lineage: String,
        table: &Table,
        database: String,
        attempt: &str,
        lsn: u64,
        timeline: u32,
        xid: u32,
        at_us: i64,
        first_ordinal: u64,
        first_table: bool,
        segment_bytes: usize,
    ) -> Self {
        let rows = copy::Rows::new(copy::Settings {
            lineage,
            database,
            table: Arc::clone(&table.inner),
            attempt: attempt.into(),
            lsn,
            timeline,
            xid,
            at_us,
            first_ordinal,
            first_table,
            segment_bytes,
        });
        Self { rows }
    }

    fn feed(&mut self, py: Python<'_>, chunk: &Chunk) -> PyResult<()> {
        let rows = &mut self.rows;
        py.detach(|| rows.feed(&chunk.inner)).map_err(|error| raise(py, error))
    }

    fn take(&mut self) -> Option<Batch> {
        self.rows.take().map(Batch::of)
    }

    #[pyo3(signature = (*, last_table))]
    fn finish(&mut self, py: Python<'_>, last_table: bool) -> PyResult<Batch> {
        self.rows.finish(last_table).map(Batch::of).map_err(|error| raise(py, error))
    }

    #[getter]
    fn next_ordinal(&self) -> u64 {
        self.rows.next_ordinal()
    }
}
