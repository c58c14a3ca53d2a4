//! Protobuf, read by the `.proto` text that it was written with. A message becomes JSON with its Connect schema, as
//! Confluent's ProtobufConverter and Kafka's JsonConverter would make it one after the other; so it is read as those are.
//!
//! `token` and `file` read a text, `descriptor` one that a compiler has been over, `builtin` has those that need no reference, `link` looks names up, `schema` says which
//! Connect schema a message is, `wire` reads fields from bytes and `value` writes what they say.

mod builtin;
mod descriptor;
mod file;
mod link;
mod schema;
mod token;
mod value;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use self::link::Types;
use self::value::Out;
use super::cursor::Cursor;
use crate::encode::connect::write_schema;
use crate::error::Result;

/// Reads values of one schema.
#[derive(Debug)]
pub(super) struct Decoder {
    types: Types,
    /// For each message `{"schema":…,"payload":`, made when its first value comes: a text may have many messages. None
    /// for one that would be too large.
    heads: Vec<OnceLock<Option<Vec<u8>>>>,
}

impl Decoder {
    /// A decoder for a schema's text; `references` are texts by the paths under which they are imported.
    pub(super) fn parse(text: &str, references: &[(String, String)]) -> Result<Self> {
        let types = Types::link(text, references)?;
        let heads = types.messages.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { types, heads })
    }

    /// Append the value that stands in `bytes` from `at` to their end: which message it is, and its fields.
    pub(super) fn decode(&self, bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut cursor = wire::cursor(&bytes[at..], at);
        let index = self.chosen(&mut cursor)?;
        let head = self.heads[index].get_or_init(|| {
            let mut head = b"{\"schema\":".to_vec();
            write_schema(&self.types.schema(index)?, &mut head);
            head.extend_from_slice(b",\"payload\":");
            Some(head)
        });
        let head = head.as_ref().ok_or_else(|| cursor.fault("a protobuf message whose schema is too large"))?;
        out.extend_from_slice(head);
        self.types.write(index, (cursor.left(), cursor.place()), &mut Out::new(out))?;
        out.push(b'}');
        Ok(())
    }

    /// The message that the indexes in front of a value lead to: one of the file, one in that, and so on. None are short
    /// for the first of the file.
    fn chosen(&self, cursor: &mut Cursor<'_>) -> Result<usize> {
        let levels = cursor.index()?;
        let mut around = &self.types.roots;
        let mut found = None;
        for _ in 0..levels.max(1) {
            let index = if levels == 0 { 0 } else { cursor.index()? };
            let message = *around.get(index).ok_or_else(|| cursor.fault("a message that the schema does not have"))?;
            around = &self.types.messages[message].nested;
            found = Some(message);
        }
        found.ok_or_else(|| cursor.fault("a message that the schema does not have"))
    }
}
