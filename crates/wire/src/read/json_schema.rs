//! Values of a JSON Schema that one of Connect's converters wrote (every property says its place, `connect.index`): their
//! Connect schema stands before them again, as Kafka's JsonConverter would have put it there. Other JSON Schemas say too
//! little of a value's type; what is framed with one is read as JSON without a schema.

use std::borrow::Cow;

use super::scan::{Scanner, owned};
use super::tree::Json;
use crate::encode::connect::{Kind, Member, Schema, write_schema};
use crate::error::Result;

/// Levels of JSON that a schema may have: those of other producers may be deep, and need only be passed over.
const DEPTH_MAX: usize = 256;

/// Puts a schema before values.
#[derive(Debug)]
pub(super) struct Decoder {
    /// `{"schema":…,"payload":`
    head: Vec<u8>,
    shape: Shape,
}

/// What of a value is spelled in another way by JsonConverter.
#[derive(Debug)]
enum Shape {
    Same,
    Struct(Vec<(String, Shape)>),
    Array(Box<Shape>),
    /// A map whose keys are text.
    Map(Box<Shape>),
    /// A map whose keys are no text: objects of key and value here, pairs there.
    Entries(Box<[Shape; 2]>),
}

impl Shape {
    fn of(schema: &Schema) -> Self {
        let shape = match &schema.kind {
            Kind::Struct(members) => {
                Self::Struct(members.iter().map(|member| (member.name.clone(), Self::of(&member.schema))).collect())
            }
            Kind::Array(element) => Self::Array(Box::new(Self::of(element))),
            Kind::Map(types) if types.0.kind == Kind::String => Self::Map(Box::new(Self::of(&types.1))),
            Kind::Map(types) => return Self::Entries(Box::new([Self::of(&types.0), Self::of(&types.1)])),
            _ => Self::Same,
        };
        match &shape {
            Self::Struct(members) if members.iter().all(|(_, shape)| matches!(shape, Self::Same)) => Self::Same,
            Self::Array(inner) | Self::Map(inner) if matches!(**inner, Self::Same) => Self::Same,
            _ => shape,
        }
    }
}

impl Decoder {
    /// A decoder for a schema's text; None when it says too little.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        let mut scanner = Scanner::new(text.as_bytes(), 0);
        let json = Json::read(&mut scanner, DEPTH_MAX)?;
        scanner.end()?;
        let Some(schema) = schema(&json).filter(|schema| !schema.members().is_empty()) else { return Ok(None) };
        let mut head = b"{\"schema\":".to_vec();
        write_schema(&schema, &mut head);
        head.extend_from_slice(b",\"payload\":");
        Ok(Some(Self { head, shape: Shape::of(&schema) }))
    }

    /// Append the value that stands in `bytes` from `at` to their end.
    pub(super) fn decode(&self, bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&self.head);
        let mut scanner = Scanner::new(bytes, at);
        value(&self.shape, &mut scanner, out)?;
        scanner.end()?;
        out.push(b'}');
        Ok(())
    }
}

