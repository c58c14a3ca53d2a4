//! Record batches back into cells: what `map_arrow` returns.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::table::Table;

/// Replace the cells of the changes of `table` by `rows`, matched by `_index`; changes of `table` without a row are dropped.
///
/// A column that the rows lack keeps its cells, and a null in place of an unchanged cell leaves it unchanged. The result is
/// in memory.
///
/// # Errors
/// [`Error::Usage`] for a column that the table does not have, a type that does not fit, or an `_index` that is not a change of
/// the table or comes twice.
pub fn with_arrow(batch: &Batch, table: &Arc<Table>, rows: &[RecordBatch]) -> Result<Batch> {
    let _ = (batch, rows);
    Err(Error::Usage(format!("{table}: with_arrow is not built yet")))
}
