//! The JSON Schema of a Connect schema, as text: what JsonSchemaConverter registers, byte for byte.

use crate::encode::connect::{Json, Kind, Member, Schema, Value};
use crate::encode::java::{copied_order, hash_order, sized_order};
use crate::encode::json;

/// JsonSchemaConverter's options that change a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `object.additional.properties`: whether structs may have members that the schema does not name.
    pub additional: bool,
}

impl Options {
    /// JsonSchemaConverter's.
    pub const DEFAULT: Self = Self { additional: true };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Append the schema's text.
pub fn write_schema(schema: &Schema, options: Options, out: &mut Vec<u8>) {
    whole(schema, None, options, out);
}

/// A schema, one of two when it may be null. `index` is its place in a struct.
fn whole(schema: &Schema, index: Option<usize>, options: Options, out: &mut Vec<u8>) {
    if !schema.optional {
        return plain(schema, index, options, out);
    }
    out.push(b'{');
    if let Some(index) = index {
        number(b"\"connect.index\":", index, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"oneOf\":[{\"type\":\"null\"},");
    plain(schema, None, options, out);
    out.extend_from_slice(b"]}");
}

fn plain(schema: &Schema, index: Option<usize>, options: Options, out: &mut Vec<u8>) {
    let start = out.len();
    // The library that prints schemas says of booleans alone at the end what they are.
    if schema.kind != Kind::Boolean {
        text(b",\"type\":", type_name(&schema.kind), out);
    }
    if matches!(schema.kind, Kind::Struct(_)) && !options.additional {
        out.extend_from_slice(b",\"additionalProperties\":false");
    }
    if let Some(name) = &schema.name {
        text(b",\"title\":", name, out);
    }
    if let Some(doc) = &schema.doc {
        text(b",\"description\":", doc, out);
    }
    if let Some(value) = schema.default.as_ref().filter(|value| is_finite(value)) {
        out.extend_from_slice(b",\"default\":");
        default(&schema.kind, value, out);
    }
    properties(schema, index, out);
    match &schema.kind {
        Kind::Array(element) => {
            out.extend_from_slice(b",\"items\":");
            whole(element, None, options, out);
        }
        Kind::Map(types) if is_named(types) => {
            out.extend_from_slice(b",\"additionalProperties\":");
            whole(&types.1, None, options, out);
        }
        Kind::Map(types) => {
            out.extend_from_slice(b",\"items\":{\"type\":\"object\"");
            members([("key", &types.0), ("value", &types.1)].into_iter(), options, out);
            out.push(b'}');
        }
        Kind::Struct(fields) => {
            members(fields.iter().map(|Member { name, schema }| (name.as_str(), schema)), options, out);
        }
        Kind::Boolean => text(b",\"type\":", type_name(&schema.kind), out),
        _ => {}
    }
    out[start] = b'{'; // in place of the first comma
    out.push(b'}');
}

/// `"properties"` in the order of a Java hash map.
fn members<'a>(fields: impl Iterator<Item = (&'a str, &'a Schema)>, options: Options, out: &mut Vec<u8>) {
    let mut fields: Vec<_> = fields.enumerate().collect();
    hash_order(&mut fields, |(_, (name, _))| name.as_bytes());
    for (at, (index, (name, schema))) in fields.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"properties\":{" } else { b"," });
        text(b"", name, out);
        out.push(b':');
        whole(schema, Some(*index), options, out);
    }
    out.extend((!fields.is_empty()).then_some(b'}'));
}

/// What Connect knows of a schema beyond JSON Schema.
fn properties(schema: &Schema, index: Option<usize>, out: &mut Vec<u8>) {
    let mut known: Vec<(&str, Vec<u8>)> = Vec::new();
    if let Some(name) = connect_type(&schema.kind) {
        known.push(("connect.type", quoted(name)));
    }
    if let Some(version) = schema.version {
        known.push(("connect.version", version.to_string().into_bytes()));
    }
    if !schema.parameters.is_empty() {
        let mut parameters: Vec<_> = schema.parameters.iter().collect();
        hash_order(&mut parameters, |(name, _)| name.as_bytes());
        sized_order(&mut parameters, |(name, _)| name.as_bytes());
        let mut object = Vec::new();
        for (at, (name, value)) in parameters.into_iter().enumerate() {
            object.push(if at == 0 { b'{' } else { b',' });
            text(b"", name, &mut object);
            text(b":", value, &mut object);
        }
        object.push(b'}');
        known.push(("connect.parameters", object));
    }
    if let Some(index) = index {
        known.push(("connect.index", index.to_string().into_bytes()));
    }
    // These few names stand in one order in maps of two, four and eight places: it is the same for every Java.
    copied_order(&mut known, |(name, _)| name.as_bytes());
    for (name, value) in known {
        text(b",", name, out);
        out.push(b':');
        out.extend_from_slice(&value);
    }
}