/// Copy the value that comes next.
fn value(shape: &Shape, from: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<()> {
    let first = from.peek()?;
    let mut begin = true;
    match (shape, first) {
        (Shape::Struct(_) | Shape::Map(_), b'{') => {
            from.open(b'{')?;
            out.push(b'{');
            while let Some(name) = comma(&mut begin, out, |begin| from.member(begin))? {
                out.push(b'"');
                out.extend_from_slice(name.raw);
                out.extend_from_slice(b"\":");
                let inner = match shape {
                    Shape::Struct(members) => {
                        let name = owned(name).ok_or_else(|| from.fault("a name with an escape that is not JSON's"))?;
                        members.iter().find(|(known, _)| *known == name).map_or(&Shape::Same, |(_, shape)| shape)
                    }
                    Shape::Map(inner) => inner,
                    _ => &Shape::Same,
                };
                value(inner, from, out)?;
            }
            out.push(b'}');
        }
        (Shape::Array(_) | Shape::Entries(_), b'[') => {
            from.open(b'[')?;
            out.push(b'[');
            while comma(&mut begin, out, |begin| from.element(begin).map(|more| more.then_some(())))?.is_some() {
                match shape {
                    Shape::Array(inner) => value(inner, from, out)?,
                    Shape::Entries(inner) => entry(inner, from, out)?,
                    _ => {}
                }
            }
            out.push(b']');
        }
        _ => out.extend_from_slice(from.skip()?),
    }
    Ok(())
}

/// What `next` gives; a comma before all but the first.
fn comma<T>(
    begin: &mut bool,
    out: &mut Vec<u8>,
    mut next: impl FnMut(&mut bool) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let first = *begin;
    let found = next(begin)?;
    out.extend((found.is_some() && !first).then_some(b','));
    Ok(found)
}

/// An entry of a map whose keys are no text, as a pair.
fn entry(shapes: &[Shape; 2], from: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<()> {
    let mut parts = [None, None];
    let mut begin = true;
    from.open(b'{')?;
    while let Some(name) = from.member(&mut begin)? {
        let at = match name.raw {
            b"key" => 0,
            b"value" => 1,
            _ => return Err(from.fault("an entry of a map that has more than key and value")),
        };
        let mut part = Vec::new();
        value(&shapes[at], from, &mut part)?;
        parts[at] = Some(part);
    }
    let [Some(key), Some(value)] = parts else { return Err(from.fault("an entry of a map without key or value")) };
    for part in [b"[", &key[..], b",", &value, b"]"] {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// The Connect schema that a converter made this of; None for anything else.
fn schema(json: &Json) -> Option<Schema> {
    if let Some(Json::List(branches)) = json.get("oneOf") {
        let [first, second] = branches.as_slice() else { return None };
        return match (first.text("type"), second.text("type")) {
            (Some("null"), _) => Some(schema(second)?.optional()),
            (_, Some("null")) => Some(schema(first)?.optional()),
            _ => None,
        };
    }
    let kind = match (json.text("type")?, json.text("connect.type")) {
        ("boolean", None) => Kind::Boolean,
        ("integer", Some("int8")) => Kind::Int8,
        ("integer", Some("int16")) => Kind::Int16,
        ("integer", Some("int32")) => Kind::Int32,
        ("integer", Some("int64")) => Kind::Int64,
        ("number", Some("float32")) => Kind::Float32,
        ("number", Some("float64")) => Kind::Float64,
        ("string", None) => Kind::String,
        ("string", Some("bytes")) => Kind::Bytes,
        ("array", Some("map")) => {
            let properties = json.get("items")?.get("properties")?;
            Kind::Map(Box::new((schema(properties.get("key")?)?, schema(properties.get("value")?)?)))
        }
        ("array", None) => Kind::Array(Box::new(schema(json.get("items")?)?)),
        ("object", Some("map")) => {
            Kind::Map(Box::new((Schema::new(Kind::String), schema(json.get("additionalProperties")?)?)))
        }
        ("object", None) => Kind::Struct(members(json)?),
        _ => return None,
    };
    let mut parameters = Vec::new();
    if let Some(Json::Object(given)) = json.get("connect.parameters") {
        for (name, value) in given {
            let Json::Text(value) = value else { return None };
            parameters.push((Cow::Owned(name.clone()), value.clone()));
        }
    }
    let name = json.text("title").map(|name| Cow::Owned(name.to_owned()));
    Some(Schema { name, version: json.number("connect.version"), parameters, ..Schema::new(kind) })
}

/// A struct's members in the order that they say.
fn members(json: &Json) -> Option<Vec<Member>> {
    let Some(Json::Object(properties)) = json.get("properties") else { return Some(Vec::new()) };
    let member = |(name, property): &(String, Json)| {
        let place: u16 = property.number("connect.index")?;
        Some((place, Member { name: name.clone(), schema: schema(property)? }))
    };
    let mut members = properties.iter().map(member).collect::<Option<Vec<_>>>()?;
    members.sort_by_key(|(place, _)| *place);
    Some(members.into_iter().map(|(_, member)| member).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::json_schema::{self, Options};

    fn whole() -> Schema {
        let decimal = Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal").with("scale", "2");
        let map = |key| Schema::new(Kind::Map(Box::new((Schema::new(key), Schema::new(Kind::Float64)))));
        let row = || Schema {
            name: Some("a.b.Value".into()),
            ..Schema::structure([
                ("zeta", Schema::new(Kind::Int16)),
                ("n", decimal.clone().optional()),
                ("l", Schema::array(map(Kind::Int32)).optional()),
                ("m", map(Kind::Int16)),
                ("h", map(Kind::String)),
                ("f", Schema::new(Kind::Float32)),
            ])
        };
        let members = [("before", row().optional()), ("after", row().optional()), ("op", Schema::new(Kind::String))];
        Schema { name: Some("a.b.Envelope".into()), version: Some(2), ..Schema::structure(members) }
    }

    fn text(schema: &Schema) -> String {
        let mut text = Vec::new();
        json_schema::write_schema(schema, Options::default(), &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut scanner_text = Vec::new();
        write_schema(&whole(), &mut scanner_text);
        let decoder = Decoder::parse(&text(&whole())).unwrap().unwrap();
        let expected = format!("{{\"schema\":{},\"payload\":", String::from_utf8(scanner_text).unwrap());
        assert_eq!(String::from_utf8_lossy(&decoder.head), expected);
    }

    #[test]
    fn entries_become_pairs() {
        let decoder = Decoder::parse(&text(&whole())).unwrap().unwrap();
        let read = |value: &str| {
            let mut out = Vec::new();
            decoder.decode(value.as_bytes(), 0, &mut out).map_err(|error| error.to_string())?;
            Ok::<_, String>(String::from_utf8(out[decoder.head.len()..out.len() - 1].to_vec()).unwrap())
        };
        let framed = r#"{"after": {"l":[[{"key":1,"value":0.5}],null],"m":[{"value":1.5,"key":2},{"key":3,"value":4}],"h":{"a":1}},"op":"c"}"#;
        let pairs = r#"{"after":{"l":[[[1,0.5]],null],"m":[[2,1.5],[3,4]],"h":{"a":1}},"op":"c"}"#;
        assert_eq!(read(framed).unwrap(), pairs);
        assert_eq!(read("null").unwrap(), "null");
        for bad in
            ["{}{}", r#"{"after":{"m":[{"key":1}]}}"#, r#"{"after":{"m":[{"kex":1}]}}"#, r#"{"after":{"m":[1]}}"#]
        {
            assert!(read(bad).unwrap_err().contains(" at byte "), "{bad}");
        }
    }

    #[test]
    fn what_connect_did_not_write_has_no_schema_of_its_own() {
        for text in [
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#,
            r#"{"type":"object","properties":{"a":{"$ref":"b.json","connect.index":0}}}"#,
            r#"{"type":"object","properties":{"a":{"type":"number","connect.type":"bytes","connect.index":0}}}"#,
            r#"{"oneOf":[{"type":"string"},{"type":"integer","connect.type":"int8"}]}"#,
            "true",
        ] {
            assert!(Decoder::parse(text).unwrap().is_none(), "{text}");
        }
        assert!(Decoder::parse("{").is_err());
        assert!(Decoder::parse(&"[".repeat(1000)).is_err());
    }
}
