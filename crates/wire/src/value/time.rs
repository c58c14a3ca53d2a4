//! Dates, times and intervals (PostgreSQL manual, "Date/Time Types"; DateStyle ISO, IntervalStyle postgres).

/// A value, or one of the infinities that PostgreSQL's dates and timestamps know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended<T> {
    /// A point in time.
    Finite(T),
    /// `infinity`
    Infinity,
    /// `-infinity`
    NegativeInfinity,
}

/// An interval in its three independent parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Years and months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Everything below a day.
    pub micros: i64,
}

const DAY_US: i64 = 86_400_000_000;

/// A date as days since 1970-01-01.
#[must_use]
#[inline]
pub fn date(text: &[u8]) -> Option<Extended<i32>> {
    if let Some(infinite) = infinite(text) {
        return Some(infinite);
    }
    let (text, bc) = era(text);
    let (days, rest) = civil(text, bc)?;
    if rest.is_empty() { Some(Extended::Finite(i32::try_from(days).ok()?)) } else { None }
}

/// A time of day as microseconds since midnight; `24:00:00` is 86,400,000,000.
#[must_use]
#[inline]
pub fn time(text: &[u8]) -> Option<i64> {
    let (micros, rest) = clock(text)?;
    if rest.is_empty() { Some(micros) } else { None }
}

/// A `timetz`: microseconds since local midnight, and the offset in seconds east of UTC.
#[must_use]
pub fn timetz(text: &[u8]) -> Option<(i64, i32)> {
    let (micros, rest) = clock(text)?;
    Some((micros, offset(rest)?))
}

/// A `timestamp` as microseconds since 1970-01-01 00:00; None also for what does not fit 64 bits (after 294247 AD).
#[must_use]
#[inline]
pub fn timestamp(text: &[u8]) -> Option<Extended<i64>> {
    moment(text, |rest| rest.is_empty().then_some(0))
}

/// A `timestamptz` as microseconds since 1970-01-01 00:00 UTC; None also for what does not fit 64 bits.
#[must_use]
#[inline]
pub fn timestamptz(text: &[u8]) -> Option<Extended<i64>> {
    moment(text, offset)
}

/// The days since 1970-01-01 and the microseconds of the day of a `timestamp`, which fit even where the two together do
/// not fit 64 bits.
#[must_use]
pub fn timestamp_parts(text: &[u8]) -> Option<Extended<(i64, i64)>> {
    if let Some(infinite) = infinite(text) {
        return Some(infinite);
    }
    let (text, bc) = era(text);
    let (days, rest) = civil(text, bc)?;
    let (micros, rest) = clock(rest.strip_prefix(b" ")?)?;
    rest.is_empty().then_some(Extended::Finite((days, micros)))
}

#[inline]
fn moment(text: &[u8], zone: impl Fn(&[u8]) -> Option<i32>) -> Option<Extended<i64>> {
    if let Some(infinite) = infinite(text) {
        return Some(infinite);
    }
    let (text, bc) = era(text);
    let (days, rest) = civil(text, bc)?;
    let (micros, rest) = clock(rest.strip_prefix(b" ")?)?;
    let east = i64::from(zone(rest)?) * 1_000_000;
    Some(Extended::Finite(days.checked_mul(DAY_US)?.checked_add(micros - east)?))
}

#[inline]
fn infinite<T>(text: &[u8]) -> Option<Extended<T>> {
    match text {
        b"infinity" => Some(Extended::Infinity),
        b"-infinity" => Some(Extended::NegativeInfinity),
        _ => None,
    }
}

#[inline]
fn era(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |text| (text, true))
}

/// `YYYY-MM-DD` as days since 1970-01-01, and what follows. A year may have more than four digits; 1 BC is the year 0.
#[inline]
fn civil(text: &[u8], bc: bool) -> Option<(i64, &[u8])> {
    let dash = if text.get(4) == Some(&b'-') { 4 } else { text.iter().position(|byte| *byte == b'-')? };
    if !(4..=7).contains(&dash) {
        return None;
    }
    let mut year: i64 = 0;
    for byte in &text[..dash] {
        year = year * 10 + i64::from(digit(*byte)?);
    }
    let [m1, m2, b'-', d1, d2, rest @ ..] = &text[dash + 1..] else { return None };
    let (month, day) = (pair(*m1, *m2)?, pair(*d1, *d2)?);
    if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(if bc { 1 - year } else { year }, month, day);
    // Only months of fewer days turn a day that is too late into one of the next month.
    (day <= 28 || civil_from_days(days).2 == day).then_some((days, rest))
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible algorithms").
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let cycle = year.div_euclid(400);
    let year_of_cycle = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * 146_097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01; 1 BC is the year 0.
#[must_use]
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + cycle * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// `HH:MM:SS[.ffffff]` as microseconds, and what follows.
#[inline]
fn clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = text else { return None };
    let (hours, minutes, seconds) = (pair(*h1, *h2)?, pair(*m1, *m2)?, pair(*s1, *s2)?);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    let (fraction, rest) = fraction(rest)?;
    let micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction;
    (micros <= DAY_US).then_some((micros, rest))
}

