//! Connect schemas of keys, rows, source blocks and envelopes, as Debezium builds them.

use std::borrow::Cow;

use super::profile::{DecimalMode, Profile};
use crate::encode::connect::{Kind, Member, Schema, Value};
use crate::table::{Column, Type};

/// Of a `bit varying` without a length.
const BITS_MAX: u32 = i32::MAX as u32;

/// The schema of a column's values; asked only for columns that have a codec.
pub(super) fn column(column: &Column, profile: &Profile) -> Schema {
    let schema = value(&column.kind, column, profile);
    let doc = column.note.comment.clone().map(Cow::Owned);
    Schema { optional: column.nullable, doc: doc.or(schema.doc), ..schema }
}

fn value(kind: &Type, column: &Column, profile: &Profile) -> Schema {
    let text = |name| Schema::named(Kind::String, name);
    match kind {
        Type::Bool | Type::Bit(1) | Type::Varbit(Some(1)) => Schema::new(Kind::Boolean),
        Type::Int2 => Schema::new(Kind::Int16),
        Type::Int4 => Schema::new(Kind::Int32),
        Type::Int8 | Type::Oid => Schema::new(Kind::Int64),
        Type::Float4 => Schema::new(Kind::Float32),
        Type::Float8 => Schema::new(Kind::Float64),
        Type::Numeric(size) => numeric(*size, profile),
        Type::Money => match profile.decimal {
            DecimalMode::Precise => decimal(2),
            DecimalMode::Double => Schema::new(Kind::Float64),
            DecimalMode::String => Schema::new(Kind::String),
        },
        Type::Bytea => Schema::new(Kind::Bytes),
        Type::Bit(length) => bits(*length),
        Type::Varbit(length) => bits(length.unwrap_or(BITS_MAX)),
        Type::Date => Schema::named(Kind::Int32, "io.debezium.time.Date"),
        Type::Time(..=3) => Schema::named(Kind::Int32, "io.debezium.time.Time"),
        Type::Time(_) => Schema::named(Kind::Int64, "io.debezium.time.MicroTime"),
        Type::Timestamp(..=3) => Schema::named(Kind::Int64, "io.debezium.time.Timestamp"),
        Type::Timestamp(_) => Schema::named(Kind::Int64, "io.debezium.time.MicroTimestamp"),
        Type::TimeTz(_) => text("io.debezium.time.ZonedTime"),
        Type::TimestampTz(_) => text("io.debezium.time.ZonedTimestamp"),
        Type::Interval => Schema::named(Kind::Int64, "io.debezium.time.MicroDuration"),
        Type::Uuid => text("io.debezium.data.Uuid"),
        Type::Json | Type::Jsonb | Type::Hstore => text("io.debezium.data.Json"),
        Type::Xml => text("io.debezium.data.Xml"),
        Type::Enum => text("io.debezium.data.Enum").with("allowed", column.labels.join(",")),
        Type::Ltree => text("io.debezium.data.Ltree"),
        Type::Tsvector => text("io.debezium.data.Tsvector"),
        Type::Point => point(),
        Type::Array(element) => {
            let items = value(element, column, profile);
            Schema::array(Schema { optional: may_be_null(element), ..items })
        }
        Type::Text | Type::Varchar(_) | Type::Bpchar(_) | Type::Name | Type::Citext => Schema::new(Kind::String),
        Type::Inet | Type::Cidr | Type::Macaddr | Type::Macaddr8 | Type::Range(_) => Schema::new(Kind::String),
        Type::Multirange | Type::Other => Schema::new(Kind::String),
    }
}

/// Whether an array's elements of this type may be null by their schema. Debezium forgets to say so of two; JSON holds
/// their nulls all the same.
pub(super) fn may_be_null(element: &Type) -> bool {
    !matches!(element, Type::Tsvector | Type::Enum)
}

fn numeric(size: Option<(u16, i16)>, profile: &Profile) -> Schema {
    match (profile.decimal, size) {
        (DecimalMode::Precise, Some((precision, scale))) => {
            decimal(scale).with("connect.decimal.precision", precision.to_string())
        }
        (DecimalMode::Precise, None) => Schema {
            doc: Some("Variable scaled decimal".into()),
            name: Some("io.debezium.data.VariableScaleDecimal".into()),
            version: Some(1),
            ..Schema::structure([("scale", Schema::new(Kind::Int32)), ("value", Schema::new(Kind::Bytes))])
        },
        (DecimalMode::Double, _) => Schema::new(Kind::Float64),
        (DecimalMode::String, _) => Schema::new(Kind::String),
    }
}

