//! Decodes pgoutput (PostgreSQL manual, "Logical Replication Message Formats") inside the streaming replication protocol.

mod relation;

use std::path::PathBuf;
use std::sync::Arc;

pub use relation::{Relation, RelationColumn};

use crate::batch::Batch;
use crate::chunk::Chunk;
use crate::error::{Error, Result};
use crate::position::Position;
use crate::table::Table;

/// What a decoder is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lineage of the positions.
    pub lineage: String,
    /// Database name, for the encoders.
    pub database: String,
    /// Timeline that is being read.
    pub timeline: u32,
    /// A saved position: transactions at or before it are dropped.
    pub start_after: Option<Position>,
    /// Whether the server was asked to stream transactions in progress.
    pub streaming: bool,
    /// Size at which a segment is closed.
    pub segment_bytes: usize,
    /// Memory that open transactions may take together before they spill.
    pub transaction_bytes_max: usize,
    /// Disk that open transactions may take together.
    pub spill_bytes_max: u64,
    /// Folder of the spill files.
    pub spill_dir: PathBuf,
}

/// Turns replication messages into batches. An error is final: the decoder is of no use after it.
#[derive(Debug)]
pub struct Decoder {
    settings: Settings,
}

impl Decoder {
    /// A decoder for one connection.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Decode a chunk. Stops at a table that must be described first: [`Decoder::describe`] it and feed None to go on.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is not understood (I10), [`Error::Limit`] and [`Error::Io`] when an open transaction
    /// cannot spill, [`Error::Usage`] when a chunk comes before the last one was finished, or after an error.
    pub fn feed(&mut self, _chunk: Option<Arc<Chunk>>) -> Result<Option<Relation>> {
        Err(Error::Usage(format!("cannot decode {} yet", self.settings.lineage)))
    }

    /// The table for the Relation that `feed` stopped at.
    ///
    /// # Errors
    /// [`Error::Usage`] when `feed` did not stop there, or the columns are not the Relation's, in order.
    pub fn describe(&mut self, oid: u32, table: &Arc<Table>) -> Result<()> {
        Err(Error::Usage(format!("no Relation {oid} waits for {table}")))
    }

    /// Every transaction that is complete; None when there is none.
    pub fn take(&mut self) -> Option<Batch> {
        None
    }

    /// Bytes of complete transactions that `take` would return.
    #[must_use]
    pub fn ready_nbytes(&self) -> usize {
        0
    }

    /// Bytes of transactions whose end has not come yet, in memory or spilled.
    #[must_use]
    pub fn open_nbytes(&self) -> usize {
        0
    }

    /// Whether the server asked for a status since the last call.
    pub fn take_reply_requested(&mut self) -> bool {
        false
    }

    /// End of the WAL received so far.
    #[must_use]
    pub fn received_lsn(&self) -> u64 {
        0
    }

    /// A WAL end that may be confirmed although no transaction ends there: the last keepalive's, if nothing committed
    /// lies before it that was not taken.
    #[must_use]
    pub fn idle_lsn(&self) -> Option<u64> {
        None
    }
}
