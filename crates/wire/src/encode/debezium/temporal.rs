//! Dates, times and intervals, as `time.precision.mode` and `interval.handling.mode` say.

use super::profile::TimePrecision;
use crate::encode::connect::{Format, Written};
use crate::encode::json;
use crate::value::time::{self, Extended};

const MALFORMED: &str = "not a date or time as the server writes it (DateStyle ISO)";
const DAY_US: i64 = 86_400_000_000;
/// What Debezium writes for infinite timestamps: the constants of PostgreSQL's JDBC driver, in microseconds.
const INFINITY_US: i64 = 9_223_372_036_825_200_000;
const NEGATIVE_INFINITY_US: i64 = -9_223_372_036_832_400_000;
/// The same for dates; as numbers both are negative, an overflow that consumers may rely on. In an array they are others.
const INFINITE_DAYS: [i64; 2] = [-2_147_472_692, -2_147_472_691];
const INFINITE_DAYS_IN_ARRAY: [i64; 2] = [106_751_991_166, 106_748_361_128];

/// How a time or timestamp without a zone is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// An integer of milliseconds.
    Millis,
    /// An integer of microseconds.
    Micros,
    /// An integer of nanoseconds.
    Nanos,
    /// Text of ISO 8601, in UTC.
    Iso,
    /// The same without the letter for UTC.
    Local,
}

impl Unit {
    /// What a mode chooses for a date; None for a number of days.
    pub(super) const fn of_date(mode: TimePrecision) -> Option<Self> {
        match mode {
            TimePrecision::IsoString => Some(Self::Iso),
            TimePrecision::Local => Some(Self::Local),
            _ => None,
        }
    }

    /// What a text ends with.
    const fn zone(self) -> &'static [u8] {
        if matches!(self, Self::Local) { b"" } else { b"Z" }
    }

    /// What a mode chooses for a time of day of so many digits of a second.
    pub(super) const fn of_time(digits: u8, mode: TimePrecision) -> Self {
        match mode {
            TimePrecision::AdaptiveTimeMicroseconds => Self::Micros,
            _ => Self::of_timestamp(digits, mode),
        }
    }

    /// What a mode chooses for a timestamp of so many digits of a second.
    pub(super) const fn of_timestamp(digits: u8, mode: TimePrecision) -> Self {
        match mode {
            TimePrecision::Connect => Self::Millis,
            TimePrecision::IsoString => Self::Iso,
            TimePrecision::Local => Self::Local,
            TimePrecision::Microseconds => Self::Micros,
            TimePrecision::Nanoseconds => Self::Nanos,
            TimePrecision::Adaptive | TimePrecision::AdaptiveTimeMicroseconds => {
                if digits <= 3 {
                    Self::Millis
                } else {
                    Self::Micros
                }
            }
        }
    }
}

/// `date`: days since 1970-01-01, or ISO 8601.
#[inline]
pub(super) fn date<F: Format>(text: &[u8], in_array: bool, form: Option<Unit>, out: &mut F) -> Written {
    let infinite = if in_array { INFINITE_DAYS_IN_ARRAY } else { INFINITE_DAYS };
    let days = match time::date(text).ok_or(MALFORMED)? {
        Extended::Finite(days) => i64::from(days),
        Extended::Infinity => infinite[0],
        Extended::NegativeInfinity => infinite[1],
    };
    let Some(form) = form else {
        // Cut to 32 bits as Java does, which no finite day needs.
        out.integer(i64::from(days as i32));
        return Ok(());
    };
    out.compose(|out| {
        iso_day(days, out);
        out.extend_from_slice(form.zone());
        Ok(())
    })
}

/// `time`; midnight at the end of a day is in ISO 8601 the one at its beginning, as in Debezium.
pub(super) fn time_of_day<F: Format>(text: &[u8], unit: Unit, out: &mut F) -> Written {
    let micros = time::time(text).ok_or(MALFORMED)?;
    match unit {
        Unit::Millis => out.integer(micros / 1000),
        Unit::Micros => out.integer(micros),
        Unit::Nanos => out.integer(micros * 1000),
        Unit::Iso | Unit::Local => {
            return out.compose(|out| {
                time::write_time(micros % DAY_US, out);
                out.extend_from_slice(unit.zone());
                Ok(())
            });
        }
    }
    Ok(())
}

