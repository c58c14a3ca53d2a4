//! Dates and times in `time.precision.mode=adaptive`.

use super::codec::Written;
use crate::encode::json;
use crate::value::time::{self, Extended};

const MALFORMED: &str = "not a date or time as the server writes it (DateStyle ISO)";
const DAY_US: i64 = 86_400_000_000;
/// What Debezium writes for infinite timestamps: the constants of PostgreSQL's JDBC driver, in microseconds.
const INFINITY_US: i64 = 9_223_372_036_825_200_000;
const NEGATIVE_INFINITY_US: i64 = -9_223_372_036_832_400_000;
/// The same for dates; both are negative, an overflow that consumers may rely on. In an array they are others.
const INFINITE_DAYS: [i32; 2] = [-2_147_472_692, -2_147_472_691];
const INFINITE_DAYS_IN_ARRAY: [i32; 2] = [-622_191_234, -625_821_272];

/// Unit of an integer time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds, for up to three digits of a second.
    Millis,
    /// Microseconds.
    Micros,
}

impl Unit {
    /// What `adaptive` chooses for a precision.
    pub(super) fn of(digits: u8) -> Self {
        if digits <= 3 { Self::Millis } else { Self::Micros }
    }

    fn write(self, micros: i64, out: &mut Vec<u8>) {
        json::integer(if self == Self::Millis { micros.div_euclid(1000) } else { micros }, out);
    }
}

/// `date`: days since 1970-01-01.
#[inline]
pub(super) fn date(text: &[u8], in_array: bool, out: &mut Vec<u8>) -> Written {
    let infinite = if in_array { INFINITE_DAYS_IN_ARRAY } else { INFINITE_DAYS };
    let days = match time::date(text).ok_or(MALFORMED)? {
        Extended::Finite(days) => days,
        Extended::Infinity => infinite[0],
        Extended::NegativeInfinity => infinite[1],
    };
    json::integer(days, out);
    Ok(())
}

/// `time`
pub(super) fn time_of_day(text: &[u8], unit: Unit, out: &mut Vec<u8>) -> Written {
    unit.write(time::time(text).ok_or(MALFORMED)?, out);
    Ok(())
}

/// `timestamp`, read as UTC.
pub(super) fn timestamp(text: &[u8], unit: Unit, out: &mut Vec<u8>) -> Written {
    let micros = match time::timestamp(text).ok_or("not a timestamp that fits 64 bits of microseconds")? {
        Extended::Finite(micros) => micros,
        Extended::Infinity => INFINITY_US,
        Extended::NegativeInfinity => NEGATIVE_INFINITY_US,
    };
    unit.write(micros, out);
    Ok(())
}

/// `timestamptz(digits)`: ISO 8601 in UTC with exactly as many digits of a second.
#[inline]
pub(super) fn timestamptz(text: &[u8], digits: u8, out: &mut Vec<u8>) -> Written {
    if let Some((date, clock, fraction)) = utc_parts(text) {
        return iso(&[date, clock], fraction, digits, out);
    }
    let micros = match time::timestamptz(text).ok_or(MALFORMED)? {
        Extended::Finite(micros) => micros,
        Extended::Infinity | Extended::NegativeInfinity => return super::text::text(text, out),
    };
    let mut server = Vec::with_capacity(40);
    time::write_timestamp(micros, b"+00", &mut server);
    match server.strip_suffix(b" BC") {
        None => {
            let (date, clock, fraction) = long_utc_parts(&server).ok_or(MALFORMED)?;
            iso(&[b"+", date, clock][usize::from(date.len() == 10)..], fraction, digits, out)
        }
        Some(server) => {
            let (date, clock, fraction) = long_utc_parts(server).ok_or(MALFORMED)?;
            let (year, rest) = date.split_at(date.len() - 6);
            let year = year.iter().fold(0_u32, |year, digit| year * 10 + u32::from(digit - b'0')) - 1;
            let year = if year == 0 { "0000".to_owned() } else { format!("-{year:04}") };
            iso(&[year.as_bytes(), rest, clock], fraction, digits, out)
        }
    }
}

/// Date, time and fraction of `2024-02-29 12:34:56.789+00`; None for anything else.
#[inline]
fn utc_parts(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let shape = text.len() >= 22
        && [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')].iter().all(|(at, byte)| text[*at] == *byte)
        && [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18].iter().all(|at| text[*at].is_ascii_digit());
    let fraction = text.get(19..)?.strip_suffix(b"+00")?;
    let sound = match fraction {
        [] => true,
        [b'.', digits @ ..] => digits.iter().all(u8::is_ascii_digit) && digits.len() <= 6,
        _ => false,
    };
    (shape && sound).then(|| (&text[..10], &text[11..19], fraction.get(1..).unwrap_or_default()))
}

/// The same for a year of any length, of text that [`time::write_timestamp`] wrote.
fn long_utc_parts(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = memchr::memchr(b' ', text)?;
    let clock = text.get(space + 1..space + 9)?;
    let fraction = text.get(space + 9..)?.strip_suffix(b"+00")?;
    Some((&text[..space], clock, fraction.get(1..).unwrap_or_default()))
}

/// The last of `parts` is the time; what comes before is the date.
#[inline]
fn iso(parts: &[&[u8]], fraction: &[u8], digits: u8, out: &mut Vec<u8>) -> Written {
    out.push(b'"');
    for (index, part) in parts.iter().enumerate() {
        if index + 1 == parts.len() {
            out.push(b'T');
        }
        out.extend_from_slice(part);
    }
    let missing =
        usize::from(digits).checked_sub(fraction.len()).ok_or("more digits of a second than the column has")?;
    if digits > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction);
        out.extend_from_slice(&b"000000"[..missing.min(6)]);
    }
    out.extend_from_slice(b"Z\"");
    Ok(())
}

