//! What the source calls a column's type, as Debezium tells it: from PostgreSQL's JDBC driver.

use crate::table::{Column, Type};

/// Digits of a number that the driver calls unlimited, which Debezium takes only for the elements of an array.
const NUMERIC_MAX: i32 = 131_089;

/// A type by the source's words.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceType {
    /// `int4`, `_text`, `mood`.
    pub name: String,
    /// Length or precision.
    pub length: i32,
    /// Scale, or digits of seconds.
    pub scale: Option<i32>,
}

impl SourceType {
    /// Of a column.
    #[must_use]
    pub fn of(column: &Column) -> Self {
        let (kind, prefix) = match &column.kind {
            // A domain over an array has its own name.
            Type::Array(element) => (&**element, if column.native.ends_with("[]") { "_" } else { "" }),
            kind => (kind, ""),
        };
        let native = column.native.trim_end_matches("[]");
        let [length, scale] = match (kind, prefix) {
            (Type::Numeric(None), "_") => [Some(NUMERIC_MAX), Some(0)],
            _ => size(kind, native),
        };
        Self { name: format!("{prefix}{}", name(kind, native)), length: length.unwrap_or(0), scale }
    }
}

fn name(kind: &Type, native: &str) -> String {
    let bare = native.split('(').next().unwrap_or_default();
    match bare.rsplit_once('.') {
        // A user's type: the session's search path is empty.
        Some((_, name)) => name.trim_matches('"').into(),
        None if *kind == Type::Other => bare.trim_matches('"').into(),
        None => kind.to_string().split('(').next().unwrap_or_default().into(),
    }
}

/// Length and scale, each if there is one.
fn size(kind: &Type, native: &str) -> [Option<i32>; 2] {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    // Digits of seconds take a point too.
    let seconds = |digits: u8| match digits {
        0 => 0,
        1 => 3,
        digits => i32::from(digits) + 1,
    };
    let timed = |fixed: i32, digits: u8| [Some(fixed + seconds(digits)), Some(i32::from(digits))];
    let plain = |length: i32| [Some(length), Some(0)];
    match kind {
        Type::Bool => plain(1),
        Type::Int2 => plain(5),
        Type::Int4 | Type::Oid => plain(10),
        Type::Int8 => plain(19),
        Type::Float4 => [Some(8), Some(8)],
        Type::Float8 => [Some(17), Some(17)],
        Type::Numeric(None) => [Some(0), None],
        Type::Numeric(Some((precision, scale))) => [Some((*precision).into()), Some((*scale).into())],
        Type::Varchar(Some(length)) | Type::Bpchar(Some(length)) | Type::Varbit(Some(length)) => plain(number(*length)),
        Type::Bit(length) => plain(number(*length)),
        Type::Date => plain(13),
        Type::Time(digits) => timed(8, *digits),
        Type::TimeTz(digits) => timed(14, *digits),
        Type::Timestamp(digits) => timed(22, *digits),
        Type::TimestampTz(digits) => timed(28, *digits),
        Type::Interval => [Some(49), Some(digits_of(native).unwrap_or(6))],
        Type::Other if native == "\"char\"" => plain(1),
        _ => plain(i32::MAX),
    }
}

/// The number in `interval(3)`.
fn digits_of(native: &str) -> Option<i32> {
    native.split_once('(')?.1.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, native: &str) -> (String, i32, Option<i32>) {
        let kind = Type::parse(kind).unwrap();
        let found = SourceType::of(&Column {
            name: "c".into(),
            kind,
            native: native.into(),
            nullable: true,
            labels: vec![],
            note: crate::table::Note::default(),
        });
        (found.name, found.length, found.scale)
    }

    #[test]
    fn types_have_the_words_of_the_driver() {
        assert_eq!(of("int4", "integer"), ("int4".into(), 10, Some(0)));
        assert_eq!(of("numeric", "numeric"), ("numeric".into(), 0, None));
        assert_eq!(of("timestamptz(1)", "timestamp(1) with time zone"), ("timestamptz".into(), 31, Some(1)));
        assert_eq!(of("interval", "interval(3)"), ("interval".into(), 49, Some(3)));
        assert_eq!(of("varchar(3)", "public.\"Dv\""), ("Dv".into(), 3, Some(0)));
        assert_eq!(of("varchar(5)[]", "character varying(5)[]"), ("_varchar".into(), 5, Some(0)));
        assert_eq!(of("other", "\"char\""), ("char".into(), 1, Some(0)));
        assert_eq!(of("numeric[]", "numeric[]"), ("_numeric".into(), 131_089, Some(0)));
        assert_eq!(of("int4[]", "public.several"), ("several".into(), 10, Some(0)));
    }
}
