//! Insert, Update, Delete, Truncate and Message: what becomes a change.

use super::message::{self, Reader};
use super::open::{OpenRows, Ready};
use super::relation::{Known, Relations};
use super::stream::Stream;
use super::{Decoder, Plain, Step};
use crate::batch::{
    ABSENT, Cell, Entry, FLAG_TRANSACTIONAL, NO_TABLE, OldImage, Op, SegmentBuilder, SnapshotFlag, Tuple, Txn,
};
use crate::error::{Error, Result};
use crate::position::Phase;

/// The images of one row message.
struct Images<'a> {
    op: Op,
    old_image: OldImage,
    old: Option<Tuple<'a>>,
    new: Option<Tuple<'a>>,
    /// The columns that are null in a whole row: an old key has nulls for all that it leaves out.
    nulls: u64,
}

impl<'a> Images<'a> {
    /// Read what follows the relation's oid.
    #[inline]
    fn read(kind: u8, reader: &mut Reader<'a>, columns: usize) -> Result<Self> {
        let mut images = Self { op: Op::Create, old_image: OldImage::None, old: None, new: None, nulls: 0 };
        images.op = match kind {
            b'I' => Op::Create,
            b'U' => Op::Update,
            _ => Op::Delete,
        };
        let (_, mut at) = reader.place();
        let mut tag = reader.u8()?;
        if images.op != Op::Create {
            images.old_image = match tag {
                b'K' => OldImage::Key,
                b'O' => OldImage::Full,
                _ => OldImage::None,
            };
            if images.old_image != OldImage::None {
                let (old, nulls) = Self::tuple(reader, columns)?;
                images.old = Some(old);
                if images.old_image == OldImage::Full {
                    images.nulls = nulls;
                }
                if images.op == Op::Update {
                    at = reader.place().1;
                    tag = reader.u8()?;
                }
            }
        }
        match (images.op, tag) {
            (Op::Create | Op::Update, b'N') => {
                let (new, nulls) = Self::tuple(reader, columns)?;
                images.new = Some(new);
                images.nulls |= nulls;
            }
            (Op::Delete, b'K' | b'O') => {}
            _ => return Err(Error::malformed(format!("unexpected tuple {tag:#04x}"), at)),
        }
        reader.end()?;
        Ok(images)
    }

    #[inline]
    fn tuple(reader: &mut Reader<'a>, columns: usize) -> Result<(Tuple<'a>, u64)> {
        let (bytes, at) = reader.place();
        let (tuple, end, nulls) = Tuple::read(bytes, at, columns)?;
        reader.skip_to(end);
        Ok((tuple, nulls))
    }

    /// The columns that are null, one by one.
    fn null_columns(&self) -> impl Iterator<Item = usize> {
        let old = self.old.filter(|_| self.old_image == OldImage::Full);
        let cells = [old, self.new].into_iter().flatten().flat_map(|tuple| tuple.cells().enumerate());
        cells.filter(|(_, cell)| *cell == Cell::Null).map(|(column, _)| column)
    }

    /// Write the images into a segment; returns their offsets.
    #[inline]
    fn write(&self, builder: &mut SegmentBuilder) -> Result<(u32, u32)> {
        let old = match &self.old {
            Some(old) => builder.copy_tuple(old.bytes())?,
            None => ABSENT,
        };
        let new = match (&self.new, &self.old) {
            (None, _) => ABSENT,
            (Some(new), Some(old)) if new.cells().any(|cell| cell == Cell::Unchanged) => {
                // The server leaves an unchanged TOASTed value out, but has just sent it with the old image.
                builder.tuple(new.cells().zip(old.cells()).map(|cells| match cells {
                    (Cell::Unchanged, old @ Cell::Text(_)) => old,
                    (new, _) => new,
                }))?
            }
            (Some(new), _) => builder.copy_tuple(new.bytes())?,
        };
        Ok((old, new))
    }
}

fn entry(op: Op, table: u16, lsn: u64) -> Entry {
    Entry {
        op,
        snapshot: SnapshotFlag::Not,
        old_image: OldImage::None,
        flags: 0,
        table,
        txn: 0,
        old: ABSENT,
        new: ABSENT,
        ordinal: 0,
        lsn,
    }
}

/// The open transaction: where its rows go, and which relations they may have.
struct Target<'a> {
    rows: &'a mut OpenRows,
    ready: &'a mut Ready,
    xid: u32,
    relations: Scope<'a>,
}

/// A streamed transaction's own relations come before everyone's.
struct Scope<'a> {
    own: Option<&'a mut Relations>,
    shared: &'a mut Relations,
    /// Where the message names the relation.
    at: usize,
}

impl<'a> Scope<'a> {
    #[inline]
    fn find(self, oid: u32) -> Result<&'a mut Known> {
        let known = self.own.and_then(|own| own.get_mut(oid)).or_else(|| self.shared.get_mut(oid));
        known.ok_or_else(|| Error::malformed(format!("relation {oid} was not announced"), self.at))
    }
}

