//! The binary format (PostgreSQL manual, "COPY", "Binary Format"; each type as its receive function reads it).

use super::{Format, numeric};
use crate::value::{bytea, number, time};

/// The days, and the microseconds, from 1970-01-01 to 2000-01-01, where PostgreSQL's count begins.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;

/// What a binary form is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Bytea,
    Date,
    Float4,
    Float8,
    Int2,
    Int4,
    Int8,
    Interval,
    Jsonb,
    Numeric,
    Oid,
    Text,
    Time,
    Timestamp,
    Timestamptz,
    Timetz,
    Uuid,
}

impl Kind {
    /// The kind that a receive function of `pg_catalog` reads.
    pub fn read_by(receiver: &str) -> Option<Self> {
        Some(match receiver {
            "boolrecv" => Self::Bool,
            "bytearecv" => Self::Bytea,
            "date_recv" => Self::Date,
            "float4recv" => Self::Float4,
            "float8recv" => Self::Float8,
            "int2recv" => Self::Int2,
            "int4recv" => Self::Int4,
            "int8recv" => Self::Int8,
            "interval_recv" => Self::Interval,
            "jsonb_recv" => Self::Jsonb,
            "numeric_recv" => Self::Numeric,
            "oidrecv" => Self::Oid,
            "textrecv" | "varcharrecv" | "bpcharrecv" | "json_recv" | "enum_recv" => Self::Text,
            "time_recv" => Self::Time,
            "timestamp_recv" => Self::Timestamp,
            "timestamptz_recv" => Self::Timestamptz,
            "timetz_recv" => Self::Timetz,
            "uuid_recv" => Self::Uuid,
            _ => return None,
        })
    }

    /// Append the binary form of a text. None for a text that a server does not write for this type.
    #[inline]
    fn write(self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Text => out.extend_from_slice(text),
            Self::Int2 => out.extend_from_slice(&i16::try_from(number::integer(text)?).ok()?.to_be_bytes()),
            Self::Int4 => out.extend_from_slice(&i32::try_from(number::integer(text)?).ok()?.to_be_bytes()),
            Self::Int8 => out.extend_from_slice(&number::integer(text)?.to_be_bytes()),
            Self::Oid => out.extend_from_slice(&u32::try_from(number::integer(text)?).ok()?.to_be_bytes()),
            Self::Numeric => numeric::write(text, out)?,
            Self::Float4 => {
                out.extend_from_slice(&float::<f32>(text, |value| value == 0.0, f32::is_infinite)?.to_be_bytes())
            }
            Self::Float8 => {
                out.extend_from_slice(&float::<f64>(text, |value| value == 0.0, f64::is_infinite)?.to_be_bytes())
            }
            Self::Bool => out.push(match text {
                b"t" => 1,
                b"f" => 0,
                _ => return None,
            }),
            Self::Jsonb => {
                out.push(1);
                out.extend_from_slice(text);
            }
            Self::Uuid => uuid(text, out)?,
            Self::Bytea => bytea::unhex(text, out)?,
            Self::Date => {
                let days = match time::date(text)? {
                    time::Extended::Finite(days) => days.checked_sub(EPOCH_DAYS)?,
                    time::Extended::Infinity => i32::MAX,
                    time::Extended::NegativeInfinity => i32::MIN,
                };
                out.extend_from_slice(&days.to_be_bytes());
            }
            Self::Time => out.extend_from_slice(&time::time(text)?.to_be_bytes()),
            Self::Timetz => {
                let (micros, east) = time::timetz(text)?;
                out.extend_from_slice(&micros.to_be_bytes());
                out.extend_from_slice(&(-east).to_be_bytes());
            }
            Self::Timestamp => moment(time::timestamp(text)?, out)?,
            Self::Timestamptz => moment(time::timestamptz(text)?, out)?,
            Self::Interval => {
                let time::Interval { months, days, micros } = time::interval(text)?;
                out.extend_from_slice(&micros.to_be_bytes());
                out.extend_from_slice(&days.to_be_bytes());
                out.extend_from_slice(&months.to_be_bytes());
            }
        }
        Some(())
    }
}

/// Rows of fields that are counted and have their length in front.
#[derive(Clone, Debug)]
pub struct Binary {
    kinds: Vec<Kind>,
    /// How many fields a row has.
    fields: i16,
    /// The fields of the constants.
    ending: Vec<u8>,
}

impl Binary {
    /// For rows of so many columns, then the constants, each with its kind. None when that does not go together.
    pub fn new(mut kinds: Vec<Kind>, columns: usize, constants: &[String], staged: bool) -> Option<Self> {
        let of_constants = kinds.get(columns..)?;
        if of_constants.len() < constants.len() {
            return None;
        }
        let mut ending = Vec::new();
        for (constant, kind) in constants.iter().zip(of_constants) {
            field(*kind, Some(constant.as_bytes()), &mut ending)?;
        }
        kinds.truncate(columns);
        let fields = i16::try_from(columns + constants.len() + if staged { 2 } else { 0 }).ok()?;
        Some(Self { kinds, fields, ending })
    }
}

impl Format for Binary {
    #[inline]
    fn begin(&self, staged: Option<(u8, i16)>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fields.to_be_bytes());
        if let Some((op, set)) = staged {
            out.extend_from_slice(&1_i32.to_be_bytes());
            out.push(op);
            out.extend_from_slice(&2_i32.to_be_bytes());
            out.extend_from_slice(&set.to_be_bytes());
        }
    }

    #[inline]
    fn cell(&self, place: usize, cell: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
        field(*self.kinds.get(place)?, cell, out)
    }

    #[inline]
    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.ending);
    }
}

