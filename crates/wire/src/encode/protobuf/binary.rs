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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Value;

    const OPTIONAL: Options = Options { optional: true, ..Options::DEFAULT };
    const WRAPPER: Options = Options { wrapper: true, ..Options::DEFAULT };

    fn written(schema: &Schema, value: &Value, options: Options) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        let mut protobuf = Protobuf::new(&mut out, schema, options);
        value.write(&mut protobuf);
        protobuf.finish().map(|written| if written { out } else { b"null".to_vec() })
    }

    /// A message with one member.
    fn member(schema: Schema, value: Value, options: Options) -> Result<Vec<u8>, &'static str> {
        let field = Field::new(0, "a", schema.optional);
        written(&Schema::structure([("a", schema)]), &Value::Struct(vec![(field, value)]), options)
    }

    #[test]
    fn members_are_those_of_the_encodings_page() {
        for (kind, value, bytes) in [
            (Kind::Int32, Value::Integer(150), vec![0x08, 0x96, 0x01]),
            (Kind::Int32, Value::Integer(-2), [&[0x08, 0xfe][..], &[0xff; 8], &[1]].concat()),
            (Kind::String, Value::String("testing".into()), b"\x0a\x07testing".to_vec()),
            (Kind::Float32, Value::Single(1.0), vec![0x0d, 0, 0, 0x80, 0x3f]),
            (Kind::Float64, Value::Double(-0.0), vec![0x09, 0, 0, 0, 0, 0, 0, 0, 0x80]),
            (Kind::Boolean, Value::Boolean(true), vec![0x08, 1]),
        ] {
            assert_eq!(member(Schema::new(kind), value, Options::DEFAULT), Ok(bytes));
        }
        let inner = Schema::structure([("a", Schema::new(Kind::Int32))]);
        let value = Value::Struct(vec![(Field::new(0, "a", false), Value::Integer(150))]);
        assert_eq!(member(inner, value, Options::DEFAULT), Ok(vec![0x0a, 3, 0x08, 0x96, 1]));
    }

    #[test]
    fn zero_is_told_from_null_only_where_an_option_says_so() {
        for (kind, zero) in [
            (Kind::Int64, Value::Integer(0)),
            (Kind::Boolean, Value::Boolean(false)),
            (Kind::String, Value::String(String::new())),
            (Kind::Bytes, Value::Bytes(vec![])),
        ] {
            let schema = Schema::new(kind).optional();
            let made = |value: &Value, options| member(schema.clone(), value.clone(), options).unwrap();
            assert_eq!([made(&zero, Options::DEFAULT), made(&Value::Null, Options::DEFAULT)], [[]; 2]);
            assert_eq!([made(&Value::Null, OPTIONAL), made(&Value::Null, WRAPPER)], [[]; 2]);
            assert_eq!(made(&zero, OPTIONAL).len(), 2);
            assert_eq!(made(&zero, WRAPPER), [0x0a, 0]);
            let required = Schema { optional: false, ..schema.clone() };
            assert_eq!(member(required, zero.clone(), WRAPPER), Ok(vec![]));
        }
        let wrapped = member(Schema::new(Kind::Int32).optional(), Value::Integer(150), WRAPPER);
        assert_eq!(wrapped, Ok(vec![0x0a, 3, 0x08, 0x96, 1]));
        let text = Value::String("a".repeat(200));
        let wrapped = member(Schema::new(Kind::String).optional(), text, WRAPPER).unwrap();
        assert_eq!(wrapped[..6], [0x0a, 0xcb, 1, 0x0a, 0xc8, 1]);
        assert_eq!(wrapped.len(), 206);
    }

    #[test]
    fn lists_of_numbers_are_packed_and_others_are_repeated() {
        let list = |schema: Schema, values: Vec<Value>, options| {
            let values = values.into_iter().map(|value| (schema.optional, value)).collect();
            member(Schema::array(schema), Value::List(values), options)
        };
        let numbers = vec![Value::Integer(3), Value::Integer(270), Value::Integer(86_942)];
        let packed = list(Schema::new(Kind::Int32), numbers, Options::DEFAULT);
        assert_eq!(packed, Ok(vec![0x0a, 6, 3, 0x8e, 2, 0x9e, 0xa7, 5]));
        assert_eq!(list(Schema::new(Kind::Int32), vec![], Options::DEFAULT), Ok(vec![]));
        let texts = || vec![Value::String("a".into()), Value::String(String::new())];
        let repeated = list(Schema::new(Kind::String), texts(), Options::DEFAULT);
        assert_eq!(repeated, Ok(b"\x0a\x01a\x0a\x00".to_vec()));
        let wrapped = list(Schema::new(Kind::String).optional(), texts(), WRAPPER);
        assert_eq!(wrapped, Ok(b"\x0a\x03\x0a\x01a\x0a\x00".to_vec()));
        assert!(list(Schema::new(Kind::Int32).optional(), vec![Value::Null], WRAPPER).is_err());
        let inner = Schema::array(Schema::new(Kind::Int32));
        assert_eq!(list(inner, vec![Value::List(vec![])], Options::DEFAULT), Err(NOT_OF_SCHEMA));
    }

    #[test]
    fn entries_of_maps_are_messages() {
        let types = (Schema::new(Kind::String), Schema::new(Kind::String).optional());
        let schema = Schema::new(Kind::Map(Box::new(types)));
        let entry = |key: &str, value| (Value::String(key.into()), value);
        let map = Value::Map(true, vec![entry("k", Value::Null), entry("", Value::String("v".into()))]);
        let made = member(schema.clone(), map, Options::DEFAULT);
        assert_eq!(made, Ok(b"\x0a\x03\x0a\x01k\x0a\x03\x12\x01v".to_vec()));
        assert_eq!(member(schema, Value::Map(true, vec![]), OPTIONAL), Ok(vec![]));
    }

    #[test]
    fn logical_types_are_messages_of_their_own() {
        let decimal = Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal").with("scale", "2").optional();
        let made = member(decimal, Value::Bytes(vec![0, 0x96]), WRAPPER);
        assert_eq!(made, Ok(vec![0x0a, 8, 0x0a, 2, 0, 0x96, 0x10, 3, 0x18, 2]));
        let time = Schema::named(Kind::Int32, "org.apache.kafka.connect.data.Time");
        assert_eq!(member(time.clone(), Value::Integer(0), Options::DEFAULT), Ok(vec![0x0a, 0]));
        assert!(member(time, Value::Integer(-1), Options::DEFAULT).is_err());
    }

    #[test]
    fn a_record_may_be_a_value_of_its_own_or_null() {
        let of = |kind, value: Value| written(&Schema::new(kind).optional(), &value, WRAPPER);
        assert_eq!(of(Kind::Int32, Value::Integer(1)), Ok(vec![8, 1]));
        assert_eq!(of(Kind::Int32, Value::Integer(0)), Ok(vec![]));
        assert_eq!(of(Kind::String, Value::String("a".into())), Ok(vec![0x0a, 1, b'a']));
        assert_eq!(of(Kind::String, Value::Null), Ok(b"null".to_vec()));
    }

    #[test]
    fn what_the_schema_does_not_have_is_refused_and_never_a_panic() {
        let schema = Schema::structure([("a", Schema::new(Kind::Int32))]);
        let beyond = Value::Struct(vec![(Field::new(1, "b", false), Value::Integer(1))]);
        assert_eq!(written(&schema, &beyond, Options::DEFAULT), Err(NOT_OF_SCHEMA));
        for value in [beyond, Value::List(vec![(true, Value::Null)]), Value::Map(true, vec![])] {
            assert_eq!(member(Schema::new(Kind::Int32), value, Options::DEFAULT), Err(NOT_OF_SCHEMA));
        }
    }
}
