//! Arrays: JSON lists of their elements; further dimensions are lists in lists.

use super::codec::{Codec, Scratch};
use crate::encode::connect::{Format, Written};
use crate::value::array::{self, NotAList};

/// Dimensions that PostgreSQL allows.
const DEPTH_MAX: u8 = 6;
/// What an array's elements are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elements {
    pub(super) codec: Codec,
    /// Whether their schema says that they may be null.
    pub(super) optional: bool,
}

const MALFORMED: &str = "not an array as the server writes it";

/// Write an array literal, each element by its codec. What has more dimensions is lists in lists where the format allows
/// that, and refused where it does not.
pub(super) fn list<F: Format>(text: &[u8], elements: &Elements, scratch: &mut Scratch, out: &mut F) -> Written {
    if !out.nests() && is_nested(text) {
        return Err("an array of more than one dimension does not fit Debezium's schema, which is of one");
    }
    dimension(text, elements, scratch, DEPTH_MAX, out)
}

fn dimension<F: Format>(text: &[u8], elements: &Elements, scratch: &mut Scratch, depth: u8, out: &mut F) -> Written {
    out.begin_list();
    let mut count = 0;
    if is_nested(text) {
        let depth = depth.checked_sub(1).ok_or(MALFORMED)?;
        each_row(text, |row| {
            out.element(count == 0, elements.optional);
            count += 1;
            dimension(row, elements, scratch, depth, out)
        })?;
    } else {
        values(text, elements, scratch, &mut count, out)?;
    }
    out.end_list(count);
    Ok(())
}

/// Write the elements of an array without further dimensions.
fn values<F: Format>(
    text: &[u8],
    elements: &Elements,
    scratch: &mut Scratch,
    count: &mut usize,
    out: &mut F,
) -> Written {
    let mut unquoted = std::mem::take(&mut scratch.element);
    let mut result = Ok(());
    let walked = array::elements(text, &mut unquoted, |cell| {
        out.element(*count == 0, elements.optional);
        *count += 1;
        result = result.and_then(|()| match cell {
            Some(cell) => elements.codec.write(cell, scratch, out),
            None => {
                out.null();
                Ok(())
            }
        });
    });
    scratch.element = unquoted;
    match walked {
        Ok(_) => result,
        Err(NotAList::Malformed | NotAList::Nested) => Err(MALFORMED),
    }
}

/// Whether the elements of an array are arrays.
fn is_nested(text: &[u8]) -> bool {
    let literal = match text {
        [b'[', ..] => memchr::memchr(b'=', text).map_or(text, |at| &text[at + 1..]),
        _ => text,
    };
    literal.starts_with(b"{{")
}

/// Call `write` for each of the arrays in an array.
fn each_row(text: &[u8], mut write: impl FnMut(&[u8]) -> Written) -> Written {
    let mut rest = memchr::memchr(b'{', text).map(|at| &text[at + 1..]).ok_or(MALFORMED)?;
    loop {
        let end = row_end(rest).ok_or(MALFORMED)?;
        write(&rest[..end])?;
        rest = match &rest[end..] {
            [b',', more @ ..] => more,
            b"}" => return Ok(()),
            _ => return Err(MALFORMED),
        };
    }
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
    use crate::encode::connect::Json;

    fn of(text: &str, element: Codec) -> String {
        spelled(text, element, true)
    }

    fn spelled(text: &str, element: Codec, bare: bool) -> String {
        let mut out = Vec::new();
        match list(
            text.as_bytes(),
            &Elements { codec: element, optional: true },
            &mut Scratch::default(),
            &mut Json::new(&mut out, bare),
        ) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(reason) => reason.into(),
        }
    }

    #[test]
    fn arrays_are_lists() {
        assert_eq!(of("{}", Codec::Integer), "[]");
        assert_eq!(of("{1,NULL,-2}", Codec::Integer), "[1,null,-2]");
        assert_eq!(of("[2:3]={5,6}", Codec::Integer), "[5,6]");
        assert_eq!(of(r#"{a,"b \"c",NULL,"NULL"}"#, Codec::Text), r#"["a","b \"c",null,"NULL"]"#);
    }

    #[test]
    fn further_dimensions_are_refused_where_a_schema_knows_but_one() {
        for text in ["{{1,2},{3,NULL}}", "[1:1][0:0][3:4]={{{5,6}}}"] {
            assert!(spelled(text, Codec::Integer, false).starts_with("an array of more than one"), "{text}");
        }
        assert_eq!(spelled("[3:4]={5,6}", Codec::Integer, false), "[5,6]");
        assert_eq!(spelled("{}", Codec::Integer, false), "[]");
        assert!(spelled("{1,{2}}", Codec::Integer, false).starts_with("not a"));
    }

    #[test]
    fn dimensions_are_kept() {
        assert_eq!(of("{{1,2},{3,4}}", Codec::Integer), "[[1,2],[3,4]]");
        assert_eq!(of("[1:1][0:0][3:4]={{{5,6}}}", Codec::Integer), "[[[5,6]]]");
        assert_eq!(of(r#"{{"}{","\""},{a,b}}"#, Codec::Text), r#"[["}{","\""],["a","b"]]"#);
        for text in ["{{1}", "{{1},2}", "{{{{{{{{{1}}}}}}}}}", "{{1}}x", "{1,x}"] {
            assert!(of(text, Codec::Integer).starts_with("not a"), "{text}");
        }
    }
}
