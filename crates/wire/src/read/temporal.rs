//! Dates, times and intervals of events as PostgreSQL prints them (DateStyle ISO, IntervalStyle postgres, TimeZone UTC).

use crate::value::time::{write_date, write_time, write_timestamp};

const DAY_US: i64 = 86_400_000_000;
const INFINITE: [&[u8]; 2] = [b"infinity", b"-infinity"];
/// What Debezium writes for infinite timestamps: the constants of PostgreSQL's JDBC driver, in microseconds.
const INFINITE_US: [i64; 2] = [9_223_372_036_825_200_000, -9_223_372_036_832_400_000];
/// The same for dates, by themselves and in an array.
const INFINITE_DAYS: [[i64; 2]; 2] = [[-2_147_472_692, -2_147_472_691], [-622_191_234, -625_821_272]];
/// The same as ISO 8601 has them without their zone, infinite ones first.
const INFINITE_ISO_DATES: [[&[u8]; 2]; 2] =
    [[b"-5877611-06-21", b"+292278994-08-16"], [b"-5877611-06-22", b"+292269055-12-02"]];
const INFINITE_ISO_TIMESTAMPS: [&[u8]; 2] = [b"+294247-01-10T04:00:25.2", b"-290308-12-21T19:59:27.6"];

/// Unit of an integer time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// Microseconds; None beyond 64 bits, and for nanoseconds that are no whole microseconds: no cell can hold them.
    fn micros(self, number: i64) -> Option<i64> {
        match self {
            Self::Millis => number.checked_mul(1000),
            Self::Micros => Some(number),
            Self::Nanos => (number % 1000 == 0).then_some(number / 1000),
        }
    }
}

/// Append days since 1970-01-01 as a date.
pub(super) fn date(days: i64, out: &mut Vec<u8>) -> Option<()> {
    if INFINITE_DAYS.iter().any(|[infinity, _]| *infinity == days) {
        out.extend_from_slice(b"infinity");
    } else if INFINITE_DAYS.iter().any(|[_, negative]| *negative == days) {
        out.extend_from_slice(b"-infinity");
    } else {
        write_date(i32::try_from(days).ok()?, out);
    }
    Some(())
}

/// Append a time of day.
pub(super) fn time(number: i64, unit: Unit, out: &mut Vec<u8>) -> Option<()> {
    let micros = unit.micros(number).filter(|micros| (0..=DAY_US).contains(micros))?;
    write_time(micros, out);
    Some(())
}

/// Append a timestamp without a zone.
pub(super) fn timestamp(number: i64, unit: Unit, out: &mut Vec<u8>) -> Option<()> {
    let held = |at: usize| match unit {
        Unit::Millis => INFINITE_US[at] / 1000,
        Unit::Micros => INFINITE_US[at],
        Unit::Nanos => [i64::MAX, i64::MIN][at],
    };
    if number == held(0) {
        out.extend_from_slice(b"infinity");
    } else if number == held(1) {
        out.extend_from_slice(b"-infinity");
    } else if let Some(micros) = unit.micros(number) {
        write_timestamp(micros, b"", out);
    } else {
        return far_timestamp(number, unit, out);
    }
    Some(())
}

/// Milliseconds go on beyond 64 bits of microseconds, and so does the type, for 29 years.
#[cold]
fn far_timestamp(number: i64, unit: Unit, out: &mut Vec<u8>) -> Option<()> {
    if unit != Unit::Millis || number < 0 {
        return None;
    }
    write_date(i32::try_from(number / (DAY_US / 1000)).ok()?, out);
    out.push(b' ');
    write_time(number % (DAY_US / 1000) * 1000, out);
    Some(())
}

