//! `ExtractNewRecordState`: a change's row in place of its envelope.

use super::record::{Content, Node, Record};
use super::{Ask, Flow};
use crate::encode::connect::{Kind, Schema, Value};

/// `delete.tombstone.handling.mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletes {
    /// Neither deletes nor tombstones.
    Drop,
    /// A tombstone for each delete.
    #[default]
    Tombstone,
    /// The old row with `__deleted`, no tombstone.
    Rewrite,
    /// The old row with `__deleted`, then the tombstone.
    RewriteWithTombstone,
    /// As `Tombstone`.
    DeleteToTombstone,
}

/// A field of the envelope that is added to a row or to the headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The struct that it stands in; None for the envelope itself.
    parent: Option<String>,
    field: String,
    name: String,
}

/// The options, and their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unwrap {
    /// `delete.tombstone.handling.mode`
    pub deletes: Deletes,
    /// `add.fields`, with `add.fields.prefix`
    pub fields: Vec<Added>,
    /// `add.headers`, with `add.headers.prefix`
    pub headers: Vec<Added>,
    /// `route.by.field`
    pub route_by: Option<String>,
    /// `drop.fields.header.name`
    pub drop_header: Option<String>,
    /// `drop.fields.from.key`
    pub drop_from_key: bool,
    /// `drop.fields.keep.schema.compatible`
    pub drop_keep_required: bool,
    /// `replace.null.with.default`
    pub null_is_default: bool,
}

/// What `rewrite` adds.
const DELETED: &str = "__deleted";

impl Added {
    /// Read a list as `add.fields` has it: `op,source.ts_ms,lsn:position`.
    ///
    /// # Errors
    /// In words, for an entry that names no field, or a struct.
    pub fn parse(list: &str, prefix: &str) -> Result<Vec<Self>, String> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(|entry| Self::one(entry, prefix)).collect()
    }

    fn one(entry: &str, prefix: &str) -> Result<Self, String> {
        let (path, alias) = match entry.split_once(':') {
            Some((path, alias)) if !alias.is_empty() && !alias.contains(':') => (path, Some(alias)),
            Some(_) => return Err(format!("{entry:?} is not a field, or a field, a colon and a name")),
            None => (entry, None),
        };
        let (parent, field) = match path.split_once('.') {
            Some((parent, field)) => (Some(parent), field),
            None => (Self::parent(path), path),
        };
        if path.is_empty() || field.contains('.') || matches!(path, "before" | "after" | "source" | "transaction") {
            return Err(format!("{entry:?} is no field of the envelope, of its source or of its transaction"));
        }
        let plain = match path.split_once('.') {
            Some((parent, field)) => format!("{parent}_{field}"),
            None => field.to_owned(),
        };
        let name = format!("{prefix}{}", alias.unwrap_or(&plain));
        Ok(Self { parent: parent.map(str::to_owned), field: field.to_owned(), name })
    }

    /// The struct that a field is meant to be of when none is named.
    fn parent(field: &str) -> Option<&'static str> {
        match field {
            "id" | "data_collection_order" | "total_order" => Some("transaction"),
            "op" | "ts_ms" | "ts_us" | "ts_ns" => None,
            _ => Some("source"),
        }
    }

    /// What it is in this envelope; None when there is no such field.
    fn of(&self, envelope: &Node) -> Option<Node> {
        let parent = match &self.parent {
            Some(parent) => envelope.member(parent)?,
            None => envelope.clone(),
        };
        let mut node = parent.member(&self.field).or_else(|| envelope.member(&self.field))?;
        node.rebuilt();
        node.schema.optional = true;
        if let Content::Slot(source) = &mut node.content {
            source.default = None;
        }
        Some(node)
    }
}

