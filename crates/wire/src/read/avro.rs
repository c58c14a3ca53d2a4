//! Avro's binary encoding, read by the schema that it was written with. A value becomes JSON with its Connect schema, as
//! Confluent's AvroConverter and Kafka's JsonConverter would make it one after the other; so it is read as those are.
//! Every length is checked against the bytes that are there; a schema that contains itself is refused, so that no input
//! can make this overflow the stack.

use super::avro_schema::{Node, parse};
use super::cursor::Cursor;
use crate::encode::connect::{Format, Json, write_schema};
use crate::error::{Error, Result};

/// What a value may become: so much, and so many bytes for each of its own. Names of fields are written with each record of
/// a list, and a null has no byte of its own.
const ROOM_BYTES: usize = 64 << 20;
const ROOM_TIMES: usize = 64;

/// Reads values of one schema.
#[derive(Debug)]
pub(super) struct Decoder {
    /// `{"schema":…,"payload":`
    head: Vec<u8>,
    node: Node,
}

impl Decoder {
    /// A decoder for a schema's text; `references` are the texts of those that it names, each behind what it needs.
    pub(super) fn parse<'a>(text: &'a str, references: impl Iterator<Item = &'a str>) -> Result<Self> {
        let (node, schema) = parse(text, references)?;
        let mut head = b"{\"schema\":".to_vec();
        write_schema(&schema, &mut head);
        head.extend_from_slice(b",\"payload\":");
        Ok(Self { head, node })
    }

    /// Append the value that stands in `bytes` from `at` to their end.
    pub(super) fn decode(&self, bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&self.head);
        let room = ROOM_TIMES.saturating_mul(bytes.len()).saturating_add(ROOM_BYTES);
        let mut input = Input { cursor: Cursor::new("Avro", bytes, at, 0), end: out.len().saturating_add(room) };
        value(&self.node, &mut input, &mut Json::new(out, false))?;
        if !input.cursor.is_done() {
            return Err(input.fault("bytes behind the Avro value"));
        }
        out.push(b'}');
        Ok(())
    }
}

/// A value's bytes, and how much may come of them.
struct Input<'a> {
    cursor: Cursor<'a>,
    /// Where the output has to end.
    end: usize,
}

impl<'a> Input<'a> {
    #[cold]
    fn fault(&self, what: impl Into<String>) -> Error {
        self.cursor.fault(what)
    }

    /// A number whose sign is in its lowest bit.
    fn integer(&mut self) -> Result<i64> {
        let number = self.cursor.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn blob(&mut self) -> Result<&'a [u8]> {
        let length = self.integer()?;
        self.cursor.take(usize::try_from(length).map_err(|_| self.fault("an Avro length below zero"))?)
    }

    /// Values in the block that comes next; 0 behind the last.
    fn block(&mut self) -> Result<usize> {
        let count = self.integer()?;
        if count < 0 {
            self.integer()?; // how many bytes that are, for those who pass over them
        }
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        // A value has at least one byte; otherwise few bytes could stand for values without end.
        if count > self.cursor.left().len() {
            return Err(self.fault("an Avro block of more values than it has bytes"));
        }
        Ok(count)
    }
}

fn value(node: &Node, from: &mut Input<'_>, out: &mut Json<'_>) -> Result<()> {
    if out.nbytes() > from.end {
        return Err(from.fault("an Avro value that becomes much larger than its bytes"));
    }
    match node {
        Node::Null => out.null(),
        Node::Boolean => out.boolean(from.cursor.array::<1>()?[0] != 0),
        Node::Integer => {
            let number = from.integer()?;
            out.integer(number);
        }
        Node::Float => out.single(f32::from_le_bytes(from.cursor.array()?)),
        Node::Double => out.double(f64::from_le_bytes(from.cursor.array()?)),
        Node::Bytes => out.bytes(from.blob()?),
        Node::Fixed(length) => out.bytes(from.cursor.take(*length)?),
        Node::String => {
            let text = from.blob()?;
            out.string(text).map_err(|reason| from.fault(reason))?;
        }
        Node::Enum(symbols) => {
            let symbol = usize::try_from(from.integer()?).ok().and_then(|at| symbols.get(at));
            let symbol = symbol.ok_or_else(|| from.fault("an Avro enum without such a symbol"))?;
            out.string(symbol.as_bytes()).map_err(|reason| from.fault(reason))?;
        }
        Node::Union(branches) => {
            let branch = usize::try_from(from.integer()?).ok().and_then(|at| branches.get(at));
            value(branch.ok_or_else(|| from.fault("an Avro union without such a branch"))?, from, out)?;
        }
        Node::Record(members) => {
            out.begin_struct();
            for (field, member) in members {
                out.field(field);
                value(member, from, out)?;
            }
            out.end_struct();
        }
        Node::Array(element) => list(element, from, out)?,
        Node::Map(element) => map(element, from, out)?,
        Node::Entries(types) => entries(types, from, out)?,
    }
    Ok(())
}

