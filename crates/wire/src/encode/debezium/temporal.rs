//! Dates and times in `time.precision.mode=adaptive`.

use crate::encode::connect::{Format, Written};
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

    #[inline]
    fn write<F: Format>(self, micros: i64, out: &mut F) {
        out.integer(if self == Self::Millis { micros.div_euclid(1000) } else { micros });
    }
}

/// `date`: days since 1970-01-01.
#[inline]
pub(super) fn date<F: Format>(text: &[u8], in_array: bool, out: &mut F) -> Written {
    let infinite = if in_array { INFINITE_DAYS_IN_ARRAY } else { INFINITE_DAYS };
    let days = match time::date(text).ok_or(MALFORMED)? {
        Extended::Finite(days) => days,
        Extended::Infinity => infinite[0],
        Extended::NegativeInfinity => infinite[1],
    };
    out.integer(i64::from(days));
    Ok(())
}

/// `time`
pub(super) fn time_of_day<F: Format>(text: &[u8], unit: Unit, out: &mut F) -> Written {
    unit.write(time::time(text).ok_or(MALFORMED)?, out);
    Ok(())
}

/// `timestamp`, read as UTC. Microseconds are held to 64 bits: the type goes on for 29 years after them.
pub(super) fn timestamp<F: Format>(text: &[u8], unit: Unit, out: &mut F) -> Written {
    let micros = match time::timestamp(text) {
        Some(Extended::Finite(micros)) => micros,
        Some(Extended::Infinity) => INFINITY_US,
        Some(Extended::NegativeInfinity) => NEGATIVE_INFINITY_US,
        None => return far_timestamp(text, unit, out),
    };
    unit.write(micros, out);
    Ok(())
}

#[cold]
fn far_timestamp<F: Format>(text: &[u8], unit: Unit, out: &mut F) -> Written {
    let space = memchr::memchr(b' ', text).ok_or(MALFORMED)?;
    let Some(Extended::Finite(days)) = time::date(&text[..space]) else { return Err(MALFORMED) };
    let millis = i64::from(days) * (DAY_US / 1000) + time::time(&text[space + 1..]).ok_or(MALFORMED)? / 1000;
    let held = if millis < 0 { i64::MIN } else { i64::MAX };
    out.integer(if unit == Unit::Millis { millis } else { held });
    Ok(())
}

/// `timestamptz(digits)`: ISO 8601 in UTC with exactly as many digits of a second.
#[inline]
pub(super) fn timestamptz<F: Format>(text: &[u8], digits: u8, out: &mut F) -> Written {
    match Utc::of(text) {
        Some(utc) => out.compose(|out| utc.write(digits, out)),
        None => elsewhere(text, digits, out),
    }
}

/// What is not in UTC, because the session's TimeZone is another, and the infinities.
fn elsewhere<F: Format>(text: &[u8], digits: u8, out: &mut F) -> Written {
    let micros = match time::timestamptz(text).ok_or(MALFORMED)? {
        Extended::Finite(micros) => micros,
        Extended::Infinity | Extended::NegativeInfinity => return super::text::text(text, out),
    };
    let mut moved = Vec::with_capacity(40);
    time::write_timestamp(micros, b"+00", &mut moved);
    let utc = Utc::of(&moved).ok_or(MALFORMED)?;
    out.compose(|out| utc.write(digits, out))
}

/// The parts of a timestamp in UTC, all of them digits where they should be: `2024-02-29 12:34:56.789+00`.
struct Utc<'a> {
    year: &'a [u8],
    /// `-MM-DD`
    day: &'a [u8],
    /// `HH:MM:SS`
    clock: &'a [u8],
    fraction: &'a [u8],
    bc: bool,
}

impl<'a> Utc<'a> {
    #[inline]
    fn of(text: &'a [u8]) -> Option<Self> {
        let (text, bc) = text.strip_suffix(b" BC").map_or((text, false), |text| (text, true));
        let dash = if text.get(4) == Some(&b'-') { 4 } else { memchr::memchr(b'-', text)? };
        let (year, rest) = text.split_at(dash);
        let (&[b'-', m1, m2, b'-', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2], fraction) =
            rest.split_first_chunk::<15>()?
        else {
            return None;
        };
        let fraction = match fraction.strip_suffix(b"+00")? {
            [] => &b""[..],
            [b'.', digits @ ..] if digits.len() <= 6 => digits,
            _ => return None,
        };
        let sound = (4..=6).contains(&year.len())
            && [m1, m2, d1, d2, h1, h2, n1, n2, s1, s2].iter().chain(year).chain(fraction).all(u8::is_ascii_digit);
        sound.then(|| Self { year, day: &rest[..6], clock: &rest[7..15], fraction, bc })
    }

