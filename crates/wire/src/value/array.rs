//! Array literals (PostgreSQL manual, "Arrays", "Array Input and Output Syntax").

/// Why an array is not a list of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAList {
    /// It has more than one dimension.
    Nested,
    /// It is not an array literal.
    Malformed,
}

/// Call `each` for every element of a one-dimensional array, None for a null; lower bounds (`[2:3]={…}`) are dropped.
/// `scratch` holds elements that needed unescaping. Elements before a malformed one have been seen by `each` then.
///
/// # Errors
/// [`NotAList`].
pub fn elements(text: &[u8], scratch: &mut Vec<u8>, mut each: impl FnMut(Option<&[u8]>)) -> Result<usize, NotAList> {
    let mut rest = body(text).ok_or(NotAList::Malformed)?;
    if rest == b"}" {
        return Ok(0);
    }
    let mut count = 0;
    loop {
        count += 1;
        rest = match rest.first() {
            Some(b'{') => return Err(NotAList::Nested),
            Some(b'"') => {
                let after = quoted(&rest[1..], scratch).ok_or(NotAList::Malformed)?;
                each(Some(scratch));
                after
            }
            _ => {
                let end = memchr::memchr2(b',', b'}', rest).ok_or(NotAList::Malformed)?;
                let element = &rest[..end];
                if element.is_empty() {
                    return Err(NotAList::Malformed);
                }
                // Only quoted elements may hold backslashes as the server prints them.
                each((element != b"NULL").then_some(element));
                &rest[end..]
            }
        };
        match rest {
            [b',', more @ ..] => rest = more,
            b"}" => return Ok(count),
            _ => return Err(NotAList::Malformed),
        }
    }
}

/// What follows the opening brace.
fn body(text: &[u8]) -> Option<&[u8]> {
    let literal = match text.first()? {
        b'[' => &text[memchr::memchr(b'=', text)? + 1..],
        _ => text,
    };
    literal.strip_prefix(b"{")
}

/// Read up to the closing quote into `scratch`; returns what follows it.
fn quoted<'a>(mut rest: &'a [u8], scratch: &mut Vec<u8>) -> Option<&'a [u8]> {
    scratch.clear();
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest)?;
        scratch.extend_from_slice(&rest[..at]);
        if rest[at] == b'"' {
            return Some(&rest[at + 1..]);
        }
        scratch.push(*rest.get(at + 1)?);
        rest = &rest[at + 2..];
    }
}

/// Append one element of an array literal, quoted so that any text comes back as it was; None is null.
pub fn write_element(element: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(text) = element else { return out.extend_from_slice(b"NULL") };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-+.:_".contains(byte) || *byte >= 0x80;
    if !text.is_empty() && text.iter().all(plain) && !text.eq_ignore_ascii_case(b"null") {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Option<String>>, NotAList> {
        let mut found = Vec::new();
        let text = text.as_bytes();
        elements(text, &mut Vec::new(), |element| {
            found.push(element.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
        })?;
        Ok(found)
    }

    #[test]
    fn elements_are_unquoted_and_nulls_told_from_text() {
        let some = |texts: &[&str]| Ok(texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>());
        assert_eq!(read("{}"), Ok(vec![]));
        assert_eq!(read("{1,-2}"), some(&["1", "-2"]));
        assert_eq!(read(r#"{"a,b","c\"d\\e",""}"#), some(&["a,b", r#"c"d\e"#, ""]));
        assert_eq!(read(r#"{NULL,"NULL"}"#), Ok(vec![None, Some("NULL".into())]));
        assert_eq!(read("[2:3]={7,8}"), some(&["7", "8"]));
    }

    #[test]
    fn what_is_not_a_list_is_refused() {
        assert_eq!(read("{{1,2},{3,4}}"), Err(NotAList::Nested));
        for text in ["", "{", "1", "{1", "{1,}", "{,1}", "{\"a}", "{\"a\"b}", "{1}2", "[2:3]", "{\"\\"] {
            assert_eq!(read(text), Err(NotAList::Malformed), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_list_round_trips(list: Vec<Option<String>>) {
            let mut literal = vec![b'{'];
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    literal.push(b',');
                }
                write_element(element.as_deref().map(str::as_bytes), &mut literal);
            }
            literal.push(b'}');
            proptest::prop_assert_eq!(read(std::str::from_utf8(&literal).unwrap()), Ok(list));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = elements(&bytes, &mut Vec::new(), |_| ());
        }
    }
}