/// `timestamp`, read as UTC. Microseconds are held to 64 bits: the type goes on for 29 years after them. What is beyond
/// nanoseconds is null, as in Debezium; refused where the column cannot be null.
pub(super) fn timestamp<F: Format>(text: &[u8], unit: Unit, nullable: bool, out: &mut F) -> Written {
    if matches!(unit, Unit::Iso | Unit::Local) {
        return iso_timestamp(text, unit, out);
    }
    let micros = match time::timestamp(text) {
        Some(Extended::Finite(micros)) => micros,
        None => return far_timestamp(text, unit, nullable, out),
        Some(infinite) => {
            let ends = if unit == Unit::Nanos { [i64::MAX, i64::MIN] } else { [INFINITY_US, NEGATIVE_INFINITY_US] };
            let micros = ends[usize::from(infinite == Extended::NegativeInfinity)];
            out.integer(if unit == Unit::Millis { micros.div_euclid(1000) } else { micros });
            return Ok(());
        }
    };
    match unit {
        Unit::Millis => out.integer(micros.div_euclid(1000)),
        Unit::Nanos => match micros.checked_mul(1000) {
            Some(nanos) => out.integer(nanos),
            None => return beyond_nanoseconds(nullable, out),
        },
        Unit::Micros | Unit::Iso | Unit::Local => out.integer(micros),
    }
    Ok(())
}

fn beyond_nanoseconds<F: Format>(nullable: bool, out: &mut F) -> Written {
    if !nullable {
        return Err("a timestamp outside of 1677 to 2262 has no 64-bit nanoseconds: use microseconds or isostring");
    }
    out.null();
    Ok(())
}

#[cold]
fn far_timestamp<F: Format>(text: &[u8], unit: Unit, nullable: bool, out: &mut F) -> Written {
    let Some(Extended::Finite((days, micros))) = time::timestamp_parts(text) else { return Err(MALFORMED) };
    match unit {
        Unit::Nanos => return beyond_nanoseconds(nullable, out),
        Unit::Millis => out.integer(days * (DAY_US / 1000) + micros / 1000),
        Unit::Micros | Unit::Iso | Unit::Local => out.integer(if days < 0 { i64::MIN } else { i64::MAX }),
    }
    Ok(())
}

fn iso_timestamp<F: Format>(text: &[u8], unit: Unit, out: &mut F) -> Written {
    let split = |micros: i64| (micros.div_euclid(DAY_US), micros.rem_euclid(DAY_US));
    let (days, micros) = match time::timestamp_parts(text).ok_or(MALFORMED)? {
        Extended::Finite(parts) => parts,
        Extended::Infinity => split(INFINITY_US),
        Extended::NegativeInfinity => split(NEGATIVE_INFINITY_US),
    };
    out.compose(|out| {
        iso_day(days, out);
        out.push(b'T');
        time::write_time(micros, out);
        out.extend_from_slice(unit.zone());
        Ok(())
    })
}

/// A day as `java.time` prints it: 1 BC is the year 0000, and a year of more than four digits has a sign.
fn iso_day(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = time::civil_from_days(days);
    if !(0..=9999).contains(&year) {
        out.push(if year < 0 { b'-' } else { b'+' });
    }
    padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    padded(month.unsigned_abs(), 2, out);
    out.push(b'-');
    padded(day.unsigned_abs(), 2, out);
}

fn padded(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits);
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

