//! Avro schemas as text: what is read from bytes, and which Connect schema that is (Confluent's AvroData, the other way).

use std::borrow::Cow;

use super::scan::Scanner;
use super::tree::{DEPTH_MAX, Json};
use crate::encode::connect::{Field, Kind, Member, Schema};
use crate::error::{Error, Result};

/// Of a schema's text and of what its names stand for: a name that is used twice is two nodes here.
const NODES_MAX: usize = 100_000;
const PREFIX: &str = "org.apache.kafka.connect.data.";

/// How a value is read.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Integer,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Union(Vec<Node>),
    Record(Vec<(Field, Node)>),
    Array(Box<Node>),
    Map(Box<Node>),
    /// A map whose keys are no text: a list of records of two.
    Entries(Box<(Node, Node)>),
}

/// A schema's node and its Connect schema; `references` are texts of those that it names.
pub(super) fn parse<'a>(text: &'a str, references: impl Iterator<Item = &'a str>) -> Result<(Node, Schema)> {
    let mut parser = Parser::default();
    for reference in references {
        parser.text(reference)?;
    }
    parser.text(text)
}

type Parsed = (Node, Schema);

#[derive(Default)]
struct Parser {
    /// Named types so far; None while one is being read.
    named: Vec<(String, Option<Parsed>)>,
    space: String,
    nodes: usize,
}

impl Parser {
    fn text(&mut self, text: &str) -> Result<Parsed> {
        let mut scanner = Scanner::new(text.as_bytes(), 0);
        // A schema that is only a type's name may come without quotes around it in the registry's answer.
        let json = match scanner.peek() {
            Ok(b'"' | b'[' | b'{') => Json::read(&mut scanner, DEPTH_MAX)?,
            _ => Json::Text(text.trim().to_owned()),
        };
        self.schema(&json)
    }

