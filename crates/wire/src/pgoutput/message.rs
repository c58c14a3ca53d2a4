//! Reads the fields of one message; every length is checked before it is used.

use std::sync::Arc;

use crate::batch::Txn;
use crate::error::{Error, Result};
use crate::position::Phase;

/// PostgreSQL's epoch, 2000-01-01, in microseconds since the Unix epoch.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// A cursor over one message. Offsets in errors count from the start of the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The whole message and the offset of what was not read yet.
    #[inline]
    pub(super) fn place(&self) -> (&'a [u8], usize) {
        (self.bytes, self.at)
    }

    /// Go on behind what was read elsewhere.
    #[inline]
    pub(super) fn skip_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The next byte, which stays to be read.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let rest = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let array = *rest.ok_or_else(|| Error::malformed("message ends early", self.at))?;
        self.at += N;
        Ok(array)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A time, in microseconds since the Unix epoch.
    pub(super) fn time_us(&mut self) -> Result<i64> {
        self.array().map(|bytes| i64::from_be_bytes(bytes).saturating_add(POSTGRES_EPOCH_US))
    }

    /// A null-terminated string.
    pub(super) fn string(&mut self) -> Result<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = memchr::memchr(0, rest).ok_or_else(|| Error::malformed("string without an end", self.at))?;
        let text =
            std::str::from_utf8(&rest[..length]).map_err(|_| Error::malformed("string that is not UTF-8", self.at))?;
        self.at += length + 1;
        Ok(text)
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let bytes = rest.ok_or_else(|| Error::malformed("message ends early", self.at))?;
        self.at += length;
        Ok(bytes)
    }

    /// Nothing may be left.
    #[inline]
    pub(super) fn end(&self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(Error::malformed(format!("{left} more bytes than the message has fields"), self.at)),
        }
    }
}

/// Begin ('B').
pub(super) fn begin(reader: &mut Reader<'_>, timeline: u32) -> Result<Txn> {
    let (lsn, at_us, xid) = (reader.u64()?, reader.time_us()?, reader.u32()?);
    reader.end()?;
    Ok(Txn { xid, phase: Phase::Row, lsn, end: 0, timeline, at_us, origin: None })
}

/// The fields that Commit ('C') and Stream Commit ('c') share.
pub(super) struct Commit {
    /// Start of the commit record.
    pub(super) lsn: u64,
    /// End of the commit record.
    pub(super) end: u64,
    /// Commit time.
    pub(super) at_us: i64,
}

pub(super) fn commit(reader: &mut Reader<'_>) -> Result<Commit> {
    let at = reader.place().1;
    match reader.u8()? {
        0 => {}
        flags => return Err(Error::malformed(format!("unknown flags {flags:#04x}"), at)),
    }
    let commit = Commit { lsn: reader.u64()?, end: reader.u64()?, at_us: reader.time_us()? };
    reader.end()?;
    Ok(commit)
}

/// Origin ('O'): name and commit LSN at the origin.
pub(super) fn origin(reader: &mut Reader<'_>) -> Result<(Arc<str>, u64)> {
    let lsn = reader.u64()?;
    let name = reader.string()?;
    reader.end()?;
    Ok((Arc::from(name), lsn))
}

/// Type ('Y'): nothing in it is needed, since the catalog describes a table's types.
pub(super) fn type_name(reader: &mut Reader<'_>) -> Result<()> {
    reader.u32()?;
    reader.string()?;
    reader.string()?;
    reader.end()
}

/// Truncate ('T'): flags and the tables' oids.
pub(super) fn truncate(reader: &mut Reader<'_>) -> Result<(u8, Vec<u32>)> {
    let count = reader.u32()? as usize;
    let at = reader.place().1;
    let flags = reader.u8()?;
    if flags & !3 != 0 {
        return Err(Error::malformed(format!("unknown flags {flags:#04x}"), at));
    }
    if Some(reader.left()) != count.checked_mul(4) {
        return Err(Error::malformed(format!("{count} tables do not fit into {} bytes", reader.left()), at + 1));
    }
    let oids = (0..count).map(|_| reader.u32()).collect::<Result<_>>()?;
    Ok((flags, oids))
}

/// Message ('M').
pub(super) struct Logical<'a> {
    pub(super) transactional: bool,
    pub(super) lsn: u64,
    pub(super) prefix: &'a [u8],
    pub(super) content: &'a [u8],
}

pub(super) fn logical<'a>(reader: &mut Reader<'a>) -> Result<Logical<'a>> {
    let at = reader.place().1;
    let transactional = match reader.u8()? {
        0 => false,
        1 => true,
        flags => return Err(Error::malformed(format!("unknown flags {flags:#04x}"), at)),
    };
    let (lsn, prefix) = (reader.u64()?, reader.string()?.as_bytes());
    let length = reader.u32()? as usize;
    let content = reader.bytes(length)?;
    reader.end()?;
    Ok(Logical { transactional, lsn, prefix, content })
}
