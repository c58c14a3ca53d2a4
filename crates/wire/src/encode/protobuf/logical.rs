//! Connect's logical types as the messages that Confluent's converter makes of them. A message's members that are zero
//! are not written.

use crate::encode::connect::Schema;
use crate::encode::varint;
use crate::value::time::civil_from_days;

/// A meaning that has a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logical {
    /// `confluent.type.Decimal`
    Decimal,
    /// `google.type.Date`
    Date,
    /// `google.type.TimeOfDay`
    Time,
    /// `google.protobuf.Timestamp`
    Timestamp,
}

const DAY_MS: i64 = 86_400_000;
/// 1582-10-15, the first day that Java's calendar counts as Gregorian, as days since 1970-01-01. Earlier ones are dates of
/// the Julian calendar.
pub(crate) const GREGORIAN_DAY: i64 = -141_427;
/// The years 1 to 9999, which are all that a Timestamp may hold.
const TIMESTAMP_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

impl Logical {
    /// What a schema means, by its name.
    #[inline]
    pub fn of(schema: &Schema) -> Option<Self> {
        match schema.name.as_deref()?.strip_prefix("org.apache.kafka.connect.data.")? {
            "Decimal" => Some(Self::Decimal),
            "Date" => Some(Self::Date),
            "Time" => Some(Self::Time),
            "Timestamp" => Some(Self::Timestamp),
            _ => None,
        }
    }

    /// Full name of its message, and the file that has it.
    pub const fn message(self) -> (&'static str, &'static str) {
        match self {
            Self::Decimal => ("confluent.type.Decimal", "confluent/type/decimal.proto"),
            Self::Date => ("google.type.Date", "google/type/date.proto"),
            Self::Time => ("google.type.TimeOfDay", "google/type/timeofday.proto"),
            Self::Timestamp => ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
        }
    }

    /// Append the content of its message for a number: days of a date, milliseconds of the others.
    ///
    /// # Errors
    /// When the message cannot hold it.
    pub fn write(self, value: i64, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Decimal => return Err(NOT_OF_SCHEMA),
            Self::Date => {
                let (year, month, day) = java_date(value);
                if year < 1 {
                    return Err(
                        "a date before Christ, and an infinite one, is no google.type.Date: time_precision_mode \
                                adaptive or isostring writes it",
                    );
                }
                members([year, month, day], out);
            }
            Self::Time => {
                if !(0..=DAY_MS).contains(&value) {
                    return Err("a time of day beyond 24:00 is no google.type.TimeOfDay");
                }
                // The end of a day is the beginning of one, as in the converter's calendar.
                let value = value % DAY_MS;
                let seconds = value / 1000;
                members([seconds / 3600, seconds / 60 % 60, seconds % 60, value % 1000 * 1_000_000], out);
            }
            Self::Timestamp => {
                if !TIMESTAMP_MS.contains(&value) {
                    return Err("a timestamp outside of the years 1 to 9999, and an infinite one, is no \
                                google.protobuf.Timestamp: time_precision_mode adaptive or isostring writes it");
                }
                members([value.div_euclid(1000), value.rem_euclid(1000) * 1_000_000], out);
            }
        }
        Ok(())
    }
}

/// What a value says that its schema does not.
pub const NOT_OF_SCHEMA: &str = "a value that is not of its schema";

/// Append the content of a `confluent.type.Decimal`: two's complement, how many digits that number has, the scale.
pub fn write_decimal(schema: &Schema, unscaled: &[u8], out: &mut Vec<u8>) {
    let scale = schema.parameters.iter().find(|(name, _)| name == "scale").and_then(|(_, scale)| scale.parse().ok());
    out.push(0x0a);
    varint::push(unscaled.len() as u64, out);
    out.extend_from_slice(unscaled);
    out.push(0x10);
    varint::push(precision(unscaled), out);
    let scale: i64 = scale.unwrap_or(0);
    if scale != 0 {
        out.push(0x18);
        varint::push(scale.cast_unsigned(), out);
    }
}

/// How many decimal digits a number in two's complement, big-endian, has; zero has one.
fn precision(unscaled: &[u8]) -> u64 {
    let negative = unscaled.first().is_some_and(|byte| *byte >= 0x80);
    if unscaled.len() <= 16 {
        let start = if negative { -1_i128 } else { 0 };
        let number = unscaled.iter().fold(start, |number, byte| number << 8 | i128::from(*byte));
        return u64::from(number.unsigned_abs().checked_ilog10().unwrap_or(0)) + 1;
    }
    let mut carry = negative;
    let mut bytes: Vec<u8> = unscaled.to_vec();
    for byte in bytes.iter_mut().rev().filter(|_| negative) {
        let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
        (*byte, carry) = (sum, over);
    }
    let mut limbs: Vec<u32> =
        bytes.rchunks(4).rev().map(|chunk| chunk.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))).collect();
    let (mut groups, mut last) = (0, 0);
    loop {
        let first = limbs.iter().position(|limb| *limb != 0);
        let Some(first) = first else { return groups * 9 - 9 + u64::from(last.max(1_u32).ilog10()) + 1 };
        limbs.drain(..first);
        let rest = limbs.iter_mut().fold(0_u64, |rest, limb| {
            let number = rest << 32 | u64::from(*limb);
            *limb = (number / 1_000_000_000) as u32;
            number % 1_000_000_000
        });
        (groups, last) = (groups + 1, rest as u32);
    }
}

