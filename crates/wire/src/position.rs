//! Where a change lies in its stream, and the text that says so.

use std::fmt;

use crate::error::{Error, Result};

/// What kind of thing a position points at; part of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// A snapshot row, at the snapshot's consistent point.
    Snapshot = 0,
    /// Progress without data, or a non-transactional message.
    Progress = 1,
    /// A row (or message) of the transaction whose commit record starts at the LSN.
    Row = 2,
    /// A record of a log that numbers its records (a Kafka partition): the ordinal is its offset, and all of the order.
    Offset = 3,
}

/// A place in one totally ordered stream. Ordered by LSN, phase and ordinal; timeline and end LSN are not part of the
/// order: they say which history the LSN belongs to and what to confirm to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Consistent point, message LSN or start of the commit record.
    pub lsn: u64,
    /// What lies there.
    pub phase: Phase,
    /// Counts the surviving rows of one transaction, or the rows of one snapshot attempt, from 0.
    pub ordinal: u64,
    /// Timeline of the server's history.
    pub timeline: u32,
    /// End of the commit record: where reading goes on, and what is confirmed.
    pub end: u64,
}

/// Length of the part of the text that orders: `LSN.phase.ordinal`.
pub const ORDERED_LEN: usize = 16 + 1 + 1 + 1 + 12;
/// Digits of an offset.
const OFFSET_LEN: usize = 20;

impl Position {
    fn order(&self) -> (u64, Phase, u64) {
        // The LSN is the source's then, whose order a log may have left.
        let lsn = if self.phase == Phase::Offset { 0 } else { self.lsn };
        (lsn, self.phase, self.ordinal)
    }

    /// An offset has a text of its own: 20 digits, so that their order is the offsets'.
    fn parse_offset(text: &str) -> Option<Self> {
        let sound = text.len() == OFFSET_LEN && text.bytes().all(|byte| byte.is_ascii_digit());
        let ordinal = sound.then(|| text.parse().ok()).flatten()?;
        Some(Self { lsn: 0, phase: Phase::Offset, ordinal, timeline: 0, end: 0 })
    }

    /// Read the text form; every digit is checked.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the text is not exactly what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(position) = Self::parse_offset(text) {
            return Ok(position);
        }
        let bad = || Error::malformed(format!("not a position: {text:?}"), 0);
        let (ordered, rest) = text.split_once('/').ok_or_else(bad)?;
        let mut parts = ordered.split('.');
        let (lsn, phase, ordinal) = (parts.next(), parts.next(), parts.next());
        let (timeline, end) = rest.split_once('/').ok_or_else(bad)?;
        let hex = |text: Option<&str>, width: usize| match text {
            Some(text) if text.len() == width => u64::from_str_radix(text, 16).map_err(|_| bad()),
            _ => Err(bad()),
        };
        let phase = match phase {
            Some("0") => Phase::Snapshot,
            Some("1") => Phase::Progress,
            Some("2") => Phase::Row,
            _ => return Err(bad()),
        };
        let position = Self {
            lsn: hex(lsn, 16)?,
            phase,
            ordinal: ordinal.and_then(|text| text.parse().ok()).ok_or_else(bad)?,
            timeline: u32::try_from(hex(Some(timeline), 8)?).map_err(|_| bad())?,
            end: hex(Some(end), 16)?,
        };
        if position.to_string() == text { Ok(position) } else { Err(bad()) }
    }
}

impl Position {
    /// Append what [`fmt::Display`] writes, several times faster.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut buffer = itoa::Buffer::new();
        let ordinal = buffer.format(self.ordinal).as_bytes();
        if self.phase == Phase::Offset {
            out.extend(std::iter::repeat_n(b'0', OFFSET_LEN.saturating_sub(ordinal.len())));
            return out.extend_from_slice(ordinal);
        }
        let hex = |number: u64, width: u32, out: &mut Vec<u8>| {
            let digit = |index: u32| b"0123456789ABCDEF"[(number >> (index * 4) & 0xF) as usize];
            out.extend((0..width).rev().map(digit));
        };
        hex(self.lsn, 16, out);
        out.extend_from_slice(&[b'.', b'0' + self.phase as u8, b'.']);
        out.extend(std::iter::repeat_n(b'0', 12_usize.saturating_sub(ordinal.len())));
        out.extend_from_slice(ordinal);
        out.push(b'/');
        hex(u64::from(self.timeline), 8, out);
        out.push(b'/');
        hex(self.end, 16, out);
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.order().cmp(&other.order()))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lsn, phase, ordinal, timeline, end } = self;
        if *phase == Phase::Offset {
            return write!(f, "{ordinal:020}");
        }
        write!(f, "{lsn:016X}.{}.{ordinal:012}/{timeline:08X}/{end:016X}", *phase as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Position = Position { lsn: 0x16B_3748, phase: Phase::Row, ordinal: 17, timeline: 1, end: 0x16B_3790 };

    #[test]
    fn text_round_trips() {
        let text = SAMPLE.to_string();
        assert_eq!(text, "00000000016B3748.2.000000000017/00000001/00000000016B3790");
        assert_eq!(Position::parse(&text).unwrap(), SAMPLE);
        assert_eq!(text.find('/'), Some(ORDERED_LEN));
        let mut written = Vec::new();
        SAMPLE.write(&mut written);
        assert_eq!(written, text.as_bytes());
    }

    #[test]
    fn i3_text_order_is_stream_order() {
        let mut positions = [
            SAMPLE,
            Position { ordinal: 9, ..SAMPLE },
            Position { phase: Phase::Snapshot, ordinal: 1_000_000, ..SAMPLE },
            Position { phase: Phase::Progress, ordinal: 0, ..SAMPLE },
            Position { lsn: 0xFF, ..SAMPLE },
        ];
        let mut texts: Vec<String> = positions.iter().map(ToString::to_string).collect();
        positions.sort_by(|a, b| a.partial_cmp(b).unwrap());
        texts.sort();
        assert_eq!(texts, positions.iter().map(ToString::to_string).collect::<Vec<_>>());
    }

    #[test]
    fn offsets_are_texts_of_their_own() {
        let at = |lsn, ordinal| Position { lsn, phase: Phase::Offset, ordinal, timeline: 0, end: 0 };
        assert_eq!(at(7, 42).to_string(), "00000000000000000042");
        assert_eq!(Position::parse("00000000000000000042").unwrap(), at(0, 42));
        assert!(at(9, 1) < at(1, 2));
        let mut written = Vec::new();
        at(7, u64::MAX).write(&mut written);
        assert_eq!(written, u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "0/0", "00000000016B3748.3.000000000017/00000001/00000000016B3790", "x.2.1/1/1"] {
            assert!(Position::parse(text).is_err(), "{text}");
        }
    }
}