/// `interval.handling.mode=string`: the pattern of ISO 8601 with all its parts; the infinite ones have no pattern, and
/// are the server's words.
pub(super) fn interval_text<F: Format>(text: &[u8], out: &mut F) -> Written {
    if matches!(text, b"infinity" | b"-infinity") {
        return out.string(text);
    }
    let parts = time::interval(text).ok_or("not an interval as the server writes it (IntervalStyle postgres)")?;
    let (seconds, fraction) = (parts.micros / 1_000_000, (parts.micros % 1_000_000).unsigned_abs());
    let [years, months, days] = [parts.months / 12, parts.months % 12, parts.days].map(i64::from);
    let numbers = [years, months, days, seconds / 3600, seconds / 60 % 60];
    out.compose(|out| {
        for (number, before) in numbers.into_iter().zip(["P", "Y", "M", "DT", "H"]) {
            out.extend_from_slice(before.as_bytes());
            json::integer(number, out);
        }
        out.push(b'M');
        out.extend((parts.micros < 0 && seconds % 60 == 0 && fraction > 0).then_some(b'-'));
        json::integer(seconds % 60, out);
        if fraction > 0 {
            let start = out.len() + 1;
            out.push(b'.');
            padded(fraction, 6, out);
            let kept = out[start..].iter().rposition(|digit| *digit != b'0').map_or(0, |at| at + 1);
            out.truncate(start + kept);
        }
        out.push(b'S');
        Ok(())
    })
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
        assert_eq!(of("12:34:56.123", |text, out| time_of_day(text, Unit::Millis, out)), "45296123");
        assert_eq!(of("24:00:00", |text, out| time_of_day(text, Unit::Micros, out)), "86400000000");
        assert_eq!(of("1969-12-31 23:59:59.999", |text, out| timestamp(text, Unit::Millis, true, out)), "-1");
        assert_eq!(of("infinity", |text, out| timestamp(text, Unit::Millis, true, out)), "9223372036825200");
        assert_eq!(of("-infinity", |text, out| timestamp(text, Unit::Millis, true, out)), "-9223372036832400");
        assert_eq!(
            of("294276-12-31 00:00:00", |text, out| timestamp(text, Unit::Millis, true, out)),
            "9224317929600000"
        );
        assert_eq!(
            of("294276-12-31 00:00:00", |text, out| timestamp(text, Unit::Micros, true, out)),
            i64::MAX.to_string()
        );
        assert_eq!(of("0001-01-01 BC", |text, out| date(text, false, None, out)), "-719528");
    }

    #[test]
    fn the_mode_and_the_digits_of_a_column_choose_the_unit() {
        use TimePrecision::{Adaptive, AdaptiveTimeMicroseconds, Connect, IsoString, Microseconds, Nanoseconds};
        for (mode, time, timestamp) in [
            (Adaptive, [Unit::Millis, Unit::Micros], [Unit::Millis, Unit::Micros]),
            (AdaptiveTimeMicroseconds, [Unit::Micros; 2], [Unit::Millis, Unit::Micros]),
            (Connect, [Unit::Millis; 2], [Unit::Millis; 2]),
            (IsoString, [Unit::Iso; 2], [Unit::Iso; 2]),
            (Microseconds, [Unit::Micros; 2], [Unit::Micros; 2]),
            (Nanoseconds, [Unit::Nanos; 2], [Unit::Nanos; 2]),
        ] {
            assert_eq!([3, 6].map(|digits| Unit::of_time(digits, mode)), time);
            assert_eq!([3, 6].map(|digits| Unit::of_timestamp(digits, mode)), timestamp);
        }
    }

    #[test]
    fn iso_texts_are_those_of_java_time() {
        for (text, iso) in [
            ("2024-02-29 12:34:56.123456", "2024-02-29T12:34:56.123456Z"),
            ("2024-02-29 12:34:00", "2024-02-29T12:34:00Z"),
            ("0044-03-15 00:00:00.5 BC", "-0043-03-15T00:00:00.5Z"),
            ("0001-01-01 00:00:00 BC", "0000-01-01T00:00:00Z"),
            ("294276-12-31 00:00:00", "+294276-12-31T00:00:00Z"),
            ("infinity", "+294247-01-10T04:00:25.2Z"),
            ("-infinity", "-290308-12-21T19:59:27.6Z"),
        ] {
            assert_eq!(of(text, |text, out| timestamp(text, Unit::Iso, true, out)), format!("\"{iso}\""), "{text}");
        }
        assert_eq!(of("infinity", |text, out| date(text, false, Some(Unit::Iso), out)), "\"-5877611-06-21Z\"");
        assert_eq!(of("10000-01-01", |text, out| date(text, false, Some(Unit::Iso), out)), "\"+10000-01-01Z\"");
        assert_eq!(of("24:00:00", |text, out| time_of_day(text, Unit::Iso, out)), "\"00:00:00Z\"");
    }

    #[test]
    fn nanoseconds_end_where_64_bits_do() {
        let of = |text, nullable| of(text, |text, out| timestamp(text, Unit::Nanos, nullable, out));
        assert_eq!(of("1969-12-31 23:59:59.999999", true), "-1000");
        assert_eq!(of("2262-04-11 23:47:16.854775", true), "9223372036854775000");
        assert_eq!(of("2262-04-11 23:47:16.854776", true), "null");
        assert_eq!(of("294276-12-31 00:00:00", true), "null");
        assert!(of("0001-01-01 00:00:00", false).contains("use microseconds or isostring"));
        assert_eq!(of("-infinity", true), i64::MIN.to_string());
    }

    #[test]
    fn intervals_are_patterns_of_all_their_parts() {
        for (text, pattern) in [
            ("1 year 2 mons 3 days 04:05:06.789", "P1Y2M3DT4H5M6.789S"),
            ("-1 years -2 mons +3 days -00:00:00.5", "P-1Y-2M3DT0H0M-0.5S"),
            ("-100:01:01.000001", "P0Y0M0DT-100H-1M-1.000001S"),
            ("00:00:00", "P0Y0M0DT0H0M0S"),
            ("infinity", "infinity"),
        ] {
            assert_eq!(of(text, |text, out| interval_text(text, out)), format!("\"{pattern}\""), "{text}");
        }
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
