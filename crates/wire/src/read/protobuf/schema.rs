//! Which Connect schema a message is: what Confluent's ProtobufData makes of it, with what it forgets where that is safe.
//!
//! Kept that it forgets: structs of Debezium by their names (numerics of any scale, points), wrappers as values that may
//! be null, microseconds of times, and that a field without presence is never null.

use std::borrow::Cow;

use super::link::{Enum, Field, Kind, Meaning, Message, Presence, Types};
use crate::encode::connect::{self, Member, Schema};

/// Structs that are followed: a row in an envelope, and what a column of it holds. What lies deeper is JSON, whatever
/// its schema says.
const DEPTH: usize = 3;
/// Bytes that a schema is written with at the most, about: it stands in front of every value.
const WRITTEN_MAX: usize = 4 << 20;
/// What a field's schema is written with beside names, about.
const FIELD: usize = 80;
/// Debezium's structs that are values of a type: name, package, fields.
const STRUCTS: [(&str, &str, &[&str]); 4] = [
    ("VariableScaleDecimal", "io.debezium.data", &["scale", "value"]),
    ("Point", "io.debezium.data.geometry", &["x", "y", "wkb", "srid"]),
    ("Geometry", "io.debezium.data.geometry", &["wkb", "srid"]),
    ("Geography", "io.debezium.data.geometry", &["wkb", "srid"]),
];

impl Types {
    /// The schema of a message on its own. Fields in fields are a power of what the text says of them, so that less deep
    /// ones are followed where they are many; None when it is too large even so.
    pub(super) fn schema(&self, index: usize) -> Option<Schema> {
        let message = &self.messages[index];
        if let Some(meaning) = message.meaning {
            return Some(self.stands_for(meaning, message, &[]));
        }
        // Columns without their schemas would have other types. Those of an envelope are in its rows.
        let columns = if message.envelope { 2 } else { 1 };
        let depth = (columns..=DEPTH).rev().find(|depth| self.structure_fits(message, *depth, &mut { WRITTEN_MAX }))?;
        Some(self.structure(message, depth))
    }

    /// Whether there is room for what `structure` makes, which it takes.
    fn structure_fits(&self, message: &Message, depth: usize, room: &mut usize) -> bool {
        take(room, message.name.len())
            && depth
                .checked_sub(1)
                .is_none_or(|depth| message.fields.iter().all(|field| self.field_fits(field, depth, room)))
    }

    fn field_fits(&self, field: &Field, depth: usize, room: &mut usize) -> bool {
        let meta: usize = field.meta.iter().map(|(name, value)| name.len() + value.len() + 1).sum();
        if !take(room, FIELD + field.name.len() + meta) {
            return false;
        }
        match (field.presence, field.kind) {
            (Presence::Map, Kind::Message(entry)) => {
                self.messages[entry].fields.iter().all(|part| self.field_fits(part, depth, room))
            }
            (_, Kind::Message(index)) => match &self.messages[index] {
                message if message.meaning.is_some() => true,
                message => self.structure_fits(message, depth, room),
            },
            (_, Kind::Enum(index)) => self.enums[index].values.iter().all(|(label, _)| take(room, label.len() + 1)),
            _ => true,
        }
    }

    fn structure(&self, message: &Message, depth: usize) -> Schema {
        let name = semantic(message).unwrap_or_else(|| message.name.clone());
        let mut members = Vec::new();
        if let Some(depth) = depth.checked_sub(1) {
            for field in &message.fields {
                members.push(Member { name: field.name.clone(), schema: self.field(field, depth) });
            }
        }
        Schema { name: Some(Cow::Owned(name)), ..Schema::new(connect::Kind::Struct(members)) }
    }

    fn field(&self, field: &Field, depth: usize) -> Schema {
        let schema = match (field.presence, field.kind) {
            (Presence::Map, Kind::Message(entry)) => {
                let mut types = self.messages[entry].fields.iter().map(|part| self.field(part, depth));
                match (types.next(), types.next()) {
                    (Some(key), Some(value)) => Schema::new(connect::Kind::Map(Box::new((key, value)))),
                    _ => Schema::new(connect::Kind::String),
                }
            }
            (Presence::List, _) => Schema::array(self.element(field, depth)),
            _ => self.element(field, depth),
        };
        Schema { optional: field.presence == Presence::Explicit, ..schema }
    }