/// `timetz`, moved to UTC; digits of a second as needed.
pub(super) fn timetz(text: &[u8], out: &mut Vec<u8>) -> Written {
    let (micros, east) = time::timetz(text).ok_or(MALFORMED)?;
    out.push(b'"');
    time::write_time((micros - i64::from(east) * 1_000_000).rem_euclid(DAY_US), out);
    out.extend_from_slice(b"Z\"");
    Ok(())
}

/// `interval` as microseconds (`interval.handling.mode=numeric`): a month has 365.25 / 12 days. Held to 64 bits.
pub(super) fn interval(text: &[u8], out: &mut Vec<u8>) -> Written {
    const MONTH_US: i128 = 2_629_800_000_000;
    let parts = time::interval(text).ok_or("an infinite interval, or not one as the server writes it")?;
    let (months, days) = (i128::from(parts.months), i128::from(parts.days));
    let micros = months * MONTH_US + days * i128::from(DAY_US) + i128::from(parts.micros);
    json::integer(micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX)), out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, write: impl Fn(&[u8], &mut Vec<u8>) -> Written) -> String {
        let mut out = Vec::new();
        match write(text.as_bytes(), &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(reason) => reason.into(),
        }
    }

    #[test]
    fn zoned_timestamps_have_the_digits_of_their_column() {
        for (text, digits, json) in [
            ("2024-02-29 10:34:56.123456+00", 6, "2024-02-29T10:34:56.123456Z"),
            ("2024-02-29 10:34:56.12+00", 3, "2024-02-29T10:34:56.120Z"),
            ("2024-02-29 10:34:56+00", 0, "2024-02-29T10:34:56Z"),
            ("2024-02-29 12:34:56.5+02", 1, "2024-02-29T10:34:56.5Z"),
            ("0001-01-01 00:00:00+00 BC", 6, "0000-01-01T00:00:00.000000Z"),
            ("0044-03-15 01:00:00+00 BC", 3, "-0043-03-15T01:00:00.000Z"),
            ("99999-12-31 23:59:59+00", 6, "+99999-12-31T23:59:59.000000Z"),
            ("infinity", 6, "infinity"),
            ("-infinity", 6, "-infinity"),
        ] {
            assert_eq!(of(text, |text, out| timestamptz(text, digits, out)), format!("\"{json}\""), "{text}");
        }
        assert!(of("2024-02-29", |text, out| timestamptz(text, 6, out)).starts_with("not a date"));
    }

    #[test]
    fn times_are_integers_in_the_unit_of_their_precision() {
        assert_eq!(of("12:34:56.123", |text, out| time_of_day(text, Unit::of(3), out)), "45296123");
        assert_eq!(of("24:00:00", |text, out| time_of_day(text, Unit::of(6), out)), "86400000000");
        assert_eq!(of("1969-12-31 23:59:59.999", |text, out| timestamp(text, Unit::of(3), out)), "-1");
        assert_eq!(of("infinity", |text, out| timestamp(text, Unit::of(3), out)), "9223372036825200");
        assert_eq!(of("-infinity", |text, out| timestamp(text, Unit::of(0), out)), "-9223372036832400");
        assert_eq!(of("0001-01-01 BC", |text, out| date(text, false, out)), "-719528");
    }

    #[test]
    fn zoned_times_are_moved_to_utc() {
        for (text, json) in [
            ("12:34:56.123456+02", "10:34:56.123456Z"),
            ("12:00:00.5+00", "12:00:00.5Z"),
            ("24:00:00+00", "00:00:00Z"),
            ("24:00:00-01", "01:00:00Z"),
            ("01:00:00+02", "23:00:00Z"),
            ("12:00:00+05:45", "06:15:00Z"),
        ] {
            assert_eq!(of(text, timetz), format!("\"{json}\""), "{text}");
        }
    }

    #[test]
    fn intervals_are_microseconds_of_average_months() {
        assert_eq!(of("1 year 2 mons 3 days 04:05:06.789", interval), "37091106789000");
        assert_eq!(of("-1 mons -1 days -00:00:00.000001", interval), "-2716200000001");
        assert_eq!(of("178000000 years", interval), i64::MAX.to_string());
    }
}
