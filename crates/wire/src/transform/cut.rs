//! A batch in pieces that end where transactions end, each with the position that it reaches.
//!
//! The position of a transaction's last change is where all of it was delivered: a source that goes on from there skips the
//! whole of it, also the changes that a transform left out. Never cuts where that does not hold.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::pick::only;
use crate::batch::{Batch, End, Origin, SnapshotMark};
use crate::error::Result;
use crate::position::{Phase, Position};

/// One piece: which changes, and where it ends.
#[derive(Clone, Debug)]
pub struct Cut {
    changes: Range<usize>,
    ends: Vec<End>,
    snapshot: Option<SnapshotMark>,
}

impl Cut {
    /// The piece of the batch that it was planned for.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] when a spill file cannot be read.
    pub fn make(&self, batch: &Batch) -> Result<Batch> {
        if self.changes.len() == batch.len() {
            return Ok(batch.clone());
        }
        let indexes: Vec<usize> = self.changes.clone().collect();
        let parts = only(batch, &indexes)?.parts().to_vec();
        Ok(Batch::new(parts, self.ends.clone(), self.snapshot.clone()))
    }
}

/// What is not cut: a transaction, a row of a snapshot, a record of a log that numbers its records.
type Unit = (u64, Phase, u64);

fn unit(position: Position) -> Unit {
    match position.phase {
        Phase::Row | Phase::Progress => (position.lsn, position.phase, 0),
        Phase::Snapshot => (position.lsn, position.phase, position.ordinal),
        Phase::Offset => (0, position.phase, position.ordinal),
    }
}

/// A unit of a batch.
struct Span {
    origin: Arc<Origin>,
    unit: Unit,
    last: Position,
    len: usize,
    nbytes: usize,
}

/// Cut a batch into pieces of whole transactions, of up to `nbytes_max` bytes of cells each; one above that is a piece by
/// itself. The last piece ends where the batch does, each other at its last changes. A batch whose changes are not in the
/// order of their stream is one piece: nothing within it is a place to go on from.
///
/// # Errors
/// [`crate::error::Error::Io`] when a spill file cannot be read.
pub fn cut(batch: &Batch, nbytes_max: usize) -> Result<Vec<Cut>> {
    let whole = Cut { changes: 0..batch.len(), ends: batch.ends().to_vec(), snapshot: batch.snapshot().cloned() };
    if batch.nbytes() <= nbytes_max {
        return Ok(vec![whole]);
    }
    let Some(spans) = spans(batch)? else { return Ok(vec![whole]) };
    let mut cuts: Vec<Cut> = Vec::new();
    let mut room = 0;
    for span in &spans {
        let end = End { lineage: span.origin.lineage.as_str().into(), text: span.last.to_string() };
        match cuts.last_mut().filter(|_| span.nbytes <= room) {
            Some(cut) => {
                cut.changes.end += span.len;
                match cut.ends.iter_mut().find(|known| known.lineage == end.lineage) {
                    Some(known) => known.text = end.text,
                    None => cut.ends.push(end),
                }
                room -= span.nbytes;
            }
            None => {
                let begin = cuts.last().map_or(0, |cut| cut.changes.end);
                let snapshot = whole.snapshot.clone().map(|mark| SnapshotMark {
                    begin: mark.begin && begin == 0,
                    end: false,
                    ..mark
                });
                cuts.push(Cut { changes: begin..begin + span.len, ends: vec![end], snapshot });
                room = nbytes_max.saturating_sub(span.nbytes);
            }
        }
    }
    if let Some(last) = cuts.last_mut() {
        last.ends = whole.ends;
        if let (Some(mark), Some(all)) = (&mut last.snapshot, whole.snapshot) {
            mark.end = all.end;
        }
    }
    Ok(cuts)
}

/// Its units in order; None when their positions do not ascend.
fn spans(batch: &Batch) -> Result<Option<Vec<Span>>> {
    let mut spans: Vec<Span> = Vec::new();
    let mut latest: FxHashMap<String, Unit> = FxHashMap::default();
    for part in batch.parts() {
        let segment = part.load()?;
        let origin = segment.origin();
        let mut counted = 0;
        for row in segment.rows() {
            let (position, nbytes) = (row.position(), row.nbytes());
            let unit = unit(position);
            counted += nbytes;
            if let Some(span) = spans.last_mut()
                && span.unit == unit
                && span.origin.lineage == origin.lineage
            {
                (span.len, span.nbytes) = (span.len + 1, span.nbytes + nbytes);
                span.last = if position > span.last { position } else { span.last };
                continue;
            }
            match latest.get_mut(&origin.lineage) {
                Some(before) if *before >= unit => return Ok(None),
                Some(before) => *before = unit,
                None => drop(latest.insert(origin.lineage.clone(), unit)),
            }
            spans.push(Span { origin: Arc::clone(origin), unit, last: position, len: 1, nbytes });
        }
        // A part that is not picked from holds also what belongs to no row (any more).
        if let Some(span) = spans.last_mut() {
            span.nbytes += part.nbytes().saturating_sub(counted);
        }
    }
    Ok(Some(spans))
}
