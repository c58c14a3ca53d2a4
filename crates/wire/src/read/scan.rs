//! A cursor over JSON that is known to be UTF-8. It allocates nothing, and nesting has a limit, so that no input can
//! make it overflow the stack.

use memchr::memchr2;

use crate::error::{Error, Result};

/// Nesting that is followed; Jackson's own limit is 1,000, a row has a handful.
const DEPTH_MAX: usize = 256;

/// What stands between the quotes of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted<'a> {
    /// As it stands there.
    pub(super) raw: &'a [u8],
    /// Whether there are backslashes in it.
    pub(super) escaped: bool,
}

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Go on somewhere else in the same text.
    pub(super) fn jump(&mut self, at: usize) {
        self.at = at;
    }

    /// What was not read yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// What was read since `at`.
    #[inline]
    pub(super) fn since(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..self.at).unwrap_or_default()
    }

    #[cold]
    pub(super) fn fault(&self, what: &'static str) -> Error {
        Error::malformed(what, self.at)
    }

    /// The first byte of what comes next, white space passed over.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(self.fault("JSON ends early")),
            }
        }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<()> {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault("bytes behind the JSON")) }
    }

    /// Pass over exactly these bytes, if they come next.
    #[inline]
    pub(super) fn pass(&mut self, bytes: &[u8]) -> bool {
        let found = self.rest().starts_with(bytes);
        if found {
            self.at += bytes.len();
        }
        found
    }

    /// Begin an object or a list.
    #[inline]
    pub(super) fn open(&mut self, bracket: u8) -> Result<()> {
        if self.peek()? != bracket {
            return Err(self.fault(if bracket == b'{' { "not a JSON object" } else { "not a JSON list" }));
        }
        self.at += 1;
        Ok(())
    }

    /// The name of the next member, with its value next; None behind the last. `first` is true for the first call.
    #[inline]
    pub(super) fn member(&mut self, first: &mut bool) -> Result<Option<Quoted<'a>>> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        let name = self.string()?;
        if self.peek()? != b':' {
            return Err(self.fault("no colon behind a name"));
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// Whether another element of a list comes next.
    pub(super) fn element(&mut self, first: &mut bool) -> Result<bool> {
        self.more(first, b']')
    }

    #[inline]
    fn more(&mut self, first: &mut bool, close: u8) -> Result<bool> {
        match self.peek()? {
            byte if byte == close => {
                self.at += 1;
                return Ok(false);
            }
            b',' if !*first => self.at += 1,
            _ if *first => {}
            _ => return Err(self.fault("neither a comma nor the end")),
        }
        *first = false;
        Ok(true)
    }

    /// A string; its escapes are not looked into.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Quoted<'a>> {
        if self.peek()? != b'"' {
            return Err(self.fault("not a JSON string"));
        }
        let start = self.at + 1;
        let mut escaped = false;
        let mut at = start;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some(found) = quote(rest) else { return Err(self.fault("a string without an end")) };
            at += found;
            if self.bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(Quoted { raw: &self.bytes[start..at], escaped });
            }
            escaped = true;
            at += 2;
        }
    }

    /// A number, as it stands there.
    #[inline]
    pub(super) fn number(&mut self) -> Result<&'a [u8]> {
        self.peek()?;
        let rest = self.rest();
        let digits = |from: usize| digits(&rest[from..]);
        let mut end = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(end);
        if whole == 0 || (whole > 1 && rest[end] == b'0') {
            return Err(self.fault("not a JSON value"));
        }
        end += whole;
        if rest.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            if fraction == 0 {
                return Err(self.fault("a number without digits behind its point"));
            }
            end += 1 + fraction;
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            end += 1 + usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            let exponent = if end <= rest.len() { digits(end) } else { 0 };
            if exponent == 0 {
                return Err(self.fault("a number without an exponent behind its e"));
            }
            end += exponent;
        }
        self.at += end;
        Ok(&rest[..end])
    }

    /// `null`, if it comes next.
    #[inline]
    pub(super) fn null(&mut self) -> Result<bool> {
        if self.peek()? != b'n' {
            return Ok(false);
        }
        if self.pass(b"null") { Ok(true) } else { Err(self.fault("not a JSON value")) }
    }

    /// `true` or `false`, if one comes next.
    pub(super) fn boolean(&mut self) -> Result<Option<bool>> {
        match self.peek()? {
            b't' if self.pass(b"true") => Ok(Some(true)),
            b'f' if self.pass(b"false") => Ok(Some(false)),
            b't' | b'f' => Err(self.fault("not a JSON value")),
            _ => Ok(None),
        }
    }

    /// Pass over any value, checking its grammar; returns it as it stands there.
    pub(super) fn skip(&mut self) -> Result<&'a [u8]> {
        self.peek()?;
        let start = self.at;
        self.value(DEPTH_MAX)?;
        Ok(&self.bytes[start..self.at])
    }

    /// Pass over the object that comes next, looking for nothing but its end: whoever reads it checks its grammar.
    pub(super) fn leap(&mut self) -> Result<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.fault("JSON ends early")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Err(self.fault("JSON that is nested too deeply")) };
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => {
                self.at += 1;
                let mut first = true;
                while self.member(&mut first)?.is_some() {
                    self.value(depth)?;
                }
                Ok(())
            }
            b'[' => {
                self.at += 1;
                let mut first = true;
                while self.element(&mut first)? {
                    self.value(depth)?;
                }
                Ok(())
            }
            b't' | b'f' => self.boolean().map(drop),
            b'n' => self.null().map(drop),
            _ => self.number().map(drop),
        }
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES * 0x80;
/// Bytes that are looked at in place before a call is worth it: most strings are shorter.
const NEAR: usize = 32;

