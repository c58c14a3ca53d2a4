//! What a column's cells become: chosen once for a table version, by the portable type and the profile.

use super::array::Elements;
use super::mask::Mask;
use super::profile::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, Profile};
use super::temporal::{self, Unit};
use super::{array, binary, number, schema, text, vector};
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
    Decimal {
        scale: i16,
        nullable: bool,
    },
    Variable {
        nullable: bool,
    },
    DecimalDouble,
    DecimalString {
        scale: i16,
    },
    Money {
        mode: DecimalMode,
        digits: i16,
    },
    Text,
    Uuid,
    Bytes(BinaryMode),
    Bit,
    Bits,
    Point,
    Date {
        in_array: bool,
        text: Option<Unit>,
    },
    Time(Unit),
    TimeTz,
    Timestamp {
        unit: Unit,
        nullable: bool,
    },
    TimestampTz(u8),
    Interval,
    IntervalText,
    Hstore,
    HstoreMap,
    Vector(Float),
    Sparse,
    Spaced,
    Geometry,
    Unknown {
        mode: BinaryMode,
        geometric: bool,
    },
    Boxes(BinaryMode),
    Geometries,
    Array(Box<Elements>),
    /// A value that is masked before it is written.
    Masked(Box<(Codec, Mask)>),
}

/// A type outside of the closed set of portable ones, by its name: an extension's type may lie in any schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    Text,
    Vector(Float),
    Sparse,
    Int2Vector,
    OidVector,
    Geometry,
    Geography,
    /// Unknown to Debezium, and known to its JDBC driver.
    Geometric,
    Boxes,
    Geometries,
    Geographies,
    Unknown,
    /// An array whose elements are not to be told apart.
    Array,
}

impl Foreign {
    /// `native` is the server's spelling, of an array's element without its brackets.
    pub(super) fn of(native: &str) -> Self {
        let name = native.split('(').next().unwrap_or_default();
        let is_array = native.ends_with("[]");
        match name.rsplit('.').next().unwrap_or_default().trim_end_matches("[]") {
            "box" if is_array => Self::Boxes,
            "geometry" if is_array => Self::Geometries,
            "geography" if is_array => Self::Geographies,
            _ if is_array => Self::Array,
            "\"char\"" | "isbn" => Self::Text,
            "vector" => Self::Vector(Float::Double),
            "halfvec" => Self::Vector(Float::Single),
            "sparsevec" => Self::Sparse,
            "int2vector" => Self::Int2Vector,
            "oidvector" => Self::OidVector,
            "geometry" => Self::Geometry,
            "geography" => Self::Geography,
            "line" | "lseg" | "box" | "path" | "polygon" | "circle" => Self::Geometric,
            _ => Self::Unknown,
        }
    }
}

impl Codec {
    /// The codec of a column; None for types that Debezium leaves out of its events.
    pub(super) fn of(column: &Column, profile: &Profile) -> Option<Self> {
        match &column.kind {
            Type::Array(element) => {
                let native = column.native.strip_suffix("[]").unwrap_or(&column.native);
                let optional = schema::may_be_null(element, native);
                Some(Self::Array(Box::new(Elements { codec: Self::element(element, native, profile)?, optional })))
            }
            Type::Other => Self::foreign(Foreign::of(&column.native), profile),
            kind => Self::scalar(kind, column.nullable, profile),
        }
    }

    /// Debezium has no arrays of these types.
    fn element(kind: &Type, native: &str, profile: &Profile) -> Option<Self> {
        match kind {
            Type::Money | Type::Name | Type::Interval | Type::Varbit(_) | Type::Point | Type::Xml => None,
            Type::Array(_) => None,
            Type::Other if native == "refcursor" => None,
            Type::Date => Some(Self::Date { in_array: true, text: Unit::of_date(profile.time) }),
            Type::Other => Self::foreign(Foreign::of(native), profile),
            kind => Self::scalar(kind, true, profile),
        }
    }

