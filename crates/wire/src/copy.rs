//! Decodes COPY TO STDOUT in text format (PostgreSQL manual, "COPY", "Text Format") into snapshot rows.

use std::sync::Arc;

use crate::batch::Batch;
use crate::chunk::Chunk;
use crate::error::{Error, Result};
use crate::table::Table;

/// What a decoder of one table is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lineage of the positions.
    pub lineage: String,
    /// Database name, for the encoders.
    pub database: String,
    /// The table whose rows come.
    pub table: Arc<Table>,
    /// Names the snapshot attempt.
    pub attempt: Arc<str>,
    /// Consistent point of the snapshot.
    pub lsn: u64,
    /// Timeline of the server.
    pub timeline: u32,
    /// Transaction id of the snapshot.
    pub xid: u32,
    /// Time of the snapshot, microseconds since the Unix epoch.
    pub at_us: i64,
    /// Ordinal of the first row: rows of earlier tables of the attempt come before.
    pub first_ordinal: u64,
    /// Whether this is the attempt's first table.
    pub first_table: bool,
    /// Size at which a segment is closed.
    pub segment_bytes: usize,
}

/// Turns the COPY messages of one table into batches. Holds the last row back, to mark it.
#[derive(Debug)]
pub struct Rows {
    settings: Settings,
}

impl Rows {
    /// A decoder for one table.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Decode messages of one row each.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a row that is not understood, [`Error::Limit`] for one of more than 4 GB.
    pub fn feed(&mut self, _chunk: &Chunk) -> Result<()> {
        Err(Error::Usage(format!("cannot decode {} yet", self.settings.table)))
    }

    /// Complete rows so far but the last one; the first batch carries `begin`.
    pub fn take(&mut self) -> Option<Batch> {
        None
    }

    /// What is left, with `end`; comes also for an empty table.
    ///
    /// # Errors
    /// [`Error::Usage`] when called twice.
    pub fn finish(&mut self, _last_table: bool) -> Result<Batch> {
        Err(Error::Usage(format!("cannot decode {} yet", self.settings.table)))
    }

    /// Ordinal of the next row, in this table or the next.
    #[must_use]
    pub fn next_ordinal(&self) -> u64 {
        self.settings.first_ordinal
    }
}