    /// Of one value.
    fn element(&self, field: &Field, depth: usize) -> Schema {
        match field.kind {
            Kind::Message(index) => {
                let message = &self.messages[index];
                match message.meaning {
                    Some(meaning) => self.stands_for(meaning, message, &field.meta),
                    None => self.structure(message, depth),
                }
            }
            Kind::Enum(index) => labelled(&self.enums[index]),
            kind => Schema::new(plain(kind, &field.meta)),
        }
    }

    fn stands_for(&self, meaning: Meaning, message: &Message, meta: &[(String, String)]) -> Schema {
        match meaning {
            Meaning::Timestamp => Schema::named(connect::Kind::Int64, "io.debezium.time.MicroTimestamp"),
            Meaning::TimeOfDay => Schema::named(connect::Kind::Int64, "io.debezium.time.MicroTime"),
            Meaning::Date => Schema::named(connect::Kind::Int32, "org.apache.kafka.connect.data.Date"),
            Meaning::Wrapper => match message.fields.first() {
                Some(field) => Schema::new(plain(field.kind, meta)),
                None => Schema::new(connect::Kind::String),
            },
            Meaning::Decimal => match scale(meta) {
                Some(scale) => {
                    let decimal = Schema::named(connect::Kind::Bytes, "org.apache.kafka.connect.data.Decimal");
                    let decimal = decimal.with("scale", scale.to_string());
                    match parameter(meta, "precision") {
                        Some(precision) => decimal.with("connect.decimal.precision", precision),
                        None => decimal,
                    }
                }
                None => Schema::named(
                    connect::Kind::Struct(vec![
                        Member { name: "scale".to_owned(), schema: Schema::new(connect::Kind::Int32) },
                        Member { name: "value".to_owned(), schema: Schema::new(connect::Kind::Bytes) },
                    ]),
                    "io.debezium.data.VariableScaleDecimal",
                ),
            },
        }
    }
}

/// Take so many bytes, if there is room for them.
fn take(room: &mut usize, nbytes: usize) -> bool {
    let rest = room.checked_sub(nbytes);
    *room = rest.unwrap_or(0);
    rest.is_some()
}

fn plain(kind: Kind, meta: &[(String, String)]) -> connect::Kind {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => match parameter(meta, "connect.type") {
            Some("int8") => connect::Kind::Int8,
            Some("int16") => connect::Kind::Int16,
            _ => connect::Kind::Int32,
        },
        Kind::Float => connect::Kind::Float32,
        Kind::Double => connect::Kind::Float64,
        Kind::Bool => connect::Kind::Boolean,
        Kind::Bytes => connect::Kind::Bytes,
        Kind::Text | Kind::Enum(_) | Kind::Message(_) => connect::Kind::String,
        Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed64 => {
            connect::Kind::Int64
        }
    }
}

fn labelled(labels: &Enum) -> Schema {
    let allowed: Vec<&str> = labels.values.iter().map(|(name, _)| name.as_str()).collect();
    Schema::named(connect::Kind::String, "io.debezium.data.Enum").with("allowed", allowed.join(","))
}

/// The name of a struct of Debezium's, whose package Confluent's converter does not write.
fn semantic(message: &Message) -> Option<String> {
    let name = message.name.rsplit('.').next()?;
    let (_, package, fields) = STRUCTS.iter().find(|(known, ..)| *known == name)?;
    let found = message.fields.iter().map(|field| field.name.as_str());
    found.eq(fields.iter().copied()).then(|| format!("{package}.{name}"))
}

/// What the field says of the scale of its decimals.
pub(super) fn scale(meta: &[(String, String)]) -> Option<i32> {
    parameter(meta, "scale")?.parse().ok()
}

fn parameter<'a>(meta: &'a [(String, String)], name: &str) -> Option<&'a str> {
    meta.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