/// Append `2024-02-29T10:34:56.120Z` as a timestamp, with `zone` behind it where the type has one. Java writes the year 0
/// for 1 BC, and a sign before years that have not four digits.
pub(super) fn iso_timestamp(text: &[u8], zone: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if matches!(text, b"infinity" | b"-infinity") {
        out.extend_from_slice(text);
        return Some(());
    }
    if zone.is_empty()
        && matches!(text, [b'+' | b'-', ..])
        && let Some(at) = INFINITE_ISO_TIMESTAMPS.iter().position(|held| is_held(text, held))
    {
        out.extend_from_slice(INFINITE[at]);
        return Some(());
    }
    let at = memchr::memchr(b'T', text)?;
    let era = iso_day(&text[..at], out)?;
    out.push(b' ');
    clock(&text[at + 1..], out)?;
    out.extend_from_slice(zone);
    out.extend_from_slice(era);
    Some(())
}

/// Append `2017-09-15Z` as a date.
pub(super) fn iso_date(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if matches!(text, b"infinity" | b"-infinity") {
        out.extend_from_slice(text);
        return Some(());
    }
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    if matches!(text, [b'+' | b'-', ..])
        && let Some(at) = INFINITE_ISO_DATES.iter().position(|held| held.contains(&text))
    {
        out.extend_from_slice(INFINITE[at]);
        return Some(());
    }
    let era = iso_day(text, out)?;
    out.extend_from_slice(era);
    Some(())
}

/// Whether it is this timestamp, with or without zeros behind it.
fn is_held(text: &[u8], held: &[u8]) -> bool {
    text.strip_prefix(held).is_some_and(|rest| rest.iter().all(|digit| *digit == b'0'))
}

/// Append `10:34:56.120Z` as a time, with `zone` behind it where the type has one.
pub(super) fn iso_time(text: &[u8], zone: &[u8], out: &mut Vec<u8>) -> Option<()> {
    clock(text, out)?;
    out.extend_from_slice(zone);
    Some(())
}

/// Append `[±]YYYY-MM-DD` without its sign; returns what follows a date of its era.
fn iso_day(text: &[u8], out: &mut Vec<u8>) -> Option<&'static [u8]> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let dash = memchr::memchr(b'-', digits)?;
    let (year, day) = digits.split_at(dash);
    let &[b'-', m1, m2, b'-', d1, d2] = day else { return None };
    let sound = (4..=9).contains(&year.len()) && [m1, m2, d1, d2].iter().chain(year).all(u8::is_ascii_digit);
    if !sound {
        return None;
    }
    let plain = year.len() == 4 && !negative && year != b"0000";
    if plain {
        out.extend_from_slice(digits);
        return Some(b"");
    }
    let number = year.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let (number, era) = if negative || number == 0 { (number + 1, &b" BC"[..]) } else { (number, &b""[..]) };
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number).as_bytes();
    out.extend(std::iter::repeat_n(b'0', 4_usize.saturating_sub(text.len())));
    out.extend_from_slice(text);
    out.extend_from_slice(day);
    Some(era)
}

/// Append `HH:MM:SS[.f…][Z]`, zeros at the end of the fraction cut off, as the server does.
fn clock(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (whole, fraction) = text.split_at_checked(8)?;
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = whole else { return None };
    let mut fraction = match fraction {
        [] => fraction,
        [b'.', digits @ ..] if !digits.is_empty() => digits,
        _ => return None,
    };
    while let [rest @ .., b'0'] = fraction {
        fraction = rest;
    }
    let sound = fraction.len() <= 6 && [h1, h2, m1, m2, s1, s2].iter().chain(fraction).all(u8::is_ascii_digit);
    if !sound {
        return None;
    }
    out.extend_from_slice(whole);
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    Some(())
}

/// Append microseconds as an interval: Debezium has taken months and days for so many of them, and they stay that.
pub(super) fn interval(micros: i64, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            if micros < 0 {
                out.push(b'-');
            }
            write_time(micros.abs(), out);
        }
    }
}