impl Decoder {
    /// Insert, Update or Delete.
    #[inline]
    pub(super) fn row(&mut self, kind: u8, mut reader: Reader<'_>, lsn: u64) -> Result<Step> {
        let xid = self.xid(&mut reader)?;
        let at = reader.place().1;
        let oid = reader.u32()?;
        // Inserts, and updates that cannot have changed the key, come without an old row.
        if self.was_delivered(lsn, reader.peek() == Some(b'N')) {
            return Ok(Step::Done);
        }
        let Some(Target { rows, ready, xid, relations }) = self.target(xid, at)? else { return Ok(Step::Done) };
        let known = relations.find(oid)?;
        if known.table.is_none() {
            return Ok(Step::Describe(oid));
        }
        let images = Images::read(kind, &mut reader, known.relation.columns.len());
        let images = images.map_err(|error| name_relation(error, known))?;
        if known.may_contradict(images.nulls) && known.contradict(images.null_columns()) {
            return Ok(Step::Describe(oid));
        }
        known.saw(images.nulls, || images.null_columns());
        let table = rows.slot(known, ready)?;
        let (old, new) = images.write(&mut rows.builder)?;
        let row = Entry { old, new, old_image: images.old_image, ..entry(images.op, table, lsn) };
        rows.push(xid, row)?;
        self.close_full_segment()?;
        Ok(Step::Done)
    }

    /// Truncate ('T'): one change for each table.
    pub(super) fn truncate(&mut self, mut reader: Reader<'_>, lsn: u64) -> Result<Step> {
        let xid = self.xid(&mut reader)?;
        let at = reader.place().1;
        let (flags, oids) = message::truncate(&mut reader)?;
        if self.was_delivered(lsn, false) {
            return Ok(Step::Done);
        }
        for oid in &oids {
            let Some(target) = self.target(xid, at)? else { return Ok(Step::Done) };
            if target.relations.find(*oid)?.table.is_none() {
                return Ok(Step::Describe(*oid));
            }
        }
        for oid in oids {
            let Some(Target { rows, ready, xid, relations }) = self.target(xid, at)? else { return Ok(Step::Done) };
            let table = rows.slot(relations.find(oid)?, ready)?;
            rows.push(xid, Entry { flags, ..entry(Op::Truncate, table, lsn) })?;
        }
        self.close_full_segment()?;
        Ok(Step::Done)
    }

    /// Message ('M'): one that is not transactional is complete by itself.
    ///
    /// Its LSN is the end of its own record, and the server sends again what begins at or behind the position that was
    /// confirmed: confirming just that LSN neither repeats the message nor skips a transaction, since each one that had
    /// committed before was sent before, streamed blocks notwithstanding.
    pub(super) fn logical(&mut self, reader: &mut Reader<'_>, lsn: u64, at_us: i64) -> Result<()> {
        let xid = self.xid(reader)?;
        let at = reader.place().1;
        let logical = message::logical(reader)?;
        let cells = [Cell::Text(logical.prefix), Cell::Text(logical.content)];
        if logical.transactional {
            if self.was_delivered(lsn, true) {
                return Ok(());
            }
            let Some(Target { rows, xid, .. }) = self.target(xid, at)? else { return Ok(()) };
            let new = rows.builder.tuple(cells.into_iter())?;
            let flags = FLAG_TRANSACTIONAL;
            rows.push(xid, Entry { flags, new, ..entry(Op::Message, NO_TABLE, lsn) })?;
            return self.close_full_segment();
        }
        self.must_be_outside(reader)?;
        if self.is_before_start(logical.lsn, Phase::Progress) {
            return Ok(());
        }
        let (lsn, end, timeline) = (logical.lsn, logical.lsn, self.timeline);
        self.rows.begin(Txn { xid: 0, phase: Phase::Progress, lsn, end, timeline, at_us, origin: None });
        let new = self.rows.builder.tuple(cells.into_iter())?;
        self.rows.push(0, Entry { new, ..entry(Op::Message, NO_TABLE, lsn) })?;
        let position = self.rows.commit(end, &mut self.ready);
        self.complete(position);
        Ok(())
    }

    /// Where a row goes; None in a transaction that is dropped.
    #[inline]
    fn target(&mut self, xid: Option<u32>, at: usize) -> Result<Option<Target<'_>>> {
        let Self { block, plain, rows, relations: shared, ready, .. } = self;
        if let (Some(stream), Some(xid)) = (block, xid) {
            let Stream { rows, relations, .. } = &mut **stream;
            return Ok(Some(Target { rows, ready, xid, relations: Scope { own: Some(relations), shared, at } }));
        }
        match *plain {
            Plain::Open { xid, .. } => {
                Ok(Some(Target { rows, ready, xid, relations: Scope { own: None, shared, at } }))
            }
            Plain::Skipped => Ok(None),
            Plain::Closed => Err(Error::malformed("no transaction is open", at)),
        }
    }

    /// Begin a new segment when the present one is large enough.
    #[inline]
    fn close_full_segment(&mut self) -> Result<()> {
        let rows = self.block.as_mut().map_or(&mut self.rows, |stream| &mut stream.rows);
        if rows.builder.weight() < self.segment_bytes {
            return Ok(());
        }
        rows.cut(&mut self.ready);
        if rows.builder.weight() >= self.segment_bytes {
            rows.seal(&mut self.ready);
        }
        self.keep_limit()
    }
}

#[cold]
fn name_relation(error: Error, known: &Known) -> Error {
    match error {
        Error::Malformed { what, offset } => {
            let what = format!("{}.{}: {what}", known.relation.schema, known.relation.name);
            Error::Malformed { what, offset }
        }
        other => other,
    }
}
