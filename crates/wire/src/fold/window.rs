//! Folds one window: walks its changes, closes tables at barriers, writes the segments.

use std::sync::Arc;

use super::group::{At, Group, Link, Slot};
use crate::batch::{ABSENT, Cell, OldImage, Op, Part, RowRef, Segment, SegmentBuilder};
use crate::error::{Error, Result};
use crate::table::Table;

/// The segments of a window, in the order to apply them.
pub(super) fn fold(parts: &[Part], split_keys: bool) -> Result<Vec<Segment>> {
    let mut sources = parts.iter().map(Part::load).collect::<Result<Vec<_>>>()?;
    // Streams have no order among them, and each has segments of its own: what alternates would fold to nothing.
    sources.sort_by(|one, other| one.origin().lineage.cmp(&other.origin().lineage));
    let mut window = Window { sources: &sources, split_keys, groups: Vec::new(), segments: Vec::new() };
    let (mut key, mut old) = (Vec::new(), Vec::new());
    for (number, segment) in sources.iter().enumerate() {
        if number > 0 && sources[number - 1].origin() != segment.origin() {
            window.flush_all()?;
        }
        let groups: Vec<usize> =
            segment.tables().iter().map(|table| window.group(Some(table))).collect::<Result<_>>()?;
        for (index, row) in segment.rows().enumerate() {
            let at = At { segment: narrow(number)?, row: narrow(index)? };
            match groups.get(usize::from(row.entry().table)) {
                Some(group) => window.add(*group, at, row, &mut key, &mut old)?,
                None => {
                    let group = window.group(None)?;
                    window.groups[group].append(at, row.op());
                }
            }
        }
    }
    window.flush_all()?;
    Ok(window.segments)
}

fn narrow(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::Limit("more than 2³² changes in a window".into()))
}

struct Window<'a> {
    sources: &'a [Arc<Segment>],
    /// Whether a change of key becomes a delete and an insert, where the new row is complete.
    split_keys: bool,
    /// In order of appearance.
    groups: Vec<Group>,
    segments: Vec<Segment>,
}

impl<'a> Window<'a> {
    /// The group of a table version; what is pending of another version of that table is closed.
    fn group(&mut self, table: Option<&Arc<Table>>) -> Result<usize> {
        let known = self.groups.iter().position(|group| same_name(group.table.as_ref(), table));
        let Some(index) = known else {
            self.groups.push(Group::new(table));
            return Ok(self.groups.len() - 1);
        };
        if self.groups[index].table.as_ref().map(|table| table.version) != table.map(|table| table.version) {
            self.flush(index)?;
            self.groups[index] = Group::new(table);
        }
        Ok(index)
    }

    fn add(&mut self, group: usize, at: At, row: RowRef<'_>, key: &mut Vec<u8>, old: &mut Vec<u8>) -> Result<()> {
        let pending = &mut self.groups[group];
        if row.op() == Op::Truncate {
            return self.barrier(group, at, None);
        }
        if pending.is_keyless() {
            pending.append(at, row.op());
            return Ok(());
        }
        match pending.key_of(row, key, old) {
            Some(open) if key == old => pending.fold(key, at, row.op(), open),
            Some(false) if self.split_keys && pending.tells_old_key(row) => {
                pending.fold(old, at, Op::Delete, false);
                pending.fold(key, at, Op::Create, false);
            }
            Some(_) => {
                let before = pending.get(old).map(|slot| Link { at: slot.last, earlier: slot.earlier });
                return self.barrier(group, at, before);
            }
            None => return self.barrier(group, at, None),
        }
        Ok(())
    }

    /// Close the group and write one change alone; `before` is what is known of the row under its old key.
    fn barrier(&mut self, group: usize, at: At, before: Option<Link>) -> Result<()> {
        let mut writer = Writer::new(self, at);
        let open = self.row(at).after().is_some_and(|after| after.cells().any(|cell| cell == Cell::Unchanged));
        writer.write(&self.groups[group], at, Outcome { op: self.row(at).op(), old: true, open, before })?;
        let alone = writer.builder.seal();
        self.flush(group)?;
        self.segments.push(alone);
        Ok(())
    }

    fn flush_all(&mut self) -> Result<()> {
        (0..self.groups.len()).try_for_each(|group| self.flush(group))
    }

