//! Kafka Connect's schemas as JSON (`JsonConverter` with `schemas.enable`): which columns they describe, and how the
//! values of each are read.

use super::decode::{BITS_MAX, Decoder};
use super::scan::{Scanner, owned};
use super::temporal::Unit;
use crate::error::{Error, Result};
use crate::table::{Column, Note, Type};

/// Structs in lists in structs that are followed; Debezium's rows lie in the second.
const DEPTH_MAX: usize = 32;
const PROPAGATED: &str = "__debezium.source.column.";

/// One schema, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Schema {
    kind: String,
    name: String,
    field: String,
    optional: bool,
    parameters: Vec<(String, String)>,
    fields: Vec<Schema>,
    items: Option<Box<Schema>>,
    /// A map's keys and values are texts.
    texts: [bool; 2],
}

impl Schema {
    /// Read the object that comes next.
    pub(super) fn read(scanner: &mut Scanner<'_>) -> Result<Self> {
        Self::nested(scanner, DEPTH_MAX)
    }

    fn nested(scanner: &mut Scanner<'_>, depth: usize) -> Result<Self> {
        let depth = depth.checked_sub(1).ok_or_else(|| scanner.fault("a schema that is nested too deeply"))?;
        let mut schema = Self::default();
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.member(&mut first)? {
            match name.raw {
                b"type" if scanner.peek()? == b'"' => schema.kind = text(scanner)?,
                b"name" if scanner.peek()? == b'"' => schema.name = text(scanner)?,
                b"field" if scanner.peek()? == b'"' => schema.field = text(scanner)?,
                b"optional" => schema.optional = scanner.boolean()?.unwrap_or(false),
                b"parameters" if scanner.peek()? == b'{' => schema.parameters = parameters(scanner)?,
                b"fields" if scanner.peek()? == b'[' => schema.fields = Self::list(scanner, depth)?,
                b"items" if scanner.peek()? == b'{' => schema.items = Some(Box::new(Self::nested(scanner, depth)?)),
                b"keys" if scanner.peek()? == b'{' => schema.texts[0] = Self::nested(scanner, depth)?.is_text(),
                b"values" if scanner.peek()? == b'{' => schema.texts[1] = Self::nested(scanner, depth)?.is_text(),
                _ => drop(scanner.skip()?),
            }
        }
        Ok(schema)
    }

    fn list(scanner: &mut Scanner<'_>, depth: usize) -> Result<Vec<Self>> {
        let mut list = Vec::new();
        scanner.open(b'[')?;
        let mut first = true;
        while scanner.element(&mut first)? {
            list.push(Self::nested(scanner, depth)?);
        }
        Ok(list)
    }

    fn is_text(&self) -> bool {
        self.kind == "string"
    }

