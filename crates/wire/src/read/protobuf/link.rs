//! Messages and enums of a schema and of all that it imports, names looked up.

use std::collections::HashSet;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::builtin;
use super::file::{self, File, Label, refused};
use crate::encode::connect;
use crate::error::{Error, Result};

/// Bytes of all texts of a schema.
const TEXT_MAX: usize = 4 << 20;
/// Messages, fields, oneofs, enums and their values.
const PARTS_MAX: usize = 100_000;
/// Bytes of one full name: each field looks for its type in all that are around it.
const NAME_MAX: usize = 1024;
/// Bytes of all full names, which say again what is around them.
const NAMES_MAX: usize = 8 << 20;

/// How a single value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Bool,
    Text,
    Bytes,
    Enum(usize),
    Message(usize),
}

/// What it means that a field does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is null.
    Explicit,
    /// It is the zero of its type, which is not written.
    Implicit,
    /// That cannot be.
    Required,
    /// It is an empty list.
    List,
    /// It is an empty map.
    Map,
}

/// A message that stands for a value of one of Connect's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Timestamp,
    Date,
    TimeOfDay,
    Decimal,
    /// Its only field may be null.
    Wrapper,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
    pub(super) oneof: Option<usize>,
    pub(super) meta: Vec<(String, String)>,
    pub(super) out: connect::Field,
    /// Of its message a zero is null: the source block of a change event.
    pub(super) bare: bool,
}

#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) places: FxHashMap<u32, usize>,
    /// Some of its fields are in oneofs.
    pub(super) choices: bool,
    pub(super) nested: Vec<usize>,
    pub(super) meaning: Option<Meaning>,
    /// Bytes that it is written with at the least, about.
    pub(super) weight: usize,
    /// It is Debezium's envelope of a change.
    pub(super) envelope: bool,
}

#[derive(Debug)]
pub(super) struct Enum {
    pub(super) values: Vec<(String, i32)>,
    places: FxHashMap<i32, usize>,
}

impl Enum {
    /// The name of a number, the first one when there are several.
    pub(super) fn name(&self, number: i32) -> Option<&str> {
        self.places.get(&number).map(|place| self.values[*place].0.as_str())
    }
}

/// A schema.
#[derive(Debug, Default)]
pub(super) struct Types {
    pub(super) messages: Vec<Message>,
    pub(super) enums: Vec<Enum>,
    /// Messages of the schema itself, as the indexes in front of a value count them.
    pub(super) roots: Vec<usize>,
}

/// A message whose fields are not linked yet.
struct Open {
    index: usize,
    proto3: bool,
    fields: Vec<file::Field>,
    /// Whether it is of the schema itself: lines of other texts would mislead.
    own: bool,
}

#[derive(Default)]
struct Linker {
    types: Types,
    names: FxHashMap<String, Kind>,
    open: Vec<Open>,
    parts: usize,
    /// Bytes of all full names.
    named: usize,
}

impl Types {
    /// The types of a text; `references` are texts by the paths under which they are imported.
    pub(super) fn link(text: &str, references: &[(String, String)]) -> Result<Self> {
        let all = references.iter().map(|(_, text)| text.len()).sum::<usize>() + text.len();
        if all > TEXT_MAX {
            return Err(Error::malformed("a .proto schema that is too large", 0));
        }
        let mut linker = Linker::default();
        let mut pending = vec![(String::new(), File::parse(text)?)];
        let mut known = vec![String::new()];
        while let Some((path, file)) = pending.pop() {
            for import in &file.imports {
                if known.contains(import) {
                    continue;
                }
                let given = references.iter().find(|(name, _)| name == import).map(|(_, text)| text.as_str());
                let text = given.or_else(|| builtin::text(import)).ok_or_else(|| {
                    Error::malformed(format!("imports {import:?}, which the registry has no reference for"), 0)
                })?;
                let file = File::parse(text).map_err(|error| within(import, error))?;
                known.push(import.clone());
                pending.push((import.clone(), file));
            }
            let (own, proto3) = (path.is_empty(), file.proto3);
            let roots = linker.scope(&file.package, file.scope, (own, proto3)).map_err(|error| within(&path, error))?;
            if own {
                linker.types.roots = roots;
            }
        }
        linker.fields()?;
        Ok(linker.types)
    }
}