fn decimal(scale: i16) -> Schema {
    Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal").with("scale", scale.to_string())
}

fn bits(length: u32) -> Schema {
    Schema::named(Kind::Bytes, "io.debezium.data.Bits").with("length", length.to_string())
}

fn point() -> Schema {
    let members = [
        ("x", Schema::new(Kind::Float64)),
        ("y", Schema::new(Kind::Float64)),
        ("wkb", Schema::new(Kind::Bytes).optional()),
        ("srid", Schema::new(Kind::Int32).optional()),
    ];
    Schema {
        name: Some("io.debezium.data.geometry.Point".into()),
        version: Some(1),
        doc: Some("Geometry (POINT)".into()),
        ..Schema::structure(members)
    }
}

/// A key or a row: `name` and its members.
pub(super) fn row(name: String, members: Vec<Member>) -> Schema {
    Schema { name: Some(name.into()), ..Schema::new(Kind::Struct(members)) }
}

/// The block that says where a change comes from.
#[must_use]
pub fn source() -> Schema {
    let text = || Schema::new(Kind::String);
    let long = || Schema::new(Kind::Int64);
    let flags = "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";
    let snapshot = Schema::named(Kind::String, "io.debezium.data.Enum").with("allowed", flags).optional();
    let members = [
        ("version", text()),
        ("connector", text()),
        ("name", text()),
        ("ts_ms", long()),
        ("snapshot", Schema { default: Some(Value::String("false".into())), ..snapshot }),
        ("db", text()),
        ("sequence", text().optional()),
        ("ts_us", long().optional()),
        ("ts_ns", long().optional()),
        ("schema", text()),
        ("table", text()),
        ("txId", long().optional()),
        ("lsn", long().optional()),
        ("xmin", long().optional()),
        ("origin", text().optional()),
        ("origin_lsn", long().optional()),
    ];
    let name = Some("io.debezium.connector.postgresql.Source".into());
    Schema { name, version: Some(1), ..Schema::structure(members) }
}

/// The block that says which transaction a change is part of.
#[must_use]
pub fn transaction() -> Schema {
    let members = [
        ("id", Schema::new(Kind::String)),
        ("total_order", Schema::new(Kind::Int64)),
        ("data_collection_order", Schema::new(Kind::Int64)),
    ];
    Schema { name: Some("event.block".into()), version: Some(1), ..Schema::structure(members) }.optional()
}

/// The envelope called `name` around such rows.
#[must_use]
pub fn envelope(name: String, row: &Schema) -> Schema {
    let row = || row.clone().optional();
    let members = [
        ("before", row()),
        ("after", row()),
        ("source", source()),
        ("transaction", transaction()),
        ("op", Schema::new(Kind::String)),
        ("ts_ms", Schema::new(Kind::Int64).optional()),
        ("ts_us", Schema::new(Kind::Int64).optional()),
        ("ts_ns", Schema::new(Kind::Int64).optional()),
    ];
    Schema { name: Some(name.into()), version: Some(2), ..Schema::structure(members) }
}

/// The key of a logical decoding message.
#[must_use]
pub fn message_key() -> Schema {
    let members = [("prefix", Schema::new(Kind::String).optional())];
    Schema {
        name: Some("io.debezium.connector.postgresql.MessageKey".into()),
        version: Some(1),
        ..Schema::structure(members)
    }
}

/// The envelope of a logical decoding message.
#[must_use]
pub fn message() -> Schema {
    let members = [("prefix", Schema::new(Kind::String).optional()), ("content", Schema::new(Kind::Bytes).optional())];
    let block = Schema {
        name: Some("io.debezium.connector.postgresql.Message".into()),
        version: Some(1),
        ..Schema::structure(members)
    };
    let members = [
        ("op", Schema::new(Kind::String)),
        ("ts_ms", Schema::new(Kind::Int64).optional()),
        ("source", source()),
        ("transaction", transaction()),
        ("message", block),
    ];
    let name = Some("io.debezium.connector.postgresql.MessageValue".into());
    Schema { name, version: Some(1), ..Schema::structure(members) }
}