/// `.f` to `.ffffff` as microseconds, and what follows; 0 when there is no point.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', rest @ ..] = text else { return Some((0, text)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=6).contains(&count) {
        return None;
    }
    let (digits, rest) = rest.split_at(count);
    let value = digits.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
    Some((value * 10_i64.pow(6 - u32::try_from(count).ok()?), rest))
}

/// `±HH[:MM[:SS]]` as seconds east of UTC, less than 16 hours (`MAX_TZDISP_HOUR`).
#[inline]
fn offset(text: &[u8]) -> Option<i32> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes, seconds) = match &text[1..] {
        b"00" => return Some(0),
        [h1, h2] => (pair(*h1, *h2)?, 0, 0),
        [h1, h2, b':', m1, m2] => (pair(*h1, *h2)?, pair(*m1, *m2)?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (pair(*h1, *h2)?, pair(*m1, *m2)?, pair(*s1, *s2)?),
        _ => return None,
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return None;
    }
    Some(sign * i32::try_from((hours * 60 + minutes) * 60 + seconds).ok()?)
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(digit)
}

#[inline]
fn pair(tens: u8, ones: u8) -> Option<i64> {
    Some(i64::from(digit(tens)?) * 10 + i64::from(digit(ones)?))
}

/// An interval such as `1 year 2 mons -3 days +04:05:06.789`; None when it is infinite (PostgreSQL 17) or malformed.
#[must_use]
pub fn interval(text: &[u8]) -> Option<Interval> {
    let mut sum = Interval::default();
    let mut words = text.split(|byte| *byte == b' ');
    while let Some(word) = words.next() {
        if word.contains(&b':') {
            sum.micros = sum.micros.checked_add(signed_clock(word)?)?;
            continue;
        }
        let count = super::number::integer(word.strip_prefix(b"+").unwrap_or(word))?;
        let count = i32::try_from(count).ok()?;
        match words.next()? {
            b"year" | b"years" => sum.months = sum.months.checked_add(count.checked_mul(12)?)?,
            b"mon" | b"mons" => sum.months = sum.months.checked_add(count)?,
            b"day" | b"days" => sum.days = sum.days.checked_add(count)?,
            _ => return None,
        }
    }
    Some(sum)
}

/// `[±]H…HH:MM:SS[.ffffff]` as microseconds.
fn signed_clock(word: &[u8]) -> Option<i64> {
    let (negative, digits) = match word {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, word),
    };
    let colon = digits.iter().position(|byte| *byte == b':')?;
    let hours = super::number::integer(&digits[..colon]).filter(|hours| *hours >= 0)?;
    let [m1, m2, b':', s1, s2, rest @ ..] = &digits[colon + 1..] else { return None };
    let (fraction, rest) = fraction(rest)?;
    let (minutes, seconds) = (pair(*m1, *m2)?, pair(*s1, *s2)?);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    let below = (minutes * 60 + seconds) * 1_000_000 + fraction;
    let hours = hours.checked_mul(3_600_000_000)?;
    // Subtracted, because the smallest interval has no positive counterpart.
    let micros = hours.checked_neg()?.checked_sub(below)?;
    if !rest.is_empty() {
        return None;
    }
    if negative { Some(micros) } else { micros.checked_neg() }
}

/// Append a date as the server prints it.
pub fn write_date(days: i32, out: &mut Vec<u8>) {
    write_civil(i64::from(days), out);
    if civil_from_days(i64::from(days)).0 <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Append a time of day as the server prints it.
pub fn write_time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    write_padded(seconds / 3600, 2, out);
    out.push(b':');
    write_padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    write_padded(seconds % 60, 2, out);
    let mut fraction = micros % 1_000_000;
    if fraction > 0 {
        out.push(b'.');
        let mut width = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        write_padded(fraction, width, out);
    }
}

/// Append a timestamp as the server prints it; `zone` (`+00`) follows the time where the type has one.
pub fn write_timestamp(micros: i64, zone: &[u8], out: &mut Vec<u8>) {
    let days = micros.div_euclid(DAY_US);
    write_civil(days, out);
    out.push(b' ');
    write_time(micros.rem_euclid(DAY_US), out);
    out.extend_from_slice(zone);
    if civil_from_days(days).0 <= 0 {
        out.extend_from_slice(b" BC");
    }
}

