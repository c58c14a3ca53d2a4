//! CloudEvents 1.0 as Debezium's `CloudEventsConverter` makes them of its envelopes. It stands behind the last transform, as
//! a converter does. The structured form is that of the converter; the binary one has the same attributes as headers, by
//! the names that CloudEvents' Kafka protocol binding gives them.

use super::Flow;
use super::record::{Content, Node, Part, Record, Text};
use crate::encode::connect::{Kind, Member, Schema, Value};

/// What the names of Debezium's own attributes begin with; CloudEvents has no other characters than letters and digits.
const PREFIX: &str = "iodebezium";
/// The members of an envelope that are the data: a row's images, or a message.
const DATA: [&str; 3] = ["before", "after", "message"];

/// Apply it.
pub(super) fn apply(mut record: Record, binary: bool) -> Flow {
    if record.part == Part::Control {
        record.value = None; // as the converter does with what is no envelope
    }
    let Some(value) = record.value.as_ref().filter(|value| !value.is_null()) else { return Flow::Next(record) };
    let (Some(op), Some(source)) = (value.member("op"), value.member("source").filter(|source| !source.is_null()))
    else {
        return Flow::Refuse("profile = \"cloudevents\" needs the envelope, which a transform took away");
    };
    let mut data = structure(DATA.iter().filter_map(|name| Some(((*name).to_owned(), value.member(name)?))));
    if let Some(Content::Fixed(Value::String(connector))) = source.member("connector").map(|node| node.content) {
        data.schema.name = Some(format!("io.debezium.connector.{connector}.Data").into());
    }
    let attributes = attributes(op, &source, value.member("transaction"));
    if binary {
        let named = |(name, node): (String, Node)| match &*name {
            "datacontenttype" => ("content-type".to_owned(), node.content),
            _ => (format!("ce_{name}"), node.content),
        };
        record.attributes = attributes.into_iter().map(named).collect();
    } else {
        record.cloud = Some(structure(attributes));
    }
    record.value = Some(data);
    Flow::Next(record)
}

fn attributes(op: Node, source: &Node, transaction: Option<Node>) -> Vec<(String, Node)> {
    let of = |name: &str| source.member(name).map_or(Content::Null, |node| node.content);
    let (connector, name) = (|| of("connector"), of("name"));
    let joined = |parts| text(Content::Text(Text::Joined, parts));
    let mut members = vec![
        ("id".to_owned(), joined(id(&of))),
        ("source".into(), joined(vec![fixed("/debezium/"), connector(), fixed("/"), name])),
        ("specversion".into(), text(fixed("1.0"))),
        ("type".into(), joined(vec![fixed("io.debezium.connector."), connector(), fixed(".DataChangeEvent")])),
        ("time".into(), text(Content::Text(Text::Instant, vec![of("ts_ms")]))),
        ("datacontenttype".into(), text(fixed("application/json"))),
        (format!("{PREFIX}op"), op),
    ];
    for (block, prefix) in [(Some(source), ""), (transaction.as_ref(), "tx")] {
        for Member { name, schema } in block.iter().flat_map(|block| block.schema.members()) {
            let content = block.and_then(|block| block.member(name)).map_or(Content::Null, |node| node.content);
            // CloudEvents has no integers of 64 bits.
            let (kind, content) = match (&schema.kind, content) {
                (Kind::Int64, content) => (Kind::String, Content::Text(Text::Digits, vec![content])),
                (kind, content) => (kind.clone(), content),
            };
            let kind = Schema::new(kind);
            let schema = if schema.optional || !prefix.is_empty() { kind.optional() } else { kind };
            members.push((attribute(&format!("{prefix}{name}")), Node { schema, content }));
        }
    }
    members
}

fn id(of: &dyn Fn(&str) -> Content) -> Vec<Content> {
    let parts = [("name:", "name"), (";lsn:", "lsn"), (";txId:", "txId"), (";sequence:", "sequence")];
    parts.into_iter().flat_map(|(label, member)| [fixed(label), of(member)]).collect()
}

fn attribute(name: &str) -> String {
    PREFIX.chars().chain(name.chars().filter(char::is_ascii_alphanumeric)).collect()
}

fn structure(members: impl IntoIterator<Item = (String, Node)>) -> Node {
    let (members, contents) = members
        .into_iter()
        .map(|(name, node)| (Member { name, schema: node.schema }, node.content))
        .unzip::<_, _, Vec<_>, Vec<_>>();
    Node { schema: Schema::new(Kind::Struct(members)), content: Content::Struct(contents) }
}

fn fixed(text: &str) -> Content {
    Content::Fixed(Value::String(text.into()))
}

fn text(content: Content) -> Node {
    Node { schema: Schema::new(Kind::String).optional(), content }
}
