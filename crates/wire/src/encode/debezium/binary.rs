//! Bytes, bit strings and points.

use super::codec::Scratch;
use super::profile::BinaryMode;
use crate::encode::connect::{Field, Format, Value, Written};
use crate::encode::java::{self, Float};
use crate::encode::json;
use crate::value::bytea;

/// `bytea`
pub(super) fn bytes<F: Format>(text: &[u8], mode: BinaryMode, scratch: &mut Scratch, out: &mut F) -> Written {
    scratch.digits.clear();
    bytea::unhex(text, &mut scratch.digits).ok_or("not bytea in hex format: bytea_output must be hex")?;
    handled(&scratch.digits, mode, out)
}

/// Bytes as `binary.handling.mode` says.
#[inline]
pub(super) fn handled<F: Format>(bytes: &[u8], mode: BinaryMode, out: &mut F) -> Written {
    let spell = match mode {
        BinaryMode::Bytes => {
            out.bytes(bytes);
            return Ok(());
        }
        BinaryMode::Base64 => json::base64,
        BinaryMode::Base64UrlSafe => json::base64_url,
        BinaryMode::Hex => bytea::digits,
    };
    out.compose(|out| {
        spell(bytes, out);
        Ok(())
    })
}

/// A type that Debezium does not know: the bytes of its text. Its JDBC driver knows geometric types, and prints their
/// numbers as Java does.
pub(super) fn unknown<F: Format>(
    text: &[u8],
    mode: BinaryMode,
    geometric: bool,
    scratch: &mut Scratch,
    out: &mut F,
) -> Written {
    if !geometric {
        return handled(text, mode, out);
    }
    let printed = &mut scratch.digits;
    printed.clear();
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.iter().take_while(|byte| !b"()[]{}<>,".contains(byte)).count();
        let (token, after) = rest.split_at(number.max(1));
        match number {
            0 => printed.extend_from_slice(token),
            _ => java::number(token, Float::Double, printed).ok_or("not a geometric value as the server writes it")?,
        }
        rest = after;
    }
    // Numbers that are none are in quotes where they are JSON's.
    printed.retain(|byte| *byte != b'"');
    handled(printed, mode, out)
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

/// `box[]`, the only array with a semicolon between its elements, which have no quotes.
pub(super) fn boxes<F: Format>(text: &[u8], mode: BinaryMode, scratch: &mut Scratch, out: &mut F) -> Written {
    delimited(text, b';', false, out, |element, out| unknown(element, mode, true, scratch, out))
}

/// Arrays of PostGIS's types, which have a colon between their elements, and no quotes.
pub(super) fn geometries<F: Format>(text: &[u8], scratch: &mut Scratch, out: &mut F) -> Written {
    delimited(text, b':', true, out, |element, out| geometry(element, scratch, out))
}

/// An array of elements without quotes, with `delimiter` between them.
fn delimited<F: Format>(
    text: &[u8],
    delimiter: u8,
    optional: bool,
    out: &mut F,
    mut write: impl FnMut(&[u8], &mut F) -> Written,
) -> Written {
    let inner = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}")).ok_or("not an array in braces")?;
    out.begin_list();
    let mut count = 0;
    for element in inner.split(|byte| *byte == delimiter).filter(|element| !element.is_empty()) {
        out.element(count == 0, optional);
        count += 1;
        match element {
            b"NULL" => out.null(),
            element => write(element, out)?,
        }
    }
    out.end_list(count);
    Ok(())
}

/// A geometry of these bytes and without an SRID.
pub(super) fn geometry_of(wkb: &[u8]) -> Value {
    Value::Struct(vec![(GEOMETRY_WKB.clone(), Value::Bytes(wkb.to_vec())), (GEOMETRY_SRID.clone(), Value::Null)])
}

static GEOMETRY_WKB: Field = Field::fixed(0, b"\"wkb\":", false);
static GEOMETRY_SRID: Field = Field::fixed(1, b",\"srid\":", true);