    fn foreign(foreign: Foreign, profile: &Profile) -> Option<Self> {
        let mode = profile.binary;
        match foreign {
            Foreign::Text => Some(Self::Text),
            Foreign::Vector(float) => Some(Self::Vector(float)),
            Foreign::Sparse => Some(Self::Sparse),
            Foreign::Int2Vector | Foreign::OidVector => Some(Self::Spaced),
            Foreign::Geometry | Foreign::Geography => Some(Self::Geometry),
            Foreign::Geometries | Foreign::Geographies => Some(Self::Geometries),
            Foreign::Boxes => profile.unknown.then_some(Self::Boxes(mode)),
            Foreign::Geometric => profile.unknown.then_some(Self::Unknown { mode, geometric: true }),
            Foreign::Unknown => profile.unknown.then_some(Self::Unknown { mode, geometric: false }),
            Foreign::Array => None,
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
            Type::Money => Self::Money { mode: profile.decimal, digits: profile.money_digits },
            Type::Bytea => Self::Bytes(profile.binary),
            Type::Date => Self::Date { in_array: false, text: Unit::of_date(profile.time) },
            Type::Time(digits) => Self::Time(Unit::of_time(*digits, profile.time)),
            Type::TimeTz(_) => Self::TimeTz,
            Type::Timestamp(digits) => Self::Timestamp { unit: Unit::of_timestamp(*digits, profile.time), nullable },
            Type::TimestampTz(digits) => Self::TimestampTz(*digits),
            Type::Interval if profile.interval == IntervalMode::String => Self::IntervalText,
            Type::Interval => Self::Interval,
            Type::Bit(1) | Type::Varbit(Some(1)) => Self::Bit,
            Type::Bit(_) | Type::Varbit(_) => Self::Bits,
            Type::Hstore if profile.hstore == HstoreMode::Map => Self::HstoreMap,
            Type::Hstore => Self::Hstore,
            Type::Point => Self::Point,
            Type::Uuid => Self::Uuid,
            Type::Multirange => return Self::foreign(Foreign::Unknown, profile),
            Type::Array(_) | Type::Other => return None,
            Type::Text | Type::Varchar(_) | Type::Bpchar(_) | Type::Name | Type::Citext => Self::Text,
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
            Self::Money { mode, digits } => number::money(cell, *mode, *digits, scratch, out),
            Self::Bytes(mode) => binary::bytes(cell, *mode, scratch, out),
            Self::Bit => binary::bit(cell, out),
            Self::Bits => binary::bits(cell, scratch, out),
            Self::Point => binary::point(cell, out),
            Self::Date { in_array, text } => temporal::date(cell, *in_array, *text, out),
            Self::Time(unit) => temporal::time_of_day(cell, *unit, out),
            Self::TimeTz => temporal::timetz(cell, out),
            Self::Timestamp { unit, nullable } => temporal::timestamp(cell, *unit, *nullable, out),
            Self::TimestampTz(digits) => temporal::timestamptz(cell, *digits, out),
            Self::Interval => temporal::interval(cell, out),
            Self::IntervalText => temporal::interval_text(cell, out),
            Self::Hstore => text::hstore(cell, scratch, out),
            Self::HstoreMap => text::hstore_map(cell, out),
            Self::Vector(float) => vector::dense(cell, *float, out),
            Self::Sparse => vector::sparse(cell, out),
            Self::Spaced => vector::spaced(cell, out),
            Self::Geometry => binary::geometry(cell, scratch, out),
            Self::Unknown { mode, geometric } => binary::unknown(cell, *mode, *geometric, scratch, out),
            Self::Boxes(mode) => binary::boxes(cell, *mode, scratch, out),
            Self::Geometries => binary::geometries(cell, scratch, out),
            Self::Array(elements) => array::list(cell, elements, scratch, out),
            Self::Masked(masked) => {
                let mut recorder = Recorder::default();
                masked.0.write(cell, scratch, &mut recorder)?;
                hidden(masked, recorder.finish().unwrap_or(Value::Null)).write(out);
                Ok(())
            }
        }
    }

