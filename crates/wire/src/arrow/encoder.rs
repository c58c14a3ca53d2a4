//! Segments to record batches.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::batch::Segment;
use crate::error::{Error, Result};
use crate::table::Table;

/// Names of the columns that follow the table's own.
pub const META: [&str; 5] = ["_op", "_position", "_committed_at", "_index", "_unchanged"];

/// Encodes the changes of one table version.
#[derive(Debug)]
pub struct Encoder {
    table: Arc<Table>,
    schema: SchemaRef,
}

impl Encoder {
    /// Plan the columns.
    #[must_use]
    pub fn new(table: &Arc<Table>) -> Self {
        Self { table: Arc::clone(table), schema: Arc::new(arrow_schema::Schema::empty()) }
    }

    /// The table's columns, all nullable (a delete may hold only the key), then [`META`].
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The changes of this table version; None when the segment has none. `first_index` is the index of the segment's
    /// first change in the batch.
    ///
    /// # Errors
    /// [`Error::Reject`] with every change that holds a value which its Arrow type cannot, by its index in the batch.
    pub fn encode(&self, segment: &Segment, first_index: usize) -> Result<Option<RecordBatch>> {
        let _ = (segment, first_index);
        Err(Error::Usage(format!("{}: not encodable yet", self.table)))
    }
}