/// The fault of an imported text.
fn within(path: &str, error: Error) -> Error {
    match error {
        Error::Malformed { what, offset } if !path.is_empty() => {
            Error::Malformed { what: format!("{path}: {what}"), offset }
        }
        other => other,
    }
}

impl Linker {
    fn count(&mut self, more: usize) -> Result<()> {
        self.parts += more;
        if self.parts > PARTS_MAX { Err(Error::malformed("a .proto schema that is too large", 0)) } else { Ok(()) }
    }

    fn define(&mut self, name: String, kind: Kind) -> Result<()> {
        self.named += name.len();
        if name.len() > NAME_MAX || self.named > NAMES_MAX {
            return Err(Error::malformed("a .proto schema whose full names are too large", 0));
        }
        match self.names.entry(name) {
            Entry::Occupied(known) => {
                Err(Error::malformed(format!("the type {}, which is defined twice", known.key()), 0))
            }
            Entry::Vacant(new) => {
                new.insert(kind);
                Ok(())
            }
        }
    }

    /// Take in what is defined in `around`; returns its messages.
    fn scope(&mut self, around: &str, scope: file::Scope, (own, proto3): (bool, bool)) -> Result<Vec<usize>> {
        for found in scope.enums {
            self.count(1 + found.values.len())?;
            let mut places = FxHashMap::default();
            for (place, (_, number)) in found.values.iter().enumerate() {
                places.entry(*number).or_insert(place);
            }
            self.define(joined(around, &found.name), Kind::Enum(self.types.enums.len()))?;
            self.types.enums.push(Enum { values: found.values, places });
        }
        let mut messages = Vec::with_capacity(scope.messages.len());
        for found in scope.messages {
            self.count(1 + found.fields.len() + found.oneofs)?;
            let (name, index) = (joined(around, &found.name), self.types.messages.len());
            self.define(name.clone(), Kind::Message(index))?;
            let meaning = known(&name).map(|(meaning, _)| meaning);
            let choices = found.fields.iter().any(|field| field.oneof.is_some());
            self.types.messages.push(Message { name: name.clone(), choices, meaning, ..Message::default() });
            self.types.messages[index].nested = self.scope(&name, found.scope, (own, proto3))?;
            self.open.push(Open { index, proto3, fields: found.fields, own });
            messages.push(index);
        }
        Ok(messages)
    }

    /// Look up the types of all fields.
    fn fields(&mut self) -> Result<()> {
        for open in std::mem::take(&mut self.open) {
            let mut fields = Vec::with_capacity(open.fields.len());
            let (mut places, mut names) = (FxHashMap::default(), HashSet::new());
            for field in open.fields {
                let line = if open.own { field.line } else { 0 };
                if places.insert(field.number, fields.len()).is_some() {
                    return Err(refused(line, &format!("two fields of number {}", field.number)));
                }
                if !names.insert(field.name.clone()) {
                    return Err(refused(line, &format!("two fields of name {}", field.name)));
                }
                if fields.len() > usize::from(u16::MAX) {
                    return Err(refused(line, "a message of more than 65,535 fields"));
                }
                let field = self.field(open.index, open.proto3, (fields.len(), field), line)?;
                fields.push(field);
            }
            let message = &mut self.types.messages[open.index];
            (message.fields, message.places) = (fields, places);
        }
        for index in 0..self.types.messages.len() {
            self.complete(index)?;
        }
        Ok(())
    }

