//! What a column's cells become: chosen once for a table version, by the portable type and the profile.

use super::array::Elements;
use super::profile::{DecimalMode, Profile};
use super::temporal::{self, Unit};
use super::{array, binary, number, schema, text};
use crate::encode::connect::{Format, Recorder, Value, Written};
use crate::encode::java::Float;
use crate::table::{Column, Type};

/// Memory that conversions reuse.
#[derive(Debug, Default)]
pub struct Scratch {
    /// For the conversion of a single value.
    pub(super) digits: Vec<u8>,
    /// For an array element that needed unquoting.
    pub(super) element: Vec<u8>,
}

/// How the values of one column are written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Bool,
    Integer,
    Float(Float),
    Decimal { scale: i16, nullable: bool },
    Variable { nullable: bool },
    DecimalDouble,
    DecimalString { scale: i16 },
    Money(DecimalMode),
    Text,
    Uuid,
    Bytes,
    Bit,
    Bits,
    Point,
    Date { in_array: bool },
    Time(Unit),
    TimeTz,
    Timestamp(Unit),
    TimestampTz(u8),
    Interval,
    Hstore,
    Array(Box<Elements>),
}

impl Codec {
    /// The codec of a column; None for types that Debezium leaves out of its events.
    pub(super) fn of(column: &Column, profile: &Profile) -> Option<Self> {
        match &column.kind {
            Type::Array(element) => {
                let optional = schema::may_be_null(element);
                Some(Self::Array(Box::new(Elements { codec: Self::element(element, profile)?, optional })))
            }
            // An extension's type may lie in any schema.
            Type::Other if column.native != "\"char\"" && !matches!(column.native.rsplit('.').next(), Some("isbn")) => {
                None
            }
            kind => Self::scalar(kind, column.nullable, profile),
        }
    }

    /// Debezium has no arrays of these types.
    fn element(kind: &Type, profile: &Profile) -> Option<Self> {
        match kind {
            Type::Money | Type::Name | Type::Interval | Type::Varbit(_) | Type::Point | Type::Xml => None,
            Type::Array(_) | Type::Other => None,
            Type::Date => Some(Self::Date { in_array: true }),
            kind => Self::scalar(kind, true, profile),
        }
    }

    fn scalar(kind: &Type, nullable: bool, profile: &Profile) -> Option<Self> {
        Some(match kind {
            Type::Bool => Self::Bool,
            Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => Self::Integer,
            Type::Float4 => Self::Float(Float::Single),
            Type::Float8 => Self::Float(Float::Double),
            Type::Numeric(size) => match (profile.decimal, size) {
                (DecimalMode::Precise, Some((_, scale))) => Self::Decimal { scale: *scale, nullable },
                (DecimalMode::Precise, None) => Self::Variable { nullable },
                (DecimalMode::Double, _) => Self::DecimalDouble,
                (DecimalMode::String, size) => Self::DecimalString { scale: size.map_or(0, |(_, scale)| scale) },
            },
            Type::Money => Self::Money(profile.decimal),
            Type::Bytea => Self::Bytes,
            Type::Date => Self::Date { in_array: false },
            Type::Time(digits) => Self::Time(Unit::of(*digits)),
            Type::TimeTz(_) => Self::TimeTz,
            Type::Timestamp(digits) => Self::Timestamp(Unit::of(*digits)),
            Type::TimestampTz(digits) => Self::TimestampTz(*digits),
            Type::Interval => Self::Interval,
            Type::Bit(1) | Type::Varbit(Some(1)) => Self::Bit,
            Type::Bit(_) | Type::Varbit(_) => Self::Bits,
            Type::Hstore => Self::Hstore,
            Type::Point => Self::Point,
            Type::Uuid => Self::Uuid,
            Type::Multirange | Type::Array(_) => return None,
            Type::Text | Type::Varchar(_) | Type::Bpchar(_) | Type::Name | Type::Citext | Type::Other => Self::Text,
            Type::Json | Type::Jsonb | Type::Xml | Type::Enum | Type::Range(_) | Type::Ltree => Self::Text,
            Type::Inet | Type::Cidr | Type::Macaddr | Type::Macaddr8 | Type::Tsvector => Self::Text,
        })
    }

    /// Write a value that the server sent as `cell`.
    #[inline]
    pub(super) fn write<F: Format>(&self, cell: &[u8], scratch: &mut Scratch, out: &mut F) -> Written {
        match self {
            Self::Integer => number::integer(cell, out),
            Self::Text | Self::Uuid => text::text(cell, out),
            Self::Bool => number::boolean(cell, out),
            Self::Float(float) => number::float(cell, *float, out),
            Self::Decimal { scale, nullable } => number::decimal(cell, *scale, *nullable, out),
            Self::Variable { nullable } => number::variable(cell, *nullable, out),
            Self::DecimalDouble => number::decimal_double(cell, out),
            Self::DecimalString { .. } => number::decimal_string(cell, out),
            Self::Money(mode) => number::money(cell, *mode, scratch, out),
            Self::Bytes => binary::bytes(cell, scratch, out),
            Self::Bit => binary::bit(cell, out),
            Self::Bits => binary::bits(cell, scratch, out),
            Self::Point => binary::point(cell, out),
            Self::Date { in_array } => temporal::date(cell, *in_array, out),
            Self::Time(unit) => temporal::time_of_day(cell, *unit, out),
            Self::TimeTz => temporal::timetz(cell, out),
            Self::Timestamp(unit) => temporal::timestamp(cell, *unit, out),
            Self::TimestampTz(digits) => temporal::timestamptz(cell, *digits, out),
            Self::Interval => temporal::interval(cell, out),
            Self::Hstore => text::hstore(cell, scratch, out),
            Self::Array(elements) => array::list(cell, elements, scratch, out),
        }
    }

