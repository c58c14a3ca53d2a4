//! Confluent's frame around keys and values: a zero byte, the id of a schema in four bytes, the value. What is in it
//! becomes JSON with its schema, as JsonConverter would have written the same value. Never asks a registry: schemas come
//! from the caller.

use rustc_hash::FxHashMap;

use super::{Record, avro, json_schema, protobuf};
use crate::error::{Error, Result};

/// Bytes of the frame.
const FRAME: usize = 5;

/// What a schema is, in a registry's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaKind {
    /// An Avro schema.
    Avro,
    /// A JSON Schema: the value is JSON.
    Json,
    /// The text of a `.proto` file.
    Protobuf,
}

/// How values of one schema are read.
#[derive(Debug)]
enum Inner {
    Avro(avro::Decoder),
    JsonSchema(json_schema::Decoder),
    Json,
    Protobuf(protobuf::Decoder),
}

/// The schemas that are known, by their ids.
#[derive(Debug, Default)]
pub(super) struct Frames {
    known: FxHashMap<u32, Inner>,
}

/// Keys and values without their frames.
#[derive(Debug, Default)]
pub(super) struct Unframed {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// The id of a framed key or value; None when there is no frame, which no JSON can look like.
fn id(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [0, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

impl Frames {
    /// Ids in the record that are not known yet.
    pub(super) fn unknown(&self, record: &Record<'_>) -> impl Iterator<Item = u32> {
        let ids = [record.key, record.value].map(|bytes| bytes.and_then(id));
        ids.into_iter().flatten().filter(|id| !self.known.contains_key(id))
    }

    /// Take in a schema, and those that it refers to by name.
    pub(super) fn add(&mut self, id: u32, kind: SchemaKind, text: &str, references: &[(String, String)]) -> Result<()> {
        let inner = match kind {
            SchemaKind::Avro => {
                Inner::Avro(avro::Decoder::parse(text, references.iter().map(|(_, text)| text.as_str()))?)
            }
            SchemaKind::Json => json_schema::Decoder::parse(text)?.map_or(Inner::Json, Inner::JsonSchema),
            SchemaKind::Protobuf => Inner::Protobuf(protobuf::Decoder::parse(text, references)?),
        };
        self.known.insert(id, inner);
        Ok(())
    }

    /// The record without frames; what has none stays as it is.
    pub(super) fn open<'a>(&'a self, record: Record<'a>, into: &'a mut Unframed) -> Result<Record<'a>> {
        let key = record.key.map(|bytes| self.inner(bytes, &mut into.key)).transpose()?;
        let value = record.value.map(|bytes| self.inner(bytes, &mut into.value)).transpose()?;
        Ok(Record { key, value, ..record })
    }

    fn inner<'a>(&self, bytes: &'a [u8], into: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let Some(id) = id(bytes) else { return Ok(bytes) };
        into.clear();
        match self.known.get(&id) {
            None => return Err(Error::malformed(format!("a value of schema {id}, which nobody told"), 1)),
            Some(Inner::Json) => return Ok(&bytes[FRAME..]),
            Some(Inner::JsonSchema(decoder)) => decoder.decode(bytes, FRAME, into)?,
            Some(Inner::Avro(decoder)) => decoder.decode(bytes, FRAME, into)?,
            Some(Inner::Protobuf(decoder)) => decoder.decode(bytes, FRAME, into)?,
        }
        Ok(into)
    }
}
