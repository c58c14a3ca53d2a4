//! Keep changes by their index.

use std::sync::Arc;

use crate::batch::{Batch, Derive, DerivedSegment, Part, Segment, SegmentBuilder};
use crate::error::Result;

/// Just these changes, indexes in any order; positions stay as they are. Indexes beyond the end pick nothing.
///
/// # Errors
/// [`crate::error::Error::Io`] when a spill file cannot be read.
pub fn only(batch: &Batch, indexes: &[usize]) -> Result<Batch> {
    let mut wanted = indexes.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    pick(batch, &wanted, true)
}

/// All but these changes.
///
/// # Errors
/// [`crate::error::Error::Io`] when a spill file cannot be read.
pub fn without(batch: &Batch, indexes: &[usize]) -> Result<Batch> {
    let mut unwanted = indexes.to_vec();
    unwanted.sort_unstable();
    unwanted.dedup();
    pick(batch, &unwanted, false)
}

fn pick(batch: &Batch, sorted: &[usize], keep: bool) -> Result<Batch> {
    let mut parts = Vec::new();
    let mut first = 0;
    for part in batch.parts() {
        let end = first + part.len();
        let named =
            &sorted[sorted.partition_point(|index| *index < first)..sorted.partition_point(|index| *index < end)];
        let whole = if keep { part.len() } else { 0 };
        if named.len() == whole {
            parts.push(part.clone());
        } else if named.len() != part.len() - whole {
            let named = named.iter().map(|index| index - first).collect();
            let picked = Picked { part: part.clone(), named, keep };
            let segment = picked.make()?;
            parts.push(match part {
                Part::Memory(_) => Part::Memory(Arc::new(segment)),
                _ => Part::Derived(Arc::new(DerivedSegment::new(&segment, Arc::new(picked)))),
            });
        }
        first = end;
    }
    Ok(batch.with_parts(parts))
}

/// Some changes of a part: those that are named, or the others.
#[derive(Debug)]
struct Picked {
    part: Part,
    named: Vec<usize>,
    keep: bool,
}

impl Picked {
    fn make(&self) -> Result<Segment> {
        let segment = self.part.load()?;
        let mut builder = SegmentBuilder::new(Arc::clone(segment.origin()));
        let mut named = self.named.iter().peekable();
        for (index, row) in segment.rows().enumerate() {
            if named.next_if(|named| **named == index).is_some() == self.keep {
                let txn = builder.txn_of(row)?;
                builder.copy(&segment, index, txn)?;
            }
        }
        Ok(builder.seal())
    }
}

impl Derive for Picked {
    fn derive(&self) -> Result<Arc<Segment>> {
        self.make().map(Arc::new)
    }
}
