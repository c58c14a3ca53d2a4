//! Segments that are made from others each time they are needed, so that what lies on disk stays there.

use std::fmt;
use std::sync::Arc;

use super::segment::Segment;
use crate::error::Result;
use crate::table::Table;

/// How a derived segment is made. Must give the same segment each time.
pub trait Derive: fmt::Debug + Send + Sync {
    /// Read what it is made from, and make it.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] when a spill file cannot be read; whatever the making may raise.
    fn derive(&self) -> Result<Arc<Segment>>;
}

/// A segment that is not in memory, and how to make it.
#[derive(Debug)]
pub struct DerivedSegment {
    len: usize,
    nbytes: usize,
    at_us: i64,
    tables: Vec<Arc<Table>>,
    source: Arc<dyn Derive>,
}

impl DerivedSegment {
    /// Take the measure of a segment that `source` made.
    #[must_use]
    pub fn new(segment: &Segment, source: Arc<dyn Derive>) -> Self {
        let at_us = segment.txns().last().map_or(0, |txn| txn.at_us);
        let tables = segment.tables().to_vec();
        Self { len: segment.len(), nbytes: segment.nbytes(), at_us, tables, source }
    }

    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Table versions of its rows.
    #[must_use]
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Bytes of cells.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Commit time of the last transaction, microseconds since the Unix epoch.
    #[must_use]
    pub fn at_us(&self) -> i64 {
        self.at_us
    }

    /// Make it.
    ///
    /// # Errors
    /// Those of [`Derive::derive`].
    pub fn load(&self) -> Result<Arc<Segment>> {
        self.source.derive()
    }
}