    /// As `java.time` prints it: 1 BC is the year 0000, and a year of more than four digits has a sign.
    #[inline]
    fn write(&self, digits: u8, out: &mut Vec<u8>) -> Written {
        let missing = usize::from(digits)
            .checked_sub(self.fraction.len())
            .ok_or("more digits of a second than the column has")?;
        if self.bc {
            let year = self.year.iter().fold(0_u32, |year, digit| year * 10 + u32::from(digit - b'0')).max(1) - 1;
            out.extend_from_slice(if year == 0 { b"0000" } else { b"-" });
            if year > 0 {
                out.extend_from_slice(&b"000"[..3_usize.saturating_sub(year.ilog10() as usize)]);
                json::integer(year, out);
            }
        } else {
            if self.year.len() > 4 {
                out.push(b'+');
            }
            out.extend_from_slice(self.year);
        }
        out.extend_from_slice(self.day);
        out.push(b'T');
        out.extend_from_slice(self.clock);
        if digits > 0 {
            out.push(b'.');
            out.extend_from_slice(self.fraction);
            out.extend_from_slice(&b"000000"[..missing.min(6)]);
        }
        out.push(b'Z');
        Ok(())
    }
}

/// `timetz`, moved to UTC; digits of a second as needed.
pub(super) fn timetz<F: Format>(text: &[u8], out: &mut F) -> Written {
    let (micros, east) = time::timetz(text).ok_or(MALFORMED)?;
    out.compose(|out| {
        time::write_time((micros - i64::from(east) * 1_000_000).rem_euclid(DAY_US), out);
        out.push(b'Z');
        Ok(())
    })
}

/// `interval` as microseconds (`interval.handling.mode=numeric`): a month has 365.25 / 12 days. Held to 64 bits, as are
/// the infinite ones of PostgreSQL 17.
pub(super) fn interval<F: Format>(text: &[u8], out: &mut F) -> Written {
    const MONTH_US: i128 = 2_629_800_000_000;
    match text {
        b"infinity" => out.integer(i64::MAX),
        b"-infinity" => out.integer(i64::MIN),
        _ => {
            let parts =
                time::interval(text).ok_or("not an interval as the server writes it (IntervalStyle postgres)")?;
            let (months, days) = (i128::from(parts.months), i128::from(parts.days));
            let micros = months * MONTH_US + days * i128::from(DAY_US) + i128::from(parts.micros);
            let held = if micros < 0 { i64::MIN } else { i64::MAX };
            out.integer(i64::try_from(micros).unwrap_or(held));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Json;

    fn of(text: &str, write: impl Fn(&[u8], &mut Json<'_>) -> Written) -> String {
        let mut out = Vec::new();
        match write(text.as_bytes(), &mut Json::new(&mut out, true)) {
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
            ("294276-12-31 23:59:59+00", 3, "+294276-12-31T23:59:59.000Z"),
            ("0001-01-01 01:00:00+02", 0, "0000-12-31T23:00:00Z"),
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
        assert_eq!(of("294276-12-31 00:00:00", |text, out| timestamp(text, Unit::of(3), out)), "9224317929600000");
        assert_eq!(of("294276-12-31 00:00:00", |text, out| timestamp(text, Unit::of(6), out)), i64::MAX.to_string());
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
            assert_eq!(of(text, |text, out| timetz(text, out)), format!("\"{json}\""), "{text}");
        }
    }

    #[test]
    fn intervals_are_microseconds_of_average_months() {
        assert_eq!(of("1 year 2 mons 3 days 04:05:06.789", |text, out| interval(text, out)), "37091106789000");
        assert_eq!(of("-1 mons -1 days -00:00:00.000001", |text, out| interval(text, out)), "-2716200000001");
        assert_eq!(of("178000000 years", |text, out| interval(text, out)), i64::MAX.to_string());
        assert_eq!(of("-infinity", |text, out| interval(text, out)), i64::MIN.to_string());
    }
}