fn list(element: &Node, from: &mut Input<'_>, out: &mut Json<'_>) -> Result<()> {
    out.begin_list();
    let mut count = 0;
    loop {
        let block = from.block()?;
        for _ in 0..block {
            out.element(count == 0, true);
            value(element, from, out)?;
            count += 1;
        }
        if block == 0 {
            out.end_list(count);
            return Ok(());
        }
    }
}

fn map(element: &Node, from: &mut Input<'_>, out: &mut Json<'_>) -> Result<()> {
    out.begin_map(true);
    let mut count = 0;
    loop {
        let block = from.block()?;
        for _ in 0..block {
            out.key(count == 0);
            let key = from.blob()?;
            out.string(key).map_err(|reason| from.fault(reason))?;
            out.entry(true);
            value(element, from, out)?;
            count += 1;
        }
        if block == 0 {
            out.end_map(count);
            return Ok(());
        }
    }
}

/// A list of records that stands for a map whose keys are no text.
fn entries((key, element): &(Node, Node), from: &mut Input<'_>, out: &mut Json<'_>) -> Result<()> {
    out.begin_map(false);
    let mut count = 0;
    loop {
        let block = from.block()?;
        for _ in 0..block {
            out.key(count == 0);
            value(key, from, out)?;
            out.entry(true);
            value(element, from, out)?;
            count += 1;
        }
        if block == 0 {
            out.end_map(count);
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(schema: &str, bytes: &[u8]) -> String {
        let decoder = Decoder::parse(schema, std::iter::empty()).unwrap();
        let mut out = Vec::new();
        match decoder.decode(bytes, 0, &mut out) {
            Ok(()) => String::from_utf8(out[decoder.head.len()..out.len() - 1].to_vec()).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn primitives_are_read() {
        assert_eq!(payload("\"long\"", &[0x80, 1]), "64");
        assert_eq!(payload("\"int\"", &[1]), "-1");
        assert_eq!(payload("\"string\"", b"\x06foo"), "\"foo\"");
        assert_eq!(payload("\"bytes\"", &[4, 0, 255]), "\"AP8=\"");
        assert_eq!(payload("[\"null\",\"double\"]", &[2, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]), "1.5");
        assert_eq!(payload(r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, &[2]), "\"B\"");
        assert_eq!(payload(r#"{"type":"fixed","name":"F","size":2}"#, &[1, 2]), "\"AQI=\"");
    }

    #[test]
    fn blocks_may_come_in_pieces() {
        let list = r#"{"type":"array","items":"int"}"#;
        assert_eq!(payload(list, &[0]), "[]");
        assert_eq!(payload(list, &[2, 2, 1, 2, 4, 0]), "[1,2]");
        assert_eq!(payload(r#"{"type":"map","values":"int"}"#, &[2, 2, b'k', 6, 0]), "{\"k\":3}");
    }

    #[test]
    fn few_bytes_do_not_become_a_value_without_end() {
        let names = (0..100).map(|number| format!(r#"{{"name":"{}{number}","type":"null"}}"#, "n".repeat(100)));
        let record = format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, names.collect::<Vec<_>>().join(","));
        // Blocks of as many records as bytes follow: each record is 11 kB, and has no byte of its own.
        let blocks = [0xa0, 0x1f].repeat(1_000);
        let answer = payload(&format!(r#"{{"type":"array","items":{record}}}"#), &[&blocks[..], &[0; 2_000]].concat());
        assert!(answer.contains("much larger than its bytes"), "{} bytes", answer.len());
    }

    #[test]
    fn no_length_is_believed() {
        for (schema, bytes) in [
            ("\"string\"", &[0x06, b'f'][..]),
            ("\"string\"", &[0x05]),
            ("\"long\"", &[0xff; 11]),
            (r#"{"type":"array","items":"null"}"#, &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0]),
            ("[\"null\",\"int\"]", &[4, 0]),
            ("\"int\"", &[0, 0]),
            ("\"string\"", &[2, 0xff]),
        ] {
            assert!(payload(schema, bytes).contains(" at byte "), "{schema}");
        }
    }
}
