//! Protobuf's binary encoding: fields as they come.

use rustc_hash::FxHashMap;

use super::super::cursor::Cursor;
use super::link::{Kind, Message, Presence};
use crate::error::Result;

/// What stands behind a field's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Four(u32),
    Eight(u64),
    Bytes(&'a [u8]),
}

/// A field that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) field: usize,
    pub(super) raw: Raw<'a>,
    /// Where its value begins in the record.
    pub(super) at: usize,
}

/// The place of a message, or a part of one, whose bytes begin at `base` in the record.
pub(super) fn cursor(bytes: &[u8], base: usize) -> Cursor<'_> {
    Cursor::new("protobuf", bytes, 0, base)
}

impl<'a> Cursor<'a> {
    /// A number as Kafka writes one: a sign in its lowest bit.
    pub(super) fn index(&mut self) -> Result<usize> {
        let number = self.varint()?;
        let index = if number & 1 == 0 { usize::try_from(number >> 1).ok() } else { None };
        index.ok_or_else(|| self.fault("an index of a message below zero"))
    }

    /// What stands behind a tag of this wire type.
    pub(super) fn value(&mut self, wire: u64) -> Result<Raw<'a>> {
        Ok(match wire {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Eight(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Raw::Bytes(self.take(length)?)
            }
            5 => Raw::Four(u32::from_le_bytes(self.array()?)),
            3 | 4 => return Err(self.fault("a protobuf group: these are not read")),
            _ => return Err(self.fault("a protobuf wire type that does not exist")),
        })
    }

    /// One of the values of a packed list.
    pub(super) fn packed(&mut self, kind: Kind) -> Result<Raw<'a>> {
        self.value(wire(kind))
    }
}

/// The fields of a message, in the order of their declaration, each in the order in which its values came. Of a oneof
/// only what came last is there.
pub(super) fn fields<'a>(message: &Message, bytes: &'a [u8], base: usize) -> Result<Vec<Seen<'a>>> {
    let mut cursor = cursor(bytes, base);
    let mut found = Vec::with_capacity(message.fields.len().min(bytes.len() / 2));
    let mut sorted = true;
    while !cursor.is_done() {
        let tag = cursor.varint()?;
        let number = u32::try_from(tag >> 3).ok();
        // The schema is the writer's: what it does not name is no field of a newer writer, but a defect.
        let Some(field) = number.and_then(|number| message.places.get(&number).copied()) else {
            return Err(cursor.fault("a protobuf field that the schema does not have"));
        };
        let (known, given) = (&message.fields[field], tag & 7);
        let packed = known.presence == Presence::List && given == 2 && wire(known.kind) != 2;
        if given != wire(known.kind) && !packed {
            return Err(cursor.fault("a protobuf field of another type than the schema says"));
        }
        let raw = cursor.value(given)?;
        let length = if let Raw::Bytes(bytes) = raw { bytes.len() } else { 0 };
        sorted &= found.last().is_none_or(|last: &Seen<'_>| last.field <= field);
        found.push(Seen { field, raw, at: cursor.place() - length });
    }
    if message.choices {
        decide(message, &mut found);
    }
    if !sorted {
        found.sort_by_key(|seen| seen.field);
    }
    Ok(found)
}

/// Of each oneof keep what came last: a member that comes takes the place of another one.
fn decide(message: &Message, found: &mut Vec<Seen<'_>>) {
    // By their oneofs, which may be more than ever come: the field that came last, and whether another came before it.
    let mut last: FxHashMap<usize, (usize, bool)> = FxHashMap::default();
    let mut keep = vec![true; found.len()];
    for (at, seen) in found.iter().enumerate().rev() {
        let Some(oneof) = message.fields[seen.field].oneof else { continue };
        let (member, over) = last.entry(oneof).or_insert((seen.field, false));
        *over |= *member != seen.field;
        keep[at] = !*over;
    }
    let mut keep = keep.into_iter();
    found.retain(|_| keep.next().unwrap_or(true));
}

/// The wire type of a single value.
fn wire(kind: Kind) -> u64 {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 => 0,
        Kind::Bool | Kind::Enum(_) => 0,
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => 1,
        Kind::Text | Kind::Bytes | Kind::Message(_) => 2,
        Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => 5,
    }
}