    fn schema(&mut self, json: &Json) -> Result<Parsed> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(refused("an Avro schema that is too large"));
        }
        match json {
            Json::Text(name) => self.name(name, json),
            Json::List(branches) => self.union(branches),
            Json::Object(_) => match json.get("type") {
                Some(Json::Text(name)) => self.name(name, json),
                Some(inner) => self.schema(inner),
                None => Err(refused("an Avro schema without a type")),
            },
            _ => Err(refused("not an Avro schema")),
        }
    }

    /// A type by its name; `json` has its properties.
    fn name(&mut self, name: &str, json: &Json) -> Result<Parsed> {
        let (node, kind) = match name {
            "null" => (Node::Null, Kind::String),
            "boolean" => (Node::Boolean, Kind::Boolean),
            "int" => match json.text("connect.type") {
                Some("int8") => (Node::Integer, Kind::Int8),
                Some("int16") => (Node::Integer, Kind::Int16),
                _ => (Node::Integer, Kind::Int32),
            },
            "long" => (Node::Integer, Kind::Int64),
            "float" => (Node::Float, Kind::Float32),
            "double" => (Node::Double, Kind::Float64),
            "bytes" => (Node::Bytes, Kind::Bytes),
            "string" => (Node::String, Kind::String),
            "array" => self.array(json)?,
            "map" => {
                let (node, schema) = self.inner(json, "values")?;
                (Node::Map(Box::new(node)), Kind::Map(Box::new((Schema::new(Kind::String), schema))))
            }
            "record" | "error" | "enum" | "fixed" => return self.define(name, json),
            _ => return self.known(name),
        };
        Ok((node, described(Schema::new(kind), json)))
    }

    fn inner(&mut self, json: &Json, name: &str) -> Result<Parsed> {
        let inner = json.get(name).ok_or_else(|| refused(format!("an Avro schema without {name}")))?;
        self.schema(inner)
    }

    fn array(&mut self, json: &Json) -> Result<(Node, Kind)> {
        let (node, schema) = self.inner(json, "items")?;
        let entry = json.get("items").is_some_and(|items| {
            items.text("connect.internal.type") == Some("MapEntry")
                || (items.text("name"), items.text("namespace"))
                    == (Some("MapEntry"), Some("io.confluent.connect.avro"))
        });
        match (node, schema.kind) {
            (Node::Record(nodes), Kind::Struct(members)) if entry && nodes.len() == 2 => {
                let mut nodes = nodes.into_iter().map(|(_, node)| node);
                let mut schemas = members.into_iter().map(|member| member.schema);
                match (nodes.next(), nodes.next(), schemas.next(), schemas.next()) {
                    (Some(key), Some(value), Some(key_schema), Some(value_schema)) => {
                        let types = Kind::Map(Box::new((key_schema, value_schema)));
                        Ok((Node::Entries(Box::new((key, value))), types))
                    }
                    _ => Err(refused("an entry of a map without key and value")),
                }
            }
            (node, kind) => Ok((Node::Array(Box::new(node)), Kind::Array(Box::new(Schema { kind, ..schema })))),
        }
    }

    /// What may be null, or what is one type and no union in truth.
    fn union(&mut self, branches: &[Json]) -> Result<Parsed> {
        let parsed = branches.iter().map(|branch| self.schema(branch)).collect::<Result<Vec<_>>>()?;
        let nullable = parsed.iter().any(|(node, _)| matches!(node, Node::Null));
        let mut schemas = parsed.iter().filter(|(node, _)| !matches!(node, Node::Null)).map(|(_, schema)| schema);
        let schema = match (schemas.next(), schemas.next()) {
            (Some(schema), None) => Schema { optional: nullable || schema.optional, ..schema.clone() },
            (None, _) => Schema::new(Kind::String).optional(),
            (Some(_), Some(_)) => return Err(refused("an Avro union of several types, which no column can hold")),
        };
        Ok((Node::Union(parsed.into_iter().map(|(node, _)| node).collect()), schema))
    }

    fn define(&mut self, kind: &str, json: &Json) -> Result<Parsed> {
        let name = json.text("name").ok_or_else(|| refused("a named Avro type without a name"))?;
        let (space, full) = match (name.rsplit_once('.'), json.text("namespace")) {
            (Some((space, _)), _) => (space.to_owned(), name.to_owned()),
            (None, space) => {
                let space = space.unwrap_or(&self.space).to_owned();
                let full = if space.is_empty() { name.to_owned() } else { format!("{space}.{name}") };
                (space, full)
            }
        };
        let at = self.named.len();
        self.named.push((full.clone(), None));
        let around = std::mem::replace(&mut self.space, space);
        let (node, schema) = match kind {
            "enum" => {
                let Some(Json::List(symbols)) = json.get("symbols") else { return Err(refused("an enum of nothing")) };
                let symbols: Vec<String> = symbols
                    .iter()
                    .filter_map(|symbol| if let Json::Text(text) = symbol { Some(text.clone()) } else { None })
                    .collect();
                let allowed = Schema::named(Kind::String, "io.debezium.data.Enum").with("allowed", symbols.join(","));
                (Node::Enum(symbols), allowed)
            }
            "fixed" => {
                let size = json.number("size").ok_or_else(|| refused("an Avro fixed without a size"))?;
                (Node::Fixed(size), Schema::new(Kind::Bytes))
            }
            _ => self.record(json)?,
        };
        self.space = around;
        let schema = described(schema, json);
        let named = Schema { name: schema.name.clone().or(Some(Cow::Owned(full))), ..schema.clone() };
        let schema = if matches!(schema.kind, Kind::Struct(_)) { named } else { schema };
        self.named[at].1 = Some((node.clone(), schema.clone()));
        Ok((node, schema))
    }

    fn record(&mut self, json: &Json) -> Result<Parsed> {
        let Some(Json::List(fields)) = json.get("fields") else { return Err(refused("an Avro record without fields")) };
        let (mut nodes, mut members) = (Vec::with_capacity(fields.len()), Vec::with_capacity(fields.len()));
        for (index, field) in fields.iter().enumerate() {
            let name = field.text("name").ok_or_else(|| refused("an Avro field without a name"))?;
            let (node, schema) = self.inner(field, "type")?;
            let index = u16::try_from(index).map_err(|_| refused("an Avro record of too many fields"))?;
            nodes.push((Field::new(index, name, schema.optional), node));
            members.push(Member { name: name.to_owned(), schema });
        }
        Ok((Node::Record(nodes), Schema::new(Kind::Struct(members))))
    }

    /// A type that was defined before.
    fn known(&mut self, name: &str) -> Result<Parsed> {
        let near = format!("{}.{name}", self.space);
        let found = self.named.iter().find(|(full, _)| !name.contains('.') && *full == near);
        match found.or_else(|| self.named.iter().find(|(full, _)| full == name)) {
            Some((_, Some((node, schema)))) => {
                self.nodes += weight(node);
                if self.nodes > NODES_MAX {
                    return Err(refused("an Avro schema that is too large"));
                }
                Ok((node.clone(), schema.clone()))
            }
            Some((_, None)) => Err(refused(format!("the Avro type {name}, which contains itself"))),
            None => Err(refused(format!("the Avro type {name}, which nothing defines"))),
        }
    }
}

