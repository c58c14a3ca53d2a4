//! `ExtractChangedRecordState` and `HeaderToValue`: what changed, as headers; headers, as fields.

use super::record::{Content, Node, Record};
use super::{Ask, Flow};
use crate::encode::connect::{Kind, Schema, Value};

/// The options of `ExtractChangedRecordState`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// `header.changed.name`
    pub changed: Option<String>,
    /// `header.unchanged.name`
    pub unchanged: Option<String>,
}

/// A field in both images of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// Before and after.
    pub contents: [Content; 2],
}

impl Changed {
    /// Apply it.
    pub(super) fn apply(&self, record: Record) -> Flow {
        let Some(envelope) = record.envelope() else { return Flow::Next(record) };
        let images = [envelope.member("before"), envelope.member("after")];
        let [Some(before), Some(after)] = images else { return Flow::Next(record) };
        let (Content::Struct(old), Content::Struct(new)) = (before.content, after.content) else {
            return Flow::Next(self.add(record, &[], &[]));
        };
        let names = after.schema.members().iter().map(|member| member.name.clone());
        let pairs = names.zip(old.into_iter().zip(new)).map(|(name, (old, new))| Pair { name, contents: [old, new] });
        Flow::Ask(Ask::Changed(pairs.collect()), record)
    }

    /// Add the headers, once it is known which fields changed.
    pub(super) fn answer(&self, record: Record, pairs: &[Pair], changed: &[bool]) -> Record {
        let of = |which: bool| -> Vec<&str> {
            let pairs = pairs.iter().zip(changed).filter(|(_, changed)| **changed == which);
            pairs.map(|(pair, _)| pair.name.as_str()).collect()
        };
        self.add(record, &of(true), &of(false))
    }

    fn add(&self, mut record: Record, changed: &[&str], unchanged: &[&str]) -> Record {
        for (header, names) in [(&self.changed, changed), (&self.unchanged, unchanged)] {
            let Some(header) = header.as_ref().filter(|header| !header.trim().is_empty()) else { continue };
            let mut schema = Schema::array(Schema::new(Kind::String).optional()).optional();
            schema.name = Some(header.clone().into());
            let names = names.iter().map(|name| (true, Value::String((*name).to_owned()))).collect();
            record.headers.push((header.clone(), Node { schema, content: Content::Fixed(Value::List(names)) }));
        }
        record
    }
}

/// The options of `HeaderToValue`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToValue {
    /// `headers` and `fields`: which header becomes which field, a dot before each name of a nested one.
    pub fields: Vec<(String, String)>,
    /// `operation`: whether the header is left out.
    pub moves: bool,
}

impl ToValue {
    /// Apply it.
    pub(super) fn apply(&self, mut record: Record) -> Flow {
        let Some(value) = record.value.as_mut().filter(|value| matches!(value.content, Content::Struct(_))) else {
            return Flow::Next(record);
        };
        let mut found = false;
        let entries: Vec<(Vec<&str>, &Node)> = record
            .headers
            .iter()
            .filter_map(|(header, node)| {
                let (_, field) = self.fields.iter().find(|(name, _)| name == header)?;
                Some((field.split('.').collect(), node))
            })
            .collect();
        // Plain fields come first, as in Debezium.
        for nested in [false, true] {
            for (path, node) in entries.iter().filter(|(path, _)| (path.len() > 1) == nested) {
                found = true;
                if put(value, path, node).is_none() {
                    return Flow::Refuse("a parent of a field of header_to_value is no struct");
                }
            }
        }
        if found {
            value.rebuilt();
            if self.moves {
                record.headers.retain(|(header, _)| !self.fields.iter().any(|(name, _)| name == header));
            }
        }
        Flow::Next(record)
    }
}

/// Put a node where a path says; None when a parent is no struct.
fn put(value: &mut Node, path: &[&str], node: &Node) -> Option<()> {
    let (name, rest) = path.split_first()?;
    if rest.is_empty() {
        value.put(name, node.clone());
        return Some(());
    }
    let parent = value.member(name);
    let fresh = parent.is_none();
    let mut parent = parent.unwrap_or_else(|| Node {
        schema: Schema::structure(Vec::<(String, Schema)>::new()).optional(),
        content: Content::Struct(Vec::new()),
    });
    if !matches!(parent.schema.kind, Kind::Struct(_)) {
        return None;
    }
    put(&mut parent, rest, node)?;
    if fresh {
        value.put(name, parent);
    } else {
        parent.rebuilt();
        value.change(name, |schema, content| (*schema, *content) = (parent.schema, parent.content));
    }
    Some(())
}