    /// The value that the server would print as `cell`; None when it cannot be written.
    fn value(&self, cell: &str) -> Option<Value> {
        let mut recorder = Recorder::default();
        self.write(cell.as_bytes(), &mut Scratch::default(), &mut recorder).ok()?;
        recorder.finish()
    }

    /// What Debezium writes for a NOT NULL column that the server did not send (an old row with its key only).
    pub(super) fn not_sent(&self) -> Value {
        let zero = match self {
            Self::Bool => "f",
            Self::Bit | Self::Integer | Self::Float(_) => "0",
            Self::Decimal { .. } | Self::Variable { .. } | Self::DecimalDouble => "0",
            Self::DecimalString { scale } => {
                let places = usize::try_from(*scale).unwrap_or(0);
                return Value::String(format!("0{}{}", if places > 0 { "." } else { "" }, "0".repeat(places)));
            }
            Self::Money(_) => "0.00",
            Self::Date { .. } => "1970-01-01",
            Self::Timestamp(_) => "1970-01-01 00:00:00",
            Self::Time(_) | Self::Interval => "00:00:00",
            Self::TimeTz => "00:00:00+00",
            // Whatever the column's precision, no digits of a second.
            Self::TimestampTz(_) => return Value::String("1970-01-01T00:00:00Z".into()),
            Self::Text | Self::Uuid | Self::Hstore => "",
            Self::Bytes | Self::Bits => return Value::Bytes(Vec::new()),
            Self::Point => "(0,0)",
            Self::Array(_) => "{}",
        };
        self.value(zero).unwrap_or(Value::Null)
    }

    /// What stands for an unchanged TOAST value: the placeholder in the type's own form. Debezium has it for the types
    /// that it knows to be long and writes null for the others, which says that the value is gone.
    pub(super) fn unavailable(&self, placeholder: &str) -> Value {
        let text = || Value::String(placeholder.to_owned());
        let bytes = || Value::Bytes(placeholder.as_bytes().to_vec());
        match self {
            Self::Text | Self::DecimalString { .. } | Self::TimestampTz(_) | Self::TimeTz => text(),
            Self::Bytes | Self::Bits | Self::Decimal { .. } => bytes(),
            Self::Variable { .. } => {
                Value::Struct(vec![(number::SCALE.clone(), Value::Integer(0)), (number::VALUE.clone(), bytes())])
            }
            Self::Uuid => Value::String(super::uuid::name_based(placeholder.as_bytes())),
            Self::Hstore => {
                let mut quoted = Vec::new();
                crate::encode::json::text(placeholder, &mut quoted);
                let object = [b"{", &quoted[..], b":", &quoted[..], b"}"].concat();
                Value::String(String::from_utf8_lossy(&object).into_owned())
            }
            Self::Array(elements) => elements.codec.unavailable_list(placeholder, elements.optional),
            _ => Value::Null,
        }
    }

    fn unavailable_list(&self, placeholder: &str, optional: bool) -> Value {
        let each = |value: fn(u8) -> Value| placeholder.bytes().map(|byte| (optional, value(byte))).collect();
        match self {
            Self::Integer | Self::Date { .. } | Self::Time(_) | Self::Timestamp(_) => {
                Value::List(each(|byte| Value::Integer(i64::from(byte))))
            }
            Self::Float(Float::Single) => Value::List(each(|byte| Value::Single(f32::from(byte)))),
            Self::Float(Float::Double) | Self::DecimalDouble => {
                Value::List(each(|byte| Value::Double(f64::from(byte))))
            }
            Self::Bool | Self::Bit => Value::Null,
            element => Value::List(vec![(optional, element.unavailable(placeholder))]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Json;

    fn codec(kind: &str) -> Option<Codec> {
        let kind = Type::parse(kind).unwrap();
        let column = Column {
            name: "c".into(),
            native: kind.to_string(),
            kind,
            nullable: true,
            labels: vec![],
            note: crate::table::Note::default(),
        };
        Codec::of(&column, &Profile::new("shop"))
    }

    fn written(value: &Value) -> String {
        let mut out = Vec::new();
        value.write(&mut Json::new(&mut out, true));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn types_that_debezium_leaves_out_have_no_codec() {
        for kind in ["other", "multirange", "money[]", "name[]", "interval[]", "varbit[]", "point[]", "xml[]"] {
            assert_eq!(codec(kind), None, "{kind}");
        }
    }

    #[test]
    fn placeholders_have_the_form_of_their_type() {
        let of = |kind: &str| written(&codec(kind).unwrap().unavailable("ph"));
        assert_eq!(of("text"), r#""ph""#);
        assert_eq!(of("bytea"), r#""cGg=""#);
        assert_eq!(of("hstore"), r#""{\"ph\":\"ph\"}""#);
        assert_eq!(of("text[]"), r#"["ph"]"#);
        assert_eq!(of("int4[]"), "[112,104]");
        assert_eq!(of("bytea[]"), r#"["cGg="]"#);
        assert_eq!(of("numeric"), r#"{"scale":0,"value":"cGg="}"#);
        assert_eq!(of("bool[]"), "null");
        let uuids = codec("uuid[]").unwrap().unavailable("__debezium_unavailable_value");
        assert_eq!(written(&uuids), r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#);
    }
}
