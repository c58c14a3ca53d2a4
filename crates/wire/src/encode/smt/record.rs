//! A record as transforms see it, before there is a row: its schema as it will be, and in place of values the slots that
//! a row will fill. Transforms run once for each shape of a record, and rows only fill what they left.

use std::sync::Arc;

use super::zone::Zone;
use crate::encode::connect::{Kind, Member, Schema, Value};

/// What an encoder fills from a row: it alone knows what the number means.
pub type Slot = u32;

/// Whether a row has the value of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Always, by its type and place.
    Always,
    /// It must: rows are known by it.
    Key,
    /// Here it has, but others of the table may not.
    Here,
    /// Perhaps: the server leaves out what an update left as it was, and all but the key of an old row.
    Perhaps,
}

/// Where a slot's value comes from, and what becomes of it on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Whose value.
    pub slot: Slot,
    /// Moved into another zone.
    pub zone: Option<Arc<Zone>>,
    /// What stands for a null.
    pub default: Option<Value>,
    /// Of a column of a row, whether the row has it; None for anything else.
    pub sent: Option<Sent>,
}

/// What stands at a place of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// No value.
    Null,
    /// Always this.
    Fixed(Value),
    /// What the row has.
    Slot(Source),
    /// The members of a struct, as many as its schema has.
    Struct(Vec<Content>),
    /// A text that is made of these.
    Text(Text, Vec<Content>),
}

/// How a text is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// One behind the other, `null` for a null.
    Joined,
    /// The digits of one integer; null for a null.
    Digits,
    /// RFC 3339, of one number of milliseconds since 1970.
    Instant,
}

impl Content {
    /// What the row has in `slot`, as it is.
    #[must_use]
    pub const fn slot(slot: Slot) -> Self {
        Self::Slot(Source { slot, zone: None, default: None, sent: None })
    }
}

/// A place with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What stands there.
    pub schema: Schema,
    /// Its content, of the same shape.
    pub content: Content,
}

impl Node {
    /// A text that is always the same.
    #[must_use]
    pub fn text(schema: Schema, text: &str) -> Self {
        Self { schema, content: Content::Fixed(Value::String(text.into())) }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.content, Content::Null | Content::Fixed(Value::Null))
    }

    /// Whether it is an envelope of Debezium's.
    #[must_use]
    pub fn is_envelope(&self) -> bool {
        self.schema.name.as_deref().is_some_and(|name| name.ends_with(".Envelope"))
    }

    /// A struct's member; null when the struct is.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Self> {
        let at = self.schema.members().iter().position(|member| member.name == name)?;
        let content = match &self.content {
            Content::Struct(contents) => contents.get(at)?.clone(),
            _ => Content::Null,
        };
        Some(Self { schema: self.schema.members()[at].schema.clone(), content })
    }

    /// Change a struct's member, unless there is none of the name or the struct is null.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Schema, &mut Content)) {
        let Kind::Struct(members) = &mut self.schema.kind else { return };
        let Some(at) = members.iter().position(|member| member.name == name) else { return };
        let mut null = Content::Null;
        let content = match &mut self.content {
            Content::Struct(contents) => contents.get_mut(at),
            _ => None,
        };
        change(&mut members[at].schema, content.unwrap_or(&mut null));
    }

    /// Put a member at a struct's end, or, when there is one of the name, in its place with the schema that it has.
    pub fn put(&mut self, name: &str, node: Self) {
        let Kind::Struct(members) = &mut self.schema.kind else { return };
        let at = members.iter().position(|member| member.name == name);
        if at.is_none() {
            members.push(Member { name: name.into(), schema: node.schema });
        }
        if let Content::Struct(contents) = &mut self.content {
            match at.and_then(|at| contents.get_mut(at)) {
                Some(content) => *content = node.content,
                None => contents.push(node.content),
            }
        }
    }

    /// A struct without the members that `drop` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&Member) -> bool) {
        let Kind::Struct(members) = &mut self.schema.kind else { return };
        let kept: Vec<bool> = members.iter().map(&mut keep).collect();
        let mut at = kept.iter();
        members.retain(|_| at.next().copied().unwrap_or(true));
        if let Content::Struct(contents) = &mut self.content {
            let mut at = kept.iter();
            contents.retain(|_| at.next().copied().unwrap_or(true));
        }
    }

    /// What `SchemaUtil.copySchemaBasics` leaves of a schema: not whether it is optional, and no default.
    pub fn rebuilt(&mut self) {
        self.schema.optional = false;
        self.schema.default = None;
    }
}

/// The partition that a record goes to: by the hash of what stands at these places.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// The places; those that are null do not count.
    pub nodes: Vec<Node>,
    /// How many there are.
    pub count: u32,
    /// By which hash.
    pub function: super::hash::HashFunction,
}

/// What a record is of, for transforms in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The change itself.
    Event,
    /// The delete of the old key, of a change that moved a row to another.
    OldKey,
    /// The create of the new key.
    NewKey,
    /// A tombstone.
    Tombstone,
    /// The tombstone of the old key.
    OldTombstone,
    /// No change: an end of a transaction, or a heartbeat.
    Control,
}

/// A record on its way through the transforms.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its topic.
    pub topic: String,
    /// Its key.
    pub key: Option<Node>,
    /// Its value; None is a tombstone.
    pub value: Option<Node>,
    /// Its headers, in order.
    pub headers: Vec<(String, Node)>,
    /// The CloudEvent of which the value is the data; None when it stands alone.
    pub cloud: Option<Node>,
    /// Headers that are texts as they stand, not in JSON; those that are null are left out.
    pub attributes: Vec<(String, Content)>,
    /// The partition that it goes to, if a transform says.
    pub partition: Option<Partition>,
    /// What it is of.
    pub part: Part,
}

impl Record {
    /// Whether it has no value.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.value.as_ref().is_none_or(Node::is_null)
    }

    /// Its value if that is an envelope.
    #[must_use]
    pub fn envelope(&self) -> Option<&Node> {
        self.value.as_ref().filter(|value| value.is_envelope() && !value.is_null())
    }

    /// The last header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Node> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, node)| node)
    }
}
