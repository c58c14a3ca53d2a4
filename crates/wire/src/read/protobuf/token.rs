//! The words of a `.proto` text. It allocates for strings only, and every fault names its line.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, or one part of a name.
    Name(&'a str),
    /// A number, unsigned, as it stands there.
    Number(&'a str),
    /// What a string says, as bytes.
    Text(Cow<'a, [u8]>),
    /// One character.
    Sign(u8),
    /// Nothing more comes.
    End,
}

/// A place in a `.proto` text.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a [u8],
    /// Behind the word that comes next.
    at: usize,
    /// Line of `at`.
    reached: usize,
    next: Token<'a>,
    /// Line of the word that comes next.
    line: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self> {
        let mut tokens = Self { text: text.as_bytes(), at: 0, reached: 1, next: Token::End, line: 1 };
        tokens.next = tokens.read()?;
        Ok(tokens)
    }

    #[cold]
    pub(super) fn fault(&self, what: impl AsRef<str>) -> Error {
        Error::malformed(format!("line {}: {}", self.line, what.as_ref()), self.at)
    }

    /// The word that comes next.
    pub(super) fn peek(&self) -> &Token<'a> {
        &self.next
    }

    /// Line of the word that comes next.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Take the word that comes next.
    pub(super) fn take(&mut self) -> Result<Token<'a>> {
        let next = self.read()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// Take this character, if it comes next.
    pub(super) fn pass(&mut self, sign: u8) -> Result<bool> {
        let found = self.next == Token::Sign(sign);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    /// This character must come next.
    pub(super) fn expect(&mut self, sign: u8) -> Result<()> {
        if self.pass(sign)? { Ok(()) } else { Err(self.fault(format!("no {:?} where one belongs", char::from(sign)))) }
    }

    /// Take this keyword, if it comes next.
    pub(super) fn word(&mut self, word: &str) -> Result<bool> {
        let found = self.next == Token::Name(word);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    /// A name without dots.
    pub(super) fn name(&mut self) -> Result<&'a str> {
        match self.next {
            Token::Name(name) => {
                self.take()?;
                Ok(name)
            }
            _ => Err(self.fault("no name where one belongs")),
        }
    }

    /// A name with dots, also before its first part.
    pub(super) fn path(&mut self) -> Result<String> {
        let mut path = String::new();
        if self.pass(b'.')? {
            path.push('.');
        }
        path.push_str(self.name()?);
        while self.pass(b'.')? {
            path.push('.');
            path.push_str(self.name()?);
        }
        Ok(path)
    }

    /// A name of a package: Confluent's converter makes one of any topic, so that parts have dashes and begin with digits.
    pub(super) fn package(&mut self) -> Result<String> {
        let mut package = String::new();
        loop {
            match self.next {
                Token::Name(part) | Token::Number(part) => package.push_str(part),
                Token::Sign(sign @ (b'.' | b'-')) => package.push(char::from(sign)),
                _ => break,
            }
            self.take()?;
        }
        if package.split('.').any(str::is_empty) {
            return Err(self.fault("no name where one belongs"));
        }
        Ok(package)
    }

    /// A string; several in a row are one.
    pub(super) fn string(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| self.fault("a string that is not UTF-8"))
    }

    /// A string that need not be text.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut any = false;
        while let Token::Text(text) = &self.next {
            bytes.extend_from_slice(text);
            any = true;
            self.take()?;
        }
        if !any {
            return Err(self.fault("no string where one belongs"));
        }
        Ok(bytes)
    }

    /// An integer, with a sign or without; which of them has a meaning is for its callers to say.
    pub(super) fn integer(&mut self) -> Result<i64> {
        let negative = self.pass(b'-')?;
        let Token::Number(digits) = self.next else { return Err(self.fault("no number where one belongs")) };
        let lower = digits.to_ascii_lowercase();
        let number = match lower.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None if lower.len() > 1 && lower.starts_with('0') => i64::from_str_radix(&lower, 8),
            None => lower.parse(),
        };
        let number = number.map_err(|_| self.fault("not an integer"))?;
        self.take()?;
        Ok(if negative { -number } else { number })
    }

    /// Pass over everything up to the `}` of the `{` that comes next.
    pub(super) fn skip_block(&mut self) -> Result<()> {
        while *self.peek() != Token::Sign(b'{') {
            if matches!(self.take()?, Token::End | Token::Sign(b';' | b'}')) {
                return Err(self.fault("no block where one belongs"));
            }
        }
        let mut depth = 0_usize;
        loop {
            match self.take()? {
                Token::Sign(b'{') => depth += 1,
                Token::Sign(b'}') => depth -= 1,
                Token::End => return Err(self.fault("a block without an end")),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Pass over everything up to the next `;`.
    pub(super) fn skip_statement(&mut self) -> Result<()> {
        loop {
            match self.take()? {
                Token::Sign(b';') => return Ok(()),
                Token::End => return Err(self.fault("a statement without an end")),
                _ => {}
            }
        }
    }

    /// The word at `at`.
    fn read(&mut self) -> Result<Token<'a>> {
        self.blank()?;
        self.line = self.reached;
        let start = self.at;
        let Some(first) = self.text.get(start) else { return Ok(Token::End) };
        match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                Ok(Token::Name(self.since(start)?))
            }
            b'0'..=b'9' => {
                let hex = matches!(self.text.get(start + 1), Some(b'x' | b'X'));
                self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
                let exponent = !hex && matches!(self.text[self.at - 1], b'e' | b'E');
                if exponent && matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                    self.at += 1;
                    self.run(|byte| byte.is_ascii_digit());
                }
                Ok(Token::Number(self.since(start)?))
            }
            b'"' | b'\'' => self.quoted(*first),
            33..=126 => {
                self.at += 1;
                Ok(Token::Sign(*first))
            }
            _ => Err(self.fault("a character that no .proto text has outside of strings")),
        }
    }

    fn run(&mut self, more: impl Fn(u8) -> bool) {
        while self.text.get(self.at).is_some_and(|byte| more(*byte)) {
            self.at += 1;
        }
    }

    fn since(&self, start: usize) -> Result<&'a str> {
        std::str::from_utf8(&self.text[start..self.at]).map_err(|_| self.fault("not UTF-8"))
    }

    /// Pass over white space and comments.
    fn blank(&mut self) -> Result<()> {
        loop {
            match self.text.get(self.at..).unwrap_or_default() {
                [b'\n', ..] => {
                    self.reached += 1;
                    self.at += 1;
                }
                [b' ' | b'\t' | b'\r' | 0x0b | 0x0c, ..] => self.at += 1,
                [b'/', b'/', ..] => self.run(|byte| byte != b'\n'),
                [b'/', b'*', rest @ ..] => {
                    let Some(length) = rest.windows(2).position(|pair| pair == b"*/") else {
                        self.line = self.reached;
                        return Err(self.fault("a comment without an end"));
                    };
                    self.reached += rest[..length].iter().filter(|byte| **byte == b'\n').count();
                    self.at += length + 4;
                }
                _ => return Ok(()),
            }
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Token<'a>> {
        let start = self.at + 1;
        self.at = start;
        self.run(|byte| byte != quote && byte != b'\\' && byte != b'\n');
        if self.text.get(self.at) == Some(&quote) {
            self.at += 1;
            return Ok(Token::Text(Cow::Borrowed(&self.text[start..self.at - 1])));
        }
        let mut bytes = self.text[start..self.at].to_vec();
        loop {
            match self.text.get(self.at) {
                Some(byte) if *byte == quote => {
                    self.at += 1;
                    return Ok(Token::Text(Cow::Owned(bytes)));
                }
                Some(b'\\') => self.escape(&mut bytes)?,
                None | Some(b'\n') => return Err(self.fault("a string without an end")),
                Some(byte) => {
                    bytes.push(*byte);
                    self.at += 1;
                }
            }
        }
    }

    /// Append what the escape at `at` says.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let letter = *self.text.get(self.at + 1).unwrap_or(&0);
        self.at += 2;
        let simple = match letter {
            b'a' => 7,
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'v' => 11,
            b'f' => 12,
            b'r' => 13,
            b'\\' | b'\'' | b'"' | b'?' => letter,
            b'0'..=b'7' => {
                self.at -= 1;
                self.code(3, 8)? as u8
            }
            b'x' | b'X' => self.code(2, 16)? as u8,
            b'u' | b'U' => {
                let code = self.code(if letter == b'u' { 4 } else { 8 }, 16)?;
                let char = char::from_u32(code).ok_or_else(|| self.fault("an escape that is no character"))?;
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.fault("an escape that is not known")),
        };
        out.push(simple);
        Ok(())
    }

    /// The number of at most so many digits at `at`.
    fn code(&mut self, most: usize, radix: u32) -> Result<u32> {
        let start = self.at;
        let digit = |byte: u8| char::from(byte).to_digit(radix);
        while self.at - start < most && self.text.get(self.at).is_some_and(|byte| digit(*byte).is_some()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault("an escape without digits"));
        }
        Ok(self.text[start..self.at].iter().fold(0_u32, |sum, byte| sum * radix + digit(*byte).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<Token<'_>>> {
        let mut tokens = Tokens::new(text)?;
        let mut found = Vec::new();
        loop {
            match tokens.take()? {
                Token::End => return Ok(found),
                token => found.push(token),
            }
        }
    }

    #[test]
    fn words_numbers_strings_and_comments_are_told_apart() {
        let found = words("a_1 // x\n/* ; \n */ 0x1F 1e+5 .5 = 'it''\\x41\\101\\n\\u00e9' ;").unwrap();
        let text = |bytes: &'static [u8]| Token::Text(Cow::Borrowed(bytes));
        assert_eq!(
            found,
            [
                Token::Name("a_1"),
                Token::Number("0x1F"),
                Token::Number("1e+5"),
                Token::Sign(b'.'),
                Token::Number("5"),
                Token::Sign(b'='),
                text(b"it"),
                text("AA\né".as_bytes()),
                Token::Sign(b';'),
            ]
        );
    }

    #[test]
    fn a_fault_names_its_line() {
        for text in ["a\n\"b", "\n'\\q'", "\n/* ", "/* \n */ \u{e9}", "\n'\\x'", "\n'\\U99999999'"] {
            assert!(words(text).unwrap_err().to_string().starts_with("line 2: "), "{text}");
        }
    }
}
