//! The Avro schema of a Connect schema, as text: what AvroConverter registers, byte for byte.

use rustc_hash::FxHashMap;

use crate::encode::connect::{Json, Kind, Schema, Value};
use crate::encode::{json, scrub};

/// AvroConverter's options that change a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `connect.meta.data`: whether what Connect knows beyond Avro stands in `connect.…` properties.
    pub meta: bool,
    /// `scrub.invalid.names`: whether names that Avro does not allow are made into some that it does.
    pub scrub: bool,
}

impl Options {
    /// AvroConverter's.
    pub const DEFAULT: Self = Self { meta: true, scrub: false };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const NAMESPACE: &str = "io.confluent.connect.avro";
const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

/// Append the schema's text.
///
/// # Errors
/// When Avro allows a name of it not, or two structs of one name differ: which, in words.
pub fn write_schema(schema: &Schema, options: Options, out: &mut Vec<u8>) -> Result<(), String> {
    let mut writer = Writer { options, named: FxHashMap::default(), space: None, nameless: 0 };
    writer.whole(schema, out)
}

/// A schema in the making.
struct Writer<'a> {
    options: Options,
    /// Records so far: the name that Connect has for each, and its members.
    named: FxHashMap<String, &'a Schema>,
    /// The namespace that surrounds what comes next.
    space: Option<String>,
    nameless: usize,
}

impl<'a> Writer<'a> {
    /// A schema, in a union with null when it is optional; what has a default stands first there.
    fn whole(&mut self, schema: &'a Schema, out: &mut Vec<u8>) -> Result<(), String> {
        match (schema.optional, &schema.default) {
            (false, _) => self.plain(schema, out),
            (true, None) => {
                out.extend_from_slice(b"[\"null\",");
                self.plain(schema, out)?;
                out.push(b']');
                Ok(())
            }
            (true, Some(_)) => {
                out.push(b'[');
                self.plain(schema, out)?;
                out.extend_from_slice(b",\"null\"]");
                Ok(())
            }
        }
    }

    fn plain(&mut self, schema: &'a Schema, out: &mut Vec<u8>) -> Result<(), String> {
        if matches!(schema.kind, Kind::Struct(_)) {
            return self.record(schema, out);
        }
        let name = match schema.kind {
            Kind::Boolean => "boolean",
            Kind::Int8 | Kind::Int16 | Kind::Int32 => "int",
            Kind::Int64 => "long",
            Kind::Float32 => "float",
            Kind::Float64 => "double",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Map(ref types) if types.0.kind == Kind::String && !types.0.optional => "map",
            Kind::Array(_) | Kind::Map(_) | Kind::Struct(_) => "array",
        };
        let mut properties = Vec::new();
        if schema.name.as_deref() == Some(DECIMAL) {
            let number = |name: &str| schema.parameters.iter().find(|(known, _)| known == name).map(|pair| &*pair.1);
            let scale = number("scale").unwrap_or("0");
            let precision = number("connect.decimal.precision").unwrap_or("64");
            properties.extend_from_slice(format!(",\"scale\":{scale},\"precision\":{precision}").as_bytes());
        }
        self.properties(schema, &mut properties);
        if let Some(logical) = logical(schema) {
            member(b",\"logicalType\":", logical, &mut properties);
        }
        let compound = matches!(schema.kind, Kind::Array(_) | Kind::Map(_));
        if properties.is_empty() && !compound {
            member(b"", name, out);
            return Ok(());
        }
        member(b"{\"type\":", name, out);
        match &schema.kind {
            Kind::Array(element) => {
                out.extend_from_slice(b",\"items\":");
                self.whole(element, out)?;
            }
            Kind::Map(types) => self.map(schema, types, out)?,
            _ => {}
        }
        out.extend_from_slice(&properties);
        out.push(b'}');
        Ok(())
    }

    /// A map's values, or, when its keys are no text, the record that an entry becomes.
    fn map(&mut self, schema: &'a Schema, types: &'a (Schema, Schema), out: &mut Vec<u8>) -> Result<(), String> {
        if types.0.kind == Kind::String && !types.0.optional {
            out.extend_from_slice(b",\"values\":");
            return self.whole(&types.1, out);
        }
        out.extend_from_slice(b",\"items\":");
        let (space, name) = match &schema.name {
            Some(name) => self.split(name),
            None => (Some(NAMESPACE.to_owned()), "MapEntry".to_owned()),
        };
        self.open(space, &name, out)?;
        let around = self.space.clone();
        for (at, (name, schema)) in [("key", &types.0), ("value", &types.1)].into_iter().enumerate() {
            self.field(at, name, schema, out)?;
        }
        self.space = around;
        out.push(b']');
        if self.options.meta && schema.name.is_some() {
            member(b",\"connect.internal.type\":", "MapEntry", out);
        }
        out.push(b'}');
        Ok(())
    }

