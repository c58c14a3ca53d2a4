//! Text as it is, and `hstore` as JSON inside a string.

use super::codec::Scratch;
use crate::encode::connect::{Format, Written};
use crate::encode::{java, json};

const NOT_UTF8: &str = "not UTF-8";

/// Any type that Debezium writes as the server's text.
#[inline]
pub(super) fn text<F: Format>(text: &[u8], out: &mut F) -> Written {
    out.string(text)
}

/// `hstore.handling.mode=json`: the text of a JSON object, its members in the order of a `java.util.HashMap`.
pub(super) fn hstore<F: Format>(text: &[u8], scratch: &mut Scratch, out: &mut F) -> Written {
    let mut pairs = pairs(text).ok_or("not an hstore as the server writes it")?;
    java::hash_order(&mut pairs, |(key, _)| key);
    let object = &mut scratch.digits;
    object.clear();
    object.push(b'{');
    for (index, (key, value)) in pairs.iter().enumerate() {
        object.extend((index > 0).then_some(b','));
        json::string_raw(key, object).ok_or(NOT_UTF8)?;
        object.push(b':');
        match value {
            Some(value) => json::string_raw(value, object).ok_or(NOT_UTF8)?,
            None => object.extend_from_slice(b"null"),
        }
    }
    object.push(b'}');
    out.string(object)
}

/// `hstore.handling.mode=map`: a map, in the same order.
pub(super) fn hstore_map<F: Format>(text: &[u8], out: &mut F) -> Written {
    let mut pairs = pairs(text).ok_or("not an hstore as the server writes it")?;
    java::hash_order(&mut pairs, |(key, _)| key);
    out.begin_map(true);
    for (at, (key, value)) in pairs.iter().enumerate() {
        out.key(at == 0);
        out.string(key)?;
        out.entry(true);
        match value {
            Some(value) => out.string(value)?,
            None => out.null(),
        }
    }
    out.end_map(pairs.len());
    Ok(())
}

type Pairs = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Read `"key"=>"value", "other"=>NULL`.
fn pairs(text: &[u8]) -> Option<Pairs> {
    let (mut pairs, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        rest = after.strip_prefix(b"=>")?;
        let value = match rest.strip_prefix(b"NULL") {
            Some(after) => {
                rest = after;
                None
            }
            None => {
                let (value, after) = quoted(rest)?;
                rest = after;
                Some(value)
            }
        };
        pairs.push((key, value));
        if !rest.is_empty() {
            rest = rest.strip_prefix(b", ")?;
        }
    }
    Some(pairs)
}

fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut plain = Vec::new();
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest)?;
        plain.extend_from_slice(&rest[..at]);
        if rest[at] == b'"' {
            return Some((plain, &rest[at + 1..]));
        }
        plain.push(*rest.get(at + 1)?);
        rest = &rest[at + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Json;

    #[test]
    fn hstore_is_json_in_a_string() {
        let write = |text: &str| {
            let mut out = Vec::new();
            hstore(text.as_bytes(), &mut Scratch::default(), &mut Json::new(&mut out, true))
                .map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(write(""), Ok(r#""{}""#.into()));
        assert_eq!(
            write(r#""a"=>"1", "aa"=>"", "b c"=>NULL, "q\"x"=>"é\\""#),
            Ok(r#""{\"aa\":\"\",\"a\":\"1\",\"b c\":null,\"q\\\"x\":\"é\\\\\"}""#.into())
        );
        let mut out = Vec::new();
        hstore_map(br#""a"=>"1", "aa"=>NULL"#, &mut Json::new(&mut out, true)).unwrap();
        assert_eq!(out, br#"{"aa":null,"a":"1"}"#);
        for text in ["a", "\"a\"", "\"a\"=>", "\"a\"=>\"", "\"a\"=>\"\\", "\"a\"=>NULL,"] {
            assert!(write(text).is_err(), "{text}");
        }
    }
}
