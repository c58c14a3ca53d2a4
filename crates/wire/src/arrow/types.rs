//! The closed table of types: what Arrow and DuckDB make of each portable type. `docs/reference/types.md` shows it.

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};

use crate::table::{Column, Type};

/// The most digits that Arrow's `Decimal128` and DuckDB's `DECIMAL` hold.
const DIGITS_MAX: u16 = 38;

/// The Arrow type of a column in `Batch.arrow`.
#[must_use]
pub fn arrow_type(column: &Column) -> DataType {
    of(&column.kind)
}

/// The name of [`arrow_type`], as pyarrow prints it.
#[must_use]
pub fn arrow_name(column: &Column) -> String {
    name(&of(&column.kind))
}

/// The DuckDB type of a column. Where Arrow has text and DuckDB a type of its own (UUID, INTERVAL, TIMETZ, JSON), the text
/// is what DuckDB's cast to that type reads.
#[must_use]
pub fn duckdb_type(column: &Column) -> String {
    duckdb(&column.kind)
}

/// Precision and scale of a numeric that fits `Decimal128`. Unconstrained ones have no scale to agree on, a negative scale
/// or one above the precision (PostgreSQL 15) has no counterpart: text.
pub(super) fn decimal(kind: &Type) -> Option<(u8, u8)> {
    match kind {
        Type::Numeric(Some((precision @ 1..=DIGITS_MAX, scale))) => {
            let scale = u16::try_from(*scale).ok().filter(|scale| scale <= precision)?;
            Some((u8::try_from(*precision).ok()?, u8::try_from(scale).ok()?))
        }
        _ => None,
    }
}

pub(super) fn of(kind: &Type) -> DataType {
    match kind {
        Type::Bool => DataType::Boolean,
        Type::Int2 => DataType::Int16,
        Type::Int4 => DataType::Int32,
        Type::Int8 => DataType::Int64,
        Type::Oid => DataType::UInt32,
        Type::Float4 => DataType::Float32,
        Type::Float8 => DataType::Float64,
        Type::Numeric(_) => decimal(kind)
            .and_then(|(precision, scale)| Some(DataType::Decimal128(precision, i8::try_from(scale).ok()?)))
            .unwrap_or(DataType::Utf8),
        Type::Bytea => DataType::Binary,
        Type::Date => DataType::Date32,
        Type::Time(_) => DataType::Time64(TimeUnit::Microsecond),
        Type::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TimestampTz(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Array(element) if !matches!(**element, Type::Array(_)) => {
            DataType::List(Arc::new(Field::new("item", of(element), true)))
        }
        _ => DataType::Utf8,
    }
}

fn name(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "bool".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) => format!("decimal128({precision}, {scale})"),
        DataType::Utf8 => "string".into(),
        DataType::Date32 => "date32[day]".into(),
        DataType::Time64(_) => "time64[us]".into(),
        DataType::Timestamp(_, None) => "timestamp[us]".into(),
        DataType::Timestamp(_, Some(zone)) => format!("timestamp[us, tz={zone}]"),
        DataType::List(item) => format!("list<item: {}>", name(item.data_type())),
        other => other.to_string().to_lowercase(),
    }
}

fn duckdb(kind: &Type) -> String {
    let plain = match kind {
        Type::Bool => "BOOLEAN",
        Type::Int2 => "SMALLINT",
        Type::Int4 => "INTEGER",
        Type::Int8 => "BIGINT",
        Type::Oid => "UINTEGER",
        Type::Float4 => "FLOAT",
        Type::Float8 => "DOUBLE",
        Type::Numeric(_) => match decimal(kind) {
            Some((precision, scale)) => return format!("DECIMAL({precision},{scale})"),
            None => "VARCHAR",
        },
        Type::Bytea => "BLOB",
        Type::Date => "DATE",
        Type::Time(_) => "TIME",
        Type::TimeTz(_) => "TIMETZ",
        Type::Timestamp(_) => "TIMESTAMP",
        Type::TimestampTz(_) => "TIMESTAMPTZ",
        Type::Interval => "INTERVAL",
        Type::Uuid => "UUID",
        Type::Json | Type::Jsonb => "JSON",
        Type::Array(element) if !matches!(**element, Type::Array(_)) => return format!("{}[]", duckdb(element)),
        _ => "VARCHAR",
    };
    plain.to_owned()
}
