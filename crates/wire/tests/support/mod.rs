//! Messages as a server would send them, and batches as lines of text. Shared by the tests of this folder.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;
use std::sync::Arc;

use tailrace_wire::batch::{Batch, Cell, Op, RowRef, Tuple};
use tailrace_wire::chunk::Chunk;
use tailrace_wire::error::Result;
use tailrace_wire::pgoutput::{Decoder, Relation, RelationColumn, Settings};
use tailrace_wire::table::{Column, Note, Table, Type};

/// Clock of every XLogData, microseconds since PostgreSQL's epoch.
pub const CLOCK: i64 = 1_000;
/// The same since the Unix epoch.
pub const CLOCK_UNIX: i64 = 946_684_800_000_000 + CLOCK;

/// A message in the making.
#[derive(Clone, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    pub fn kind(kind: u8) -> Self {
        Self(vec![kind])
    }
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub fn text(mut self, value: &str) -> Self {
        self.0.extend(value.as_bytes());
        self.u8(0)
    }
    /// Cells by commas; `~` null, `?` unchanged.
    pub fn tuple(mut self, tag: u8, cells: &str) -> Self {
        let cells: Vec<&str> = cells.split(',').collect();
        self = self.u8(tag).u16(cells.len() as u16);
        for cell in cells {
            self = match cell {
                "~" => self.u8(b'n'),
                "?" => self.u8(b'u'),
                text => {
                    self = self.u8(b't').u32(text.len() as u32);
                    self.0.extend(text.as_bytes());
                    self
                }
            };
        }
        self
    }
    pub fn xid(self, xid: Option<u32>) -> Self {
        match xid {
            Some(xid) => self.u32(xid),
            None => self,
        }
    }
}

/// XLogData around a payload.
pub fn xlog(lsn: u64, payload: Bytes) -> Vec<u8> {
    let mut message = Bytes::kind(b'w').u64(lsn).u64(lsn).u64(CLOCK as u64);
    message.0.extend(payload.0);
    message.0
}

pub fn keepalive(end: u64, reply: u8) -> Vec<u8> {
    Bytes::kind(b'k').u64(end).u64(CLOCK as u64).u8(reply).0
}

pub fn begin(lsn: u64, xid: u32) -> Vec<u8> {
    xlog(lsn, Bytes::kind(b'B').u64(lsn).u64(CLOCK as u64).u32(xid))
}

pub fn commit(lsn: u64) -> Vec<u8> {
    xlog(lsn, Bytes::kind(b'C').u8(0).u64(lsn).u64(lsn + 8).u64(CLOCK as u64))
}

pub fn origin(name: &str, lsn: u64) -> Vec<u8> {
    xlog(0, Bytes::kind(b'O').u64(lsn).text(name))
}

/// Columns by commas; a leading `+` makes one part of the replica identity.
pub fn relation(xid: Option<u32>, oid: u32, name: &str, columns: &str) -> Vec<u8> {
    identified(b'd', xid, oid, name, columns)
}

/// A Relation message of a table with this replica identity.
pub fn identified(identity: u8, xid: Option<u32>, oid: u32, name: &str, columns: &str) -> Vec<u8> {
    let columns: Vec<&str> = columns.split(',').collect();
    let mut message = Bytes::kind(b'R').xid(xid).u32(oid).text("public").text(name);
    message = message.u8(identity).u16(columns.len() as u16);
    for column in columns {
        message = message.u8(u8::from(column.starts_with('+'))).text(column.trim_start_matches('+'));
        message = message.u32(25).u32(u32::MAX);
    }
    xlog(0, message)
}

pub fn insert(xid: Option<u32>, lsn: u64, oid: u32, new: &str) -> Vec<u8> {
    xlog(lsn, Bytes::kind(b'I').xid(xid).u32(oid).tuple(b'N', new))
}

pub fn truncate(xid: Option<u32>, lsn: u64, flags: u8, oids: &[u32]) -> Vec<u8> {
    let message = Bytes::kind(b'T').xid(xid).u32(oids.len() as u32).u8(flags);
    xlog(lsn, oids.iter().fold(message, |message, oid| message.u32(*oid)))
}

pub fn logical(xid: Option<u32>, lsn: u64, transactional: bool, prefix: &str, content: &str) -> Vec<u8> {
    let message = Bytes::kind(b'M').xid(xid).u8(transactional.into()).u64(lsn).text(prefix).u32(content.len() as u32);
    let mut message = message;
    message.0.extend(content.as_bytes());
    xlog(lsn, message)
}

