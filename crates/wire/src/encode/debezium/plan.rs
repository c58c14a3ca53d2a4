//! What is known about a table version before its first row: its schemas, and the name and codec of each cell.

use super::codec::{Codec, Scratch};
use super::form::Spell;
use super::profile::Profile;
use super::{Refusal, default, schema};
use crate::batch::{Cell, Tuple};
use crate::encode::connect::{Field, Format, Kind, Member, Schema, Value, write_schema};
use crate::encode::encoded::opening;
use crate::encode::json;
use crate::encode::smt::Sent;
use crate::table::{Column, Table};

/// A cell that cannot be written: index of its column, and why.
pub type Fault = (usize, &'static str);

/// One column: how its text is written, and what stands for a cell that is not text.
#[derive(Debug)]
struct Slot {
    codec: Codec,
    field: Field,
    null: Option<Value>,
    not_sent: Value,
    unavailable: Value,
    sent: [Sent; 2],
}

/// A key column: its index, and its place in the key.
#[derive(Debug)]
struct Part {
    index: usize,
    codec: Codec,
    field: Field,
}

/// Everything about one table version.
#[derive(Debug)]
pub struct Plan {
    /// How a line begins: its topic.
    pub(super) opening: Vec<u8>,
    /// `,"schema":…,"table":…` of the source block.
    pub(super) source: Vec<u8>,
    /// `schema.table`, as transactions count by.
    pub(super) collection: String,
    /// What stands before a key and a value: `{"schema":…,"payload":`, or nothing.
    pub(super) heads: [Vec<u8>; 2],
    slots: Vec<Option<Slot>>,
    parts: Vec<Part>,
    /// A key's field besides its columns.
    extra: Option<(Field, Value)>,
    topic: String,
    key: Option<Schema>,
    row: Schema,
    envelope: Schema,
}

impl Plan {
    /// The plan for a table version under a profile.
    #[must_use]
    pub fn new(table: &Table, profile: &Profile) -> Self {
        let topic = profile.topics.table(&profile.topic_prefix, table);
        let mut source = Vec::new();
        member(",\"schema\":", &table.schema, &mut source);
        member(",\"table\":", &table.name, &mut source);
        let (mut slots, mut members) = (Vec::with_capacity(table.columns.len()), Vec::new());
        for (at, column) in table.columns.iter().enumerate() {
            let wanted = profile.rules.writes(table, column);
            let slot = wanted.then(|| Slot::new(members.len(), table, (at, column), profile)).flatten();
            slots.push(slot.map(|(slot, member)| {
                members.push(member);
                slot
            }));
        }
        let (mut parts, mut key) = (Vec::new(), Vec::new());
        for index in profile.rules.key(table) {
            let Some(column) = table.columns.get(index) else { continue };
            let Some(codec) = Codec::of(column, profile) else { continue };
            let member = described(column, &codec, profile);
            parts.push(Part { index, codec, field: field(key.len(), &member) });
            key.push(member);
        }
        let extra = profile.topics.key_field(&profile.topic_prefix, table).map(|(name, value)| {
            let field = Field::new(u16::try_from(key.len()).unwrap_or(u16::MAX), name, false);
            key.push(Member { name: name.into(), schema: Schema::new(Kind::String) });
            (field, Value::String(value))
        });
        let name = |part: &str| profile.schema_names.schema(&format!("{topic}.{part}"));
        let row = schema::row(name("Value"), members);
        let envelope = schema::envelope(name("Envelope"), &row);
        let key = (!key.is_empty()).then(|| schema::row(name("Key"), key));
        let heads = [key.as_ref().filter(|_| profile.schemas), Some(&envelope).filter(|_| profile.schemas)];
        let heads = heads.map(|schema| schema.map_or_else(Vec::new, head));
        Self {
            opening: opening(&topic),
            source,
            collection: table.to_string(),
            heads,
            slots,
            parts,
            extra,
            topic,
            key,
            row,
            envelope,
        }
    }

    /// The topic of the table's records.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What a key is; None for a table without one.
    #[must_use]
    pub const fn key_schema(&self) -> Option<&Schema> {
        self.key.as_ref()
    }

    /// What a row is.
    #[must_use]
    pub const fn row_schema(&self) -> &Schema {
        &self.row
    }

    /// What an event is.
    #[must_use]
    pub const fn envelope_schema(&self) -> &Schema {
        &self.envelope
    }

    /// Whether rows have a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Write the key of a row, which is null for a table without key. Cells that the row does not have, which in an image
    /// that is `key_only` are also the null ones, are taken from `other`.
    ///
    /// # Errors
    /// A cell that cannot be written, or was not sent.
    #[inline]
    pub fn write_key<F: Format>(
        &self,
        row: Tuple<'_>,
        key_only: bool,
        other: Option<Tuple<'_>>,
        scratch: &mut Scratch,
        out: &mut F,
    ) -> Result<(), Fault> {
        if self.key.is_none() {
            out.null();
            return Ok(());
        }
        out.begin_struct();
        for (at, Part { field, .. }) in self.parts.iter().enumerate() {
            out.field(field);
            self.write_part(at, row, (key_only, other), scratch, out)?;
        }
        if let Some((field, value)) = &self.extra {
            out.field(field);
            value.write(out);
        }
        out.end_struct();
        Ok(())
    }

    /// Write one member of a row's key; the images as for [`Self::write_key`].
    #[inline]
    pub(super) fn write_part<F: Format>(
        &self,
        at: usize,
        row: Tuple<'_>,
        (key_only, other): (bool, Option<Tuple<'_>>),
        scratch: &mut Scratch,
        out: &mut F,
    ) -> Result<(), Fault> {
        let Some(Part { index, codec, .. }) = self.parts.get(at) else {
            self.extra.iter().for_each(|(_, value)| value.write(out));
            return Ok(());
        };
        let sent = |cell: &Cell<'_>| *cell != Cell::Unchanged && (*cell != Cell::Null || !key_only);
        match row.cell(*index).filter(sent).or_else(|| other.and_then(|other| other.cell(*index))) {
            Some(Cell::Text(text)) => {
                codec.write(text, scratch, out).and_then(|()| out.sound()).map_err(|reason| (*index, reason))?
            }
            Some(Cell::Null) if !key_only => out.null(),
            _ => return Err((*index, "a key column that was not sent: the replica identity lacks it")),
        }
        Ok(())
    }

    /// Write a row image. `key_only`: nulls mean "not sent". Unchanged cells are taken from `old` where it has them.
    ///
    /// # Errors
    /// A cell that cannot be written.
    #[inline]
    pub fn write_row<F: Format>(
        &self,
        row: Tuple<'_>,
        key_only: bool,
        old: Option<Tuple<'_>>,
        scratch: &mut Scratch,
        out: &mut F,
    ) -> Result<(), Fault> {
        out.begin_struct();
        for (index, (slot, cell)) in self.slots.iter().zip(row.cells()).enumerate() {
            let Some(slot) = slot else { continue };
            let cell = match (cell, old) {
                (Cell::Unchanged, Some(old)) => old.cell(index).unwrap_or(cell),
                _ => cell,
            };
            out.field(&slot.field);
            slot.write(cell, key_only, scratch, out).and_then(|()| out.sound()).map_err(|reason| (index, reason))?;
        }
        out.end_struct();
        Ok(())
    }

    /// Write one cell of a row; what it is as for [`Self::write_row`].
    #[inline]
    pub(super) fn write_cell<F: Format>(
        &self,
        index: usize,
        cell: Cell<'_>,
        key_only: bool,
        scratch: &mut Scratch,
        out: &mut F,
    ) -> Result<(), Fault> {
        match self.slots.get(index) {
            Some(Some(slot)) => {
                slot.write(cell, key_only, scratch, out).and_then(|()| out.sound()).map_err(|reason| (index, reason))
            }
            _ => Ok(()),
        }
    }

    /// Whether an old row and a new one have a column.
    pub(super) fn sent(&self, index: usize) -> [Sent; 2] {
        self.slots.get(index).and_then(Option::as_ref).map_or([Sent::Perhaps; 2], |slot| slot.sent)
    }

    /// The columns that rows show, in order.
    pub(super) fn shown(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| slot.is_some().then_some(index))
    }
}

/// The key of a row; the images as for [`Plan::write_key`].
pub(super) struct KeyOf<'a> {
    pub(super) plan: &'a Plan,
    pub(super) row: Tuple<'a>,
    pub(super) key_only: bool,
    pub(super) other: Option<Tuple<'a>>,
    pub(super) scratch: &'a mut Scratch,
}

