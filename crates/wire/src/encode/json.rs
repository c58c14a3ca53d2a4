//! JSON's primitives as Jackson writes them, without allocation: strings, base64, integers.

/// Bytes that are not themselves in a JSON string: 0 plain, `u` as `\u00XX`, anything else the letter after a backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0a] = b'n';
    table[0x0c] = b'f';
    table[0x0d] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Append `text` in quotes; characters beyond the basic plane become two escapes, as Jackson's byte generator writes
/// them. None, and nothing of use in `out`, when it is not UTF-8.
#[inline]
pub fn string(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escape(text, true, out)?;
    }
    out.push(b'"');
    Some(())
}

/// Append `text` in quotes, which text that is known to be UTF-8 always can be.
pub fn text(text: &str, out: &mut Vec<u8>) {
    let written = string(text.as_bytes(), out);
    debug_assert!(written.is_some());
}

/// Append `text` in quotes; only what JSON itself demands is escaped, as Jackson's character generator writes it.
pub fn string_raw(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.push(b'"');
    escape(text, false, out)?;
    out.push(b'"');
    Some(())
}

/// Whether all bytes are ASCII that needs no escape.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let (words, tail) = text.as_chunks::<8>();
    let mut special = 0;
    for word in words {
        special |= specials(u64::from_ne_bytes(*word));
    }
    match text.last_chunk::<8>() {
        Some(last) => special | specials(u64::from_ne_bytes(*last)) == 0,
        None => tail.iter().all(|byte| *byte < 0x80 && ESCAPES[usize::from(*byte)] == 0),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES * 0x80;

/// Not zero when one of eight bytes is a control, a quote, a backslash or not ASCII.
#[inline]
const fn specials(word: u64) -> u64 {
    let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
    // A borrow may mark the byte above a special one as well: it never hides one.
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    (controls(word) | quotes | backslashes | word) & HIGHS
}

/// Has a high bit when one of eight bytes is a control.
#[inline]
const fn controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word
}

/// The high bits of exactly those of eight bytes that are not zero.
#[inline]
const fn others(word: u64) -> u64 {
    ((word & !HIGHS) + !HIGHS) | word
}

/// The high bits of exactly those of eight bytes that are quotes or backslashes.
#[inline]
const fn quotes(word: u64) -> u64 {
    let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
    !(others(quote) & others(backslash)) & HIGHS
}

#[cold]
fn escape_chars(text: &str, surrogates: bool, out: &mut Vec<u8>) {
    for char in text.chars() {
        let mut buffer = [0; 4];
        match char {
            '\0'..='\x7f' => match ESCAPES[char as usize] {
                0 => out.push(char as u8),
                b'u' => escape_unit(char as u16, out),
                letter => out.extend_from_slice(&[b'\\', letter]),
            },
            '\u{10000}'.. if surrogates => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    escape_unit(*unit, out);
                }
            }
            _ => out.extend_from_slice(char.encode_utf8(&mut buffer).as_bytes()),
        }
    }
}

