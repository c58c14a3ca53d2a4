//! Decodes COPY TO STDOUT in text format (PostgreSQL manual, "COPY", "Text Format") into snapshot rows.
//!
//! It handles one table and never orders, filters or converts: cells stay the text that the server printed.

use std::sync::Arc;

use memchr::{memchr, memchr_iter, memchr2};

use crate::batch::{
    ABSENT, Batch, End, Entry, OldImage, Op, Origin, Part, Segment, SegmentBuilder, SnapshotFlag, SnapshotMark, Txn,
};
use crate::chunk::Chunk;
use crate::error::{Error, Result};
use crate::position::{Phase, Position};
use crate::table::Table;

/// What a decoder of one table is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lineage of the positions.
    pub lineage: String,
    /// Database name, for the encoders.
    pub database: String,
    /// The table whose rows come.
    pub table: Arc<Table>,
    /// Names the snapshot attempt.
    pub attempt: Arc<str>,
    /// Consistent point of the snapshot.
    pub lsn: u64,
    /// Timeline of the server.
    pub timeline: u32,
    /// Transaction id of the snapshot.
    pub xid: u32,
    /// Time of the snapshot, microseconds since the Unix epoch.
    pub at_us: i64,
    /// Ordinal of the first row: rows of earlier tables of the attempt come before.
    pub first_ordinal: u64,
    /// Whether this is the attempt's first table.
    pub first_table: bool,
    /// Size at which a segment is closed.
    pub segment_bytes: usize,
}

/// Turns the COPY messages of one table into batches. Holds the last row back, to mark it.
#[derive(Debug)]
pub struct Rows {
    settings: Settings,
    lineage: Arc<str>,
    builder: SegmentBuilder,
    parts: Vec<Part>,
    /// The last message: how it is marked depends on what follows.
    held: Option<Vec<u8>>,
    rows: u64,
    begun: bool,
    finished: bool,
}