    /// Its full name; empty without one.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.fields.iter().find(|field| field.field == name)
    }

    /// Whether it is a struct, whose fields are columns.
    pub(super) fn is_struct(&self) -> bool {
        self.kind == "struct"
    }

    /// The columns of a struct, each with its decoder.
    pub(super) fn columns(&self) -> Vec<(Column, Decoder)> {
        self.fields.iter().map(|field| field.column(&field.field)).collect()
    }

    /// This schema as a column.
    pub(super) fn column(&self, name: &str) -> (Column, Decoder) {
        let (kind, decoder, other) = self.decoder();
        let native = other.map_or_else(|| native(&kind), str::to_owned);
        let labels = match &kind {
            Type::Enum => self.parameter("allowed").map(|labels| labels.split(',').map(str::to_owned).collect()),
            _ => None,
        };
        let (nullable, labels) = (self.optional, labels.unwrap_or_default());
        (Column { name: name.to_owned(), kind, native, nullable, labels, note: Note::default() }, decoder)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The portable type, how its values are read, and the type's name where the portable one is `other`.
    fn decoder(&self) -> (Type, Decoder, Option<&'static str>) {
        if let Some((kind, decoder)) = self.semantic() {
            return (kind, decoder, None);
        }
        let plain = |kind, decoder| (kind, decoder, None);
        match (self.name.as_str(), self.kind.as_str()) {
            ("io.debezium.data.geometry.Geometry", "struct") => (Type::Other, Decoder::Geometry, Some("geometry")),
            ("io.debezium.data.geometry.Geography", "struct") => (Type::Other, Decoder::Geometry, Some("geography")),
            ("io.debezium.data.DoubleVector", "array") => {
                (Type::Other, Decoder::Vector(Box::new(Decoder::Float4)), Some("vector"))
            }
            ("io.debezium.data.FloatVector", "array") => {
                (Type::Other, Decoder::Vector(Box::new(Decoder::Float4)), Some("halfvec"))
            }
            (_, "boolean") => plain(Type::Bool, Decoder::Bool),
            (_, "int8" | "int16") => plain(Type::Int2, Decoder::Integer),
            (_, "int32") => plain(Type::Int4, Decoder::Integer),
            (_, "int64") => plain(Type::Int8, Decoder::Integer),
            (_, "float" | "float32") => plain(Type::Float4, Decoder::Float4),
            (_, "double" | "float64") => plain(Type::Float8, Decoder::Float8),
            (_, "string") => plain(self.propagated().unwrap_or(Type::Text), Decoder::Text),
            (_, "bytes") => plain(Type::Bytea, Decoder::Bytes),
            (_, "map") if self.texts == [true, true] => plain(Type::Hstore, Decoder::Hstore),
            (_, "array") => match self.items.as_ref().map(|items| items.decoder()) {
                // A list of what is no plain value stays JSON: an array literal of it would have to be parsed twice.
                None | Some((_, Decoder::Json | Decoder::Hstore | Decoder::Vector(_), _)) => {
                    plain(Type::Json, Decoder::Json)
                }
                Some((Type::Other, decoder, other)) => {
                    (Type::Array(Box::new(Type::Other)), Decoder::Array(Box::new(decoder)), other)
                }
                Some((kind, decoder, _)) => {
                    let kind = if let Type::Array(_) = kind { kind } else { Type::Array(Box::new(kind)) };
                    let decoder =
                        if let Decoder::Array(_) = decoder { decoder } else { Decoder::Array(Box::new(decoder)) };
                    plain(kind, decoder)
                }
            },
            _ => plain(Type::Json, Decoder::Json),
        }
    }

    /// Types that have a name of their own: Debezium's and Connect's.
    fn semantic(&self) -> Option<(Type, Decoder)> {
        let number = |name| self.parameter(name).and_then(|text| text.parse::<i32>().ok());
        let (package, name) = self.name.rsplit_once('.')?;
        let found = match (package, name, self.kind.as_str()) {
            ("org.apache.kafka.connect.data", "Decimal", "bytes") => {
                let scale = number("scale").unwrap_or(0);
                let size = number("connect.decimal.precision").zip(number("scale"));
                let size = size.and_then(|(p, s)| Some((u16::try_from(p).ok()?, i16::try_from(s).ok()?)));
                (Type::Numeric(size), Decoder::Decimal { scale })
            }
            ("io.debezium.data", "VariableScaleDecimal", "struct") => (Type::Numeric(None), Decoder::Variable),
            ("io.debezium.data", "Bits", "bytes") => {
                match number("length").and_then(|length| u32::try_from(length).ok()).filter(|n| *n <= BITS_MAX) {
                    Some(length) => (Type::Bit(length), Decoder::Bits(Some(length))),
                    None => (Type::Varbit(None), Decoder::Bits(None)),
                }
            }
            ("io.debezium.data", "Json", "string") => (self.propagated().unwrap_or(Type::Json), Decoder::Text),
            ("io.debezium.data", "Xml", "string") => (Type::Xml, Decoder::Text),
            ("io.debezium.data", "Uuid", "string") => (Type::Uuid, Decoder::Text),
            ("io.debezium.data", "Enum", "string") => (Type::Enum, Decoder::Text),
            ("io.debezium.data", "Ltree", "string") => (Type::Ltree, Decoder::Text),
            ("io.debezium.data", "Tsvector", "string") => (Type::Tsvector, Decoder::Text),
            ("io.debezium.data.geometry", "Point", "struct") => (Type::Point, Decoder::Point),
            ("io.debezium.time", _, _) => temporal(name, &self.kind)?,
            ("org.apache.kafka.connect.data", "Date", "int32") => (Type::Date, Decoder::Date),
            ("org.apache.kafka.connect.data", "Time", "int32") => (Type::Time(3), Decoder::Time(Unit::Millis)),
            ("org.apache.kafka.connect.data", "Timestamp", "int64") => {
                (Type::Timestamp(3), Decoder::Timestamp(Unit::Millis))
            }
            _ => return None,
        };
        Some(found)
    }

    /// The type of the source's column, where `column.propagate.source.type` has put it and its values are texts.
    fn propagated(&self) -> Option<Type> {
        let part = |name: &str| self.parameter(&format!("{PROPAGATED}{name}"));
        let name = part("type")?.to_ascii_lowercase();
        let sized = part("length").map(|length| format!("{name}({length})")).and_then(|text| Type::parse(&text));
        let kind = sized.or_else(|| Type::parse(&name))?;
        match kind {
            Type::Varchar(_) | Type::Bpchar(_) | Type::Name | Type::Citext | Type::Jsonb | Type::Range(_) => Some(kind),
            Type::Inet | Type::Cidr | Type::Macaddr | Type::Macaddr8 => Some(kind),
            _ => None,
        }
    }
}

