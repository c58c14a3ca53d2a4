//! Bytes, bit strings and points.

use super::codec::{Scratch, Written};
use crate::encode::java::{self, Float};
use crate::encode::json;
use crate::value::bytea;

/// `bytea` as base64 (`binary.handling.mode=bytes`).
pub(super) fn bytes(text: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> Written {
    scratch.digits.clear();
    bytea::unhex(text, &mut scratch.digits).ok_or("not bytea in hex format: bytea_output must be hex")?;
    out.push(b'"');
    json::base64(&scratch.digits, out);
    out.push(b'"');
    Ok(())
}

/// `bit(1)` and `varbit(1)` as a boolean; an empty bit string is null, as in Debezium.
pub(super) fn bit(text: &[u8], out: &mut Vec<u8>) -> Written {
    out.extend_from_slice(match text {
        b"1" => b"true",
        b"0" => b"false",
        b"" => b"null",
        _ => return Err("not a single bit"),
    });
    Ok(())
}

/// A longer bit string: base64 of `java.util.BitSet.toByteArray`, so little-endian and without zero bytes at its end.
pub(super) fn bits(text: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> Written {
    let bytes = &mut scratch.digits;
    bytes.clear();
    for eight in text.rchunks(8) {
        let mut byte = 0;
        for bit in eight {
            byte = match bit {
                b'0' => byte << 1,
                b'1' => byte << 1 | 1,
                _ => return Err("not a bit string"),
            };
        }
        bytes.push(byte);
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    out.push(b'"');
    json::base64(bytes, out);
    out.push(b'"');
    Ok(())
}

/// `point` as `io.debezium.data.geometry.Point`: x, y, and both again as well-known binary.
pub(super) fn point(text: &[u8], out: &mut Vec<u8>) -> Written {
    const MALFORMED: &str = "not a point as the server writes it";
    let inner = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")")).ok_or(MALFORMED)?;
    let comma = memchr::memchr(b',', inner).ok_or(MALFORMED)?;
    let (x, y) = (&inner[..comma], &inner[comma + 1..]);
    out.extend_from_slice(b"{\"x\":");
    java::number(x, Float::Double, out).ok_or(MALFORMED)?;
    out.extend_from_slice(b",\"y\":");
    java::number(y, Float::Double, out).ok_or(MALFORMED)?;
    let mut wkb = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (place, text) in [(5, x), (13, y)] {
        let number: f64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(MALFORMED)?;
        wkb[place..place + 8].copy_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(b",\"wkb\":\"");
    json::base64(&wkb, out);
    out.extend_from_slice(b"\",\"srid\":null}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, write: fn(&[u8], &mut Scratch, &mut Vec<u8>) -> Written) -> String {
        let mut out = Vec::new();
        match write(text.as_bytes(), &mut Scratch::default(), &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(reason) => reason.into(),
        }
    }

    #[test]
    fn bit_strings_are_bit_sets() {
        for (text, json) in [
            ("101", "\"BQ==\""),
            ("000", "\"\""),
            ("1010101010", "\"qgI=\""),
            ("0000000001", "\"AQ==\""),
            ("1111111110000000011111111", "\"/wD/AQ==\""),
            ("2", "not a bit string"),
        ] {
            assert_eq!(of(text, bits), json, "{text}");
        }
    }

    #[test]
    fn bytes_are_base64() {
        assert_eq!(of("\\x00ff10", bytes), "\"AP8Q\"");
        assert_eq!(of("\\x", bytes), "\"\"");
        assert!(of("\\000", bytes).contains("bytea_output"));
    }

    #[test]
    fn points_carry_their_binary_form() {
        let json = r#"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#;
        assert_eq!(of("(1.5,-2)", |text, _, out| point(text, out)), json);
        assert_eq!(of("(1,2", |text, _, out| point(text, out)), "not a point as the server writes it");
    }
}