    fn field(&mut self, at: usize, proto3: bool, (index, field): (usize, file::Field), line: usize) -> Result<Field> {
        let around = self.types.messages[at].name.clone();
        let kind = self.find(&around, &field.kind).ok_or_else(|| unknown(line, &field.kind))?;
        let (kind, presence) = match (&field.keys, field.label) {
            (Some(keys), _) => {
                let key = self.find(&around, keys).ok_or_else(|| unknown(line, keys))?;
                if matches!(key, Kind::Float | Kind::Double | Kind::Bytes | Kind::Enum(_) | Kind::Message(_)) {
                    return Err(refused(line, &format!("a map with keys of type {keys}")));
                }
                (Kind::Message(self.entry(key, kind)?), Presence::Map)
            }
            (None, Label::Repeated) => (kind, Presence::List),
            (None, Label::Required) => (kind, Presence::Required),
            (None, Label::Optional) => (kind, Presence::Explicit),
            (None, Label::None) if field.oneof.is_some() || matches!(kind, Kind::Message(_)) => {
                (kind, Presence::Explicit)
            }
            (None, Label::None) if proto3 => (kind, Presence::Implicit),
            (None, Label::None) => return Err(refused(line, "a field of proto2 without a label")),
        };
        Ok(made(index, field, kind, presence))
    }

    /// The message of a map's entries.
    fn entry(&mut self, key: Kind, value: Kind) -> Result<usize> {
        self.count(3)?;
        let part = |index: usize, name: &str, kind| {
            let (name, number) = (name.to_owned(), index as u32 + 1);
            let field = file::Field {
                name,
                number,
                label: Label::None,
                kind: String::new(),
                keys: None,
                oneof: None,
                meta: Vec::new(),
                line: 0,
            };
            made(index, field, kind, Presence::Implicit)
        };
        let fields = vec![part(0, "key", key), part(1, "value", value)];
        let places = FxHashMap::from_iter([(1, 0), (2, 1)]);
        self.types.messages.push(Message { fields, places, ..Message::default() });
        Ok(self.types.messages.len() - 1)
    }

    /// What a name means to a message.
    fn find(&self, around: &str, name: &str) -> Option<Kind> {
        let simple = match name {
            "int32" => Kind::Int32,
            "int64" => Kind::Int64,
            "uint32" => Kind::Uint32,
            "uint64" => Kind::Uint64,
            "sint32" => Kind::Sint32,
            "sint64" => Kind::Sint64,
            "fixed32" => Kind::Fixed32,
            "fixed64" => Kind::Fixed64,
            "sfixed32" => Kind::Sfixed32,
            "sfixed64" => Kind::Sfixed64,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "bool" => Kind::Bool,
            "string" => Kind::Text,
            "bytes" => Kind::Bytes,
            _ => return self.named(around, name),
        };
        Some(simple)
    }