    /// A struct: whole where it first appears, by its name later.
    fn record(&mut self, schema: &'a Schema, out: &mut Vec<u8>) -> Result<(), String> {
        let (space, name) = match &schema.name {
            Some(name) => self.split(name),
            None => {
                self.nameless += 1;
                let number = if self.nameless > 1 { self.nameless.to_string() } else { String::new() };
                (Some(NAMESPACE.to_owned()), format!("ConnectDefault{number}"))
            }
        };
        let full = space.as_ref().map_or_else(|| name.clone(), |space| format!("{space}.{name}"));
        if let Some(seen) = self.named.get(&full) {
            if seen.kind != schema.kind {
                return Err(format!("two records of the name {full:?} that are not the same"));
            }
            // Confluent's converter refuses a second one with another default; its values are written alike.
            member(b"", if space == self.space { &name } else { &full }, out);
            return Ok(());
        }
        self.named.insert(full, schema);
        let around = self.space.clone();
        self.open(space, &name, out)?;
        for (at, field) in schema.members().iter().enumerate() {
            let name = if self.options.scrub { scrubbed(&field.name) } else { field.name.clone() };
            self.field(at, &name, &field.schema, out)?;
        }
        self.space = around;
        out.push(b']');
        self.properties(schema, out);
        out.push(b'}');
        Ok(())
    }

    /// `{"type":"record","name":…,"fields":[`; from here on names are relative to `space`.
    fn open(&mut self, space: Option<String>, name: &str, out: &mut Vec<u8>) -> Result<(), String> {
        checked(name)?;
        member(b"{\"type\":\"record\",\"name\":", name, out);
        if space != self.space {
            member(b",\"namespace\":", space.as_deref().unwrap_or(""), out);
        }
        self.space = space;
        out.extend_from_slice(b",\"fields\":[");
        Ok(())
    }

    fn field(&mut self, at: usize, name: &str, schema: &'a Schema, out: &mut Vec<u8>) -> Result<(), String> {
        checked(name)?;
        out.extend((at > 0).then_some(b','));
        member(b"{\"name\":", name, out);
        out.extend_from_slice(b",\"type\":");
        self.whole(schema, out)?;
        match &schema.default {
            Some(value) if is_finite(value) => {
                out.extend_from_slice(b",\"default\":");
                default(schema, value, out);
            }
            None if schema.optional => out.extend_from_slice(b",\"default\":null"),
            // Avro's own library allows no such default.
            Some(_) | None => {}
        }
        out.push(b'}');
        Ok(())
    }

    /// What Connect knows of the schema beyond Avro.
    fn properties(&self, schema: &Schema, out: &mut Vec<u8>) {
        if !self.options.meta {
            return;
        }
        if let Some(doc) = &schema.doc {
            member(b",\"connect.doc\":", doc, out);
        }
        if let Some(version) = schema.version {
            out.extend_from_slice(b",\"connect.version\":");
            json::integer(version, out);
        }
        for (at, (name, value)) in schema.parameters.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b",\"connect.parameters\":{" } else { b"," });
            member(b"", name, out);
            member(b":", value, out);
        }
        out.extend((!schema.parameters.is_empty()).then_some(b'}'));
        if let Some(value) = &schema.default {
            out.extend_from_slice(b",\"connect.default\":");
            default(schema, value, out);
        }
        if let Some(name) = &schema.name {
            member(b",\"connect.name\":", name, out);
        }
        match schema.kind {
            Kind::Int8 => member(b",\"connect.type\":", "int8", out),
            Kind::Int16 => member(b",\"connect.type\":", "int16", out),
            _ => {}
        }
    }

    /// A full name's namespace and last part.
    fn split(&self, full: &str) -> (Option<String>, String) {
        let part = |part: &str| if self.options.scrub { scrubbed(part) } else { part.to_owned() };
        let mut parts: Vec<String> = full.split('.').map(part).collect();
        let name = parts.pop().unwrap_or_default();
        ((!parts.is_empty()).then(|| parts.join(".")), name)
    }
}

/// Avro's own name of Connect's logical types.
fn logical(schema: &Schema) -> Option<&'static str> {
    match schema.name.as_deref()? {
        DECIMAL => Some("decimal"),
        "org.apache.kafka.connect.data.Time" => Some("time-millis"),
        "org.apache.kafka.connect.data.Timestamp" => Some("timestamp-millis"),
        "org.apache.kafka.connect.data.Date" => Some("date"),
        _ => None,
    }
}

/// A name as Avro's library for Java allows it: letters of any script, digits, underscores.
fn checked(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    let sound = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
    if sound { Ok(()) } else { Err(format!("{name:?} is no name that Avro allows")) }
}

/// What `scrub.invalid.names` makes of a name.
fn scrubbed(name: &str) -> String {
    scrub::scrubbed(name, |first| first.is_ascii_digit())
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Single(number) => number.is_finite(),
        Value::Double(number) => number.is_finite(),
        _ => true,
    }
}

/// A default as the schema's JSON has it: bytes are text of one character each.
fn default(schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    match (value, &schema.kind) {
        (Value::Bytes(bytes), _) => {
            member(b"", &bytes.iter().map(|byte| char::from(*byte)).collect::<String>(), out);
        }
        (Value::String(text), _) => member(b"", text, out),
        (Value::Struct(values), Kind::Struct(members)) => {
            out.push(b'{');
            for (at, ((_, value), field)) in values.iter().zip(members).enumerate() {
                out.extend((at > 0).then_some(b','));
                member(b"", &field.name, out);
                out.push(b':');
                default(&field.schema, value, out);
            }
            out.push(b'}');
        }
        (Value::List(values), Kind::Array(element)) => {
            out.push(b'[');
            for (at, (_, value)) in values.iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                default(element, value, out);
            }
            out.push(b']');
        }
        _ => value.write(&mut Json::new(out, false)),
    }
}

/// `text` in quotes behind `before`, as Avro's library prints it.
fn member(before: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    let written = json::string_raw(text.as_bytes(), out);
    debug_assert!(written.is_some());
}