/// PostGIS's `geometry` and `geography`, which it prints as extended well-known binary in hex.
pub(super) fn geometry<F: Format>(text: &[u8], scratch: &mut Scratch, out: &mut F) -> Written {
    const SRID_FLAG: u32 = 0x2000_0000;
    let bytes = &mut scratch.digits;
    bytes.clear();
    bytes.extend_from_slice(b"\\x");
    bytes.extend_from_slice(text);
    let mut wkb = Vec::new();
    bytea::unhex(bytes, &mut wkb).ok_or("not a geometry as PostGIS writes it")?;
    let [order, kind @ ..] = wkb.get(..5).ok_or("a geometry of less than five bytes")? else { return Ok(()) };
    let number = |bytes: &[u8]| {
        let four = <[u8; 4]>::try_from(bytes).unwrap_or_default();
        if *order == 0 { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    let srid = match number(kind) & SRID_FLAG {
        0 => None,
        _ => Some(number(wkb.get(5..9).ok_or("a geometry that ends within its SRID")?)),
    };
    out.begin_struct();
    out.field(&GEOMETRY_WKB);
    out.bytes(&wkb);
    out.field(&GEOMETRY_SRID);
    match srid {
        Some(srid) => out.integer(i64::from(srid.cast_signed())),
        None => out.null(),
    }
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
        assert_eq!(of("\\x00ff10", |text, scratch, out| bytes(text, BinaryMode::Bytes, scratch, out)), "\"AP8Q\"");
        assert_eq!(of("\\x", |text, scratch, out| bytes(text, BinaryMode::Bytes, scratch, out)), "\"\"");
        assert!(
            of("\\000", |text, scratch, out| bytes(text, BinaryMode::Bytes, scratch, out)).contains("bytea_output")
        );
    }

    #[test]
    fn bytes_are_text_where_the_mode_says_so() {
        for (mode, json) in [
            (BinaryMode::Bytes, "\"//79AP8=\""),
            (BinaryMode::Base64, "\"//79AP8=\""),
            (BinaryMode::Base64UrlSafe, "\"__79AP8=\""),
            (BinaryMode::Hex, "\"fffefd00ff\""),
        ] {
            assert_eq!(of("\\xfffefd00ff", |text, scratch, out| bytes(text, mode, scratch, out)), json);
        }
    }

    #[test]
    fn geometric_values_that_debezium_does_not_know_are_printed_as_its_driver_does() {
        let write = |text: &str| of(text, |text, scratch, out| unknown(text, BinaryMode::Bytes, true, scratch, out));
        assert_eq!(write("{1,2,3}"), "\"ezEuMCwyLjAsMy4wfQ==\"");
        assert_eq!(write("<(1,2),3>"), "\"PCgxLjAsMi4wKSwzLjA+\"");
        assert_eq!(write("(x,1)"), "not a geometric value as the server writes it");
    }

    #[test]
    fn geometries_carry_their_srid() {
        let write = |text: &str| of(text, |text, scratch, out| geometry(text, scratch, out));
        assert_eq!(
            write("0101000020E6100000000000000000F03F0000000000000040"),
            r#"{"wkb":"AQEAACDmEAAAAAAAAAAA8D8AAAAAAAAAQA==","srid":4326}"#
        );
        assert_eq!(write("010700000000000000"), r#"{"wkb":"AQcAAAAAAAAA","srid":null}"#);
        for text in ["", "01", "0101000020E610", "zz"] {
            assert!(write(text).contains("geometry"), "{text}");
        }
    }

    #[test]
    fn arrays_of_geometries_have_colons() {
        let write = |text: &str| of(text, |text, scratch, out| geometries(text, scratch, out));
        let one = r#"{"wkb":"AQcAAAAAAAAA","srid":null}"#;
        assert_eq!(write("{010700000000000000:NULL:010700000000000000}"), format!("[{one},null,{one}]"));
        assert_eq!(write("{}"), "[]");
        assert_eq!(write("010700000000000000"), "not an array in braces");
    }

    #[test]
    fn points_carry_their_binary_form() {
        let json = r#"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#;
        assert_eq!(of("(1.5,-2)", |text, _, out| point(text, out)), json);
        assert_eq!(of("(1,2", |text, _, out| point(text, out)), "not a point as the server writes it");
    }
}