    /// From the innermost scope outwards.
    fn named(&self, around: &str, name: &str) -> Option<Kind> {
        if let Some(absolute) = name.strip_prefix('.') {
            return self.names.get(absolute).copied();
        }
        let mut scope = around;
        loop {
            if let Some(kind) = self.names.get(&joined(scope, name)) {
                return Some(*kind);
            }
            if scope.is_empty() {
                return None;
            }
            scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
    }

    /// What is to be known of a message once all are linked.
    fn complete(&mut self, index: usize) -> Result<()> {
        let message = &self.types.messages[index];
        let fits = |(field, (name, kind)): (&Field, &(&str, Kind))| {
            field.name == *name && field.kind == *kind && field.presence == Presence::Implicit
        };
        let known = known(&message.name).map(|(_, fields)| fields);
        if known.is_some_and(|known| message.fields.len() != known.len() || !message.fields.iter().zip(known).all(fits))
        {
            return Err(Error::malformed(format!("{} has other fields than the type of that name", message.name), 0));
        }
        let has = |name: &str, kind: fn(Kind) -> bool| {
            message
                .fields
                .iter()
                .any(|field| field.name == name && kind(field.kind) && field.presence != Presence::List)
        };
        let row = |kind| matches!(kind, Kind::Message(_));
        let event = ["before", "after", "source", "message"].into_iter().any(|name| has(name, row));
        let envelope = event && has("op", |kind| kind == Kind::Text);
        let entries: Vec<usize> = (0..message.fields.len()).filter(|at| self.is_map(&message.fields[*at])).collect();
        let weight = message.fields.iter().map(|field| field.name.len() + 8).sum();
        let message = &mut self.types.messages[index];
        (message.envelope, message.weight) = (envelope, weight);
        for field in &mut message.fields {
            field.bare = envelope && field.name == "source";
        }
        for at in entries {
            message.fields[at].presence = Presence::Map;
        }
        Ok(())
    }

    /// Whether these are entries of a map as Connect's converter writes one: a list of messages that are named so.
    fn is_map(&self, field: &Field) -> bool {
        let (Kind::Message(entry), Presence::List) = (field.kind, field.presence) else { return false };
        let entry = &self.types.messages[entry];
        let single = |field: &Field| !matches!(field.presence, Presence::List | Presence::Map);
        match entry.fields.as_slice() {
            [key, value] => {
                entry.name.ends_with("Entry")
                    && (key.name.as_str(), value.name.as_str()) == ("key", "value")
                    && single(key)
                    && single(value)
            }
            _ => false,
        }
    }
}

fn made(index: usize, field: file::Field, kind: Kind, presence: Presence) -> Field {
    let file::Field { name, oneof, meta, .. } = field;
    let place = u16::try_from(index).unwrap_or(u16::MAX);
    let out = connect::Field::new(place, &name, presence == Presence::Explicit);
    Field { name, kind, presence, oneof, meta, out, bare: false }
}

fn unknown(line: usize, name: &str) -> Error {
    refused(line, &format!("the type {name}, which nothing defines"))
}

fn joined(around: &str, name: &str) -> String {
    if around.is_empty() { name.to_owned() } else { format!("{around}.{name}") }
}

/// What a message of this full name stands for, and the fields by which it does.
fn known(name: &str) -> Option<(Meaning, &'static [(&'static str, Kind)])> {
    Some(match name {
        "google.protobuf.Timestamp" => (Meaning::Timestamp, &[("seconds", Kind::Int64), ("nanos", Kind::Int32)]),
        "google.type.Date" => (Meaning::Date, &[("year", Kind::Int32), ("month", Kind::Int32), ("day", Kind::Int32)]),
        "google.type.TimeOfDay" => (
            Meaning::TimeOfDay,
            &[("hours", Kind::Int32), ("minutes", Kind::Int32), ("seconds", Kind::Int32), ("nanos", Kind::Int32)],
        ),
        "confluent.type.Decimal" => {
            (Meaning::Decimal, &[("value", Kind::Bytes), ("precision", Kind::Uint32), ("scale", Kind::Int32)])
        }
        _ => (Meaning::Wrapper, wrapped(name.strip_prefix("google.protobuf.")?)?),
    })
}

/// The field of a wrapper.
fn wrapped(name: &str) -> Option<&'static [(&'static str, Kind)]> {
    Some(match name {
        "DoubleValue" => &[("value", Kind::Double)],
        "FloatValue" => &[("value", Kind::Float)],
        "Int64Value" => &[("value", Kind::Int64)],
        "UInt64Value" => &[("value", Kind::Uint64)],
        "Int32Value" => &[("value", Kind::Int32)],
        "UInt32Value" => &[("value", Kind::Uint32)],
        "BoolValue" => &[("value", Kind::Bool)],
        "StringValue" => &[("value", Kind::Text)],
        "BytesValue" => &[("value", Kind::Bytes)],
        _ => return None,
    })
}