/// Append `P1Y2M3DT4H5M6.78S` as an interval.
pub(super) fn iso_interval(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text.strip_prefix(b"P")?;
    let (mut months, mut days, mut micros, mut clock, mut any) = (0_i64, 0_i64, 0_i64, false, false);
    while let Some(first) = rest.first() {
        if *first == b'T' && !clock {
            (clock, rest) = (true, &rest[1..]);
            continue;
        }
        let end = rest.iter().position(u8::is_ascii_alphabetic)?;
        let (number, unit) = (&rest[..end], rest[end]);
        rest = &rest[end + 1..];
        any = true;
        if unit == b'S' && clock {
            micros = micros.checked_add(seconds(number)?)?;
            continue;
        }
        let number = crate::value::number::integer(number)?;
        match (unit, clock) {
            (b'Y', false) => months = months.checked_add(number.checked_mul(12)?)?,
            (b'M', false) => months = months.checked_add(number)?,
            (b'D', false) => days = days.checked_add(number)?,
            (b'H', true) => micros = micros.checked_add(number.checked_mul(3_600_000_000)?)?,
            (b'M', true) => micros = micros.checked_add(number.checked_mul(60_000_000)?)?,
            _ => return None,
        }
    }
    any.then(|| write_interval(months, days, micros, out))
}

/// `[-]s[.ffffff]` as microseconds.
fn seconds(text: &[u8]) -> Option<i64> {
    let point = memchr::memchr(b'.', text).unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    let negative = whole.first() == Some(&b'-');
    let digits = fraction.iter().rposition(|digit| *digit != b'0').map_or(&b""[..], |last| &fraction[..=last]);
    if digits.len() > 6 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut micros = digits.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    micros *= 10_i64.pow(6 - u32::try_from(digits.len()).ok()?);
    let whole = crate::value::number::integer(whole)?.checked_mul(1_000_000)?;
    if negative { whole.checked_sub(micros) } else { whole.checked_add(micros) }
}

