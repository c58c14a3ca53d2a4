//! A place in bytes that somebody else encoded: Avro's, protobuf's. Every length is checked against the bytes that are
//! there.

use crate::error::{Error, Result};

/// A place in the bytes of one value.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    /// The encoding's name, for messages.
    encoding: &'static str,
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begin in the record, for messages.
    base: usize,
}

impl<'a> Cursor<'a> {
    /// At the byte `at` of `bytes`, which begin at `base` in the record.
    pub(super) fn new(encoding: &'static str, bytes: &'a [u8], at: usize, base: usize) -> Self {
        Self { encoding, bytes, at, base }
    }

    #[cold]
    pub(super) fn fault(&self, what: impl Into<String>) -> Error {
        Error::malformed(what, self.place())
    }

    /// Where it is in the record.
    pub(super) fn place(&self) -> usize {
        self.base + self.at
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What was not read yet.
    pub(super) fn left(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(self.fault(format!("{} ends early", self.encoding))) };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A number in groups of seven bits, the lowest first.
    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.array::<1>()?[0]);
            if shift == 63 && byte > 1 {
                break;
            }
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.fault(format!("a number of more than 64 bits in {}", self.encoding)))
    }
}
