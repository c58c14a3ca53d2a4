//! Connect schemas of keys, rows, source blocks and envelopes, as Debezium builds them.

use std::borrow::Cow;

use super::codec::{Codec, Foreign};
use super::default;
use super::profile::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, Profile, TimePrecision};
use super::temporal::Unit;
use crate::encode::connect::{Kind, Member, Schema, Value};
use crate::encode::java::Float;
use crate::table::{Column, Type};

/// Of a `bit varying` without a length.
const BITS_MAX: u32 = i32::MAX as u32;

/// The schema of a column's values; asked only for columns that have a codec.
pub(super) fn column(column: &Column, codec: &Codec, profile: &Profile) -> Schema {
    let schema = value(&column.kind, &column.native, column, profile);
    // Those of PostGIS say so of themselves, whatever the column says.
    Schema { optional: column.nullable || schema.optional, default: default::of(column, codec), ..schema }
}

fn value(kind: &Type, native: &str, column: &Column, profile: &Profile) -> Schema {
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
            DecimalMode::Precise => decimal(profile.money_digits),
            DecimalMode::Double => Schema::new(Kind::Float64),
            DecimalMode::String => Schema::new(Kind::String),
        },
        Type::Bytea => bytes(profile),
        Type::Bit(length) => bits(*length),
        Type::Varbit(length) => bits(length.unwrap_or(BITS_MAX)),
        Type::Date => match profile.time {
            TimePrecision::Connect => Schema::named(Kind::Int32, "org.apache.kafka.connect.data.Date"),
            TimePrecision::IsoString => text("io.debezium.time.IsoDate"),
            TimePrecision::Local => Schema::new(Kind::String),
            _ => Schema::named(Kind::Int32, "io.debezium.time.Date"),
        },
        Type::Time(digits) => time(Unit::of_time(*digits, profile.time), profile),
        Type::Timestamp(digits) => timestamp(Unit::of_timestamp(*digits, profile.time), profile),
        Type::TimeTz(_) => text("io.debezium.time.ZonedTime"),
        Type::TimestampTz(_) => text("io.debezium.time.ZonedTimestamp"),
        Type::Interval if profile.interval == IntervalMode::String => text("io.debezium.time.Interval"),
        Type::Interval => Schema::named(Kind::Int64, "io.debezium.time.MicroDuration"),
        Type::Uuid => text("io.debezium.data.Uuid"),
        Type::Hstore if profile.hstore == HstoreMode::Map => {
            let types = (Schema::new(Kind::String), Schema::new(Kind::String).optional());
            Schema::new(Kind::Map(Box::new(types)))
        }
        Type::Json | Type::Jsonb | Type::Hstore => text("io.debezium.data.Json"),
        Type::Xml => text("io.debezium.data.Xml"),
        Type::Enum => text("io.debezium.data.Enum").with("allowed", column.labels.join(",")),
        Type::Ltree => text("io.debezium.data.Ltree"),
        Type::Tsvector => text("io.debezium.data.Tsvector"),
        Type::Point => point(),
        Type::Array(element) => {
            let native = native.strip_suffix("[]").unwrap_or(native);
            let items = value(element, native, column, profile);
            Schema::array(Schema { optional: may_be_null(element, native), ..items })
        }
        Type::Other => foreign(Foreign::of(native), profile),
        Type::Multirange => bytes(profile),
        Type::Text | Type::Varchar(_) | Type::Bpchar(_) | Type::Name | Type::Citext => Schema::new(Kind::String),
        Type::Inet | Type::Cidr | Type::Macaddr | Type::Macaddr8 | Type::Range(_) => Schema::new(Kind::String),
    }
}

/// Whether an array's elements of this type may be null by their schema. Debezium forgets to say so of the types that it
/// has no array of its own for; JSON holds their nulls all the same.
pub(super) fn may_be_null(element: &Type, native: &str) -> bool {
    match element {
        Type::Tsvector | Type::Enum | Type::Multirange => false,
        Type::Other => native == "\"char\"" || matches!(Foreign::of(native), Foreign::Geometry | Foreign::Geography),
        _ => true,
    }
}

/// As `binary.handling.mode` says.
fn bytes(profile: &Profile) -> Schema {
    Schema::new(if profile.binary == BinaryMode::Bytes { Kind::Bytes } else { Kind::String })
}

fn time(unit: Unit, profile: &Profile) -> Schema {
    match unit {
        Unit::Millis if profile.time == TimePrecision::Connect => {
            Schema::named(Kind::Int32, "org.apache.kafka.connect.data.Time")
        }
        Unit::Millis => Schema::named(Kind::Int32, "io.debezium.time.Time"),
        Unit::Micros => Schema::named(Kind::Int64, "io.debezium.time.MicroTime"),
        Unit::Nanos => Schema::named(Kind::Int64, "io.debezium.time.NanoTime"),
        Unit::Iso => Schema::named(Kind::String, "io.debezium.time.IsoTime"),
        Unit::Local => Schema::new(Kind::String),
    }
}

