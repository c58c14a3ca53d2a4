//! The pending changes of one table: one slot a key.

use std::hash::Hasher;
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::batch::{Cell, OldImage, Op, RowRef};
use crate::table::Table;

/// Where a change lies: segment of the window, row of the segment. Ordered as the changes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub segment: u32,
    pub row: u32,
}

/// "No earlier image" in [`Slot::earlier`] and [`Link::earlier`].
const NONE: u32 = u32::MAX;

/// The folded change of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    key: (usize, usize),
    /// What the first change of the key did.
    pub first: Op,
    /// The last change of the key, and what that did to it: the old half of a change of key is a delete.
    pub last: At,
    pub op: Op,
    /// Whether the last change's new image has unchanged cells.
    pub open: bool,
    /// Whether there was more than one change.
    pub folded: bool,
    /// Link to the image before the last, when that may fill its unchanged cells.
    pub earlier: u32,
}

/// An image that later unchanged cells are filled from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub at: At,
    pub earlier: u32,
}

/// The pending changes of one table version, or of no table (messages).
#[derive(Debug)]
pub(super) struct Group {
    pub table: Option<Arc<Table>>,
    /// Key columns in column order: identity does not depend on the order of the key.
    columns: Vec<usize>,
    pub slots: Vec<Slot>,
    pub links: Vec<Link>,
    keys: Vec<u8>,
    index: HashTable<u32>,
}

impl Group {
    pub fn new(table: Option<&Arc<Table>>) -> Self {
        let mut columns: Vec<usize> =
            table.map_or(Vec::new(), |table| table.key.iter().copied().map(usize::from).collect());
        columns.sort_unstable();
        let (slots, links, keys, index) = (Vec::new(), Vec::new(), Vec::new(), HashTable::new());
        Self { table: table.cloned(), columns, slots, links, keys, index }
    }

    pub fn is_keyless(&self) -> bool {
        self.columns.is_empty()
    }

    /// Forget all changes.
    pub fn clear(&mut self) {
        *self = Self::new(self.table.as_ref());
    }

    /// Add a change of a keyless table.
    pub fn append(&mut self, at: At, op: Op) {
        self.slots.push(Slot { key: (0, 0), first: op, last: at, op, open: false, folded: false, earlier: NONE });
    }

    /// Add a change of a key; `open` says that its new image has unchanged cells.
    pub fn fold(&mut self, key: &[u8], at: At, op: Op, open: bool) {
        let hash = hash(key);
        let Some(found) = self.find(hash, key) else {
            let start = self.keys.len();
            self.keys.extend_from_slice(key);
            let key = (start, self.keys.len());
            let slot = Slot { key, first: op, last: at, op, open, folded: false, earlier: NONE };
            let number = u32::try_from(self.slots.len()).unwrap_or(NONE);
            self.slots.push(slot);
            let Self { index, slots, keys, .. } = self;
            index.insert_unique(hash, number, |number| hash_of(slots, keys, *number));
            return;
        };
        let slot = &mut self.slots[found];
        let before = Link { at: slot.last, earlier: slot.earlier };
        slot.earlier = NONE;
        if open {
            slot.earlier = u32::try_from(self.links.len()).unwrap_or(NONE);
            self.links.push(before);
        }
        (slot.last, slot.op, slot.open, slot.folded) = (at, op, open, true);
    }

    /// The slot of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Slot> {
        self.find(hash(key), key).map(|found| &self.slots[found])
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let same = |number: &u32| {
            let (start, end) = self.slots[*number as usize].key;
            &self.keys[start..end] == key
        };
        self.index.find(hash, same).map(|number| *number as usize)
    }

    /// Write the key of a change into `key`, and the key that it had before into `old` when an old image was sent.
    /// Returns whether the new image has unchanged cells; None when the key is not known.
    pub fn key_of(&self, row: RowRef<'_>, key: &mut Vec<u8>, old: &mut Vec<u8>) -> Option<bool> {
        key.clear();
        old.clear();
        let full = row.entry().old_image == OldImage::Full;
        let before = row.before();
        let mut open = false;
        if let Some(after) = row.after() {
            let mut wanted = self.columns.iter().copied().peekable();
            for (column, cell) in after.cells().enumerate() {
                open |= cell == Cell::Unchanged;
                if wanted.next_if_eq(&column).is_none() {
                    continue;
                }
                let sent = before.and_then(|before| before.cell(column)).filter(|cell| full || *cell != Cell::Null);
                let cell = if cell == Cell::Unchanged { sent? } else { cell };
                push(cell, key)?;
                // A key column that the old image lacks did not change.
                push(sent.unwrap_or(cell), old)?;
            }
            return wanted.peek().is_none().then_some(open);
        }
        let before = before?;
        for column in &self.columns {
            let cell = before.cell(*column).filter(|cell| full || *cell != Cell::Null)?;
            push(cell, key)?;
        }
        old.extend_from_slice(key);
        Some(false)
    }

    /// Whether the old image has every column of the key.
    pub fn tells_old_key(&self, row: RowRef<'_>) -> bool {
        let full = row.entry().old_image == OldImage::Full;
        let sent = |column: &usize| row.before()?.cell(*column).filter(|cell| full || *cell != Cell::Null);
        self.columns.iter().all(|column| sent(column).is_some())
    }
}

/// Append a cell so that different keys never have the same bytes.
fn push(cell: Cell<'_>, key: &mut Vec<u8>) -> Option<()> {
    match cell {
        Cell::Null => key.push(b'n'),
        Cell::Text(text) => {
            key.push(b't');
            key.extend_from_slice(&u32::try_from(text.len()).ok()?.to_be_bytes());
            key.extend_from_slice(text);
        }
        Cell::Unchanged => return None,
    }
    Some(())
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    hasher.finish()
}

fn hash_of(slots: &[Slot], keys: &[u8], number: u32) -> u64 {
    let (start, end) = slots[number as usize].key;
    hash(&keys[start..end])
}
