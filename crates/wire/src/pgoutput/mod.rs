//! Decodes pgoutput (PostgreSQL manual, "Logical Replication Message Formats"), protocol versions 1 to 4 in text format,
//! inside XLogData and keepalives ("Streaming Replication Protocol").
//!
//! It never talks to a server, never reads a catalog and never guesses: what it does not know is an error (I10). Memory is
//! bounded by the limits in [`Settings`], whatever the server sends; what does not fit lies in spill files.

mod handover;
mod message;
mod open;
mod relation;
mod row;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use relation::{Relation, RelationColumn};

use crate::batch::{Batch, End, Origin, SpillQuota};
use crate::chunk::Chunk;
use crate::error::{Error, Result};
use crate::position::{Phase, Position};
use crate::table::Table;
use handover::Handover;
use message::Reader;
use open::{OpenRows, Ready};
use relation::{Described, Relations};
use stream::Stream;

/// What a decoder is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lineage of the positions.
    pub lineage: String,
    /// Database name, for the encoders.
    pub database: String,
    /// Timeline that is being read.
    pub timeline: u32,
    /// A saved position: transactions at or before it are dropped.
    pub start_after: Option<Position>,
    /// Whether the server was asked to stream transactions in progress.
    pub streaming: bool,
    /// Size at which a segment is closed.
    pub segment_bytes: usize,
    /// Memory that open transactions may take together before they spill.
    pub transaction_bytes_max: usize,
    /// Disk that open transactions may take together.
    pub spill_bytes_max: u64,
    /// Folder of the spill files.
    pub spill_dir: PathBuf,
}

/// Offsets within a segment have 32 bits, and a single row may have a gigabyte.
const SEGMENT_BYTES_MAX: usize = 1 << 28;

/// The plain (not streamed) transaction between its Begin and its Commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Closed,
    Open {
        xid: u32,
        lsn: u64,
    },
    /// At or before the saved position.
    Skipped,
}

/// What became of a message.
enum Step {
    Done,
    /// It needs this table first, and must be read again then.
    Describe(u32),
}

/// The streamed transaction whose end waits for the description of one of its relations, and the place of that if a later
/// message has taken its place.
#[derive(Clone, Copy, Debug)]
struct Settling {
    xid: u32,
    superseded: Option<usize>,
}

/// Turns replication messages into batches. An error is final: what was complete can still be taken, nothing be fed.
#[derive(Debug)]
pub struct Decoder {
    lineage: Arc<str>,
    origin: Arc<Origin>,
    timeline: u32,
    start_after: Option<(u64, Phase)>,
    handover: Option<Handover>,
    streaming: bool,
    segment_bytes: usize,
    transaction_bytes_max: usize,
    quota: Arc<SpillQuota>,
    relations: Relations,
    described: Described,
    /// The plain transaction and, before it, complete small ones.
    rows: OpenRows,
    plain: Plain,
    /// The streamed transaction whose block is open.
    block: Option<Box<Stream>>,
    /// The other streamed transactions, by transaction id.
    streams: FxHashMap<u32, Box<Stream>>,
    /// Memory of the other streamed transactions.
    streams_weight: usize,
    ready: Ready,
    /// What is left of the chunk.
    rest: Option<(Arc<Chunk>, usize)>,
    /// The relation that waits to be described.
    waiting: Option<u32>,
    settling: Option<Settling>,
    failed: bool,
    reply_requested: bool,
    received_lsn: u64,
    /// WAL end of the last keepalive.
    keepalive_lsn: u64,
    /// End of all that is complete, taken or not.
    end_lsn: u64,
}