impl Spell for KeyOf<'_> {
    #[inline]
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        Ok(self.plan.write_key(self.row, self.key_only, self.other, self.scratch, out)?)
    }
}

impl Slot {
    fn new(index: usize, table: &Table, (at, column): (usize, &Column), profile: &Profile) -> Option<(Self, Member)> {
        let plain = Codec::of(column, profile)?;
        let member = described(column, &plain, profile);
        let default = default::of(column, &plain);
        let codec = match profile.rules.mask(table, column) {
            Some(mask) => Codec::Masked(Box::new((plain, mask))),
            None => plain,
        };
        let null = codec.null();
        let not_sent = match default {
            _ if column.nullable => null.clone().unwrap_or(Value::Null),
            Some(default) => codec.shown(default),
            None => codec.not_sent(),
        };
        let unavailable = codec.unavailable(&profile.unavailable);
        let in_key = table.key.iter().any(|key| usize::from(*key) == at);
        let sent = match (in_key, column.kind.may_be_stored_apart()) {
            (true, true) => [Sent::Key; 2],
            (true, false) => [Sent::Key, Sent::Always],
            (false, true) => [Sent::Perhaps; 2],
            (false, false) => [Sent::Perhaps, Sent::Here],
        };
        let slot = Self { field: field(index, &member), codec, null, not_sent, unavailable, sent };
        Some((slot, profile.rules.described(table, column, member)))
    }

    #[inline]
    fn write<F: Format>(
        &self,
        cell: Cell<'_>,
        key_only: bool,
        scratch: &mut Scratch,
        out: &mut F,
    ) -> Result<(), &'static str> {
        match cell {
            Cell::Text(text) => return self.codec.write(text, scratch, out),
            Cell::Null if key_only => self.not_sent.write(out),
            Cell::Null => match &self.null {
                None => out.null(),
                Some(null) => null.write(out),
            },
            Cell::Unchanged => self.unavailable.write(out),
        }
        Ok(())
    }
}

fn field(index: usize, member: &Member) -> Field {
    let field = Field::new(u16::try_from(index).unwrap_or(u16::MAX), &member.name, member.schema.optional);
    if member.schema.default.is_some() { field.with_default() } else { field }
}

fn described(column: &Column, codec: &Codec, profile: &Profile) -> Member {
    Member { name: profile.field_names.field(&column.name), schema: schema::column(column, codec, profile) }
}

/// `{"schema":…,"payload":`
pub(super) fn head(schema: &Schema) -> Vec<u8> {
    let mut head = b"{\"schema\":".to_vec();
    write_schema(schema, &mut head);
    head.extend_from_slice(b",\"payload\":");
    head
}

/// Append `before` and `value` as JSON.
pub(super) fn member(before: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before.as_bytes());
    json::text(value, out);
}