fn temporal(name: &str, kind: &str) -> Option<(Type, Decoder)> {
    Some(match (name, kind) {
        ("Date", "int32") => (Type::Date, Decoder::Date),
        ("Time", "int32") => (Type::Time(3), Decoder::Time(Unit::Millis)),
        ("MicroTime", "int64") => (Type::Time(6), Decoder::Time(Unit::Micros)),
        ("NanoTime", "int64") => (Type::Time(6), Decoder::Time(Unit::Nanos)),
        ("Timestamp", "int64") => (Type::Timestamp(3), Decoder::Timestamp(Unit::Millis)),
        ("MicroTimestamp", "int64") => (Type::Timestamp(6), Decoder::Timestamp(Unit::Micros)),
        ("NanoTimestamp", "int64") => (Type::Timestamp(6), Decoder::Timestamp(Unit::Nanos)),
        ("IsoDate", "string") => (Type::Date, Decoder::IsoDate),
        ("IsoTime", "string") => (Type::Time(6), Decoder::IsoTime),
        ("IsoTimestamp", "string") => (Type::Timestamp(6), Decoder::IsoTimestamp),
        ("ZonedTime", "string") => (Type::TimeTz(6), Decoder::ZonedTime),
        ("ZonedTimestamp", "string") => (Type::TimestampTz(6), Decoder::ZonedTimestamp),
        ("MicroDuration", "int64") => (Type::Interval, Decoder::Interval),
        ("Interval", "string") => (Type::Interval, Decoder::IsoInterval),
        _ => return None,
    })
}

fn text(scanner: &mut Scanner<'_>) -> Result<String> {
    let at = scanner.at();
    owned(scanner.string()?).ok_or_else(|| Error::malformed("a string with an escape that is not JSON's", at))
}

