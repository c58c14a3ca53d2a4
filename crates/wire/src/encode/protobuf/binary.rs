//! Protobuf's binary encoding of typed values, member by member in the order of their numbers. What has no presence and
//! is its type's zero is not written, and neither is null.

use super::Options;
use super::logical::{Logical, NOT_OF_SCHEMA, write_decimal};
use crate::encode::connect::{Field, Format, Kind, Member, Schema, Written};
use crate::encode::varint;

/// How a value is laid out.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

/// Where the next value goes.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It is the whole record.
    Root,
    /// A member of a message: its number, whether its zero is written, whether a message is wrapped around it.
    Member { number: u32, present: bool, wrapped: bool },
    /// One of a repeated member.
    Element { number: u32, wrapped: bool },
}

/// What has not ended.
#[derive(Debug)]
enum Open<'a> {
    /// A message, and where its length goes.
    Message(&'a [Member], Option<usize>),
    /// A repeated member, and, once there is a number in it, where the length of all goes.
    List { number: u32, element: &'a Schema, packed: Option<usize> },
    /// A map, and where the length of its entry goes.
    Map { number: u32, types: &'a (Schema, Schema), entry: Option<usize> },
}

/// Appends Protobuf's binary encoding to a buffer.
#[derive(Debug)]
pub struct Protobuf<'a> {
    out: &'a mut Vec<u8>,
    options: Options,
    schema: &'a Schema,
    place: Place,
    open: Vec<Open<'a>>,
    /// Whether the whole record is null.
    null: bool,
    broken: Option<&'static str>,
}

impl<'a> Protobuf<'a> {
    /// Append a value of `schema` to `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, schema: &'a Schema, options: Options) -> Self {
        Self { out, options, schema, place: Place::Root, open: Vec::new(), null: false, broken: None }
    }

    /// The end of the value: whether there was one.
    ///
    /// # Errors
    /// When a null stands in a list, or a value is not of the schema; what was written is of no use then.
    #[inline]
    pub fn finish(self) -> Result<bool, &'static str> {
        self.broken.map_or(Ok(!self.null), Err)
    }

    fn tag(&mut self, number: u32, wire: Wire) {
        varint::push(u64::from(number) << 3 | wire as u64, self.out);
    }

    /// Write a number that is laid out already.
    #[inline]
    fn number(&mut self, wire: Wire, zero: bool, bytes: &[u8]) {
        match self.place {
            Place::Root => {
                self.number_at(1, wire, zero, bytes);
            }
            Place::Member { number, wrapped: true, .. } | Place::Element { number, wrapped: true } => {
                self.tag(number, Wire::Length);
                self.out.push(if zero { 0 } else { bytes.len() as u8 + 1 });
                self.number_at(1, wire, zero, bytes);
            }
            Place::Member { number, present, .. } => self.number_at(number, wire, zero && !present, bytes),
            Place::Element { number, .. } => {
                if let Some(Open::List { packed: None, .. }) = self.open.last() {
                    self.tag(number, Wire::Length);
                    let start = self.out.len();
                    self.out.push(0);
                    if let Some(Open::List { packed, .. }) = self.open.last_mut() {
                        *packed = Some(start);
                    }
                }
                self.out.extend_from_slice(bytes);
            }
        }
    }

    fn number_at(&mut self, number: u32, wire: Wire, left_out: bool, bytes: &[u8]) {
        if !left_out {
            self.tag(number, wire);
            self.out.extend_from_slice(bytes);
        }
    }

    /// Write what has a length, by `write`; it is not written when it is empty and has no presence.
    fn sized(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Written) -> Written {
        let (number, present, wrapped) = match self.place {
            Place::Root => (1, false, false),
            Place::Member { number, present, wrapped } => (number, present, wrapped),
            Place::Element { number, wrapped } => (number, true, wrapped),
        };
        let before = self.out.len();
        self.tag(number, Wire::Length);
        let outer = self.out.len();
        if wrapped {
            self.out.extend_from_slice(&[0, 1 << 3 | Wire::Length as u8]);
        }
        let start = self.out.len();
        self.out.push(0);
        write(self.out)?;
        let length = self.out.len() - start - 1;
        match (length, present, wrapped) {
            (0, _, true) => self.out.truncate(outer + 1),
            (0, false, false) => self.out.truncate(before),
            _ => {
                varint::fill(length as u64, start, self.out);
                if wrapped {
                    varint::fill((self.out.len() - outer - 1) as u64, outer, self.out);
                }
            }
        }
        Ok(())
    }

    /// Begin a message; where its length goes, unless it is the whole record.
    fn begin(&mut self, number: Option<u32>) -> Option<usize> {
        let number = number?;
        self.tag(number, Wire::Length);
        self.out.push(0);
        Some(self.out.len() - 1)
    }

    fn end(&mut self, start: Option<usize>) {
        if let Some(start) = start {
            varint::fill((self.out.len() - start - 1) as u64, start, self.out);
        }
    }

    /// Write the content of a message of a logical type.
    fn message(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Written) {
        let (Place::Member { number, .. } | Place::Element { number, .. }) = self.place else {
            return self.breaks(NOT_OF_SCHEMA);
        };
        let start = self.begin(Some(number));
        match write(self.out) {
            Ok(()) => self.end(start),
            Err(reason) => self.breaks(reason),
        }
    }

    fn breaks(&mut self, reason: &'static str) {
        self.broken.get_or_insert(reason);
    }

    /// The value of a member of the message that is open comes next.
    fn member(&mut self, number: u32, schema: &'a Schema, present: bool) {
        self.schema = schema;
        self.place = Place::Member { number, present, wrapped: self.options.wrapper && schema.optional };
    }

    /// End the entry of a map that is open.
    fn end_entry(&mut self) {
        if let Some(Open::Map { entry, .. }) = self.open.last_mut() {
            let start = entry.take();
            self.end(start);
        }
    }
}

