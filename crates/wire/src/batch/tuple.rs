//! The cells of one row image, as they lie in a segment's arena.
//!
//! The layout is pgoutput's TupleData (PostgreSQL manual, "Logical Replication Message Formats"): a 16-bit number of
//! cells; for each a kind byte, `n` null, `u` unchanged TOAST, or `t` followed by a 32-bit length and the text. All integers big-endian. Every
//! decoder writes this layout, so that stream tuples are copied in one piece.

use crate::error::{Error, Result};

/// The bit that stands for a column in a set of columns; all behind the 63rd share the last one.
#[inline]
#[must_use]
pub(crate) fn column_bit(column: usize) -> u64 {
    1 << column.min(63)
}

/// The bit of [`column_bit`] that stands for more than one column.
pub(crate) const SHARED_BIT: u64 = 1 << 63;

/// One cell, as the server sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// SQL null.
    Null,
    /// A TOASTed value that the update left as it was, and that the server did not send.
    Unchanged,
    /// The value in the server's text format.
    Text(&'a [u8]),
}

/// A validated row image.
#[derive(Clone, Copy, Debug)]
pub struct Tuple<'a> {
    bytes: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// Check that a tuple of `columns` cells starts at `bytes[offset]`; returns the offset behind it.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another number of cells, an unknown kind, or a length beyond the input.
    pub fn measure(bytes: &[u8], offset: usize, columns: usize) -> Result<usize> {
        Self::scan(bytes, offset, columns).map(|(end, _)| end)
    }

    /// As [`Tuple::measure`], and which cells are null: a bit each, see [`column_bit`].
    #[inline]
    fn scan(bytes: &[u8], offset: usize, columns: usize) -> Result<(usize, u64)> {
        let short = |at: usize| Error::malformed("tuple ends early", at);
        let count = bytes.get(offset..offset.saturating_add(2)).ok_or_else(|| short(offset))?;
        let count = usize::from(u16::from_be_bytes([count[0], count[1]]));
        if count != columns {
            return Err(Error::malformed(
                format!("tuple of {count} cells where the table has {columns} columns"),
                offset,
            ));
        }
        let mut rest = &bytes[offset + 2..];
        let mut nulls = 0;
        for column in 0..count {
            rest = match rest {
                [b't', a, b, c, d, text @ ..] => text.get(u32::from_be_bytes([*a, *b, *c, *d]) as usize..),
                [b'u', next @ ..] => Some(next),
                [b'n', next @ ..] => {
                    nulls |= column_bit(column);
                    Some(next)
                }
                [kind, ..] if *kind != b't' => {
                    let at = bytes.len() - rest.len();
                    return Err(Error::malformed(format!("unknown cell kind {kind:#04x}"), at));
                }
                _ => None,
            }
            .ok_or_else(|| short(bytes.len() - rest.len()))?;
        }
        Ok((bytes.len() - rest.len(), nulls))
    }

    /// Check the tuple of `columns` cells at `bytes[offset]`; returns it, the offset behind it, and the [`column_bit`]s
    /// of the cells that are null.
    ///
    /// # Errors
    /// As [`Tuple::measure`].
    pub fn read(bytes: &'a [u8], offset: usize, columns: usize) -> Result<(Self, usize, u64)> {
        let (end, nulls) = Self::scan(bytes, offset, columns)?;
        Ok((Self { bytes: &bytes[offset..end] }, end, nulls))
    }

    /// The tuple at the start of `bytes`, which [`Tuple::measure`] or a builder has validated.
    pub(super) fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes of a tuple that was just read from a message.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of cells.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(u16::from_be_bytes([self.bytes[0], self.bytes[1]]))
    }

    /// Whether it has no cells.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes as they lie in the arena: what [`super::SegmentBuilder::copy_tuple`] takes.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        let mut cells = self.cells();
        cells.by_ref().for_each(drop);
        &self.bytes[..self.bytes.len() - cells.rest.len()]
    }

    /// The cells in column order.
    #[must_use]
    pub fn cells(&self) -> Cells<'a> {
        Cells { left: self.len(), rest: &self.bytes[2..] }
    }

    /// One cell; None beyond the last.
    #[must_use]
    pub fn cell(&self, index: usize) -> Option<Cell<'a>> {
        self.cells().nth(index)
    }
}

/// Iterates over the cells of a [`Tuple`].
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (kind, rest) = self.rest.split_first()?;
        match kind {
            b't' => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                self.rest = rest;
                Some(Cell::Text(text))
            }
            b'u' => {
                self.rest = rest;
                Some(Cell::Unchanged)
            }
            _ => {
                self.rest = rest;
                Some(Cell::Null)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Cells<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_tuples_are_errors() {
        for bytes in
            [&b""[..], b"\0", b"\0\x01", b"\0\x01t\0\0\0", b"\0\x01t\xff\xff\xff\xffx", b"\0\x01b\0\0\0\0", b"\0\x02n"]
        {
            assert!(Tuple::measure(bytes, 0, 1).is_err(), "{bytes:?}");
        }
        assert_eq!(Tuple::measure(b"\0\x03nut\0\0\0\0", 0, 3).unwrap_or(0), 9);
    }
}