pub fn stream_start(xid: u32, first: bool) -> Vec<u8> {
    xlog(0, Bytes::kind(b'S').u32(xid).u8(first.into()))
}

pub fn stream_stop() -> Vec<u8> {
    xlog(0, Bytes::kind(b'E'))
}

pub fn stream_commit(xid: u32, lsn: u64) -> Vec<u8> {
    xlog(lsn, Bytes::kind(b'c').u32(xid).u8(0).u64(lsn).u64(lsn + 8).u64(CLOCK as u64))
}

pub fn stream_abort(xid: u32, subxid: u32) -> Vec<u8> {
    xlog(0, Bytes::kind(b'A').u32(xid).u32(subxid))
}

pub fn settings() -> Settings {
    Settings {
        lineage: "postgres/1/db/slot".into(),
        database: "db".into(),
        timeline: 1,
        start_after: None,
        streaming: true,
        segment_bytes: 1 << 20,
        transaction_bytes_max: 8 << 20,
        spill_bytes_max: 1 << 30,
        spill_dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
    }
}

/// The table as the catalog would have it: all text, the replica identity as key.
pub fn table_of(relation: &Relation) -> Arc<Table> {
    strict_table_of(relation, &(0..relation.columns.len()).collect::<Vec<_>>())
}

/// The same with NOT NULL on all columns but these.
pub fn strict_table_of(relation: &Relation, nullable: &[usize]) -> Arc<Table> {
    let column = |(index, known): (usize, &RelationColumn)| Column {
        name: known.name.clone(),
        kind: Type::Text,
        native: "text".into(),
        nullable: nullable.contains(&index),
        labels: Vec::new(),
        note: Note::default(),
    };
    let columns = relation.columns.iter().enumerate().map(column).collect();
    let key = (0u16..).zip(&relation.columns).filter(|(_, column)| column.key).map(|(index, _)| index).collect();
    Table::new(relation.schema.clone(), relation.name.clone(), columns, key)
}

/// Feed messages, describing every table that is asked for.
pub fn feed<'a>(decoder: &mut Decoder, messages: impl IntoIterator<Item = &'a Vec<u8>>) -> Result<()> {
    let chunk: Chunk = messages.into_iter().map(Vec::as_slice).collect();
    let mut relation = decoder.feed(Some(Arc::new(chunk)))?;
    while let Some(unknown) = relation {
        decoder.describe(unknown.oid, &table_of(&unknown))?;
        relation = decoder.feed(None)?;
    }
    Ok(())
}

/// Decode everything at once.
pub fn decode(settings: Settings, messages: &[Vec<u8>]) -> Result<Option<Batch>> {
    let mut decoder = Decoder::new(settings);
    feed(&mut decoder, messages)?;
    Ok(decoder.take())
}

fn cells(tuple: Option<Tuple<'_>>) -> String {
    let cell = |cell| match cell {
        Cell::Null => "~".to_owned(),
        Cell::Unchanged => "?".to_owned(),
        Cell::Text(text) => String::from_utf8_lossy(text).into_owned(),
    };
    tuple.map_or_else(|| "-".to_owned(), |tuple| tuple.cells().map(cell).collect::<Vec<_>>().join(","))
}

/// `op table before -> after` and what is special about the row.
pub fn line(row: RowRef<'_>) -> String {
    let position = row.position().to_string();
    match row.op() {
        Op::Message => {
            let (prefix, content) = row.message().unwrap();
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            format!("{position} m {}={} flags {}", text(prefix), text(content), row.entry().flags)
        }
        op => {
            let table = &row.table().unwrap().name;
            let flags = row.entry().flags;
            let flags = if flags == 0 { String::new() } else { format!(" flags {flags}") };
            format!("{position} {} {table} {} -> {}{flags}", op.letter(), cells(row.before()), cells(row.after()))
        }
    }
}

/// All rows of a batch as lines.
pub fn lines(batch: &Batch) -> Vec<String> {
    let segments = batch.parts().iter().map(|part| part.load().unwrap());
    segments.flat_map(|segment| segment.rows().map(line).collect::<Vec<_>>()).collect()
}

/// A batch's rows without their positions.
pub fn changes(batch: &Batch) -> Vec<String> {
    lines(batch).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

/// Text of the row position of a transaction whose commit record starts at `lsn`.
pub fn at(lsn: u64, ordinal: u64) -> String {
    format!("{lsn:016X}.2.{ordinal:012}/00000001/{:016X}", lsn + 8)
}
