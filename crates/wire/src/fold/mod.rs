//! One change a key: what table-like sinks apply.
//!
//! Works on windows of a few segments, so that memory never depends on how large a transaction was. Within a window the
//! changes of a key become one; TRUNCATE and a change of key are barriers, which close the table's segment and stand alone in
//! one of their own. Tables are independent of one another, so only the order within a table is kept. A keyless
//! table is not folded. Old images stay where a sink needs them: on deletes, key changes and keyless rows.

mod group;
#[cfg(test)]
mod tests;
mod window;

use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Batch, Derive, DerivedSegment, Part, Segment};
use crate::error::{Error, Result};

/// Bytes of cells that are folded together.
const WINDOW_BYTES: usize = 8 << 20;

/// Fold a batch: one change a key and window, segments in the order to apply them; each holds distinct keys of one table, or one
/// barrier, or rows of a keyless table in their order. Lineages keep their own order, and come one after another.
///
/// Op c stays c only when the row did not exist before the window; unchanged cells are filled from earlier changes or from a
/// full old image, and stay unchanged where neither has them. A snapshot's rows have distinct keys already: it
/// comes back as it is. What lies on disk stays there: such windows are folded again when they are read.
///
/// With `split_keys` a change of key is no barrier when its new row is complete: it becomes a delete of the old key and an
/// insert of the new one, which are folded like any other.
///
/// # Errors
/// [`Error::Io`] when a spill file cannot be read.
pub fn latest(batch: &Batch, split_keys: bool) -> Result<Batch> {
    if batch.snapshot().is_some() {
        return Ok(batch.clone());
    }
    let folded = Arc::new(Folded { windows: windows(batch.parts()), split_keys, cache: Mutex::default() });
    let mut parts = Vec::new();
    for (window, sources) in folded.windows.iter().enumerate() {
        let segments = window::fold(sources, split_keys)?;
        let resident = sources.iter().all(|part| matches!(part, Part::Memory(_)));
        parts.extend(segments.into_iter().enumerate().map(|(index, segment)| {
            if resident {
                return Part::Memory(Arc::new(segment));
            }
            let place = Arc::new(Place { folded: Arc::clone(&folded), window, index });
            Part::Derived(Arc::new(DerivedSegment::new(&segment, place)))
        }));
    }
    Ok(batch.with_parts(parts))
}

/// Runs of parts that are folded together.
fn windows(parts: &[Part]) -> Vec<Vec<Part>> {
    let mut windows: Vec<Vec<Part>> = Vec::new();
    let mut bytes = WINDOW_BYTES;
    for part in parts {
        if bytes >= WINDOW_BYTES {
            windows.push(Vec::new());
            bytes = 0;
        }
        bytes += part.nbytes();
        if let Some(window) = windows.last_mut() {
            window.push(part.clone());
        }
    }
    windows
}

/// The windows of a batch, and the segments of the one that was folded last: read in order, each window is folded once, however
/// often its segments are asked for.
#[derive(Debug)]
struct Folded {
    windows: Vec<Vec<Part>>,
    split_keys: bool,
    cache: Mutex<(usize, Vec<Arc<Segment>>)>,
}

/// One segment of a folded window.
#[derive(Debug)]
struct Place {
    folded: Arc<Folded>,
    window: usize,
    index: usize,
}

impl Derive for Place {
    fn derive(&self) -> Result<Arc<Segment>> {
        let mut cache = self.folded.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (window, segments) = &mut *cache;
        if *window != self.window || segments.is_empty() {
            // Let go of the other window before this one needs its memory.
            segments.clear();
            let made = window::fold(&self.folded.windows[self.window], self.folded.split_keys)?;
            (*window, *segments) = (self.window, made.into_iter().map(Arc::new).collect());
        }
        let segment = segments.get(self.index).cloned();
        segment.ok_or_else(|| Error::Usage("a folded window came out differently when it was read again".into()))
    }
}
