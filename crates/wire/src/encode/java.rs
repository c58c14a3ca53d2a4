//! What Java prints and how it orders: floating point numbers, hash maps.
//!
//! Floating point follows the specification of `Double.toString` (exact since JDK 19; older JDKs print more digits than
//! needed for a few values). The server prints the shortest form too, so that its digits are taken over in nearly all cases.

use std::io::Write as _;

/// Which of the two types a number has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// `float`
    Single,
    /// `double`
    Double,
}

impl Float {
    /// The number that the server printed as `text`, rounded to this type; None when it is none.
    #[must_use]
    pub fn parse(self, text: &[u8]) -> Option<f64> {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let known = digits.first()?.is_ascii_digit() || matches!(digits, b"NaN" | b"Infinity");
        let text = std::str::from_utf8(text).ok().filter(|_| known)?;
        match self {
            Self::Double => text.parse().ok(),
            Self::Single => text.parse::<f32>().ok().map(f64::from),
        }
    }
}

/// Significant digits of a number: `0.d₁d₂d₃… × 10^point`, no zeros at either end; none for zero.
#[derive(Clone, Copy, Debug)]
struct Digits {
    digits: [u8; Self::MAX],
    len: usize,
    point: i32,
}

impl Digits {
    const MAX: usize = 17;