impl Format for Protobuf<'_> {
    fn nests(&self) -> bool {
        false
    }

    #[inline]
    fn sound(&self) -> Written {
        self.broken.map_or(Ok(()), Err)
    }

    fn null(&mut self) {
        match self.place {
            Place::Root => self.null = true,
            Place::Member { .. } => {}
            Place::Element { .. } => self.breaks("a null in an array, which Protobuf has no place for"),
        }
    }

    fn boolean(&mut self, value: bool) {
        self.number(Wire::Varint, !value, &[u8::from(value)]);
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        if let Some(logical) = Logical::of(self.schema) {
            return self.message(|out| logical.write(value, out));
        }
        let mut bytes = [0; 10];
        let length = varint::write(value.cast_unsigned(), &mut bytes);
        self.number(Wire::Varint, value == 0, &bytes[..length]);
    }

    fn single(&mut self, value: f32) {
        self.number(Wire::Fixed32, value.to_bits() == 0, &value.to_le_bytes());
    }

    fn double(&mut self, value: f64) {
        self.number(Wire::Fixed64, value.to_bits() == 0, &value.to_le_bytes());
    }

    #[inline]
    fn string(&mut self, text: &[u8]) -> Written {
        std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
        self.bytes(text);
        Ok(())
    }

    fn compose(&mut self, compose: impl FnOnce(&mut Vec<u8>) -> Written) -> Written {
        self.sized(compose)
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let schema = self.schema;
        if Logical::of(schema) == Some(Logical::Decimal) {
            return self.message(|out| {
                write_decimal(schema, bytes, out);
                Ok(())
            });
        }
        let written = self.sized(|out| {
            out.extend_from_slice(bytes);
            Ok(())
        });
        debug_assert!(written.is_ok());
    }

    fn begin_struct(&mut self) {
        let number = match self.place {
            Place::Root => None,
            Place::Member { number, .. } | Place::Element { number, .. } => Some(number),
        };
        if !matches!(self.schema.kind, Kind::Struct(_)) {
            self.breaks(NOT_OF_SCHEMA);
        }
        let start = self.begin(number);
        self.open.push(Open::Message(self.schema.members(), start));
    }

    #[inline]
    fn field(&mut self, field: &Field) {
        let member = match self.open.last() {
            Some(Open::Message(members, _)) => members.get(usize::from(field.index)),
            _ => None,
        };
        match member {
            Some(member) => {
                let present = self.options.optional && member.schema.optional;
                self.member(u32::from(field.index) + 1, &member.schema, present);
            }
            None => self.breaks(NOT_OF_SCHEMA),
        }
    }

    fn end_struct(&mut self) {
        if let Some(Open::Message(_, start)) = self.open.pop() {
            self.end(start);
        }
    }

    fn begin_list(&mut self) {
        match (self.place, &self.schema.kind) {
            (Place::Member { number, .. }, Kind::Array(element)) => {
                self.open.push(Open::List { number, element, packed: None });
            }
            _ => self.breaks(NOT_OF_SCHEMA),
        }
    }

    fn element(&mut self, _: bool, _: bool) {
        if let Some(Open::List { number, element, .. }) = self.open.last() {
            self.schema = element;
            self.place = Place::Element { number: *number, wrapped: self.options.wrapper && element.optional };
        }
    }

    fn end_list(&mut self, _: usize) {
        if let Some(Open::List { packed, .. }) = self.open.pop() {
            self.end(packed);
        }
    }

    fn begin_map(&mut self, _: bool) {
        match (self.place, &self.schema.kind) {
            (Place::Member { number, .. }, Kind::Map(types)) => {
                self.open.push(Open::Map { number, types, entry: None });
            }
            _ => self.breaks(NOT_OF_SCHEMA),
        }
    }

    fn key(&mut self, _: bool) {
        self.end_entry();
        if let Some(&Open::Map { number, types, .. }) = self.open.last() {
            let start = self.begin(Some(number));
            if let Some(Open::Map { entry, .. }) = self.open.last_mut() {
                *entry = start;
            }
            self.member(1, &types.0, false);
        }
    }

    fn entry(&mut self, _: bool) {
        if let Some(&Open::Map { types, .. }) = self.open.last() {
            self.member(2, &types.1, false);
        }
    }

    fn end_map(&mut self, _: usize) {
        self.end_entry();
        self.open.pop();
    }
}