impl Decoder {
    /// A decoder for one connection.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { lineage, database, timeline, start_after, streaming, .. } = settings;
        let transaction_bytes_max = settings.transaction_bytes_max;
        let connector = "postgresql".to_owned();
        let origin = Arc::new(Origin { connector, database, lineage: lineage.clone() });
        let start = start_after.map_or(0, |position| position.lsn.max(position.end));
        Self {
            lineage: Arc::from(lineage),
            rows: OpenRows::new(Arc::clone(&origin)),
            origin,
            timeline,
            start_after: start_after.map(|position| (position.lsn, position.phase)),
            handover: None,
            streaming,
            segment_bytes: settings.segment_bytes.min(SEGMENT_BYTES_MAX).min(transaction_bytes_max),
            transaction_bytes_max,
            quota: SpillQuota::new(settings.spill_dir, settings.spill_bytes_max),
            relations: Relations::default(),
            described: Described::default(),
            plain: Plain::Closed,
            block: None,
            streams: FxHashMap::default(),
            streams_weight: 0,
            ready: Ready::default(),
            rest: None,
            waiting: None,
            settling: None,
            failed: false,
            reply_requested: false,
            received_lsn: 0,
            keepalive_lsn: 0,
            end_lsn: start,
        }
    }

    /// Decode a chunk. Stops at a table that must be described first: [`Decoder::describe`] it and feed None to go on.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is not understood (I10), [`Error::Limit`] and [`Error::Io`] when an open transaction
    /// cannot spill, [`Error::Usage`] when a chunk comes before the last one was finished, or after an error.
    pub fn feed(&mut self, chunk: Option<Arc<Chunk>>) -> Result<Option<Relation>> {
        if self.failed {
            return Err(Error::Usage("the decoder has failed before; reconnect with a new one".into()));
        }
        if let Some(oid) = self.waiting {
            return Err(Error::Usage(format!("relation {oid} must be described first")));
        }
        match chunk {
            Some(_) if self.rest.is_some() => {
                return Err(Error::Usage("feed None until the last chunk is finished".into()));
            }
            Some(chunk) => self.rest = Some((chunk, 0)),
            None => {}
        }
        let result = self.go_on();
        self.failed = result.is_err();
        result
    }

    fn go_on(&mut self) -> Result<Option<Relation>> {
        let Some((chunk, mut at)) = self.rest.take() else { return Ok(None) };
        while let Some(message) = chunk.get(at) {
            match self.message(message)? {
                Step::Done => at += 1,
                Step::Describe(oid) => {
                    self.rest = Some((chunk, at));
                    self.waiting = Some(oid);
                    return Ok(self.known(oid).map(|known| known.relation.clone()));
                }
            }
        }
        Ok(None)
    }

    /// The table for the Relation that `feed` stopped at. A relation that was described already comes again when a row
    /// has a null where the table has none, and at the end of its transaction after [`Decoder::describe_for_now`].
    ///
    /// # Errors
    /// [`Error::Usage`] when `feed` did not stop there, or the columns are not the Relation's, in order, or not null
    /// where rows have shown that they can be.
    pub fn describe(&mut self, oid: u32, table: &Arc<Table>) -> Result<()> {
        self.describe_as(oid, table, true)
    }

    /// As [`Decoder::describe`], for a relation that the catalog does not show as the message does: its transaction, which
    /// is streamed, may have made it so. If that commits, `feed` stops at it again, and its rows become those of the table
    /// that is given then.
    ///
    /// # Errors
    /// As [`Decoder::describe`].
    pub fn describe_for_now(&mut self, oid: u32, table: &Arc<Table>) -> Result<()> {
        self.describe_as(oid, table, false)
    }

    fn describe_as(&mut self, oid: u32, table: &Arc<Table>, settled: bool) -> Result<()> {
        if self.waiting != Some(oid) {
            return Err(Error::Usage(format!("no relation {oid} waits to be described as {table}")));
        }
        let Self { block, streams, relations: shared, described, settling, .. } = self;
        let stream = match settling {
            Some(settling) => streams.get_mut(&settling.xid),
            None => block.as_mut(),
        };
        let (own, rows) = stream.map(|stream| (&mut stream.relations, &mut stream.rows)).unzip();
        let superseded = settling.and_then(|settling| settling.superseded);
        let own = own.and_then(|own| own.at_mut(oid, superseded));
        // Rows have provisional versions until the end, whatever the catalog shows by now.
        let provisional = settling.is_none() && own.as_ref().is_some_and(|own| !settled || own.provisional);
        let known = own.or_else(|| shared.get_mut(oid));
        let known = known.ok_or_else(|| Error::Usage(format!("relation {oid} is unknown")))?;
        if !known.relation.fits(table) {
            return Err(Error::Usage(format!(
                "{table} has other columns than relation {oid} ({}.{}) in the stream",
                known.relation.schema, known.relation.name
            )));
        }
        let table = if provisional { Arc::clone(table) } else { described.remember(&known.relation, table) };
        let outdated = known.describe(Arc::clone(&table), provisional);
        if let Some(rows) = rows {
            outdated.iter().for_each(|before| rows.replace_table(before, &table));
        }
        (self.settling, self.waiting) = (None, None);
        Ok(())
    }

    /// Every transaction that is complete; None when there is none.
    pub fn take(&mut self) -> Option<Batch> {
        let end = self.ready.end?;
        self.rows.cut(&mut self.ready);
        let ready = std::mem::take(&mut self.ready);
        let end = End { lineage: Arc::clone(&self.lineage), text: end.to_string() };
        Some(Batch::new(ready.parts, vec![end], None))
    }

    /// Bytes of cells of the complete transactions that `take` would return, wherever they lie.
    #[must_use]
    pub fn ready_nbytes(&self) -> usize {
        self.ready.nbytes + self.rows.complete_nbytes()
    }

    /// Bytes of transactions whose end has not come yet, in memory (their index included) or spilled.
    #[must_use]
    pub fn open_nbytes(&self) -> usize {
        let streams = self.streams.values().chain(&self.block);
        self.rows.nbytes() + streams.map(|stream| stream.rows.nbytes()).sum::<usize>()
    }

    /// Whether the server asked for a status since the last call.
    pub fn take_reply_requested(&mut self) -> bool {
        std::mem::take(&mut self.reply_requested)
    }

    /// End of the WAL received so far.
    #[must_use]
    pub fn received_lsn(&self) -> u64 {
        self.received_lsn
    }

    /// A WAL end that may be confirmed although no transaction ends there: the last keepalive's, if nothing committed
    /// lies before it that was not taken.
    ///
    /// A streamed transaction may be open. Its commit record lies behind the keepalive, and what a server sends again after
    /// a restart is decided by the commit record alone: it decodes from `restart_lsn`, which such a transaction holds back.
    #[must_use]
    pub fn idle_lsn(&self) -> Option<u64> {
        let idle = self.ready.end.is_none() && self.plain == Plain::Closed && self.keepalive_lsn > self.end_lsn;
        idle.then_some(self.keepalive_lsn)
    }

    #[inline]
    fn message(&mut self, message: &[u8]) -> Result<Step> {
        let mut reader = Reader::new(message);
        match reader.u8()? {
            b'w' => {
                let (start, end, at_us) = (reader.u64()?, reader.u64()?, reader.time_us()?);
                self.received_lsn = self.received_lsn.max(start).max(end);
                let kind = reader.u8()?;
                self.payload(kind, reader, start, at_us).map_err(|error| name_message(error, kind))
            }
            b'k' => self.keepalive(reader).map(|()| Step::Done).map_err(|error| name_message(error, b'k')),
            kind => Err(Error::malformed(format!("unknown replication message {kind:#04x}"), 0)),
        }
    }

    #[inline]
    fn payload(&mut self, kind: u8, mut reader: Reader<'_>, lsn: u64, at_us: i64) -> Result<Step> {
        match kind {
            b'I' | b'U' | b'D' => return self.row(kind, reader, lsn),
            b'T' => return self.truncate(reader, lsn),
            b'B' => self.begin(&mut reader)?,
            b'C' => self.commit(&mut reader)?,
            b'R' => self.learn(&mut reader)?,
            b'Y' => {
                self.xid(&mut reader)?;
                message::type_name(&mut reader)?;
            }
            b'O' => self.set_origin(&mut reader)?,
            b'M' => self.logical(&mut reader, lsn, at_us)?,
            b'S' => self.stream_start(&mut reader)?,
            b'E' => self.stream_stop(&reader)?,
            b'c' => return self.stream_commit(&mut reader),
            b'A' => self.stream_abort(&mut reader)?,
            b'b' | b'P' | b'K' | b'r' | b'p' => {
                return Err(Error::malformed("two-phase commit, which was not asked for", reader.place().1));
            }
            _ => return Err(Error::malformed("unknown pgoutput message", reader.place().1)),
        }
        Ok(Step::Done)
    }

    fn keepalive(&mut self, mut reader: Reader<'_>) -> Result<()> {
        let (end, _) = (reader.u64()?, reader.time_us()?);
        self.reply_requested |= reader.u8()? != 0;
        reader.end()?;
        self.received_lsn = self.received_lsn.max(end);
        self.keepalive_lsn = self.keepalive_lsn.max(end);
        Ok(())
    }

    fn begin(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        self.must_be_outside(reader)?;
        let txn = message::begin(reader, self.timeline)?;
        self.plain = if self.is_before_start(txn.lsn, Phase::Row) {
            Plain::Skipped
        } else {
            Plain::Open { xid: txn.xid, lsn: txn.lsn }
        };
        self.rows.begin(txn);
        Ok(())
    }

    fn commit(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let at = reader.place().1;
        let commit = message::commit(reader)?;
        match self.plain {
            Plain::Closed => return Err(Error::malformed("no transaction is open", at)),
            Plain::Open { lsn, .. } if lsn != commit.lsn => {
                return Err(Error::malformed("commit of another transaction than the one that began", at));
            }
            Plain::Open { xid, .. } => {
                self.end_handover(xid)?;
                let position = self.rows.commit(commit.end, &mut self.ready);
                self.complete(position);
            }
            Plain::Skipped => {}
        }
        self.plain = Plain::Closed;
        Ok(())
    }

    /// All up to `position` is complete.
    fn complete(&mut self, position: Position) {
        self.ready.end = Some(position);
        self.end_lsn = self.end_lsn.max(position.end);
        if self.rows.builder.weight() >= self.segment_bytes {
            self.rows.cut(&mut self.ready);
        }
    }

    fn learn(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        self.xid(reader)?;
        let relation = Relation::read(reader)?;
        match &mut self.block {
            Some(stream) => stream.relations.learn(relation, &mut self.described),
            None => self.relations.learn(relation, &mut self.described),
        }
        Ok(())
    }

    fn set_origin(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let at = reader.place().1;
        let origin = message::origin(reader)?;
        match &mut self.block {
            Some(stream) => stream.origin = Some(origin),
            None if self.plain == Plain::Closed => return Err(Error::malformed("no transaction is open", at)),
            None => self.rows.set_origin(origin),
        }
        Ok(())
    }

    /// The transaction id that stands in front of what is inside a streamed block.
    #[inline]
    fn xid(&self, reader: &mut Reader<'_>) -> Result<Option<u32>> {
        if self.block.is_some() { reader.u32().map(Some) } else { Ok(None) }
    }

    /// The transaction that a row would belong to now, whatever subtransaction it names.
    fn open_xid(&self) -> Option<u32> {
        match (&self.block, self.plain) {
            (Some(stream), _) => Some(stream.xid),
            (None, Plain::Open { xid, .. }) => Some(xid),
            (None, Plain::Closed | Plain::Skipped) => None,
        }
    }

    /// The transaction that a relation which `feed` has stopped at comes with, once that has committed; None while it is
    /// streamed before its end.
    #[must_use]
    pub fn committed_xid(&self) -> Option<u32> {
        match (self.settling, self.plain) {
            (Some(Settling { xid, .. }), _) | (None, Plain::Open { xid, .. }) => Some(xid),
            (None, Plain::Closed | Plain::Skipped) => None,
        }
    }

    fn known(&self, oid: u32) -> Option<&relation::Known> {
        if let Some(Settling { xid, superseded }) = self.settling {
            return self.streams.get(&xid).and_then(|stream| stream.relations.at(oid, superseded));
        }
        let own = self.block.as_ref().and_then(|stream| stream.relations.get(oid));
        own.or_else(|| self.relations.get(oid))
    }

    fn must_be_outside(&self, reader: &Reader<'_>) -> Result<()> {
        if self.plain != Plain::Closed || self.block.is_some() {
            return Err(Error::malformed("another transaction is open", reader.place().1));
        }
        Ok(())
    }

    /// Whether what lies at `lsn` was delivered before the saved position was saved.
    fn is_before_start(&self, lsn: u64, phase: Phase) -> bool {
        self.start_after.is_some_and(|start| (lsn, phase) <= start)
    }
}

/// Say which message an error is about.
#[cold]
fn name_message(error: Error, kind: u8) -> Error {
    let name = match kind {
        b'B' => "Begin",
        b'C' => "Commit",
        b'O' => "Origin",
        b'R' => "Relation",
        b'Y' => "Type",
        b'I' => "Insert",
        b'U' => "Update",
        b'D' => "Delete",
        b'T' => "Truncate",
        b'M' => "Message",
        b'S' => "Stream Start",
        b'E' => "Stream Stop",
        b'c' => "Stream Commit",
        b'A' => "Stream Abort",
        b'k' => "Keepalive",
        _ => "",
    };
    match error {
        Error::Malformed { what, offset } if name.is_empty() => {
            Error::Malformed { what: format!("pgoutput message {:?}: {what}", char::from(kind)), offset }
        }
        Error::Malformed { what, offset } => Error::Malformed { what: format!("pgoutput {name}: {what}"), offset },
        other => other,
    }
}