/// As PostgreSQL prints it: a plus only before what is positive behind something negative.
fn write_interval(months: i64, days: i64, micros: i64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut negative = false;
    for (count, one, many) in
        [(months / 12, " year", " years"), (months % 12, " mon", " mons"), (days, " day", " days")]
    {
        if count == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if negative && count > 0 {
            out.push(b'+');
        }
        out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        out.extend_from_slice(if count == 1 { one } else { many }.as_bytes());
        negative = count < 0;
    }
    if micros == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    if micros < 0 {
        out.push(b'-');
    } else if negative {
        out.push(b'+');
    }
    write_time(micros.saturating_abs(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).map_or_else(|| "none".into(), |()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn java_times_become_the_servers() {
        for (java, server) in [
            ("2024-02-29T10:34:56.123456Z", "2024-02-29 10:34:56.123456+00"),
            ("2024-02-29T10:34:56.120Z", "2024-02-29 10:34:56.12+00"),
            ("2024-02-29T10:34:56Z", "2024-02-29 10:34:56+00"),
            ("2024-02-29T10:34:56.000000Z", "2024-02-29 10:34:56+00"),
            ("0000-01-01T00:00:00.000000Z", "0001-01-01 00:00:00+00 BC"),
            ("-0043-03-15T01:00:00.000Z", "0044-03-15 01:00:00+00 BC"),
            ("+99999-12-31T23:59:59.000000Z", "99999-12-31 23:59:59+00"),
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
            ("2024-02-29", "none"),
            ("2024-02-29T10:34:56.1234567Z", "none"),
            ("2024-02-29T10:34Z", "none"),
            ("2024-2-29T10:34:56Z", "none"),
            ("", "none"),
        ] {
            assert_eq!(of(|out| iso_timestamp(java.as_bytes(), b"+00", out)), server, "{java}");
        }
        assert_eq!(of(|out| iso_date(b"2017-09-15Z", out)), "2017-09-15");
        assert_eq!(of(|out| iso_date(b"-4712-11-24Z", out)), "4713-11-24 BC");
        assert_eq!(of(|out| iso_time(b"04:05:11.789Z", b"", out)), "04:05:11.789");
    }

    #[test]
    fn what_stands_for_infinity_is_infinite() {
        for (iso, server) in [
            ("-5877611-06-21Z", "infinity"),
            ("+292278994-08-16Z", "infinity"),
            ("-5877611-06-22Z", "-infinity"),
            ("+292269055-12-02Z", "-infinity"),
            ("+99999-12-31Z", "99999-12-31"),
        ] {
            assert_eq!(of(|out| iso_date(iso.as_bytes(), out)), server, "{iso}");
        }
        for (iso, server) in [
            ("+294247-01-10T04:00:25.2", "infinity"),
            ("+294247-01-10T04:00:25.200000", "infinity"),
            ("-290308-12-21T19:59:27.6", "-infinity"),
            ("+294247-01-10T04:00:25.21", "294247-01-10 04:00:25.21"),
        ] {
            assert_eq!(of(|out| iso_timestamp(iso.as_bytes(), b"", out)), server, "{iso}");
        }
        let zoned = of(|out| iso_timestamp(b"+294247-01-10T04:00:25.2Z", b"+00", out));
        assert_eq!(zoned, "294247-01-10 04:00:25.2+00");
    }

    #[test]
    fn integers_become_dates_and_times() {
        assert_eq!(of(|out| date(-719_528, out)), "0001-01-01 BC");
        assert_eq!(of(|out| date(-2_147_472_692, out)), "infinity");
        assert_eq!(of(|out| date(-625_821_272, out)), "-infinity");
        assert_eq!(of(|out| date(i64::MAX, out)), "none");
        assert_eq!(of(|out| time(45_296_123, Unit::Millis, out)), "12:34:56.123");
        assert_eq!(of(|out| time(86_400_000_000, Unit::Micros, out)), "24:00:00");
        assert_eq!(of(|out| time(-1, Unit::Micros, out)), "none");
        assert_eq!(of(|out| timestamp(-1, Unit::Millis, out)), "1969-12-31 23:59:59.999");
        assert_eq!(of(|out| timestamp(9_223_372_036_825_200, Unit::Millis, out)), "infinity");
        assert_eq!(of(|out| timestamp(-9_223_372_036_832_400_000, Unit::Micros, out)), "-infinity");
        assert_eq!(of(|out| timestamp(9_224_317_929_600_000, Unit::Millis, out)), "294276-12-31 00:00:00");
        assert_eq!(of(|out| timestamp(i64::MIN, Unit::Millis, out)), "none");
        assert_eq!(of(|out| timestamp(1_001, Unit::Nanos, out)), "none");
        assert_eq!(of(|out| timestamp(1_000, Unit::Nanos, out)), "1970-01-01 00:00:00.000001");
    }

    #[test]
    fn intervals_are_printed_as_the_server_does() {
        for (iso, server) in [
            ("P1Y2M3DT4H5M6.78S", "1 year 2 mons 3 days 04:05:06.78"),
            ("P0Y0M0DT0H0M0S", "00:00:00"),
            ("P-1Y-2M3DT-4H-5M-6.780000S", "-1 years -2 mons +3 days -04:05:06.78"),
            ("P0Y0M-1DT1H0M0.0S", "-1 days +01:00:00"),
            ("P1D", "1 day"),
            ("PT", "none"),
            ("P", "none"),
            ("P1X", "none"),
            ("1D", "none"),
            ("P1YT1Y", "none"),
            ("PT1.2345678S", "none"),
        ] {
            assert_eq!(of(|out| iso_interval(iso.as_bytes(), out)), server, "{iso}");
        }
        let micros = |micros| {
            let mut out = Vec::new();
            interval(micros, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(micros(2_629_800_000_001), "730:30:00.000001");
        assert_eq!(micros(-1), "-00:00:00.000001");
        assert_eq!(micros(i64::MIN), "-infinity");
    }
}
