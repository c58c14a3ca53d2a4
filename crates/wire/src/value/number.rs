//! Integers and decimals.

/// A decimal integer with an optional sign; None when it is anything else or does not fit.
#[must_use]
#[inline]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let short = digits.len() <= 18;
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Summed below zero, where one more value fits.
        value =
            if short { value * 10 - i64::from(digit) } else { value.checked_mul(10)?.checked_sub(i64::from(digit))? };
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// What a numeric that is not a number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decimal {
    /// The value times 10 to the power of the scale.
    Unscaled(i128),
    /// `NaN`, `Infinity` or `-Infinity`.
    Special,
}

/// A `numeric` as a multiple of 10^-`scale`; None when malformed, not exact at that scale, or beyond 38 digits.
#[must_use]
#[inline]
pub fn decimal(text: &[u8], scale: u8) -> Option<Decimal> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.first().is_none_or(|byte| !byte.is_ascii_digit() && *byte != b'.') {
        return matches!(text, b"NaN" | b"Infinity" | b"-Infinity").then_some(Decimal::Special);
    }
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = point.map_or((digits, &b""[..]), |at| (&digits[..at], &digits[at + 1..]));
    let scale = usize::from(scale);
    let (kept, beyond) = fraction.split_at(fraction.len().min(scale));
    if whole.len() + kept.len() == 0 || beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let value = accumulate(accumulate(0, whole)?, kept)?;
    let missing = u32::try_from(scale - kept.len()).ok()?;
    let value = value.checked_mul(10_i128.checked_pow(missing)?)?;
    (value < 10_i128.pow(38)).then_some(Decimal::Unscaled(if negative { -value } else { value }))
}

/// Go on reading digits after `start`; up to 18 at a time in 64 bits, which is several times faster.
#[inline]
fn accumulate(start: i128, digits: &[u8]) -> Option<i128> {
    let mut value = start;
    for run in digits.chunks(18) {
        let mut part: u64 = 0;
        let mut power: u64 = 1;
        for byte in run {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            part = part * 10 + u64::from(digit);
            power *= 10;
        }
        value = match value {
            0 => i128::from(part),
            _ => value.checked_mul(i128::from(power))?.checked_add(i128::from(part))?,
        };
    }
    Some(value)
}

/// Append `unscaled` × 10^-`scale` as the server prints it.
pub fn write_decimal(unscaled: i128, scale: usize, out: &mut Vec<u8>) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs()).as_bytes();
    if scale == 0 {
        out.extend_from_slice(digits);
        return;
    }
    let whole = digits.len().saturating_sub(scale);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits[..whole] });
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', scale.saturating_sub(digits.len())));
    out.extend_from_slice(&digits[whole..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_to_the_ends_of_their_range() {
        for number in [0, 1, -1, 42, i64::from(i32::MIN), i64::MAX, i64::MIN] {
            assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }
        for text in ["", "-", "+1", "1.0", "9223372036854775808", "-9223372036854775809", "1e3", " 1"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let read = |text: &str, scale| decimal(text.as_bytes(), scale);
        assert_eq!(read("12.34", 2), Some(Decimal::Unscaled(1234)));
        assert_eq!(read("-0.05", 2), Some(Decimal::Unscaled(-5)));
        assert_eq!(read("7", 3), Some(Decimal::Unscaled(7000)));
        assert_eq!(read("1.500", 1), Some(Decimal::Unscaled(15)));
        assert_eq!(read(&"9".repeat(38), 0), Some(Decimal::Unscaled(10_i128.pow(38) - 1)));
        assert_eq!(read("0.00000000000000000001", 20), Some(Decimal::Unscaled(1)));
        assert_eq!(read("NaN", 2), Some(Decimal::Special));
        for (text, scale) in [("1.55", 1), ("", 0), ("-", 0), (".", 0), ("1e5", 0), ("nan", 0), ("1.2.3", 4)] {
            assert_eq!(read(text, scale), None, "{text}");
        }
        assert_eq!(read(&"9".repeat(39), 0), None);
        assert_eq!(read("1", 38), None);
    }

    #[test]
    fn decimals_round_trip() {
        for (text, scale) in [("0.00", 2), ("-0.05", 2), ("123456789012345678901234567890.12", 2), ("5", 0)] {
            let Some(Decimal::Unscaled(value)) = decimal(text.as_bytes(), scale) else { panic!("{text}") };
            let mut out = Vec::new();
            write_decimal(value, usize::from(scale), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }
}