fn timestamp(unit: Unit, profile: &Profile) -> Schema {
    match unit {
        Unit::Millis if profile.time == TimePrecision::Connect => {
            Schema::named(Kind::Int64, "org.apache.kafka.connect.data.Timestamp")
        }
        Unit::Millis => Schema::named(Kind::Int64, "io.debezium.time.Timestamp"),
        Unit::Micros => Schema::named(Kind::Int64, "io.debezium.time.MicroTimestamp"),
        Unit::Nanos => Schema::named(Kind::Int64, "io.debezium.time.NanoTimestamp"),
        Unit::Iso => Schema::named(Kind::String, "io.debezium.time.IsoTimestamp"),
        Unit::Local => Schema::new(Kind::String),
    }
}

fn foreign(foreign: Foreign, profile: &Profile) -> Schema {
    let list = |kind| Schema::array(Schema::new(kind));
    let named = |name, doc: &'static str, schema: Schema| Schema {
        name: Some(Cow::Borrowed(name)),
        version: Some(1),
        doc: (!doc.is_empty()).then_some(Cow::Borrowed(doc)),
        ..schema
    };
    match foreign {
        Foreign::Text => Schema::new(Kind::String),
        Foreign::Vector(Float::Double) => named("io.debezium.data.DoubleVector", "", list(Kind::Float64)),
        Foreign::Vector(Float::Single) => named("io.debezium.data.FloatVector", "", list(Kind::Float32)),
        Foreign::Sparse => {
            let map = Kind::Map(Box::new((Schema::new(Kind::Int16), Schema::new(Kind::Float64))));
            let members = [("dimensions", Schema::new(Kind::Int16)), ("vector", Schema::new(map))];
            named("io.debezium.data.SparseDoubleVector", "Sparse double vector", Schema::structure(members))
        }
        Foreign::Int2Vector => list(Kind::Int16),
        Foreign::OidVector => list(Kind::Int64),
        Foreign::Geometry => named("io.debezium.data.geometry.Geometry", "Geometry", geometry()).optional(),
        Foreign::Geography => named("io.debezium.data.geometry.Geography", "Geography", geometry()),
        Foreign::Geometries => Schema::array(self::foreign(Foreign::Geometry, profile)),
        Foreign::Geographies => Schema::array(self::foreign(Foreign::Geography, profile).optional()),
        Foreign::Boxes => Schema::array(bytes(profile)),
        Foreign::Geometric | Foreign::Unknown | Foreign::Array => bytes(profile),
    }
}

fn geometry() -> Schema {
    Schema::structure([("wkb", Schema::new(Kind::Bytes)), ("srid", Schema::new(Kind::Int32).optional())])
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

/// The key of the records at both ends of a transaction.
#[must_use]
pub fn transaction_key() -> Schema {
    let name = Some("io.debezium.connector.common.TransactionMetadataKey".into());
    Schema { name, version: Some(1), ..Schema::structure([("id", Schema::new(Kind::String))]) }
}

/// Their value.
#[must_use]
pub fn transaction_value() -> Schema {
    let collection = [("data_collection", Schema::new(Kind::String)), ("event_count", Schema::new(Kind::Int64))];
    let name = Some("event.collection".into());
    let collection = Schema { name, version: Some(1), ..Schema::structure(collection) }.optional();
    let members = [
        ("status", Schema::new(Kind::String)),
        ("id", Schema::new(Kind::String)),
        ("event_count", Schema::new(Kind::Int64).optional()),
        ("data_collections", Schema::array(collection).optional()),
        ("ts_ms", Schema::new(Kind::Int64)),
    ];
    let name = Some("io.debezium.connector.common.TransactionMetadataValue".into());
    Schema { name, version: Some(1), ..Schema::structure(members) }
}

/// The key of a heartbeat.
#[must_use]
pub fn heartbeat_key() -> Schema {
    let name = Some("io.debezium.connector.common.ServerNameKey".into());
    Schema { name, version: Some(1), ..Schema::structure([("serverName", Schema::new(Kind::String))]) }
}

/// Its value.
#[must_use]
pub fn heartbeat_value() -> Schema {
    let name = Some("io.debezium.connector.common.Heartbeat".into());
    Schema { name, version: Some(1), ..Schema::structure([("ts_ms", Schema::new(Kind::Int64))]) }
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
pub fn message(profile: &Profile) -> Schema {
    let members = [("prefix", Schema::new(Kind::String).optional()), ("content", bytes(profile).optional())];
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