    /// The value that the server would print as `cell`; None when it cannot be written.
    pub(super) fn value(&self, cell: &str) -> Option<Value> {
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
            Self::DecimalString { scale } => return Value::String(zero_of(*scale)),
            Self::Money { mode: DecimalMode::String, digits } => return Value::String(zero_of(*digits)),
            Self::Money { .. } => "0.00",
            Self::Date { .. } => "1970-01-01",
            Self::Timestamp { .. } => "1970-01-01 00:00:00",
            Self::Time(_) | Self::Interval | Self::IntervalText => "00:00:00",
            Self::TimeTz => "00:00:00+00",
            // Whatever the column's precision, no digits of a second.
            Self::TimestampTz(_) => return Value::String("1970-01-01T00:00:00Z".into()),
            Self::Text | Self::Uuid | Self::Hstore | Self::HstoreMap | Self::Spaced => "",
            Self::Bytes(_) => "\\x",
            Self::Unknown { .. } => "",
            Self::Bits => return Value::Bytes(Vec::new()),
            Self::Point => "(0,0)",
            Self::Vector(_) => return Value::List(Vec::new()),
            Self::Sparse => "{}/0",
            Self::Geometry => "010700000000000000",
            Self::Array(_) | Self::Boxes(_) | Self::Geometries => "{}",
            Self::Masked(masked) => return hidden(masked, masked.0.not_sent()),
        };
        self.value(zero).unwrap_or(Value::Null)
    }

    /// A value that did not come from a cell, as the codec shows it.
    pub(super) fn shown(&self, value: Value) -> Value {
        match self {
            Self::Masked(masked) => hidden(masked, value),
            _ => value,
        }
    }

    /// What stands for null, if it is not null.
    pub(super) fn null(&self) -> Option<Value> {
        match self {
            Self::Masked(masked) => Some(hidden(masked, Value::Null)).filter(|value| *value != Value::Null),
            _ => None,
        }
    }

    /// What stands for an unchanged TOAST value: the placeholder in the type's own form. Debezium has it for the types
    /// that it knows to be long and writes null for the others, which says that the value is gone.
    pub(super) fn unavailable(&self, placeholder: &[u8]) -> Value {
        let text = String::from_utf8_lossy(placeholder);
        let bytes = || Value::Bytes(placeholder.to_vec());
        match self {
            Self::Text | Self::DecimalString { .. } | Self::TimestampTz(_) | Self::TimeTz => Value::String(text.into()),
            Self::Date { text: Some(_), .. } | Self::Time(Unit::Iso | Unit::Local) => Value::String(text.into()),
            Self::Timestamp { unit: Unit::Iso | Unit::Local, .. } => Value::String(text.into()),
            Self::Bytes(mode) | Self::Unknown { mode, .. } => handled(*mode, placeholder),
            Self::Bits | Self::Decimal { .. } => bytes(),
            Self::Variable { .. } => {
                Value::Struct(vec![(number::SCALE.clone(), Value::Integer(0)), (number::VALUE.clone(), bytes())])
            }
            Self::Uuid => Value::String(super::uuid::name_based(placeholder)),
            Self::Hstore => {
                let mut quoted = Vec::new();
                crate::encode::json::text(&text, &mut quoted);
                let object = [b"{", &quoted[..], b":", &quoted[..], b"}"].concat();
                Value::String(String::from_utf8_lossy(&object).into_owned())
            }
            Self::HstoreMap => {
                let text = Value::String(text.into());
                Value::Map(true, vec![(text.clone(), text)])
            }
            Self::Vector(float) => numbers(placeholder, false, *float),
            Self::Geometry => binary::geometry_of(placeholder),
            Self::Boxes(mode) => Value::List(vec![(false, handled(*mode, placeholder))]),
            Self::Geometries => Value::List(vec![(true, binary::geometry_of(placeholder))]),
            Self::Array(elements) => elements.codec.unavailable_list(placeholder, elements.optional),
            Self::Masked(masked) => hidden(masked, masked.0.unavailable(placeholder)),
            _ => Value::Null,
        }
    }

    fn unavailable_list(&self, placeholder: &[u8], optional: bool) -> Value {
        let integers = || placeholder.iter().map(|byte| (optional, Value::Integer(i64::from(*byte as i8)))).collect();
        match self.unavailable(placeholder) {
            Value::Null => match self {
                Self::Integer | Self::Date { .. } | Self::Time(_) | Self::Timestamp { .. } => Value::List(integers()),
                Self::Float(float) => numbers(placeholder, optional, *float),
                Self::DecimalDouble => numbers(placeholder, optional, Float::Double),
                _ => Value::Null,
            },
            element => Value::List(vec![(optional, element)]),
        }
    }
}