impl Unwrap {
    /// Apply it.
    pub(super) fn apply(&self, mut record: Record) -> Flow {
        let envelope = record.envelope().cloned();
        if envelope.is_none() && !record.is_tombstone() {
            return Flow::Next(record);
        }
        self.add_headers(&mut record, envelope.as_ref());
        let Some(envelope) = envelope else {
            return if self.deletes == Deletes::RewriteWithTombstone { Flow::Next(record) } else { Flow::Drop };
        };
        let (Some(before), Some(after)) = (envelope.member("before"), envelope.member("after")) else {
            return Flow::Next(record);
        };
        let deleted = after.is_null();
        if deleted && before.is_null() {
            return Flow::Drop; // a TRUNCATE
        }
        let mut row = if deleted { before } else { after };
        let route = self.route_by.as_ref().map(|field| row.member(field).ok_or(NO_ROUTE)).transpose();
        match self.deletes {
            Deletes::Drop if deleted => return Flow::Drop,
            Deletes::Tombstone | Deletes::DeleteToTombstone if deleted => record.value = None,
            mode => {
                if matches!(mode, Deletes::Rewrite | Deletes::RewriteWithTombstone) {
                    self.mark(&mut row, deleted);
                }
                record.value = Some(row);
                // A delete first loses what is to be dropped and then gains what is added; all else is the other way.
                let done = match deleted {
                    true => self.drop_fields(&mut record).and_then(|()| self.add_fields(&mut record, &envelope)),
                    false => self.add_fields(&mut record, &envelope).and_then(|()| self.drop_fields(&mut record)),
                };
                if let Err(reason) = done {
                    return Flow::Refuse(reason);
                }
            }
        }
        match route {
            Ok(None) => Flow::Next(record),
            Ok(Some(node)) if node.schema.kind != Kind::String => Flow::Refuse(NO_ROUTE),
            Ok(Some(node)) => Flow::Ask(Ask::Topic(node), record),
            Err(reason) => Flow::Refuse(reason),
        }
    }

    fn add_headers(&self, record: &mut Record, envelope: Option<&Node>) {
        for added in &self.headers {
            let node = match envelope {
                Some(envelope) => added.of(envelope),
                None if added.field == "op" => Some(Node::text(Schema::new(Kind::String), "d")),
                None => None,
            };
            record.headers.extend(node.map(|node| (added.name.clone(), node)));
        }
    }

    /// `InsertField` of `__deleted`, which also puts defaults in place of nulls.
    fn mark(&self, row: &mut Node, deleted: bool) {
        row.rebuilt();
        if self.null_is_default {
            let Kind::Struct(members) = &row.schema.kind else { return };
            let Content::Struct(contents) = &mut row.content else { return };
            for (member, content) in members.iter().zip(contents) {
                if let (Content::Slot(source), Some(default)) = (content, &member.schema.default) {
                    source.default = Some(default.clone());
                }
            }
        }
        row.put(DELETED, Node::text(Schema::new(Kind::String).optional(), if deleted { "true" } else { "false" }));
    }

    fn add_fields(&self, record: &mut Record, envelope: &Node) -> Result<(), &'static str> {
        let Some(row) = &mut record.value else { return Ok(()) };
        row.rebuilt();
        for added in &self.fields {
            if let Some(node) = added.of(envelope) {
                if row.member(&added.name).is_some() {
                    return Err("add_fields names a field that the row has already: give it another name or prefix");
                }
                row.put(&added.name, node);
            }
        }
        Ok(())
    }

    /// Drop the fields that a header lists.
    fn drop_fields(&self, record: &mut Record) -> Result<(), &'static str> {
        let header = self.drop_header.as_ref().and_then(|name| record.header(name));
        let names = match header.map(|header| &header.content) {
            Some(Content::Fixed(Value::List(names))) => names.clone(),
            None | Some(Content::Null) => return Ok(()),
            Some(_) => return Err("the header of drop_fields_header_name is no list of names"),
        };
        if names.is_empty() {
            return Ok(());
        }
        let keep_required = self.drop_keep_required;
        let drop = |node: &mut Node| {
            let listed = |name: &str| names.iter().any(|(_, value)| *value == Value::String(name.into()));
            let before = node.schema.members().len();
            node.retain(|member| !listed(&member.name) || (keep_required && !member.schema.optional));
            if node.schema.members().len() < before || !keep_required {
                node.rebuilt();
            }
        };
        if self.drop_from_key {
            record.key.iter_mut().for_each(drop);
        }
        record.value.iter_mut().for_each(drop);
        Ok(())
    }
}

const NO_ROUTE: &str = "route_by_field names no column of text of this table";
