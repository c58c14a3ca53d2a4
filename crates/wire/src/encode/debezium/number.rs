//! Numbers: integers and floating point as JSON numbers, `numeric` and `money` as the decimal mode says.

use super::codec::Scratch;
use super::profile::DecimalMode;
use crate::encode::connect::{Field, Format, Written};
use crate::encode::java::Float;
use crate::value::number::Decimal;

/// More digits than PostgreSQL's `numeric` can have; bounds the quadratic conversion to binary.
const DIGITS_MAX: usize = 150_000;
const MALFORMED: &str = "not a number as the server writes it";

/// An integer of any width.
#[inline]
pub(super) fn integer<F: Format>(text: &[u8], out: &mut F) -> Written {
    out.integer_text(text).ok_or(MALFORMED)
}

#[inline]
pub(super) fn boolean<F: Format>(text: &[u8], out: &mut F) -> Written {
    match text {
        b"t" => out.boolean(true),
        b"f" => out.boolean(false),
        _ => return Err("not a boolean as the server writes it"),
    }
    Ok(())
}

#[inline]
pub(super) fn float<F: Format>(text: &[u8], float: Float, out: &mut F) -> Written {
    out.float_text(text, float).ok_or(MALFORMED)
}

/// A `numeric` taken apart: digits before and after the point, both checked.
#[derive(Clone, Copy)]
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Parts<'a> {
    #[inline]
    fn of(text: &'a [u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let point = memchr::memchr(b'.', digits).unwrap_or(digits.len());
        let (whole, fraction) = digits.split_at(point);
        let fraction = fraction.get(1..).unwrap_or_default();
        let sound = (1..=DIGITS_MAX).contains(&(whole.len() + fraction.len()))
            && whole.iter().all(u8::is_ascii_digit)
            && fraction.iter().all(u8::is_ascii_digit);
        sound.then_some(Self { negative, whole, fraction })
    }
}

/// Debezium's name of a `numeric` that is no number.
fn special(text: &[u8]) -> Option<&'static str> {
    match text {
        b"NaN" => Some("NAN"),
        b"Infinity" => Some("POSITIVE_INFINITY"),
        b"-Infinity" => Some("NEGATIVE_INFINITY"),
        _ => None,
    }
}

/// What `precise` makes of NaN and the infinities: null, as Debezium does; refused where the column cannot be null.
fn not_a_number<F: Format>(nullable: bool, out: &mut F) -> Written {
    if !nullable {
        return Err("NaN or infinity cannot be written in decimal_handling_mode precise: use string or double");
    }
    out.null();
    Ok(())
}

/// `numeric(p,s)`: Connect's Decimal, the bytes of the unscaled integer.
#[inline]
pub(super) fn decimal<F: Format>(text: &[u8], scale: i16, nullable: bool, out: &mut F) -> Written {
    let Some(parts) = Parts::of(text) else {
        return if special(text).is_some() { not_a_number(nullable, out) } else { Err(MALFORMED) };
    };
    unscaled(parts, scale, out)
}

/// Members of Debezium's VariableScaleDecimal.
pub(super) static SCALE: Field = Field::fixed(0, b"\"scale\":", false);
pub(super) static VALUE: Field = Field::fixed(1, b",\"value\":", false);

/// `numeric` without a scale of its own: Debezium's VariableScaleDecimal, trailing zeros cut off.
pub(super) fn variable<F: Format>(text: &[u8], nullable: bool, out: &mut F) -> Written {
    let Some(mut parts) = Parts::of(text) else {
        return if special(text).is_some() { not_a_number(nullable, out) } else { Err(MALFORMED) };
    };
    while let [rest @ .., b'0'] = parts.fraction {
        parts.fraction = rest;
    }
    let scale = i16::try_from(parts.fraction.len()).map_err(|_| MALFORMED)?;
    out.begin_struct();
    out.field(&SCALE);
    out.integer(i64::from(scale));
    out.field(&VALUE);
    unscaled(parts, scale, out)?;
    out.end_struct();
    Ok(())
}

/// `decimal.handling.mode=double`
pub(super) fn decimal_double<F: Format>(text: &[u8], out: &mut F) -> Written {
    if special(text).is_some() {
        return float(text, Float::Double, out);
    }
    Parts::of(text).ok_or(MALFORMED)?;
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(MALFORMED)?;
    out.double(number);
    Ok(())
}