/// Year, month and day as Java's calendar has them: Julian before 1582-10-15. Years before 1 are 0 and less.
fn java_date(days: i64) -> (i64, i64, i64) {
    if days >= GREGORIAN_DAY {
        return civil_from_days(days);
    }
    // Days since 1 March of the year 0, Julian: every fourth year has one more, at its end.
    let days = days + 719_470;
    let (cycle, day) = (days.div_euclid(1461), days.rem_euclid(1461));
    let year = (day - day / 1460) / 365;
    let day_of_year = day - 365 * year;
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + cycle * 4 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Append members of numbers 1 and on.
fn members<const COUNT: usize>(values: [i64; COUNT], out: &mut Vec<u8>) {
    for (tag, value) in (1_u8..).zip(values) {
        if value != 0 {
            out.push(tag << 3);
            varint::push(value.cast_unsigned(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Kind;

    fn decimal(unscaled: &[u8], scale: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write_decimal(
            &Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal").with("scale", scale),
            unscaled,
            &mut out,
        );
        out
    }

    fn content(logical: Logical, value: i64) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        logical.write(value, &mut out).map(|()| out)
    }

    #[test]
    fn decimals_tell_their_digits() {
        assert_eq!(decimal(&[0], "0"), [0x0a, 1, 0, 0x10, 1]);
        assert_eq!(decimal(&[0x80], "2"), [0x0a, 1, 0x80, 0x10, 3, 0x18, 2]);
        assert_eq!(decimal(&[0xff], "0"), [0x0a, 1, 0xff, 0x10, 1]);
        for digits in [1, 5, 9, 10, 18, 19, 27, 37, 38, 39, 45, 46, 100] {
            for negative in [false, true] {
                let number = (0..digits).fold(vec![0_u8; 60], |number, _| times_ten_plus(&number, 9));
                let bytes = if negative { negated(number) } else { number };
                assert_eq!(precision(&bytes), digits, "{digits} nines, all of 60 bytes, {negative}");
                let short = bytes.iter().position(|byte| *byte != bytes[0]).unwrap() - 1;
                assert_eq!(precision(&bytes[short..]), digits, "{digits} nines, {negative}");
            }
            let one_more = (0..digits).fold(times_ten_plus(&[0; 60], 1), |number, _| times_ten_plus(&number, 0));
            assert_eq!(precision(&one_more), digits + 1, "ten to the {digits}");
        }
    }

    fn times_ten_plus(number: &[u8], digit: u32) -> Vec<u8> {
        let (mut out, mut carry) = (number.to_vec(), digit);
        for byte in out.iter_mut().rev() {
            let product = u32::from(*byte) * 10 + carry;
            (*byte, carry) = (product as u8, product >> 8);
        }
        out
    }

    fn negated(number: Vec<u8>) -> Vec<u8> {
        let mut carry = true;
        let mut out: Vec<u8> = number.into_iter().map(|byte| !byte).collect();
        for byte in out.iter_mut().rev() {
            (*byte, carry) = byte.overflowing_add(u8::from(carry));
        }
        out
    }

    #[test]
    fn dates_are_those_of_javas_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (19_782, (2024, 2, 29)),
            (GREGORIAN_DAY, (1582, 10, 15)),
            (GREGORIAN_DAY - 1, (1582, 10, 4)),
            (-153_995, (1548, 5, 8)),
            (-365_000, (970, 8, 26)),
            (-719_164, (1, 1, 1)),
            (-719_165, (0, 12, 31)),
            (-719_162, (1, 1, 3)),
        ] {
            assert_eq!(java_date(days), date, "{days}");
        }
        assert_eq!(content(Logical::Date, 0), Ok(vec![8, 0xb2, 0x0f, 16, 1, 24, 1]));
        assert!(content(Logical::Date, -719_165).is_err());
    }

    #[test]
    fn times_leave_out_what_is_zero_and_refuse_what_their_messages_cannot_hold() {
        assert_eq!(content(Logical::Time, 0), Ok(vec![]));
        assert_eq!(content(Logical::Time, DAY_MS), Ok(vec![]));
        assert_eq!(content(Logical::Time, 3_600_000 + 1000), Ok(vec![8, 1, 24, 1]));
        assert!(content(Logical::Time, -1).is_err() && content(Logical::Time, DAY_MS + 1).is_err());
        assert_eq!(content(Logical::Timestamp, 1000), Ok(vec![8, 1]));
        let before = [&[8][..], &[0xff; 9], &[1, 16, 0x80, 0x84, 0xaf, 0x5f]].concat();
        assert_eq!(content(Logical::Timestamp, -800), Ok(before));
        assert!(content(Logical::Timestamp, i64::MAX).is_err());
        assert_eq!(content(Logical::Decimal, 1), Err(NOT_OF_SCHEMA));
    }
}