#[inline]
fn field(kind: Kind, cell: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
    let Some(text) = cell else {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return Some(());
    };
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    kind.write(text, out)?;
    let length = i32::try_from(out.len() - begin - 4).ok()?;
    out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    Some(())
}

/// A float, when it is written as a server does and stays what it is: one that becomes infinite or zero is refused there.
#[inline]
fn float<F: std::str::FromStr + Copy>(
    text: &[u8],
    zero: impl Fn(F) -> bool,
    infinite: impl Fn(F) -> bool,
) -> Option<F> {
    let plain = text.last().is_some_and(u8::is_ascii_digit);
    if !plain && !matches!(text, b"NaN" | b"Infinity" | b"-Infinity") {
        return None;
    }
    let value: F = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mantissa =
        || text.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| matches!(byte, b'1'..=b'9'));
    if plain && (infinite(value) || zero(value) && mantissa()) {
        return None;
    }
    Some(value)
}

/// 32 hex digits in the groups that a server writes.
#[inline]
fn uuid(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if text.len() != 36 {
        return None;
    }
    for (dash, group) in [(8, 0..8), (13, 9..13), (18, 14..18), (23, 19..23), (0, 24..36)] {
        if dash > 0 && text[dash] != b'-' {
            return None;
        }
        bytea::pairs(&text[group], out)?;
    }
    Some(())
}

/// Append a point in time, in microseconds since 2000.
#[inline]
fn moment(value: time::Extended<i64>, out: &mut Vec<u8>) -> Option<()> {
    let micros = match value {
        // The smallest number is an infinity.
        time::Extended::Finite(micros) => micros.checked_sub(EPOCH_US).filter(|micros| *micros > i64::MIN)?,
        time::Extended::Infinity => i64::MAX,
        time::Extended::NegativeInfinity => i64::MIN,
    };
    out.extend_from_slice(&micros.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(receiver: &str, text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Kind::read_by(receiver)?.write(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn values_are_as_their_receive_function_reads_them() {
        for (receiver, text, expected) in [
            ("boolrecv", "t", &b"\x01"[..]),
            ("bytearecv", "\\x00ff", b"\x00\xff"),
            ("date_recv", "2000-01-02", b"\0\0\0\x01"),
            ("date_recv", "infinity", b"\x7f\xff\xff\xff"),
            ("date_recv", "-infinity", b"\x80\0\0\0"),
            ("float4recv", "1.5", b"\x3f\xc0\0\0"),
            ("float8recv", "-0", b"\x80\0\0\0\0\0\0\0"),
            ("float8recv", "1e+100", &1e100_f64.to_be_bytes()),
            ("int2recv", "-1", b"\xff\xff"),
            ("interval_recv", "1 mon 2 days 00:00:00.000003", b"\0\0\0\0\0\0\0\x03\0\0\0\x02\0\0\0\x01"),
            ("jsonb_recv", "{}", b"\x01{}"),
            ("oidrecv", "4294967295", b"\xff\xff\xff\xff"),
            ("enum_recv", "new", b"new"),
            ("time_recv", "00:00:00.000001", b"\0\0\0\0\0\0\0\x01"),
            ("timetz_recv", "00:00:00+00:00:01", b"\0\0\0\0\0\0\0\0\xff\xff\xff\xff"),
            ("timestamp_recv", "2000-01-01 00:00:00.000001", b"\0\0\0\0\0\0\0\x01"),
            ("timestamptz_recv", "2000-01-01 01:00:00+01", b"\0\0\0\0\0\0\0\0"),
            ("timestamptz_recv", "-infinity", b"\x80\0\0\0\0\0\0\0"),
            (
                "uuid_recv",
                "00010203-0405-0607-0809-0A0b0c0d0e0f",
                b"\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
            ),
        ] {
            assert_eq!(written(receiver, text).as_deref(), Some(expected), "{receiver} {text}");
        }
    }

    #[test]
    fn what_the_server_would_read_in_its_own_way_is_left_to_it() {
        for (receiver, text) in [
            ("boolrecv", "true"),
            ("bytearecv", "\\000"),
            ("date_recv", "2026-02-29"),
            ("date_recv", "2026-01-01 00:00:00"),
            ("float4recv", "1e300"),
            ("float4recv", "1e-300"),
            ("float8recv", "1e400"),
            ("float8recv", "inf"),
            ("float8recv", " 1"),
            ("int2recv", "32768"),
            ("int4recv", "1.0"),
            ("oidrecv", "-1"),
            ("interval_recv", "infinity"),
            ("time_recv", "24:00:01"),
            ("timestamp_recv", "2026-01-01"),
            ("timestamp_recv", "2026-01-01 00:00:00+00"),
            ("timestamp_recv", "290279-12-22 19:59:05.224192 BC"),
            ("timestamptz_recv", "2026-01-01 00:00:00"),
            ("timestamptz_recv", "2026-01-01 00:00:00+16"),
            ("timestamptz_recv", "2026-01-01 00:00:00 Europe/Vienna"),
            ("uuid_recv", "{00010203-0405-0607-0809-0a0b0c0d0e0f}"),
            ("uuid_recv", "000102030405060708090a0b0c0d0e0f----"),
            ("xml_recv", "<a/>"),
        ] {
            assert_eq!(written(receiver, text), None, "{receiver} {text}");
        }
    }
}