/// `decimal.handling.mode=string`
pub(super) fn decimal_string<F: Format>(text: &[u8], out: &mut F) -> Written {
    let text = match special(text) {
        Some(name) => name.as_bytes(),
        None => Parts::of(text).map(|_| text).ok_or(MALFORMED)?,
    };
    out.compose(|out| {
        out.extend_from_slice(text);
        Ok(())
    })
}

/// `money` in any locale that has two digits after the point: currency and grouping are dropped. `precise` rounds to so
/// many digits, half up.
pub(super) fn money<F: Format>(
    text: &[u8],
    mode: DecimalMode,
    digits: i16,
    scratch: &mut Scratch,
    out: &mut F,
) -> Written {
    const FOREIGN: &str = "money in a locale without two fraction digits: set lc_monetary to C on the server";
    let end = text.iter().rposition(u8::is_ascii_digit).ok_or(MALFORMED)? + 1;
    let [whole @ .., b'.' | b',', tens, ones] = &text[..end] else { return Err(FOREIGN) };
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return Err(FOREIGN);
    }
    let plain = &mut scratch.digits;
    plain.clear();
    plain.extend(text.iter().any(|byte| matches!(byte, b'-' | b'(')).then_some(b'-'));
    plain.extend(whole.iter().filter(|byte| byte.is_ascii_digit()));
    plain.extend_from_slice(&[b'.', *tens, *ones]);
    match mode {
        DecimalMode::Precise if digits < 2 => {
            let cents = crate::value::number::decimal(plain, 2);
            let Some(Decimal::Unscaled(cents)) = cents else { return Err(MALFORMED) };
            let unit = if digits == 1 { 10 } else { 100 };
            let rounded = i64::try_from((cents.abs() + unit / 2) / unit * cents.signum()).map_err(|_| MALFORMED)?;
            shortest(rounded, out);
            Ok(())
        }
        DecimalMode::Precise => decimal(plain, digits, true, out),
        DecimalMode::Double => decimal_double(plain, out),
        DecimalMode::String => decimal_string(plain, out),
    }
}

/// Write the smallest two's complement of a number, big-endian.
#[inline]
fn shortest<F: Format>(number: i64, out: &mut F) {
    let bits = 65 - (number ^ (number >> 63)).leading_zeros();
    let length = (bits as usize).div_ceil(8);
    out.bytes(&number.to_be_bytes()[8 - length..]);
}

