//! Defaults of columns, as far as Debezium reads them out of the server's expressions: literals as they are, functions
//! as the zero of their type, because every row has another value. Nothing is evaluated: other expressions are no default.

use super::codec::Codec;
use crate::encode::connect::Value;
use crate::table::{Column, Type};

/// The default of a column's values in its schema.
pub(super) fn of(column: &Column, codec: &Codec) -> Option<Value> {
    let expression = column.note.default.as_deref()?.trim();
    // Debezium knows defaults of types by the column's own, which a domain's is not; it is always in a schema.
    if column.kind != Type::Enum && column.native.contains('.') {
        return None;
    }
    let generated = is_generated(expression);
    let cell = match &column.kind {
        Type::Bool => {
            if generated {
                "f".into()
            } else {
                boolean(expression)?
            }
        }
        Type::Enum => literal(expression)?,
        kind if generated => zero(kind)?.into(),
        kind => {
            zero(kind)?;
            // Debezium knows no infinite moment there.
            let is_moment = matches!(kind, Type::Timestamp(_) | Type::TimestampTz(_));
            literal(expression).filter(|cell| !is_moment || !cell.ends_with("infinity"))?
        }
    };
    let cell = match &column.kind {
        Type::Numeric(Some((_, scale))) => scaled(&cell, usize::try_from(*scale).ok()?)?,
        _ => cell,
    };
    // Kafka's schemas hold no struct as a default.
    codec.value(&cell).filter(|value| !matches!(value, Value::Struct(_) | Value::Null))
}

/// What stands for the default of a type that a function makes; None for types whose defaults Debezium does not read.
fn zero(kind: &Type) -> Option<&'static str> {
    Some(match kind {
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Float4 | Type::Float8 => "0",
        Type::Numeric(_) => "0.0",
        Type::Bit(_) | Type::Varbit(_) => "0",
        Type::Text | Type::Varchar(_) | Type::Bpchar(_) | Type::Xml => "",
        Type::Json | Type::Jsonb => "{}",
        Type::Uuid => "00000000-0000-0000-0000-000000000000",
        Type::Date => "1970-01-01",
        Type::Time(_) => "00:00:00",
        Type::Timestamp(_) => "1970-01-01 00:00:00",
        Type::TimestampTz(_) => "1970-01-01 00:00:00+00",
        Type::Interval => "00:00:00",
        _ => return None,
    })
}

/// Whether an expression is the call of a function, or one of SQL's words for the time.
fn is_generated(expression: &str) -> bool {
    const TIMES: [&str; 5] = ["current_timestamp", "current_time", "current_date", "localtime", "localtimestamp"];
    let call = expression.strip_prefix('(').unwrap_or(expression);
    let name = call.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte)).count();
    let is_call = name > 0 && call[name..].starts_with('(') && call[name..].contains(')');
    is_call || TIMES.iter().any(|word| expression.eq_ignore_ascii_case(word))
}

/// `true` and `false` as the server prints values.
fn boolean(expression: &str) -> Option<String> {
    match expression {
        "true" => Some("t".into()),
        "false" => Some("f".into()),
        _ => None,
    }
}

/// A number with just so many digits after the point; None when it has others than zeros beyond them.
fn scaled(text: &str, scale: usize) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.trim_end_matches('0');
    let sound = digits.len() <= scale && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| if scale == 0 { whole.to_owned() } else { format!("{whole}.{digits:0<scale$}") })
}

/// The value of a literal: a number, or text with its cast.
fn literal(expression: &str) -> Option<String> {
    let (text, escapes) = match expression.as_bytes() {
        [b'E' | b'e', b'\'', ..] => (&expression[2..], true),
        [b'B' | b'b', b'\'', ..] => (&expression[2..], false),
        [b'\'', ..] => (&expression[1..], false),
        [b'0'..=b'9', ..] if expression.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte)) => {
            return Some(expression.into());
        }
        _ => return None,
    };
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next()? {
            '\'' if chars.as_str().starts_with('\'') => value.extend(chars.next()),
            '\'' => break,
            '\\' if escapes => value.extend(chars.next()),
            char => value.push(char),
        }
    }
    let cast = chars.as_str();
    let plain = |char: char| char.is_alphanumeric() || "_. \"(),[]".contains(char);
    let sound = cast.is_empty() || cast.strip_prefix("::").is_some_and(|cast| cast.chars().all(plain));
    sound.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::super::profile::{DecimalMode, Profile};
    use super::*;
    use crate::table::Note;

    fn default(kind: &str, expression: &str) -> Option<Value> {
        let profile = Profile { decimal: DecimalMode::String, ..Profile::new("shop") };
        let note = Note { default: Some(expression.into()), ..Note::default() };
        let kind = Type::parse(kind).unwrap();
        let native = kind.to_string();
        let column = Column { name: "c".into(), kind, native, nullable: true, labels: vec![], note };
        of(&column, &Codec::of(&column, &profile)?)
    }

    fn text(text: &str) -> Option<Value> {
        Some(Value::String(text.into()))
    }

    #[test]
    fn literals_are_defaults() {
        assert_eq!(default("int4", "5"), Some(Value::Integer(5)));
        assert_eq!(default("int8", "'-5'::bigint"), Some(Value::Integer(-5)));
        assert_eq!(default("bool", "true"), Some(Value::Boolean(true)));
        assert_eq!(default("text", "'it''s'::text"), text("it's"));
        assert_eq!(default("text", "E'a\\\\b'::text"), text("a\\b"));
        assert_eq!(default("enum", "'sad'::public.mood"), text("sad"));
        assert_eq!(default("numeric(5,2)", "1.1"), text("1.10"));
        assert_eq!(default("numeric(5,0)", "3"), text("3"));
        assert_eq!(default("numeric(5,1)", "1.234"), None);
        assert_eq!(default("date", "'2024-01-01'::date"), Some(Value::Integer(19_723)));
        assert_eq!(default("bit(3)", "B'101'::\"bit\""), Some(Value::Bytes(vec![5])));
    }

    #[test]
    fn functions_are_the_zero_of_their_type() {
        assert_eq!(default("int4", "nextval('public.s_seq'::regclass)"), Some(Value::Integer(0)));
        assert_eq!(default("date", "CURRENT_DATE"), Some(Value::Integer(0)));
        assert_eq!(default("timestamp", "(now() + '1 day'::interval)"), Some(Value::Integer(0)));
        assert_eq!(default("text", "lower('A'::text)"), text(""));
        assert_eq!(default("uuid", "gen_random_uuid()"), text("00000000-0000-0000-0000-000000000000"));
    }

    #[test]
    fn what_is_neither_is_no_default() {
        for (kind, expression) in [
            ("int4", "NULL::integer"),
            ("int4", "(1 + 2)"),
            ("text", "('a'::text || 'b'::text)"),
            ("text", "'a'::text || 'b'::text"),
            ("text", "CURRENT_USER"),
            ("text", "'unfinished"),
            ("bytea", "'\\x00'::bytea"),
            ("money", "'$1.00'::money"),
            ("int4", "'x'::integer"),
            ("bool", "NOT true"),
            ("int4[]", "'{}'::integer[]"),
            ("point", "'(0,0)'::point"),
        ] {
            assert_eq!(default(kind, expression), None, "{expression}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_expression_is_read_without_panic(expression: String) {
            for kind in ["text", "int4", "bool", "bit(3)", "timestamptz", "enum"] {
                let _ = default(kind, &expression);
            }
        }
    }
}