/// A list of one number for each byte, which is signed in Java.
fn numbers(placeholder: &[u8], optional: bool, float: Float) -> Value {
    let number = |byte: &u8| match float {
        Float::Single => Value::Single(f32::from(*byte as i8)),
        Float::Double => Value::Double(f64::from(*byte as i8)),
    };
    Value::List(placeholder.iter().map(|byte| (optional, number(byte))).collect())
}

/// The placeholder where binary values are as `mode` says. Debezium has it as it is where they are hex.
fn handled(mode: BinaryMode, placeholder: &[u8]) -> Value {
    if mode == BinaryMode::Hex {
        return Value::String(String::from_utf8_lossy(placeholder).into_owned());
    }
    let mut recorder = Recorder::default();
    let written = binary::handled(placeholder, mode, &mut recorder);
    debug_assert!(written.is_ok());
    recorder.finish().unwrap_or(Value::Null)
}

/// Zero with so many digits after the point.
fn zero_of(scale: i16) -> String {
    let places = usize::try_from(scale).unwrap_or(0);
    format!("0{}{}", if places > 0 { "." } else { "" }, "0".repeat(places))
}

/// A value, masked: bytes are cut where they are what the column holds, not where they stand for a number.
fn hidden((codec, mask): &(Codec, Mask), value: Value) -> Value {
    match (codec, &value) {
        (Codec::Bytes(_), _) | (_, Value::String(_) | Value::Null) => mask.value(value),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Json;

    fn column(kind: Type, native: &str) -> Column {
        let note = crate::table::Note::default();
        Column { name: "c".into(), native: native.into(), kind, nullable: true, labels: vec![], note }
    }

    fn codec(kind: &str) -> Option<Codec> {
        let kind = Type::parse(kind).unwrap();
        let native = kind.to_string();
        Codec::of(&column(kind, &native), &Profile::new("shop"))
    }

    #[test]
    fn types_of_extensions_are_known_with_their_modifiers() {
        for (native, foreign) in [
            ("postgis.geometry(Point,4326)", Foreign::Geometry),
            ("public.geometry(Point,4326)[]", Foreign::Geometries),
            ("geography[]", Foreign::Geographies),
            ("box[]", Foreign::Boxes),
            ("box", Foreign::Geometric),
            ("public.other(1,2)[]", Foreign::Array),
            ("vector(3)", Foreign::Vector(Float::Double)),
        ] {
            assert_eq!(Foreign::of(native), foreign, "{native}");
        }
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
    fn arrays_of_refcursor_are_left_out_among_unknown_types_too() {
        let profile = Profile::parse([("topic_prefix", "shop"), ("include_unknown_datatypes", "true")]).unwrap();
        let array = |native| Codec::of(&column(Type::Array(Box::new(Type::Other)), native), &profile);
        assert_eq!(array("refcursor[]"), None);
        assert_ne!(array("jsonpath[]"), None);
    }

    #[test]
    fn placeholders_have_the_form_of_their_type() {
        let of = |kind: &str| written(&codec(kind).unwrap().unavailable(b"ph"));
        assert_eq!(of("text"), r#""ph""#);
        assert_eq!(of("bytea"), r#""cGg=""#);
        assert_eq!(of("hstore"), r#""{\"ph\":\"ph\"}""#);
        assert_eq!(of("text[]"), r#"["ph"]"#);
        assert_eq!(of("int4[]"), "[112,104]");
        assert_eq!(of("bytea[]"), r#"["cGg="]"#);
        assert_eq!(of("numeric"), r#"{"scale":0,"value":"cGg="}"#);
        assert_eq!(of("bool[]"), "null");
        let uuids = codec("uuid[]").unwrap().unavailable(b"__debezium_unavailable_value");
        assert_eq!(written(&uuids), r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#);
    }
}