/// Whether a map's keys are text, so that it is an object.
fn is_named((key, _): &(Schema, Schema)) -> bool {
    key.kind == Kind::String && !key.optional
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => "integer",
        Kind::Float32 | Kind::Float64 => "number",
        Kind::String | Kind::Bytes => "string",
        Kind::Map(types) if is_named(types) => "object",
        Kind::Array(_) | Kind::Map(_) => "array",
        Kind::Struct(_) => "object",
    }
}

/// `connect.type`, of kinds that JSON Schema has no type for.
fn connect_type(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Float32 => Some("float32"),
        Kind::Float64 => Some("float64"),
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Bytes | Kind::Map(_) => Some(kind.name()),
        Kind::Boolean | Kind::String | Kind::Array(_) | Kind::Struct(_) => None,
    }
}

/// Whether JSON can hold it: Confluent's converter fails on a default that it cannot.
fn is_finite(value: &Value) -> bool {
    match value {
        Value::Single(number) => number.is_finite(),
        Value::Double(number) => number.is_finite(),
        Value::List(values) => values.iter().all(|(_, value)| is_finite(value)),
        Value::Struct(values) => values.iter().all(|(_, value)| is_finite(value)),
        Value::Map(_, entries) => entries.iter().all(|(key, value)| is_finite(key) && is_finite(value)),
        _ => true,
    }
}

/// A default as it comes back from the library for Java that prints it, and from Jackson, which reads and prints that.
fn default(kind: &Kind, value: &Value, out: &mut Vec<u8>) {
    match (kind, value) {
        (_, Value::Single(_) | Value::Double(_)) => {
            let mut java = Vec::new();
            value.write(&mut Json::entries(&mut java));
            decimal(&java, out);
        }
        (_, Value::String(value)) => text(b"", value, out),
        (Kind::Struct(fields), Value::Struct(values)) => {
            let mut members: Vec<_> = fields.iter().zip(values).collect();
            hash_order(&mut members, |(member, _)| member.name.as_bytes());
            out.push(b'{');
            for (at, (member, (_, value))) in members.into_iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                text(b"", &member.name, out);
                out.push(b':');
                default(&member.schema.kind, value, out);
            }
            out.push(b'}');
        }
        (Kind::Array(element), Value::List(values)) => {
            out.push(b'[');
            for (at, (_, value)) in values.iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                default(&element.kind, value, out);
            }
            out.push(b']');
        }
        _ => value.write(&mut Json::entries(out)),
    }
}

/// A floating point number as Java prints it, `1.50` or `1.5E-7`, as `java.math.BigDecimal` prints it.
fn decimal(java: &[u8], out: &mut Vec<u8>) {
    let Some(at) = java.iter().position(|byte| *byte == b'E') else {
        let cut = java.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + usize::from(java[last] != b'.'));
        return out.extend_from_slice(&java[..cut]);
    };
    let exponent = crate::value::number::integer(&java[at + 1..]).unwrap_or_default();
    let digits = java[..at].strip_prefix(b"-").unwrap_or(&java[..at]);
    let digits: Vec<u8> = digits.iter().copied().filter(u8::is_ascii_digit).collect();
    let scale = i64::try_from(digits.len()).unwrap_or(i64::MAX) - 1 - exponent;
    if scale < 0 || exponent < -6 {
        out.extend_from_slice(&java[..=at]);
        out.extend((exponent > 0).then_some(b'+'));
        return json::integer(exponent, out);
    }
    out.extend(java.starts_with(b"-").then_some(b'-'));
    let whole = usize::try_from(exponent + 1).unwrap_or(0).min(digits.len());
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits[..whole] });
    if scale > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-1 - exponent).unwrap_or(0)));
        out.extend_from_slice(&digits[whole..]);
    }
}

fn number(before: &[u8], number: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    out.extend_from_slice(number.to_string().as_bytes());
}

/// `value` in quotes behind `before`, as Jackson prints it.
fn text(before: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    let written = json::string_raw(value.as_bytes(), out);
    debug_assert!(written.is_some());
}

fn quoted(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    text(b"", value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(java: &str) -> String {
        let mut out = Vec::new();
        decimal(java.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn defaults_are_numbers_as_a_big_decimal_prints_them() {
        for (java, printed_as) in [
            ("0.0", "0"),
            ("-0.0", "-0"),
            ("1.5", "1.5"),
            ("100.0", "100"),
            ("1.0E7", "1.0E+7"),
            ("1.2345678E7", "12345678"),
            ("-1.23456789E7", "-12345678.9"),
            ("1.0E-4", "0.00010"),
            ("1.5E-6", "0.0000015"),
            ("1.5E-7", "1.5E-7"),
            ("1.0E100", "1.0E+100"),
        ] {
            assert_eq!(printed(java), printed_as, "{java}");
        }
    }
}