fn escape_unit(unit: u16, out: &mut Vec<u8>) {
    let digit = |shift: u16| HEX[usize::from(unit >> shift & 15)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

fn escape(text: &[u8], surrogates: bool, out: &mut Vec<u8>) -> Option<()> {
    if !text.is_ascii() {
        let text = std::str::from_utf8(text).ok()?;
        if surrogates && text.as_bytes().iter().any(|byte| *byte >= 0xf0) {
            escape_chars(text, surrogates, out);
            return Some(());
        }
    }
    let (words, tail) = text.as_chunks::<8>();
    for bytes in words {
        let word = u64::from_le_bytes(*bytes);
        if controls(word) & HIGHS != 0 {
            escape_few(bytes, out);
            continue;
        }
        let mut marks = quotes(word);
        if marks == 0 {
            out.extend_from_slice(bytes);
            continue;
        }
        let (mut wide, mut length) = (u128::from(word), 8);
        while marks != 0 {
            // The backslash goes before its byte, which those before it have moved up already.
            let at = marks.trailing_zeros() / 8 * 8 + (length - 8) * 8;
            let below = (1_u128 << at) - 1;
            wide = (wide & below) | u128::from(b'\\') << at | (wide & !below) << 8;
            length += 1;
            marks &= marks - 1;
        }
        out.extend_from_slice(&wide.to_le_bytes()[..length as usize]);
    }
    escape_few(tail, out);
    Some(())
}

/// Escape up to eight bytes without a branch for each.
#[inline]
fn escape_few(bytes: &[u8], out: &mut Vec<u8>) {
    let mut buffer = [0; 16];
    let (mut length, mut rare) = (0, false);
    for byte in bytes {
        let escape = ESCAPES[usize::from(*byte)];
        rare |= escape == b'u';
        buffer[length & 15] = b'\\';
        length += usize::from(escape != 0);
        buffer[length & 15] = if escape == 0 { *byte } else { escape };
        length += 1;
    }
    if !rare {
        return out.extend_from_slice(&buffer[..length.min(16)]);
    }
    for byte in bytes {
        match ESCAPES[usize::from(*byte)] {
            0 => out.push(*byte),
            b'u' => escape_unit(u16::from(*byte), out),
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Append standard base64 with padding, without quotes.
pub fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    base64_in(BASE64, bytes, out);
}

/// Append base64 that is safe in URLs, with padding, without quotes.
pub fn base64_url(bytes: &[u8], out: &mut Vec<u8>) {
    base64_in(BASE64_URL, bytes, out);
}

#[inline]
fn base64_in(alphabet: &[u8; 64], bytes: &[u8], out: &mut Vec<u8>) {
    let four = |a: u8, b: u8, c: u8| {
        let bits = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
        [18, 12, 6, 0].map(|shift| alphabet[(bits >> shift & 63) as usize])
    };
    out.reserve(bytes.len().div_ceil(3) * 4);
    let (triples, tail) = bytes.as_chunks::<3>();
    for [a, b, c] in triples {
        out.extend_from_slice(&four(*a, *b, *c));
    }
    match *tail {
        [a] => {
            let [first, second, ..] = four(a, 0, 0);
            out.extend_from_slice(&[first, second, b'=', b'=']);
        }
        [a, b] => {
            let [first, second, third, _] = four(a, b, 0);
            out.extend_from_slice(&[first, second, third, b'=']);
        }
        _ => {}
    }
}

/// Append an integer.
#[inline]
pub fn integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        string(text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_jackson_does() {
        assert_eq!(written("plain text of more than eight bytes"), r#""plain text of more than eight bytes""#);
        assert_eq!(
            written("tab\t \"q\" \\ / \x7f é \u{2028} \x01\x1f"),
            "\"tab\\t \\\"q\\\" \\\\ / \x7f é \u{2028} \\u0001\\u001F\""
        );
        assert_eq!(written("12345678\n😀"), "\"12345678\\n\\uD83D\\uDE00\"");
        assert_eq!(written("\u{8}\u{c}\r"), r#""\b\f\r""#);
        let mut out = Vec::new();
        string_raw("é😀\n".as_bytes(), &mut out).unwrap();
        assert_eq!(out, "\"é😀\\n\"".as_bytes());
        assert_eq!(string(b"\xff", &mut out), None);
        assert_eq!(string(b"abcdefgh\xf0\x9f", &mut out), None);
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            let mut out = Vec::new();
            base64(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    proptest::proptest! {
        #[test]
        fn runs_of_escapes_are_those_of_single_characters(text in "[a\"\\\\\n\u{1}é]{0,40}") {
            let single = |char: char| written(&char.to_string()).trim_matches('"').to_owned();
            let expected: String =
                text.chars().map(|char| if char == '"' { "\\\"".to_owned() } else { single(char) }).collect();
            proptest::prop_assert_eq!(written(&text), format!("\"{expected}\""));
        }

        #[test]
        fn every_string_comes_back(text: String) {
            let json = written(&text);
            let mut units = Vec::new();
            let mut chars = json[1..json.len() - 1].chars();
            while let Some(char) = chars.next() {
                let unit = match char {
                    '\\' => match chars.next() {
                        Some('u') => u16::from_str_radix(&chars.by_ref().take(4).collect::<String>(), 16).unwrap(),
                        Some(letter) => "b\x08t\tn\nf\x0cr\r".split_at("b\x08t\tn\nf\x0cr\r".find(letter).unwrap_or(0)).1
                            .chars().nth(1).filter(|_| letter.is_alphabetic()).unwrap_or(letter) as u16,
                        None => panic!("a backslash at the end"),
                    },
                    _ => {
                        units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
                        continue;
                    }
                };
                units.push(unit);
            }
            proptest::prop_assert_eq!(String::from_utf16(&units).unwrap(), text);
        }
    }
}
