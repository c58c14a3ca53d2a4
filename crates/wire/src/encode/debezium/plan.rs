//! What is known about a table version before its first row: the fixed bytes around every cell, and each cell's codec.

use super::codec::{Codec, Scratch};
use super::profile::Profile;
use crate::batch::{Cell, Tuple};
use crate::encode::encoded::opening;
use crate::encode::json;
use crate::table::{Column, Table};

/// A cell that cannot be written: index of its column, and why.
pub(super) type Fault = (usize, &'static str);

/// One column: `,"name":` and the whole member for each cell that is not text.
#[derive(Debug)]
struct Member {
    codec: Codec,
    name: Vec<u8>,
    null: Vec<u8>,
    not_sent: Vec<u8>,
    unavailable: Vec<u8>,
}

/// A key column: its index, and its name as the key's member.
#[derive(Debug)]
struct Part {
    index: usize,
    name: Vec<u8>,
}

/// Everything about one table version.
#[derive(Debug)]
pub(super) struct Plan {
    /// How a line begins: its topic.
    pub(super) opening: Vec<u8>,
    /// `,"schema":…,"table":…` of the source block.
    pub(super) source: Vec<u8>,
    members: Vec<Option<Member>>,
    key: Vec<Part>,
}

impl Plan {
    pub(super) fn new(table: &Table, profile: &Profile) -> Self {
        let topic = topic(&[&profile.topic_prefix, &table.schema, &table.name]);
        let mut source = Vec::new();
        member(",\"schema\":", &table.schema, &mut source);
        member(",\"table\":", &table.name, &mut source);
        let mut separator = "";
        let members: Vec<_> = table.columns.iter().map(|column| Member::new(column, profile, &mut separator)).collect();
        let mut separator = "";
        let mut key = Vec::new();
        for index in table.key.iter().map(|index| usize::from(*index)) {
            let Some(column) = table.columns.get(index).filter(|_| members[index].is_some()) else { continue };
            key.push(Part { index, name: name(separator, &column.name) });
            separator = ",";
        }
        Self { opening: opening(&topic), source, members, key }
    }

    /// Whether rows have a key.
    pub(super) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Append the key of a row, `null` for a table without key. Cells that the row does not have, which in an image that
    /// is `key_only` are also the null ones, are taken from `other`.
    #[inline]
    pub(super) fn write_key(
        &self,
        row: Tuple<'_>,
        key_only: bool,
        other: Option<Tuple<'_>>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.key.is_empty() {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        out.push(b'{');
        for Part { index, name } in &self.key {
            out.extend_from_slice(name);
            let sent = |cell: &Cell<'_>| *cell != Cell::Unchanged && (*cell != Cell::Null || !key_only);
            match row.cell(*index).filter(sent).or_else(|| other.and_then(|other| other.cell(*index))) {
                Some(Cell::Text(text)) => {
                    let Some(Some(member)) = self.members.get(*index) else { continue };
                    member.codec.write(text, scratch, out).map_err(|reason| (*index, reason))?;
                }
                Some(Cell::Null) if !key_only => out.extend_from_slice(b"null"),
                _ => return Err((*index, "a key column that was not sent: the replica identity lacks it")),
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// Append a row image. `key_only`: nulls mean "not sent". Unchanged cells are taken from `old` where it has them.
    #[inline]
    pub(super) fn write_row(
        &self,
        row: Tuple<'_>,
        key_only: bool,
        old: Option<Tuple<'_>>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        out.push(b'{');
        for (index, (member, cell)) in self.members.iter().zip(row.cells()).enumerate() {
            let Some(member) = member else { continue };
            let cell = match (cell, old) {
                (Cell::Unchanged, Some(old)) => old.cell(index).unwrap_or(cell),
                _ => cell,
            };
            match cell {
                Cell::Text(text) => {
                    out.extend_from_slice(&member.name);
                    member.codec.write(text, scratch, out).map_err(|reason| (index, reason))?;
                }
                Cell::Null if key_only => out.extend_from_slice(&member.not_sent),
                Cell::Null => out.extend_from_slice(&member.null),
                Cell::Unchanged => out.extend_from_slice(&member.unavailable),
            }
        }
        out.push(b'}');
        Ok(())
    }
}

impl Member {
    fn new(column: &Column, profile: &Profile, separator: &mut &'static str) -> Option<Self> {
        let codec = Codec::of(column, profile)?;
        let name = name(separator, &column.name);
        *separator = ",";
        let with = |value: &str| [&name, value.as_bytes()].concat();
        let not_sent = if column.nullable { with("null") } else { with(&codec.not_sent()) };
        let (null, unavailable) = (with("null"), with(&codec.unavailable(&profile.unavailable)));
        Some(Self { codec, name, null, not_sent, unavailable })
    }
}

fn name(separator: &str, column: &str) -> Vec<u8> {
    let mut name = Vec::new();
    member(separator, column, &mut name);
    name.push(b':');
    name
}

/// Append `before` and `value` as JSON.
pub(super) fn member(before: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before.as_bytes());
    json::text(value, out);
}

/// A topic's name: parts with a dot between, every UTF-16 unit outside `[A-Za-z0-9._-]` an underscore.
pub(super) fn topic(parts: &[&str]) -> String {
    let sound =
        |unit: u16| u8::try_from(unit).ok().filter(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    parts.join(".").encode_utf16().map(|unit| char::from(sound(unit).unwrap_or(b'_'))).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn topics_are_sanitised_as_debezium_does() {
        assert_eq!(super::topic(&["shop", "public", "We ird$.Näme"]), "shop.public.We_ird_.N_me");
    }
}
