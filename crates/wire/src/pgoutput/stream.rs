//! Transactions that the server streams while they are in progress: blocks, subtransactions, their commit and abort.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::message::{self, Reader};
use super::open::OpenRows;
use super::relation::Relations;
use super::{Decoder, Settling, Step};
use crate::batch::{Settlement, Txn};
use crate::error::{Error, Result};
use crate::position::{Phase, Position};

/// One streamed transaction that is in progress.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) xid: u32,
    pub(super) rows: OpenRows,
    pub(super) relations: Relations,
    pub(super) origin: Option<(Arc<str>, u64)>,
    /// Subtransactions that were rolled back.
    aborted: FxHashSet<u32>,
}

impl Decoder {
    /// Stream Start ('S'): a block of a new or a known transaction.
    pub(super) fn stream_start(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let at = reader.place().1;
        self.must_be_outside(reader)?;
        if !self.streaming {
            return Err(Error::malformed("streaming, which was not asked for", at));
        }
        let (xid, first) = (reader.u32()?, reader.u8()?);
        reader.end()?;
        let stream = match (first, self.streams.remove(&xid)) {
            (1, None) => Box::new(Stream {
                xid,
                rows: OpenRows::new(Arc::clone(&self.origin)),
                relations: Relations::default(),
                origin: None,
                aborted: FxHashSet::default(),
            }),
            (0, Some(stream)) => stream,
            (0, None) => return Err(Error::malformed(format!("transaction {xid} goes on that did not begin"), at)),
            (1, Some(_)) => return Err(Error::malformed(format!("transaction {xid} begins twice"), at)),
            (flag, _) => return Err(Error::malformed(format!("unknown segment flag {flag:#04x}"), at + 4)),
        };
        self.streams_weight -= stream.rows.weight();
        self.block = Some(stream);
        Ok(())
    }

    /// Stream Stop ('E'): the end of the block.
    pub(super) fn stream_stop(&mut self, reader: &Reader<'_>) -> Result<()> {
        reader.end()?;
        let outside = || Error::malformed("no streamed block is open", reader.place().1);
        let stream = self.block.take().ok_or_else(outside)?;
        self.streams_weight += stream.rows.weight();
        self.streams.insert(stream.xid, stream);
        self.keep_limit()
    }

    /// Stream Commit ('c'): its rows are complete, without those of subtransactions that were rolled back. What the
    /// catalog did not show before is described first.
    pub(super) fn stream_commit(&mut self, reader: &mut Reader<'_>) -> Result<Step> {
        let at = reader.place().1;
        self.must_be_outside(reader)?;
        let xid = reader.u32()?;
        let message::Commit { lsn, end, at_us } = message::commit(reader)?;
        let unknown = || Error::malformed(format!("transaction {xid} is not being streamed"), at);
        let before_start = self.is_before_start(lsn, Phase::Row);
        let relations = self.streams.get_mut(&xid).map(|stream| &mut stream.relations);
        if let Some((oid, superseded)) = relations.filter(|_| !before_start).and_then(Relations::unsettled) {
            self.settling = Some(Settling { xid, superseded });
            return Ok(Step::Describe(oid));
        }
        let mut stream = self.streams.remove(&xid).ok_or_else(unknown)?;
        self.streams_weight -= stream.rows.weight();
        self.relations.absorb(stream.relations);
        if before_start {
            return Ok(Step::Done);
        }
        self.end_handover(xid)?;
        let timeline = self.timeline;
        let txn = Txn { xid, phase: Phase::Row, lsn, end, timeline, at_us, origin: stream.origin };
        self.rows.cut(&mut self.ready);
        stream.rows.seal(&mut self.ready);
        let rows = stream.rows.settle(Settlement { txn, aborted: stream.aborted }, &mut self.ready);
        self.complete(Position { lsn, phase: Phase::Row, ordinal: rows.saturating_sub(1), timeline, end });
        Ok(Step::Done)
    }

    /// Stream Abort ('A'): a transaction or one of its subtransactions was rolled back.
    ///
    /// Protocol 4 adds LSN and time when it streams in parallel. PostgreSQL 18 tells aborts of transactions that it never
    /// streamed, streaming asked for or not; they have no rows.
    pub(super) fn stream_abort(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        if self.block.is_some() {
            return Err(Error::malformed("a streamed block is open", reader.place().1));
        }
        let (xid, subxid) = (reader.u32()?, reader.u32()?);
        if reader.left() != 0 {
            reader.u64()?;
            reader.time_us()?;
        }
        reader.end()?;
        if xid == subxid {
            if let Some(stream) = self.streams.remove(&xid) {
                self.streams_weight -= stream.rows.weight();
            }
        } else if let Some(stream) = self.streams.get_mut(&xid) {
            stream.aborted.insert(subxid);
        }
        Ok(())
    }

    /// Let the largest open transactions spill until the rest fits into memory.
    pub(super) fn keep_limit(&mut self) -> Result<()> {
        loop {
            let block = self.block.as_ref().map_or(0, |stream| stream.rows.weight());
            let weight = self.rows.weight() + block + self.streams_weight;
            if weight <= self.transaction_bytes_max {
                return Ok(());
            }
            let streams = self.streams.values_mut().map(|stream| (&mut stream.rows, true));
            let block = self.block.as_mut().map(|stream| (&mut stream.rows, false));
            let all = streams.chain(block).chain([(&mut self.rows, false)]);
            let Some((largest, waiting)) = all.max_by_key(|(rows, _)| rows.weight()) else { return Ok(()) };
            if waiting {
                self.streams_weight -= largest.weight();
            }
            largest.seal(&mut self.ready);
            largest.spill(&self.quota)?;
        }
    }
}
