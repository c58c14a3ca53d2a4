//! The binary form of a numeric (`numeric_recv` in PostgreSQL's `numeric.c`).

/// The sign that says what is not a number.
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
const NEGATIVE: u16 = 0x4000;
/// The most digits to base 10,000 that are read (`NUMERIC_MAX_PRECISION` and `NUMERIC_MAX_RESULT_SCALE`).
const GROUPS_MAX: i16 = 3_000;

/// Append a decimal: how many digits to base 10,000, the weight of the first, the sign, the digits behind the point that
/// show, the digits. None for what is not written in plain digits, or has more of them than are read.
pub fn write(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (NEGATIVE, rest),
        _ => (0, text),
    };
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        let sign = match text {
            b"NaN" => NAN,
            b"Infinity" => INFINITY,
            b"-Infinity" => NEGATIVE_INFINITY,
            _ => return None,
        };
        header(0, 0, sign, 0, out);
        return Some(());
    }
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    let scale = u16::try_from(fraction.len()).ok().filter(|scale| *scale <= 16_383)?;
    let begin = out.len();
    header(0, 0, sign, scale, out);
    let first = out.len();
    let mut weight = i16::try_from(whole.len().div_ceil(4)).ok()? - 1;
    // The first group may be short in front, the last behind.
    let (head, rest) = whole.split_at(whole.len() % 4);
    if !head.is_empty() {
        group(head, 0, out)?;
    }
    for four in rest.chunks(4).chain(fraction.chunks(4)) {
        group(four, 4 - four.len(), out)?;
    }
    // Zeros at either end do not count as digits.
    while out.len() > first && out.ends_with(&[0, 0]) {
        out.truncate(out.len() - 2);
    }
    let leading = out[first..].chunks(2).take_while(|pair| *pair == [0, 0]).count();
    out.drain(first..first + leading * 2);
    weight -= i16::try_from(leading).ok()?;
    let count = i16::try_from((out.len() - first) / 2).ok().filter(|count| *count <= GROUPS_MAX)?;
    if count == 0 {
        out.truncate(begin);
        header(0, 0, 0, scale, out);
    } else {
        out[begin..begin + 2].copy_from_slice(&count.to_be_bytes());
        out[begin + 2..begin + 4].copy_from_slice(&weight.to_be_bytes());
    }
    Some(())
}

#[inline]
fn header(count: i16, weight: i16, sign: u16, scale: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
}

/// Append up to four digits as one, with so many zeros behind.
#[inline]
fn group(digits: &[u8], zeros: usize, out: &mut Vec<u8>) -> Option<()> {
    let mut value: u16 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u16::from(digit);
    }
    for _ in 0..zeros {
        value *= 10;
    }
    out.extend_from_slice(&value.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<u16>> {
        let mut out = Vec::new();
        write(text.as_bytes(), &mut out)?;
        Some(out.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
    }

    #[test]
    fn digits_are_grouped_by_four_around_the_point() {
        for (text, expected) in [
            ("0", vec![0, 0, 0, 0]),
            ("0.00", vec![0, 0, 0, 2]),
            ("-0.0", vec![0, 0, 0, 1]),
            ("1", vec![1, 0, 0, 0, 1]),
            ("-12345.678", vec![3, 1, NEGATIVE, 3, 1, 2345, 6780]),
            ("10000", vec![1, 1, 0, 0, 1]),
            ("120000000", vec![2, 2, 0, 0, 1, 2000]),
            ("0.0001", vec![1, u16::MAX, 0, 4, 1]),
            ("0.00000010", vec![1, u16::MAX - 1, 0, 8, 10]),
            ("NaN", vec![0, 0, NAN, 0]),
            ("Infinity", vec![0, 0, INFINITY, 0]),
            ("-Infinity", vec![0, 0, NEGATIVE_INFINITY, 0]),
        ] {
            assert_eq!(words(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_left_to_the_server() {
        for text in ["", "-", ".5", "1e5", "1.2.3", "+1", " 1", "1_000", "0x1F", "nan", "--1", "-.1"] {
            assert_eq!(words(text), None, "{text}");
        }
        assert_eq!(words(&format!("0.{}", "0".repeat(16_384))), None);
        assert!(words(&"1".repeat(12_000)).is_some());
        assert_eq!(words(&"1".repeat(12_001)), None);
    }
}