impl Rows {
    /// A decoder for one table.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let (database, lineage) = (settings.database.clone(), settings.lineage.clone());
        let origin = Arc::new(Origin { connector: "postgresql".to_owned(), database, lineage });
        Self {
            lineage: Arc::from(settings.lineage.as_str()),
            builder: SegmentBuilder::new(origin),
            settings,
            parts: Vec::new(),
            held: None,
            rows: 0,
            begun: false,
            finished: false,
        }
    }

    /// Decode messages of one row each.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a row that is not understood, [`Error::Limit`] for one of more than 4 GB,
    /// [`Error::Usage`] after [`Rows::finish`].
    pub fn feed(&mut self, chunk: &Chunk) -> Result<()> {
        if self.finished {
            return Err(Error::Usage(format!("rows of {} after its end", self.settings.table)));
        }
        let Some(last) = chunk.len().checked_sub(1) else { return Ok(()) };
        if let Some(held) = self.held.take() {
            self.row(&held, self.place())?;
        }
        for message in chunk.iter().take(last) {
            self.row(message, self.place())?;
        }
        self.held = chunk.get(last).map(<[u8]>::to_vec);
        Ok(())
    }

    /// Complete rows so far but the last one; the first batch carries `begin`.
    pub fn take(&mut self) -> Option<Batch> {
        self.seal();
        if self.parts.is_empty() { None } else { Some(self.batch(false)) }
    }

    /// What is left, with `end`; comes also for an empty table.
    ///
    /// # Errors
    /// As [`Rows::feed`], for the last row; [`Error::Usage`] when called twice.
    pub fn finish(&mut self, last_table: bool) -> Result<Batch> {
        if std::mem::replace(&mut self.finished, true) {
            return Err(Error::Usage(format!("{} was finished before", self.settings.table)));
        }
        if let Some(held) = self.held.take() {
            let flag = match self.place() {
                _ if last_table => SnapshotFlag::Last,
                SnapshotFlag::First => SnapshotFlag::First,
                _ => SnapshotFlag::LastInTable,
            };
            self.row(&held, flag)?;
        }
        self.seal();
        Ok(self.batch(true))
    }

    /// Ordinal of the next row, in this table or the next.
    #[must_use]
    pub fn next_ordinal(&self) -> u64 {
        self.settings.first_ordinal.saturating_add(self.rows)
    }

    /// The flag of the next row if it is not the table's last.
    fn place(&self) -> SnapshotFlag {
        match (self.rows, self.settings.first_table) {
            (0, true) => SnapshotFlag::First,
            (0, false) => SnapshotFlag::FirstInTable,
            _ => SnapshotFlag::Middle,
        }
    }

    fn row(&mut self, message: &[u8], snapshot: SnapshotFlag) -> Result<()> {
        if self.builder.is_empty() {
            self.begin_segment()?;
        }
        let columns = self.settings.table.columns.len();
        let new = self.builder.offset(2 + columns * CELL_BYTES + message.len())?;
        write_row(message, columns, self.builder.arena()).map_err(|error| self.name_row(error))?;
        let (ordinal, lsn) = (self.next_ordinal(), self.settings.lsn);
        let (old_image, flags, table, txn, old) = (OldImage::None, 0, 0, 0, ABSENT);
        self.builder.push(Entry { op: Op::Read, snapshot, old_image, flags, table, txn, old, new, ordinal, lsn });
        self.rows += 1;
        if self.builder.weight() >= self.settings.segment_bytes {
            self.seal();
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<()> {
        let Settings { xid, lsn, timeline, at_us, .. } = self.settings;
        self.builder.table(&self.settings.table);
        self.builder.txn(Txn { xid, phase: Phase::Snapshot, lsn, end: lsn, timeline, at_us, origin: None })?;
        Ok(())
    }

    fn seal(&mut self) {
        if !self.builder.is_empty() {
            let segment: Segment = self.builder.seal();
            self.parts.push(Part::Memory(Arc::new(segment)));
        }
    }

    fn batch(&mut self, end: bool) -> Batch {
        let Settings { lsn, timeline, ref attempt, ref table, .. } = self.settings;
        let begin = !std::mem::replace(&mut self.begun, true);
        let ordinal = self.next_ordinal().saturating_sub(1);
        let position = Position { lsn, phase: Phase::Snapshot, ordinal, timeline, end: lsn };
        let ends = vec![End { lineage: Arc::clone(&self.lineage), text: position.to_string() }];
        let mark = SnapshotMark { attempt: Arc::clone(attempt), table: Some(Arc::clone(table)), begin, end };
        Batch::new(std::mem::take(&mut self.parts), ends, Some(mark))
    }

    #[cold]
    fn name_row(&self, error: Error) -> Error {
        match error {
            Error::Malformed { what, offset } => {
                let what = format!("COPY of {}, row {}: {what}", self.settings.table, self.rows);
                Error::Malformed { what, offset }
            }
            other => other,
        }
    }
}

/// What a cell takes beside its text: kind and length.
const CELL_BYTES: usize = 1 + 4;

/// Write one row as a tuple behind `arena`.
fn write_row(message: &[u8], columns: usize, arena: &mut Vec<u8>) -> Result<()> {
    let Some((b'\n', row)) = message.split_last() else {
        return Err(Error::malformed("a row without its line end", message.len()));
    };
    let count = u16::try_from(columns).map_err(|_| Error::malformed("more than 65,535 columns", 0))?;
    arena.reserve(2 + columns * CELL_BYTES + row.len());
    arena.extend_from_slice(&count.to_be_bytes());
    if memchr(b'\n', row).is_some() {
        return Err(Error::malformed("a line end within a row", 0));
    }
    if columns == 0 && row.is_empty() {
        return Ok(());
    }
    let mut cells = 0;
    let mut start = 0;
    while start <= row.len() && cells < columns {
        let rest = &row[start..];
        let length = match memchr2(b'\t', b'\\', rest) {
            Some(at) if rest[at] == b'\\' => {
                let length = memchr(b'\t', &rest[at..]).map_or(rest.len(), |tab| at + tab);
                write_escaped(&rest[..length], start, arena)?;
                length
            }
            tab => {
                let length = tab.unwrap_or(rest.len());
                write_cell(&rest[..length], arena);
                length
            }
        };
        cells += 1;
        start += length + 1;
    }
    if cells != columns || start <= row.len() {
        let cells = memchr_iter(b'\t', row).count() + 1;
        return Err(Error::malformed(format!("{cells} cells where the table has {columns} columns"), row.len()));
    }
    Ok(())
}

#[inline]
fn write_cell(text: &[u8], arena: &mut Vec<u8>) {
    // A row of more than 4 GB was refused before.
    let [a, b, c, d] = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    arena.extend_from_slice(&[b't', a, b, c, d]);
    arena.extend_from_slice(text);
}

/// A cell with a backslash in it, at `offset` of its row.
fn write_escaped(cell: &[u8], offset: usize, arena: &mut Vec<u8>) -> Result<()> {
    if cell == b"\\N" {
        arena.push(b'n');
        return Ok(());
    }
    let start = arena.len();
    arena.extend_from_slice(&[b't', 0, 0, 0, 0]);
    let mut rest = cell;
    while let Some(at) = memchr(b'\\', rest) {
        arena.extend_from_slice(&rest[..at]);
        let (byte, length) = unescape(&rest[at + 1..])
            .ok_or_else(|| Error::malformed("a backslash with nothing behind it", offset + cell.len()))?;
        arena.push(byte);
        rest = &rest[at + 1 + length..];
    }
    arena.extend_from_slice(rest);
    let length = u32::try_from(arena.len() - start - CELL_BYTES).unwrap_or(u32::MAX);
    arena[start + 1..start + CELL_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// What stands behind a backslash: the byte that is meant, and how many were read.
fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    let digits = |text: &[u8], radix: u32, most: usize| {
        let values = text.iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix));
        values.fold((0, 0), |(value, length): (u32, usize), digit| (value * radix + digit, length + 1))
    };
    Some(match *text.first()? {
        b'b' => (0x08, 1),
        b'f' => (0x0c, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (0x0b, 1),
        b'0'..=b'7' => {
            let (value, length) = digits(text, 8, 3);
            // The server keeps the low eight bits of \777, and so do we.
            ((value & 0xff) as u8, length)
        }
        b'x' => match digits(&text[1..], 16, 2) {
            (_, 0) => (b'x', 1),
            (value, length) => ((value & 0xff) as u8, 1 + length),
        },
        other => (other, 1),
    })
}