fn write_civil(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    write_padded(if year <= 0 { 1 - year } else { year }, 4, out);
    out.push(b'-');
    write_padded(month, 2, out);
    out.push(b'-');
    write_padded(day, 2, out);
}

fn write_padded(number: i64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11_016),
            ("1969-12-31", -1),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("0044-03-15 BC", -735_160),
            ("4714-11-24 BC", -2_440_588),
            ("5874897-12-31", 2_145_042_905),
        ] {
            assert_eq!(date(text.as_bytes()), Some(Extended::Finite(days)), "{text}");
            let mut out = Vec::new();
            write_date(days, &mut out);
            assert_eq!(out, text.as_bytes());
        }
        assert_eq!(date(b"infinity"), Some(Extended::Infinity));
        assert_eq!(date(b"-infinity"), Some(Extended::NegativeInfinity));
        for text in [
            "",
            "1970",
            "1970-1-1",
            "0000-01-01",
            "1970-13-01",
            "1970-01-32",
            "1970-02-29",
            "70-01-01",
            "1970-01-01x",
            "x970-01-01",
        ] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn times_and_zones_are_microseconds() {
        assert_eq!(time(b"00:00:00"), Some(0));
        assert_eq!(time(b"24:00:00"), Some(DAY_US));
        assert_eq!(time(b"01:02:03.4"), Some(3_723_400_000));
        assert_eq!(time(b"23:59:59.999999"), Some(DAY_US - 1));
        assert_eq!(timetz(b"12:00:00+05:30"), Some((43_200_000_000, 19_800)));
        assert_eq!(timetz(b"12:00:00-00:19:32"), Some((43_200_000_000, -1_172)));
        for text in
            ["", "1:02:03", "24:00:00.1", "25:00:00", "00:60:00", "00:00:60", "00:00:00.", "00:00:00.1234567", "00:00"]
        {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn timestamps_are_microseconds_since_1970() {
        for (text, micros) in [
            ("1970-01-01 00:00:00", 0),
            ("2026-11-22 12:34:56.789", 1_795_350_896_789_000),
            ("1969-12-31 23:59:59.999999", -1),
            ("0001-12-31 00:00:00 BC", -719_163 * DAY_US),
            ("294247-01-10 04:00:54.775806", i64::MAX - 1),
        ] {
            assert_eq!(timestamp(text.as_bytes()), Some(Extended::Finite(micros)), "{text}");
            let mut out = Vec::new();
            write_timestamp(micros, b"", &mut out);
            assert_eq!(out, text.as_bytes());
        }
        assert_eq!(timestamptz(b"1970-01-01 02:00:00+02"), Some(Extended::Finite(0)));
        assert_eq!(timestamptz(b"0001-12-31 00:00:00+00 BC"), Some(Extended::Finite(-719_163 * DAY_US)));
        assert_eq!(timestamptz(b"1970-01-01 00:00:00"), None);
        assert_eq!(timestamp(b"294276-12-31 23:59:59"), None, "beyond 64 bits of microseconds since 1970");
        assert_eq!(timestamp(b"1970-01-01T00:00:00"), None);
    }

    #[test]
    fn intervals_have_three_parts() {
        let parts = |months, days, micros| Some(Interval { months, days, micros });
        assert_eq!(interval(b"1 year 2 mons -3 days +04:05:06.789"), parts(14, -3, 14_706_789_000));
        assert_eq!(interval(b"-1 years -2 mons +3 days -04:05:06"), parts(-14, 3, -14_706_000_000));
        assert_eq!(interval(b"00:00:00"), parts(0, 0, 0));
        assert_eq!(interval(b"-2562047788:00:54.775808"), parts(0, 0, i64::MIN));
        assert_eq!(interval(b"2562047788:00:54.775808"), None);
        assert_eq!(interval(b"1 day"), parts(0, 1, 0));
        for text in ["", "infinity", "1", "1 week", "4:05", "1 year x", "00:60:00"] {
            assert_eq!(interval(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_date_round_trips(days in -2_440_588..2_145_042_905_i32) {
            let mut out = Vec::new();
            write_date(days, &mut out);
            proptest::prop_assert_eq!(date(&out), Some(Extended::Finite(days)));
        }

        #[test]
        fn every_timestamp_round_trips(micros in -210_866_803_200_000_000..i64::MAX) {
            let mut out = Vec::new();
            write_timestamp(micros, b"+00", &mut out);
            proptest::prop_assert_eq!(timestamptz(&out), Some(Extended::Finite(micros)));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = (date(&bytes), timetz(&bytes), timestamptz(&bytes), interval(&bytes));
        }
    }
}
