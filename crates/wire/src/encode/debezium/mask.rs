//! `column.mask.…` and `column.truncate.…`: what becomes of the text of a column. Keys are never masked, as in Debezium.

use crate::encode::connect::Value;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// What is done to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// `column.mask.with.N.chars`: so many stars, for null too.
    Stars(usize),
    /// `column.truncate.to.N.chars`: at most so many UTF-16 units; a character is never cut in half.
    Truncate(usize),
    /// `column.mask.hash.…`: a digest in hex.
    Hash(Hash),
}

/// How a text is hashed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    algorithm: Algorithm,
    salt: Vec<u8>,
    /// Version 1 hashes the text as Java serialises it.
    serialised: bool,
    /// The length of the column, which the digest is cut to.
    length: usize,
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hash").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// A hash by the name that Java has for its algorithm.
    ///
    /// # Errors
    /// The names that are known.
    pub fn new(algorithm: &str, salt: &str, serialised: bool) -> Result<Self, String> {
        let algorithm = match algorithm.to_ascii_uppercase().as_str() {
            "MD5" => Algorithm::Md5,
            "SHA" | "SHA1" | "SHA-1" => Algorithm::Sha1,
            "SHA-224" => Algorithm::Sha224,
            "SHA-256" => Algorithm::Sha256,
            "SHA-384" => Algorithm::Sha384,
            "SHA-512" => Algorithm::Sha512,
            _ => return Err("the algorithms are MD5, SHA-1, SHA-224, SHA-256, SHA-384 and SHA-512".into()),
        };
        Ok(Self { algorithm, salt: salt.into(), serialised, length: usize::MAX })
    }

    /// The same hash for a column of at most `length` characters.
    #[must_use]
    pub fn within(&self, length: usize) -> Self {
        Self { length, ..self.clone() }
    }

    fn hex(&self, text: &str) -> String {
        let value = if self.serialised { serialised(text) } else { text.as_bytes().to_vec() };
        let digest = match self.algorithm {
            Algorithm::Md5 => self.digest::<Md5>(&value),
            Algorithm::Sha1 => self.digest::<Sha1>(&value),
            Algorithm::Sha224 => self.digest::<Sha224>(&value),
            Algorithm::Sha256 => self.digest::<Sha256>(&value),
            Algorithm::Sha384 => self.digest::<Sha384>(&value),
            Algorithm::Sha512 => self.digest::<Sha512>(&value),
        };
        let mut hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        hex.truncate(self.length);
        hex
    }

    fn digest<D: Digest>(&self, value: &[u8]) -> Vec<u8> {
        D::new().chain_update(&self.salt).chain_update(value).finalize().to_vec()
    }
}

impl Mask {
    /// What stands for a value: truncation leaves alone what is neither text nor bytes.
    #[must_use]
    pub fn value(&self, value: Value) -> Value {
        match (value, self) {
            (Value::Bytes(bytes), Self::Truncate(count)) => Value::Bytes(bytes.into_iter().take(*count).collect()),
            (Value::String(text), _) => self.apply(Some(&text)).map_or(Value::Null, Value::String),
            (Value::Null, _) => self.apply(None).map_or(Value::Null, Value::String),
            (value, _) => value,
        }
    }

    /// What stands for a text, which is None for null.
    #[must_use]
    pub fn apply(&self, text: Option<&str>) -> Option<String> {
        match self {
            Self::Stars(count) => Some("*".repeat(*count)),
            Self::Truncate(units) => text.map(|text| start(text, *units).to_owned()),
            Self::Hash(hash) => text.map(|text| hash.hex(text)),
        }
    }
}

/// The longest start of `text` with at most so many UTF-16 units.
fn start(text: &str, units: usize) -> &str {
    let mut left = units;
    for (at, next) in text.char_indices() {
        match left.checked_sub(next.len_utf16()) {
            Some(rest) => left = rest,
            None => return text.get(..at).unwrap_or_default(),
        }
    }
    text
}

/// A string as `java.io.ObjectOutputStream` writes it: header, type, length, and UTF-8 as Java modifies it.
fn serialised(text: &str) -> Vec<u8> {
    let mut modified = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let [low, middle, high] = [unit & 0x3f, (unit >> 6) & 0x3f, unit >> 12].map(|bits| bits as u8);
        match unit {
            1..=0x7f => modified.push(unit as u8),
            0 | 0x80..=0x7ff => modified.extend([0xc0 | (unit >> 6) as u8, 0x80 | low]),
            _ => modified.extend([0xe0 | high, 0x80 | middle, 0x80 | low]),
        }
    }
    let mut out = vec![0xac, 0xed, 0x00, 0x05];
    match u16::try_from(modified.len()) {
        Ok(short) => {
            out.push(b't');
            out.extend(short.to_be_bytes());
        }
        Err(_) => {
            out.push(b'|');
            out.extend((modified.len() as u64).to_be_bytes());
        }
    }
    out.extend(modified);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_engines() {
        let of = |hash: Hash, text| Mask::Hash(hash).apply(Some(text)).unwrap_or_default();
        let second = Hash::new("SHA-256", "pep", false).unwrap();
        assert!(of(second.clone(), "some text").starts_with("c67e2e2813598351d58ece9ae0479d5c"));
        assert_eq!(of(second.within(5), "abc"), "5a6ff");
        let first = Hash::new("SHA-512", "pep.per", true).unwrap();
        assert!(of(first, "some text").starts_with("4681941623abc84c51efb96e0986623b"));
        assert!(Hash::new("ROT13", "", false).is_err());
    }

    #[test]
    fn null_has_no_digest_and_gets_stars() {
        assert_eq!(Mask::Stars(3).apply(None).as_deref(), Some("***"));
        assert_eq!(Mask::Truncate(3).apply(None), None);
    }

    #[test]
    fn a_start_never_ends_within_a_character() {
        assert_eq!([0, 1, 2, 3, 9].map(|units| start("é😀x", units)), ["", "é", "é", "é😀", "é😀x"]);
    }

    #[test]
    fn long_strings_are_serialised_with_a_long_length() {
        assert_eq!(serialised("\0é😀"), b"\xac\xed\0\x05t\0\x0a\xc0\x80\xc3\xa9\xed\xa0\xbd\xed\xb8\x80");
        assert_eq!(serialised(&"x".repeat(65536))[4..13], *b"|\0\0\0\0\0\x01\0\0");
    }
}