    /// Write what is pending of a table as one segment, in the order of each key's last change.
    fn flush(&mut self, group: usize) -> Result<()> {
        let Some(first) = self.groups[group].slots.first() else { return Ok(()) };
        let mut writer = Writer::new(self, first.last);
        let mut slots = self.groups[group].slots.clone();
        slots.sort_unstable_by_key(|slot| slot.last);
        let pending = &self.groups[group];
        for Slot { first, last, op, open, folded, earlier, .. } in slots {
            let op = match op {
                Op::Delete => Op::Delete,
                last if !folded => last,
                _ if first == Op::Create => Op::Create,
                _ => Op::Update,
            };
            let before = pending.links.get(earlier as usize).copied();
            let old = op == Op::Delete || pending.is_keyless();
            writer.write(pending, last, Outcome { op, old, open, before })?;
        }
        let segment = writer.builder.seal();
        self.segments.push(segment);
        self.groups[group].clear();
        Ok(())
    }

    fn row(&self, at: At) -> RowRef<'a> {
        self.sources[at.segment as usize].row(at.row as usize)
    }
}

fn same_name(a: Option<&Arc<Table>>, b: Option<&Arc<Table>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.schema == b.schema && a.name == b.name,
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// What becomes of a change.
#[derive(Clone, Copy)]
struct Outcome {
    op: Op,
    /// Whether the old image is kept.
    old: bool,
    /// Whether the new image has cells to fill, and the image before it.
    open: bool,
    before: Option<Link>,
}

/// Writes one segment of the result.
struct Writer<'a> {
    sources: &'a [Arc<Segment>],
    builder: SegmentBuilder,
}

impl<'a> Writer<'a> {
    fn new(window: &Window<'a>, first: At) -> Self {
        let origin = Arc::clone(window.sources[first.segment as usize].origin());
        Self { sources: window.sources, builder: SegmentBuilder::new(origin) }
    }

    fn write(&mut self, group: &Group, at: At, outcome: Outcome) -> Result<()> {
        let row = self.row(at);
        let mut entry = *row.entry();
        entry.op = outcome.op;
        if let Some(table) = &group.table {
            let index = self.builder.table(table);
            entry.table = index.ok_or_else(|| Error::Usage(format!("two versions of {table} in one segment")))?;
        }
        entry.txn = self.builder.txn_of(row)?;
        (entry.old, entry.new) = (ABSENT, ABSENT);
        match row.before().filter(|_| outcome.old) {
            Some(before) => entry.old = self.builder.copy_tuple(before.raw())?,
            None => entry.old_image = OldImage::None,
        }
        if let Some((prefix, content)) = row.message() {
            entry.new = self.builder.tuple([Cell::Text(prefix), Cell::Text(content)].into_iter())?;
        }
        // The old half of a change of key has a new image, which is not its own.
        if let Some(after) = row.after().filter(|_| outcome.op != Op::Delete) {
            entry.new = if outcome.open {
                let sources = self.sources;
                let fill = |(column, cell)| match cell {
                    Cell::Unchanged => filled(sources, group, row, outcome.before, column),
                    _ => cell,
                };
                self.builder.tuple(after.cells().enumerate().map(fill))?
            } else {
                self.builder.copy_tuple(after.raw())?
            };
        }
        self.builder.push(entry);
        Ok(())
    }

    fn row(&self, at: At) -> RowRef<'a> {
        self.sources[at.segment as usize].row(at.row as usize)
    }
}

/// What an unchanged cell of `row` holds, as far as its old image or earlier images of the window tell.
fn filled<'a>(
    sources: &'a [Arc<Segment>],
    group: &Group,
    row: RowRef<'a>,
    before: Option<Link>,
    column: usize,
) -> Cell<'a> {
    let mut known = sent_before(row, column);
    let mut link = before;
    while let (None, Some(Link { at, earlier })) = (known, link) {
        let row = sources[at.segment as usize].row(at.row as usize);
        let Some(after) = row.after() else { break };
        known = after.cell(column).filter(|cell| *cell != Cell::Unchanged).or_else(|| sent_before(row, column));
        link = group.links.get(earlier as usize).copied();
    }
    known.unwrap_or(Cell::Unchanged)
}

/// A cell of the old image; null says "not sent" when that holds the key only.
fn sent_before(row: RowRef<'_>, column: usize) -> Option<Cell<'_>> {
    let cell = row.before()?.cell(column)?;
    let sent = match cell {
        Cell::Text(_) => true,
        Cell::Null => row.entry().old_image == OldImage::Full,
        Cell::Unchanged => false,
    };
    sent.then_some(cell)
}