    /// Read `123.45`, `1e+10` or `1.5e-07` without its sign; None when malformed or of too many digits.
    #[inline]
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parsed = Self { digits: [b'0'; Self::MAX], len: 0, point: 0 };
        let (mut seen, mut fraction, mut pending, mut rest) = (false, false, 0_usize, text);
        while let [byte, more @ ..] = rest {
            match byte {
                b'.' if !fraction => fraction = true,
                b'0' => {
                    seen = true;
                    parsed.point += i32::from(!fraction && parsed.len > 0) - i32::from(fraction && parsed.len == 0);
                    pending += usize::from(parsed.len > 0);
                }
                b'1'..=b'9' => {
                    seen = true;
                    parsed.point += i32::from(!fraction);
                    parsed.len += pending;
                    pending = 0;
                    *parsed.digits.get_mut(parsed.len)? = *byte;
                    parsed.len += 1;
                }
                _ => break,
            }
            rest = more;
        }
        if !rest.is_empty() {
            let exponent = rest.strip_prefix(b"e")?;
            let exponent = crate::value::number::integer(exponent.strip_prefix(b"+").unwrap_or(exponent))?;
            parsed.point = parsed.point.checked_add(i32::try_from(exponent).ok()?)?;
        }
        seen.then_some(parsed)
    }

    /// Whether the server's digits may be other than Java's: Java accepts the ends of the rounding interval, which have
    /// few digits only among large integers, and wants two digits where the smallest numbers have one.
    fn is_doubtful(&self, float: Float) -> bool {
        match float {
            Float::Double => (self.len >= 16 && self.point > 15) || (self.len == 1 && self.point < -300),
            Float::Single => (self.len >= 7 && self.point > 7) || (self.len == 1 && self.point < -30),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let digits = &self.digits[..self.len.min(Self::MAX)];
        let whole = usize::try_from(self.point).unwrap_or(0);
        match self.point {
            _ if digits.is_empty() => out.extend_from_slice(b"0.0"),
            1..=7 if whole >= digits.len() => {
                out.extend_from_slice(digits);
                out.extend_from_slice(&b"0000000"[..whole - digits.len()]);
                out.extend_from_slice(b".0");
            }
            1..=7 => {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
            -2..=0 => {
                out.extend_from_slice(&b"0.00"[..2 + self.point.unsigned_abs() as usize]);
                out.extend_from_slice(digits);
            }
            _ => {
                out.extend_from_slice(&[digits[0], b'.']);
                out.extend_from_slice(if digits.len() > 1 { &digits[1..] } else { b"0" });
                out.push(b'E');
                super::json::integer(self.point - 1, out);
            }
        }
    }
}

/// Append the number that the server printed as `text`, as Java prints it; infinities and NaN as text in quotes, as
/// Jackson does. None when it is not a number.
#[inline]
pub fn number(text: &[u8], float: Float, out: &mut Vec<u8>) -> Option<()> {
    let (negative, magnitude) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match Digits::parse(magnitude).filter(|digits| !digits.is_doubtful(float)) {
        Some(digits) => {
            if negative {
                out.push(b'-');
            }
            digits.write(out);
        }
        None => match float {
            Float::Double => double(float.parse(text)?, out),
            Float::Single => single(float.parse(text)? as f32, out),
        },
    }
    Some(())
}

/// Append a `double` as `Double.toString` prints it; infinities and NaN in quotes.
pub fn double(number: f64, out: &mut Vec<u8>) {
    let is_same = |text: &str| text.parse().is_ok_and(|parsed: f64| parsed == number);
    finish(number.is_finite(), shortest(number, is_same), out);
}

/// Append a `float` as `Float.toString` prints it; infinities and NaN in quotes.
pub fn single(number: f32, out: &mut Vec<u8>) {
    let is_same = |text: &str| text.parse().is_ok_and(|parsed: f32| parsed == number);
    finish(number.is_finite(), shortest(number, is_same), out);
}

/// The fewest digits that are the same number, two at least; of those as many the nearest, and of two as near the even
/// one, where Rust's own takes the larger.
fn shortest<T: std::fmt::LowerExp + Copy>(number: T, is_same: impl Fn(&str) -> bool) -> Scientific {
    let two = Scientific::of(format_args!("{number:.1e}"));
    if is_same(two.text()) {
        return two;
    }
    let fewest = Scientific::of(format_args!("{number:e}"));
    let mantissa = fewest.text().split('e').next().unwrap_or_default();
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let even = Scientific::of(format_args!("{number:.fraction$e}"));
    if is_same(even.text()) { even } else { fewest }
}

fn finish(finite: bool, scientific: Scientific, out: &mut Vec<u8>) {
    let text = scientific.text();
    let (sign, magnitude) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    match Digits::parse(magnitude.as_bytes()) {
        Some(digits) if finite => {
            out.extend_from_slice(sign.as_bytes());
            digits.write(out);
        }
        _ if text == "NaN" => out.extend_from_slice(b"\"NaN\""),
        _ if sign == "-" => out.extend_from_slice(b"\"-Infinity\""),
        _ => out.extend_from_slice(b"\"Infinity\""),
    }
}

/// A number in scientific notation, on the stack.
struct Scientific {
    bytes: [u8; 32],
    len: usize,
}

impl Scientific {
    fn of(text: std::fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; 32];
        let mut rest = &mut bytes[..];
        let left = match rest.write_fmt(text) {
            Ok(()) => rest.len(),
            Err(_) => 32,
        };
        Self { bytes, len: 32 - left }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// Order entries as `java.util.HashMap` iterates over them when they were put in the present order.
pub fn hash_order<T>(entries: &mut [T], key: impl Fn(&T) -> &[u8]) {
    bucket_order(entries, 16, |entry| text_hash(key(entry)));
}

/// The same of a map that was made for as many entries as it has.
pub fn sized_order<T>(entries: &mut [T], key: impl Fn(&T) -> &[u8]) {
    bucket_order(entries, entries.len(), |entry| text_hash(key(entry)));
}

/// The same of a copy of such a map, `new HashMap<>(map)`, as Java makes it up to version 18: later ones give a map of
/// 3, 6, 12, … entries half the room.
pub fn copied_order<T>(entries: &mut [T], key: impl Fn(&T) -> &[u8]) {
    hash_order(entries, &key);
    bucket_order(entries, entries.len() * 4 / 3 + 1, |entry| text_hash(key(entry)));
}

/// `String.hashCode`
fn text_hash(text: &[u8]) -> u32 {
    let units = String::from_utf8_lossy(text);
    units.encode_utf16().fold(0, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// The same of a map with such hashes that was made for `room` entries.
pub fn bucket_order<T>(entries: &mut [T], room: usize, hash: impl Fn(&T) -> u32) {
    let mut capacity = room.max(1).next_power_of_two();
    while entries.len() > capacity * 3 / 4 {
        capacity *= 2;
    }
    entries.sort_by_cached_key(|entry| {
        let hash = hash(entry);
        (hash ^ (hash >> 16)) as usize & (capacity - 1)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, float: Float) -> String {
        let mut out = Vec::new();
        number(text.as_bytes(), float, &mut out)
            .map_or_else(|| "malformed".into(), |()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn doubles_are_printed_as_java_does() {
        for (server, java) in [
            ("0", "0.0"),
            ("-0", "-0.0"),
            ("1", "1.0"),
            ("100", "100.0"),
            ("1234567", "1234567.0"),
            ("9999999.999", "9999999.999"),
            ("10000000", "1.0E7"),
            ("1e+10", "1.0E10"),
            ("0.001", "0.001"),
            ("0.0001", "1.0E-4"),
            ("0.00012", "1.2E-4"),
            ("-12.5", "-12.5"),
            ("1.7976931348623157e+308", "1.7976931348623157E308"),
            ("5e-324", "4.9E-324"),
            ("1e-323", "9.9E-324"),
            ("2e+23", "2.0E23"),
            ("9.999999999999999e+22", "1.0E23"),
            ("9007199254740992", "9.007199254740992E15"),
            ("123456789012345.68", "1.2345678901234568E14"),
            ("-1023770082527206.2", "-1.0237700825272062E15"),
            ("NaN", "\"NaN\""),
            ("-Infinity", "\"-Infinity\""),
            ("", "malformed"),
            ("1e", "malformed"),
            ("1.2.3", "malformed"),
        ] {
            assert_eq!(written(server, Float::Double), java, "{server}");
        }
    }

    #[test]
    fn floats_are_printed_as_java_does() {
        for (server, java) in [
            ("1e-45", "1.4E-45"),
            ("3e-45", "2.8E-45"),
            ("3.4028235e+38", "3.4028235E38"),
            ("1.1754944e-38", "1.1754944E-38"),
            ("16777216", "1.6777216E7"),
            ("123456.7", "123456.7"),
            ("8.5e+09", "8.5E9"),
            ("2e-45", "1.4E-45"),
        ] {
            assert_eq!(written(server, Float::Single), java, "{server}");
        }
    }

    #[test]
    fn hash_maps_are_ordered_as_java_does() {
        let mut keys = ["a", "b", "c", "bb"];
        hash_order(&mut keys, |key| key.as_bytes());
        assert_eq!(keys, ["bb", "a", "b", "c"]);
    }

    proptest::proptest! {
        #[test]
        fn every_double_comes_back(number: f64) {
            let mut out = Vec::new();
            double(number, &mut out);
            let text = String::from_utf8(out).unwrap();
            let parsed: f64 = text.trim_matches('"').parse().unwrap();
            proptest::prop_assert!(parsed == number || number.is_nan());
        }
    }
}