fn parameters(scanner: &mut Scanner<'_>) -> Result<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    scanner.open(b'{')?;
    let mut first = true;
    while let Some(name) = scanner.member(&mut first)? {
        let name = owned(name).unwrap_or_default();
        if scanner.peek()? == b'"' {
            parameters.push((name, text(scanner)?));
        } else {
            scanner.skip()?;
        }
    }
    Ok(parameters)
}

/// PostgreSQL's spelling of a type, as `format_type` prints it: what a sink makes a column of.
pub(super) fn native(kind: &Type) -> String {
    let timed = |name: &str, digits: u8, zone: &str| match digits {
        6.. => format!("{name} {zone} time zone"),
        _ => format!("{name}({digits}) {zone} time zone"),
    };
    let sized = |name: &str, size: Option<u32>| size.map_or_else(|| name.to_owned(), |size| format!("{name}({size})"));
    match kind {
        Type::Bool => "boolean".into(),
        Type::Int2 => "smallint".into(),
        Type::Int4 => "integer".into(),
        Type::Int8 => "bigint".into(),
        Type::Float4 => "real".into(),
        Type::Float8 => "double precision".into(),
        Type::Varchar(size) => sized("character varying", *size),
        Type::Bpchar(size) => sized("character", *size),
        Type::Varbit(size) => sized("bit varying", *size),
        Type::Time(digits) => timed("time", *digits, "without"),
        Type::TimeTz(digits) => timed("time", *digits, "with"),
        Type::Timestamp(digits) => timed("timestamp", *digits, "without"),
        Type::TimestampTz(digits) => timed("timestamp", *digits, "with"),
        Type::Array(element) => format!("{}[]", native(element)),
        // An event does not say which enum it is.
        Type::Enum => "text".into(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(schema: &str) -> (String, String, Decoder) {
        let (column, decoder) = Schema::read(&mut Scanner::new(schema.as_bytes(), 0)).unwrap().column("c");
        (column.kind.to_string(), column.native, decoder)
    }

    #[test]
    fn schemas_name_portable_types() {
        for (schema, kind, native) in [
            (r#"{"type":"int16"}"#, "int2", "smallint"),
            (r#"{"type":"double","optional":true}"#, "float8", "double precision"),
            (
                r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal",
                    "parameters":{"scale":"2","connect.decimal.precision":"12"}}"#,
                "numeric(12,2)",
                "numeric(12,2)",
            ),
            (r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal"}"#, "numeric", "numeric"),
            (
                r#"{"type":"int64","name":"io.debezium.time.Timestamp"}"#,
                "timestamp(3)",
                "timestamp(3) without time zone",
            ),
            (
                r#"{"type":"string","name":"io.debezium.time.ZonedTimestamp"}"#,
                "timestamptz",
                "timestamp with time zone",
            ),
            (r#"{"type":"string","name":"io.debezium.data.Enum","parameters":{"allowed":"a,b"}}"#, "enum", "text"),
            (r#"{"type":"array","items":{"type":"int32","optional":true}}"#, "int4[]", "integer[]"),
            (r#"{"type":"array","items":{"type":"map"}}"#, "json", "json"),
            (r#"{"type":"map","keys":{"type":"string"},"values":{"type":"string"}}"#, "hstore", "hstore"),
            (
                r#"{"type":"string","parameters":{"__debezium.source.column.type":"VARCHAR",
                    "__debezium.source.column.length":"20"}}"#,
                "varchar(20)",
                "character varying(20)",
            ),
            (r#"{"type":"struct","name":"of.another","fields":[]}"#, "json", "json"),
            (r#"{"type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"10"}}"#, "bit(10)", "bit(10)"),
        ] {
            let (found, spelled, _) = column(schema);
            assert_eq!((found.as_str(), spelled.as_str()), (kind, native), "{schema}");
        }
    }

    #[test]
    fn hostile_schemas_are_errors() {
        for text in ["", "[]", "{\"fields\":[1]}", "{\"type\":\"\\x\"}", "{\"items\":{"] {
            assert!(Schema::read(&mut Scanner::new(text.as_bytes(), 0)).is_err(), "{text}");
        }
        let deep = "{\"items\":".repeat(100_000);
        assert!(Schema::read(&mut Scanner::new(deep.as_bytes(), 0)).is_err());
    }
}
