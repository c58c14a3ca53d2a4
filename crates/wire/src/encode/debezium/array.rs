//! Arrays: JSON lists of their elements; further dimensions are lists in lists.

use super::codec::{Codec, Scratch, Written};
use crate::value::array::{NotAList, elements};

/// Dimensions that PostgreSQL allows.
const DEPTH_MAX: u8 = 6;
const MALFORMED: &str = "not an array as the server writes it";

/// Write an array literal, each element by its codec.
pub(super) fn list(text: &[u8], element: &Codec, scratch: &mut Scratch, out: &mut Vec<u8>) -> Written {
    nested(text, element, scratch, DEPTH_MAX, out)
}

fn nested(text: &[u8], element: &Codec, scratch: &mut Scratch, depth: u8, out: &mut Vec<u8>) -> Written {
    let start = out.len();
    let mut unquoted = std::mem::take(&mut scratch.element);
    let (mut separator, mut result) = (b'[', Ok(()));
    let walked = elements(text, &mut unquoted, |cell| {
        out.push(separator);
        separator = b',';
        result = result.and_then(|()| match cell {
            Some(cell) => element.write(cell, scratch, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        });
    });
    scratch.element = unquoted;
    match walked {
        Ok(0) => out.extend_from_slice(b"[]"),
        Ok(_) => out.push(b']'),
        Err(NotAList::Malformed) => return Err(MALFORMED),
        Err(NotAList::Nested) => {
            out.truncate(start);
            let depth = depth.checked_sub(1).ok_or(MALFORMED)?;
            return each_row(text, out, |row, out| nested(row, element, scratch, depth, out));
        }
    }
    result
}

/// Call `write` for each of the arrays in an array.
fn each_row(text: &[u8], out: &mut Vec<u8>, mut write: impl FnMut(&[u8], &mut Vec<u8>) -> Written) -> Written {
    let body = memchr::memchr(b'{', text).map(|at| &text[at + 1..]).ok_or(MALFORMED)?;
    let (mut rest, mut separator) = (body, b'[');
    loop {
        let end = row_end(rest).ok_or(MALFORMED)?;
        out.push(separator);
        separator = b',';
        write(&rest[..end], out)?;
        rest = match &rest[end..] {
            [b',', more @ ..] => more,
            b"}" => break,
            _ => return Err(MALFORMED),
        };
    }
    out.push(b']');
    Ok(())
}

/// Length of the braced text at the start.
fn row_end(text: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, element: &Codec) -> String {
        let mut out = Vec::new();
        match list(text.as_bytes(), element, &mut Scratch::default(), &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(reason) => reason.into(),
        }
    }

    #[test]
    fn arrays_are_lists() {
        assert_eq!(of("{}", &Codec::Integer), "[]");
        assert_eq!(of("{1,NULL,-2}", &Codec::Integer), "[1,null,-2]");
        assert_eq!(of("[2:3]={5,6}", &Codec::Integer), "[5,6]");
        assert_eq!(of(r#"{a,"b \"c",NULL,"NULL"}"#, &Codec::Text), r#"["a","b \"c",null,"NULL"]"#);
    }

    #[test]
    fn dimensions_are_kept() {
        assert_eq!(of("{{1,2},{3,4}}", &Codec::Integer), "[[1,2],[3,4]]");
        assert_eq!(of("[1:1][0:0][3:4]={{{5,6}}}", &Codec::Integer), "[[[5,6]]]");
        assert_eq!(of(r#"{{"}{","\""},{a,b}}"#, &Codec::Text), r#"[["}{","\""],["a","b"]]"#);
        for text in ["{{1}", "{{1},2}", "{{{{{{{{{1}}}}}}}}}", "{{1}}x", "{1,x}"] {
            assert!(of(text, &Codec::Integer).starts_with("not a"), "{text}");
        }
    }
}
