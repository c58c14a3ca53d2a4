//! Vectors of pgvector, and the two of the server's own that have no braces.

use crate::encode::connect::{Field, Format, Written};
use crate::encode::java::{self, Float};
use crate::value::number;

const MALFORMED: &str = "not a vector as its extension writes it";

/// `vector` and `halfvec`: `[1,2.5]`.
pub(super) fn dense<F: Format>(text: &[u8], float: Float, out: &mut F) -> Written {
    let inner = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).ok_or(MALFORMED)?;
    out.begin_list();
    let mut count = 0;
    for element in inner.split(|byte| *byte == b',') {
        out.element(count == 0, false);
        out.float_text(element, float).ok_or(MALFORMED)?;
        count += 1;
    }
    out.end_list(count);
    Ok(())
}

static DIMENSIONS: Field = Field::fixed(0, b"\"dimensions\":", false);
static VECTOR: Field = Field::fixed(1, b",\"vector\":", false);

/// `sparsevec`: `{1:1.5,3:2}/5`, in the order of a `java.util.HashMap`. Debezium's schema has 16 bits for an index.
pub(super) fn sparse<F: Format>(text: &[u8], out: &mut F) -> Written {
    let slash = memchr::memchr(b'/', text).ok_or(MALFORMED)?;
    let (body, dimensions) = (&text[..slash], number::integer(&text[slash + 1..]).ok_or(MALFORMED)?);
    let body = body.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}")).ok_or(MALFORMED)?;
    if i16::try_from(dimensions).is_err() && !out.nests() {
        return Err("a sparsevec of more than 32767 dimensions does not fit Debezium's schema");
    }
    let mut entries = Vec::new();
    for entry in body.split(|byte| *byte == b',').filter(|entry| !entry.is_empty()) {
        let colon = memchr::memchr(b':', entry).ok_or(MALFORMED)?;
        let index = number::integer(&entry[..colon]).ok_or(MALFORMED)?;
        entries.push((u32::try_from(index).map_err(|_| MALFORMED)?, &entry[colon + 1..]));
    }
    let count = entries.len();
    java::bucket_order(&mut entries, count, |(index, _)| *index);
    out.begin_struct();
    out.field(&DIMENSIONS);
    out.integer(dimensions);
    out.field(&VECTOR);
    out.begin_map(false);
    for (at, (index, value)) in entries.iter().enumerate() {
        out.key(at == 0);
        out.integer(i64::from(*index));
        out.entry(false);
        out.float_text(value, Float::Double).ok_or(MALFORMED)?;
    }
    out.end_map(entries.len());
    out.end_struct();
    Ok(())
}

/// `int2vector` and `oidvector`: `1 2`.
pub(super) fn spaced<F: Format>(text: &[u8], out: &mut F) -> Written {
    out.begin_list();
    let mut count = 0;
    for element in text.split(|byte| *byte == b' ').filter(|element| !element.is_empty()) {
        out.element(count == 0, false);
        out.integer_text(element).ok_or("not a vector of integers as the server writes it")?;
        count += 1;
    }
    out.end_list(count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Json;

    fn of(text: &str, bare: bool, write: impl Fn(&[u8], &mut Json<'_>) -> Written) -> String {
        let mut out = Vec::new();
        match write(text.as_bytes(), &mut Json::new(&mut out, bare)) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(reason) => reason.into(),
        }
    }

    #[test]
    fn vectors_are_lists_and_maps() {
        assert_eq!(of("[1,2.5,-3e-05]", true, |text, out| dense(text, Float::Double, out)), "[1.0,2.5,-3.0E-5]");
        assert_eq!(of("[0.1]", true, |text, out| dense(text, Float::Single, out)), "[0.1]");
        assert_eq!(
            of("{1:1.5,3:2}/5", false, |text, out| sparse(text, out)),
            r#"{"dimensions":5,"vector":[[1,1.5],[3,2.0]]}"#
        );
        assert_eq!(of("{}/5", false, |text, out| sparse(text, out)), r#"{"dimensions":5,"vector":[]}"#);
        assert_eq!(
            of("{40000:1}/50000", true, |text, out| sparse(text, out)),
            r#"{"dimensions":50000,"vector":[[40000,1.0]]}"#
        );
        assert!(of("{40000:1}/50000", false, |text, out| sparse(text, out)).contains("32767"));
        assert_eq!(of("1 2", true, |text, out| spaced(text, out)), "[1,2]");
        assert_eq!(of("", true, |text, out| spaced(text, out)), "[]");
        for text in ["", "[", "[]", "[a]", "{1:2}", "{1}/5", "{-1:2}/5"] {
            assert!(of(text, true, |text, out| dense(text, Float::Double, out)).contains("not a"), "{text}");
            assert!(of(text, true, |text, out| sparse(text, out)).contains("not a"), "{text}");
        }
    }
}
