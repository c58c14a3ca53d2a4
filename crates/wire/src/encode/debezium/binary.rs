//! Bytes, bit strings and points.

use super::codec::Scratch;
use crate::encode::connect::{Field, Format, Written};
use crate::encode::java::Float;
use crate::value::bytea;

/// `bytea` as bytes (`binary.handling.mode=bytes`).
pub(super) fn bytes<F: Format>(text: &[u8], scratch: &mut Scratch, out: &mut F) -> Written {
    scratch.digits.clear();
    bytea::unhex(text, &mut scratch.digits).ok_or("not bytea in hex format: bytea_output must be hex")?;
    out.bytes(&scratch.digits);
    Ok(())
}

/// `bit(1)` and `varbit(1)` as a boolean; an empty bit string is null, as in Debezium.
pub(super) fn bit<F: Format>(text: &[u8], out: &mut F) -> Written {
    match text {
        b"1" => out.boolean(true),
        b"0" => out.boolean(false),
        b"" => out.null(),
        _ => return Err("not a single bit"),
    }
    Ok(())
}

/// A longer bit string: the bytes of `java.util.BitSet.toByteArray`, so little-endian and without zeros at their end.
pub(super) fn bits<F: Format>(text: &[u8], scratch: &mut Scratch, out: &mut F) -> Written {
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
    out.bytes(bytes);
    Ok(())
}

static X: Field = Field::fixed(0, b"\"x\":", false);
static Y: Field = Field::fixed(1, b",\"y\":", false);
static WKB: Field = Field::fixed(2, b",\"wkb\":", true);
static SRID: Field = Field::fixed(3, b",\"srid\":", true);

/// `point` as `io.debezium.data.geometry.Point`: x, y, and both again as well-known binary.
pub(super) fn point<F: Format>(text: &[u8], out: &mut F) -> Written {
    const MALFORMED: &str = "not a point as the server writes it";
    let inner = text.strip_prefix(b"(").and_then(|text| text.strip_suffix(b")")).ok_or(MALFORMED)?;
    let comma = memchr::memchr(b',', inner).ok_or(MALFORMED)?;
    let (x, y) = (&inner[..comma], &inner[comma + 1..]);
    let mut wkb = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.begin_struct();
    for (text, field, place) in [(x, &X, 5), (y, &Y, 13)] {
        out.field(field);
        out.float_text(text, Float::Double).ok_or(MALFORMED)?;
        wkb[place..place + 8].copy_from_slice(&Float::Double.parse(text).ok_or(MALFORMED)?.to_le_bytes());
    }
    out.field(&WKB);
    out.bytes(&wkb);
    out.field(&SRID);
    out.null();
    out.end_struct();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Json;

    fn of(text: &str, write: impl Fn(&[u8], &mut Scratch, &mut Json<'_>) -> Written) -> String {
        let mut out = Vec::new();
        match write(text.as_bytes(), &mut Scratch::default(), &mut Json::new(&mut out, true)) {
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
            assert_eq!(of(text, |text, scratch, out| bits(text, scratch, out)), json, "{text}");
        }
    }

    #[test]
    fn bytes_are_base64() {
        assert_eq!(of("\\x00ff10", |text, scratch, out| bytes(text, scratch, out)), "\"AP8Q\"");
        assert_eq!(of("\\x", |text, scratch, out| bytes(text, scratch, out)), "\"\"");
        assert!(of("\\000", |text, scratch, out| bytes(text, scratch, out)).contains("bytea_output"));
    }

    #[test]
    fn points_carry_their_binary_form() {
        let json = r#"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#;
        assert_eq!(of("(1.5,-2)", |text, _, out| point(text, out)), json);
        assert_eq!(of("(1,2", |text, _, out| point(text, out)), "not a point as the server writes it");
    }
}