/// Write the smallest two's complement of the number times 10^scale, big-endian (`BigInteger.toByteArray`).
#[inline]
fn unscaled<F: Format>(parts: Parts<'_>, scale: i16, out: &mut F) -> Written {
    let Parts { negative, mut whole, fraction } = parts;
    let places = usize::try_from(scale).unwrap_or(0);
    if scale < 0 {
        let (kept, zeros) = whole.split_at(whole.len().saturating_sub(usize::from(scale.unsigned_abs())));
        if zeros.iter().any(|byte| *byte != b'0') {
            return Err("more digits than the column's scale");
        }
        whole = kept;
    }
    let (kept, beyond) = fraction.split_at(fraction.len().min(places));
    if beyond.iter().any(|byte| *byte != b'0') {
        return Err("more digits than the column's scale");
    }
    let missing = places - kept.len();
    if whole.len() + places > 18 {
        let bytes = wide(negative, whole.iter().chain(kept).copied(), missing);
        let redundant = |pair: &[u8]| matches!(pair, [0, 0..=0x7f] | [0xff, 0x80..=0xff]);
        let start = bytes.windows(2).take_while(|pair| redundant(pair)).count();
        out.bytes(&bytes[start..]);
        return Ok(());
    }
    let digits = |start: i64, text: &[u8]| text.iter().fold(start, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    let magnitude = (0..missing).fold(digits(digits(0, whole), kept), |sum, _| sum * 10);
    shortest(if negative { -magnitude } else { magnitude }, out);
    Ok(())
}

/// A number of any length, not at its shortest, by schoolbook arithmetic in 32-bit limbs.
fn wide(negative: bool, digits: impl Iterator<Item = u8>, missing: usize) -> Vec<u8> {
    let mut limbs: Vec<u32> = Vec::new();
    let mut digits = digits.chain(std::iter::repeat_n(b'0', missing)).skip_while(|digit| *digit == b'0').peekable();
    while digits.peek().is_some() {
        let (mut carry, mut power) = (0_u64, 1_u64);
        for digit in digits.by_ref().take(9) {
            carry = carry * 10 + u64::from(digit - b'0');
            power *= 10;
        }
        for limb in &mut limbs {
            let product = u64::from(*limb) * power + carry;
            *limb = (product & 0xffff_ffff) as u32;
            carry = product >> 32;
        }
        limbs.extend((carry > 0).then_some((carry & 0xffff_ffff) as u32));
    }
    let mut bytes: Vec<u8> = std::iter::once(0).chain(limbs.iter().rev().flat_map(|limb| limb.to_be_bytes())).collect();
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (sum, over);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Json;

    fn written(write: impl FnOnce(&mut Json<'_>) -> Written) -> String {
        let mut out = Vec::new();
        match write(&mut Json::new(&mut out, true)) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(reason) => reason.into(),
        }
    }

    #[test]
    fn decimals_are_the_bytes_of_a_big_integer() {
        for (text, scale, base64) in [
            ("0", 0, "AA=="),
            ("1.10", 2, "bg=="),
            ("-0.01", 2, "/w=="),
            ("1.27", 2, "fw=="),
            ("1.28", 2, "AIA="),
            ("-1.28", 2, "gA=="),
            ("-1.29", 2, "/38="),
            ("327.67", 2, "f/8="),
            ("-327.68", 2, "gAA="),
            ("9999999999.99", 2, "AOjUpQ//"),
            ("12300", -2, "ew=="),
            ("0.00123", 5, "ew=="),
            ("12345678901234567890.123456789", 9, "J+QbMka+ybFuOYEV"),
            ("1000000000000000000000000000000", 0, "DJ8snNBGdO3qQAAAAA=="),
            ("-92233720368547758.08", 2, "gAAAAAAAAAA="),
            ("92233720368547758.07", 2, "f/////////8="),
        ] {
            let found = written(|out| decimal(text.as_bytes(), scale, true, out));
            assert_eq!(found, format!("\"{base64}\""), "{text}");
        }
        assert_eq!(written(|out| decimal(b"NaN", 2, true, out)), "null");
        assert!(written(|out| decimal(b"NaN", 2, false, out)).contains("decimal_handling_mode"));
        assert_eq!(written(|out| decimal(b"1.234", 2, true, out)), "more digits than the column's scale");
    }

    #[test]
    fn variable_decimals_have_no_trailing_zeros() {
        let write = |text: &str| written(|out| variable(text.as_bytes(), true, out));
        assert_eq!(write("1.10"), r#"{"scale":1,"value":"Cw=="}"#);
        assert_eq!(write("100"), r#"{"scale":0,"value":"ZA=="}"#);
        assert_eq!(write("0.000"), r#"{"scale":0,"value":"AA=="}"#);
        assert_eq!(write("0.00000000000000000001"), r#"{"scale":20,"value":"AQ=="}"#);
    }

    #[test]
    fn money_is_read_in_any_locale_with_cents() {
        for text in ["-$1,234.56", "-1.234,56 €", "($1,234.56)"] {
            let found = written(|out| money(text.as_bytes(), DecimalMode::String, 2, &mut Scratch::default(), out));
            assert_eq!(found, "\"-1234.56\"");
        }
        assert!(
            written(|out| money("￥1,234".as_bytes(), DecimalMode::String, 2, &mut Scratch::default(), out))
                .contains("locale")
        );
    }

    #[test]
    fn money_is_rounded_half_up_to_the_digits_that_are_wanted() {
        for (text, digits, base64) in [
            ("-$1,234.56", 3, "7SmA"),
            ("-$1,234.56", 0, "+y0="),
            ("$0.01", 0, "AA=="),
            ("$0.50", 0, "AQ=="),
            ("-$0.05", 1, "/w=="),
            ("$0.04", 1, "AA=="),
        ] {
            let found =
                written(|out| money(text.as_bytes(), DecimalMode::Precise, digits, &mut Scratch::default(), out));
            assert_eq!(found, format!("\"{base64}\""), "{text} {digits}");
        }
    }

    #[test]
    fn decimals_as_doubles_are_javas() {
        assert_eq!(written(|out| decimal_double(b"12345678901234567890.123456789", out)), "1.2345678901234567E19");
        assert_eq!(written(|out| decimal_double(b"100", out)), "100.0");
        assert_eq!(written(|out| decimal_double(b"NaN", out)), "\"NaN\"");
        assert_eq!(written(|out| decimal_string(b"Infinity", out)), "\"POSITIVE_INFINITY\"");
    }
}