/// Where the first quote or backslash is.
#[inline]
fn quote(text: &[u8]) -> Option<usize> {
    let (words, _) = text[..text.len().min(NEAR)].as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
        // A borrow may mark bytes above the first one as well.
        let marks = (quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash) & HIGHS;
        if marks != 0 {
            return Some(at * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let far = words.len() * 8;
    memchr2(b'"', b'\\', &text[far..]).map(|at| far + at)
}

/// How many digits come first.
#[inline]
fn digits(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let digits = u64::from_le_bytes(*word) ^ (ONES * 0x30);
        // A carry may mark bytes above the first one as well.
        let others = (digits.wrapping_add(ONES * 0x76) | digits) & HIGHS;
        if others != 0 {
            return at * 8 + others.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + tail.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Append what a string says; None for an escape that is not JSON's, or half of a surrogate pair.
#[inline]
pub(super) fn unescape(text: Quoted<'_>, out: &mut Vec<u8>) -> Option<()> {
    if !text.escaped {
        out.extend_from_slice(text.raw);
        return Some(());
    }
    let mut rest = text.raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let letter = *rest.get(at + 1)?;
        rest = &rest[at + 2..];
        out.push(match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (char, after) = unicode(rest)?;
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
                continue;
            }
            _ => return None,
        });
    }
    out.extend_from_slice(rest);
    Some(())
}

/// The character of four hex digits, or of a pair of surrogates, and what follows.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let unit = |text: &[u8]| -> Option<u16> {
        let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(text)?;
    let text = &text[4..];
    if let Some(char) = char::from_u32(u32::from(first)) {
        return Some((char, text));
    }
    let second = unit(text.strip_prefix(b"\\u")?)?;
    let char = char::decode_utf16([first, second]).next()?.ok()?;
    Some((char, &text[6..]))
}

/// What a string says, as text of its own.
pub(super) fn owned(text: Quoted<'_>) -> Option<String> {
    let mut out = Vec::with_capacity(text.raw.len());
    unescape(text, &mut out)?;
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Result<&[u8]> {
        let mut scanner = Scanner::new(text.as_bytes(), 0);
        let value = scanner.skip()?;
        scanner.end()?;
        Ok(value)
    }

    #[test]
    fn json_is_passed_over_and_nothing_else() {
        for text in ["{}", "[]", "null", "-0.5e-3", " {\"a\" : [1, true, \"x\\\"}\", null] } ", "0", "\"\\\\\""] {
            assert_eq!(whole(text).unwrap(), text.trim().as_bytes(), "{text}");
        }
        for text in
            ["", "{", "[1,]", "{,}", "{\"a\"}", "01", "1.", "1e", "tru", "nul", "\"", "\"\\", "[1 2]", "{}x", "-"]
        {
            assert!(whole(text).is_err(), "{text}");
        }
        assert!(whole(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn an_object_is_leapt_over_to_its_end() {
        for text in ["{}", r#"{"a":{"}":[1,{"b":"\"}"}]},"c":null}"#] {
            let bytes = [text, ",x"].concat();
            let mut scanner = Scanner::new(bytes.as_bytes(), 0);
            scanner.leap().unwrap();
            assert_eq!(scanner.rest(), b",x", "{text}");
        }
        for text in ["{", r#"{"a"#, "{[}"] {
            assert!(Scanner::new(text.as_bytes(), 0).leap().is_err(), "{text}");
        }
    }

    #[test]
    fn escapes_are_undone() {
        let read = |text: &str| {
            let mut out = Vec::new();
            let escaped = text.contains('\\');
            unescape(Quoted { raw: text.as_bytes(), escaped }, &mut out)?;
            String::from_utf8(out).ok()
        };
        assert_eq!(read(r#"a\"\\\/\b\f\n\r\té€"#).as_deref(), Some("a\"\\/\u{8}\u{c}\n\r\té€"));
        assert_eq!(read(r"\uD83D\uDE00!").as_deref(), Some("😀!"));
        for bad in [r"\x", r"\u12", r"\uD83D", r"\uD83Dabcdef", r"\uDE00", r"\u+123", r"\uD83DA"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_the_encoder_writes_comes_back(text: String) {
            let mut json = Vec::new();
            crate::encode::json::text(&text, &mut json);
            let quoted = Scanner::new(&json, 0).string().unwrap();
            proptest::prop_assert_eq!(owned(quoted), Some(text));
        }

        #[test]
        fn the_first_quote_and_the_last_digit_are_found_at_any_place(text in r#"[0-9a"\\é/:!#]{0,80}"#) {
            let bytes = text.as_bytes();
            proptest::prop_assert_eq!(quote(bytes), bytes.iter().position(|byte| b"\"\\".contains(byte)));
            let other = bytes.iter().position(|byte| !byte.is_ascii_digit());
            proptest::prop_assert_eq!(digits(bytes), other.unwrap_or(bytes.len()));
        }

        #[test]
        fn any_text_is_scanned_without_panic(text in r#"[\[\]{}":,\\nulltrefas0-9.eE+ -]{0,64}"#) {
            let _ = whole(&text);
        }
    }
}
