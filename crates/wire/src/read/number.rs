//! Numbers of events as PostgreSQL prints them: decimals out of their bytes, floating point in its shortest form.

/// More bytes than the 147,455 digits of PostgreSQL's `numeric` need; bounds the quadratic conversion to decimal.
const BYTES_MAX: usize = 61_440;
/// PostgreSQL's `numeric` has up to 16,383 digits behind its point. Below zero no database that Debezium reads goes beyond
/// 6,176, and each of them stands for a digit that has no byte.
const SCALE_MAX: i32 = 16_383;

/// Append a big-endian two's complement divided by 10^`scale`; None when it is larger than any `numeric`.
pub(super) fn write_unscaled(bytes: &[u8], scale: i32, out: &mut Vec<u8>) -> Option<()> {
    if bytes.is_empty() || bytes.len() > BYTES_MAX || scale.abs() > SCALE_MAX {
        return None;
    }
    let negative = bytes[0] & 0x80 != 0;
    let mut buffer = itoa::Buffer::new();
    let long;
    let digits = if bytes.len() <= 16 {
        let mut wide = [if negative { 0xFF } else { 0 }; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        buffer.format(i128::from_be_bytes(wide).unsigned_abs()).as_bytes()
    } else {
        long = long_digits(bytes, negative);
        &long
    };
    if negative {
        out.push(b'-');
    }
    let places = usize::try_from(scale).unwrap_or(0);
    let whole = digits.len().saturating_sub(places);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits[..whole] });
    if places > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', places.saturating_sub(digits.len())));
        out.extend_from_slice(&digits[whole..]);
    } else if digits != b"0" {
        out.extend(std::iter::repeat_n(b'0', scale.unsigned_abs() as usize));
    }
    Some(())
}

/// The decimal digits of a number of any length, by repeated division.
fn long_digits(bytes: &[u8], negative: bool) -> Vec<u8> {
    const POWER: u128 = 10_u128.pow(18);
    let mut magnitude: Vec<u8> = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let missing = magnitude.len().next_multiple_of(8) - magnitude.len();
    magnitude.splice(0..0, std::iter::repeat_n(0, missing));
    let mut words: Vec<u64> = magnitude.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word)).collect();
    let mut first = 0;
    let mut groups = Vec::new();
    while first < words.len() {
        let mut rest: u128 = 0;
        for word in &mut words[first..] {
            let sum = rest << 64 | u128::from(*word);
            // The quotient is below 2^64, because the rest was below the divisor.
            *word = u64::try_from(sum / POWER).unwrap_or(u64::MAX);
            rest = sum % POWER;
        }
        groups.push(rest);
        while words.get(first) == Some(&0) {
            first += 1;
        }
    }
    let mut digits = Vec::with_capacity(groups.len() * 18);
    for (index, group) in groups.iter().rev().enumerate() {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(*group).as_bytes();
        if index > 0 {
            digits.extend(std::iter::repeat_n(b'0', 18 - text.len()));
        }
        digits.extend_from_slice(text);
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..zeros.min(digits.len().saturating_sub(1)));
    digits
}

/// Append the number as PostgreSQL prints a `float8` (`extra_float_digits` 3); None when it is not one.
pub(super) fn write_double(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if !number.is_finite() {
        return None;
    }
    write_shortest(&format!("{number:e}"), 15, out)
}

/// The same as a `float4`.
pub(super) fn write_single(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let number: f32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if !number.is_finite() {
        return None;
    }
    write_shortest(&format!("{number:e}"), 6, out)
}

/// Rust's shortest scientific form, laid out as `%g` with `precision` does.
fn write_shortest(scientific: &str, precision: i32, out: &mut Vec<u8>) -> Option<()> {
    let (sign, magnitude) = scientific.strip_prefix('-').map_or(("", scientific), |rest| ("-", rest));
    let (digits, exponent) = magnitude.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let first = *digits.as_bytes().first()?;
    let rest = digits.as_bytes().get(2..).unwrap_or_default();
    out.extend_from_slice(sign.as_bytes());
    if !(-4..precision).contains(&exponent) {
        out.push(first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.unsigned_abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
        return Some(());
    }
    if exponent < 0 {
        out.extend_from_slice(&b"0.000"[..1 + exponent.unsigned_abs() as usize]);
        out.push(first);
        out.extend_from_slice(rest);
        return Some(());
    }
    let whole = usize::try_from(exponent).unwrap_or(0);
    out.push(first);
    out.extend_from_slice(&rest[..rest.len().min(whole)]);
    out.extend(std::iter::repeat_n(b'0', whole.saturating_sub(rest.len())));
    if rest.len() > whole {
        out.push(b'.');
        out.extend_from_slice(&rest[whole..]);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unscaled(bytes: &[u8], scale: i32) -> String {
        let mut out = Vec::new();
        write_unscaled(bytes, scale, &mut out).map_or_else(|| "none".into(), |()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn decimals_come_out_of_their_bytes() {
        for (bytes, scale, text) in [
            (&[0][..], 0, "0"),
            (&[0], 2, "0.00"),
            (&[0xFB], 2, "-0.05"),
            (&[0x04, 0xD2], 2, "12.34"),
            (&[0x04, 0xD2], 0, "1234"),
            (&[0x0C], -2, "1200"),
            (&[0], -2, "0"),
            (&[0x80], 0, "-128"),
            (&[0x00, 0x80], 1, "12.8"),
            (&[], 0, "none"),
            (&[1], 16_384, "none"),
            (&[1], -16_384, "none"),
        ] {
            assert_eq!(unscaled(bytes, scale), text);
        }
        let mut power = vec![1];
        power.extend([0; 16]);
        assert_eq!(unscaled(&power, 0), (u128::MAX).to_string().replace("455", "456"));
        assert_eq!(unscaled(&[0xFF; 20], 3), "-0.001");
        let mut negative = vec![0xFF];
        negative.extend([0; 16]);
        assert_eq!(unscaled(&negative, 0), format!("-{}", u128::MAX.to_string().replace("455", "456")));
    }

    #[test]
    fn floats_are_printed_as_postgres_does() {
        let double = |text: &str| {
            let mut out = Vec::new();
            write_double(text.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        for (java, server) in [
            ("0.0", "0"),
            ("-0.0", "-0"),
            ("1.0", "1"),
            ("1.0E10", "10000000000"),
            ("1.0E14", "100000000000000"),
            ("1.0E15", "1e+15"),
            ("1.2345678901234569E14", "123456789012345.69"),
            ("1.0E-4", "0.0001"),
            ("1.2E-5", "1.2e-05"),
            ("1.7976931348623157E308", "1.7976931348623157e+308"),
            ("4.9E-324", "5e-324"),
            ("-12.5", "-12.5"),
            ("100.25", "100.25"),
        ] {
            assert_eq!(double(java).as_deref(), Some(server), "{java}");
        }
        assert_eq!(double("1e400"), None);
        let mut out = Vec::new();
        write_single(b"1.0E6", &mut out).unwrap();
        write_single(b"123456.7", &mut out).unwrap();
        write_single(b"3.4028235E38", &mut out).unwrap();
        assert_eq!(out, b"1e+06123456.73.4028235e+38");
    }
}