/// Nodes that a node is made of.
fn weight(node: &Node) -> usize {
    1 + match node {
        Node::Union(branches) => branches.iter().map(weight).sum(),
        Node::Record(members) => members.iter().map(|(_, node)| weight(node)).sum(),
        Node::Array(node) | Node::Map(node) => weight(node),
        Node::Entries(types) => weight(&types.0) + weight(&types.1),
        _ => 0,
    }
}

/// A schema with what its properties say of its meaning: Connect's own, or Avro's logical types.
fn described(schema: Schema, json: &Json) -> Schema {
    let version = json.number("connect.version");
    if let Some(name) = json.text("connect.name") {
        let mut parameters = Vec::new();
        if let Some(Json::Object(members)) = json.get("connect.parameters") {
            for (name, value) in members {
                if let Json::Text(value) = value {
                    parameters.push((Cow::Owned(name.clone()), value.clone()));
                }
            }
        }
        return Schema { name: Some(Cow::Owned(name.to_owned())), version, parameters, ..schema };
    }
    let named = |name: &'static str| Schema { name: Some(Cow::Borrowed(name)), version: Some(1), ..schema.clone() };
    match (json.text("logicalType"), &schema.kind) {
        (Some("decimal"), Kind::Bytes) => {
            let scale = json.number::<i32>("scale").unwrap_or(0);
            let decimal =
                Schema { name: Some(Cow::Owned(format!("{PREFIX}Decimal"))), version: Some(1), ..schema.clone() };
            let decimal = decimal.with("scale", scale.to_string());
            match json.number::<u32>("precision") {
                Some(precision) => decimal.with("connect.decimal.precision", precision.to_string()),
                None => decimal,
            }
        }
        (Some("date"), Kind::Int32) => named("org.apache.kafka.connect.data.Date"),
        (Some("time-millis"), Kind::Int32) => named("org.apache.kafka.connect.data.Time"),
        (Some("timestamp-millis" | "local-timestamp-millis"), Kind::Int64) => {
            named("org.apache.kafka.connect.data.Timestamp")
        }
        (Some("time-micros"), Kind::Int64) => named("io.debezium.time.MicroTime"),
        (Some("timestamp-micros" | "local-timestamp-micros"), Kind::Int64) => named("io.debezium.time.MicroTimestamp"),
        (Some("uuid"), Kind::String) => named("io.debezium.data.Uuid"),
        _ => schema,
    }
}

/// Schemas hold no row values, so that these words may name what is in them.
fn refused(what: impl Into<String>) -> Error {
    Error::malformed(what, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::avro::{Options, write_schema};

    #[test]
    fn what_is_written_is_read() {
        let decimal = Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal").with("scale", "2");
        let row = || Schema {
            name: Some("a.b.Value".into()),
            ..Schema::structure([
                ("i", Schema::new(Kind::Int16)),
                ("n", decimal.clone().optional()),
                ("l", Schema::array(Schema::new(Kind::Float64).optional())),
                ("m", Schema::new(Kind::Map(Box::new((Schema::new(Kind::Int16), Schema::new(Kind::Float64)))))),
            ])
        };
        let whole = Schema {
            name: Some("a.b.Envelope".into()),
            version: Some(2),
            ..Schema::structure([("before", row().optional()), ("after", row().optional())])
        };
        let mut text = Vec::new();
        write_schema(&whole, Options::default(), &mut text).unwrap();
        let (_, read) = parse(std::str::from_utf8(&text).unwrap(), std::iter::empty()).unwrap();
        assert_eq!(read, whole);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |text| parse(text, std::iter::empty()).unwrap_err().to_string();
        assert!(
            error(r#"{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}"#).contains("contains itself")
        );
        assert!(error(r#"["int","string"]"#).contains("several types"));
        assert!(
            error(r#"{"type":"record","name":"R","fields":[{"name":"r","type":"S"}]}"#).contains("nothing defines")
        );
        assert!(error("{").contains("at byte"));
    }

    #[test]
    fn names_that_double_do_not_grow_without_end() {
        let mut fields = vec![
            r#"{"name":"f0","type":{"type":"record","name":"R0","fields":[{"name":"x","type":"int"}]}}"#.to_owned(),
        ];
        for at in 1..60 {
            let inner = format!(r#"{{"name":"a","type":"R{0}"}},{{"name":"b","type":"R{0}"}}"#, at - 1);
            fields.push(format!(r#"{{"name":"f{at}","type":{{"type":"record","name":"R{at}","fields":[{inner}]}}}}"#));
        }
        let text = format!(r#"{{"type":"record","name":"Top","fields":[{}]}}"#, fields.join(","));
        assert!(parse(&text, std::iter::empty()).unwrap_err().to_string().contains("too large"));
    }
}
