//! Segments of large transactions on disk: one unlinked temporary file a transaction, so that a killed process leaves nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashSet;

use super::segment::{Entry, OldImage, Op, Origin, Segment, SnapshotFlag, Txn};
use crate::error::{Error, Result};
use crate::table::Table;

const ENTRY_BYTES: usize = 4 + 2 + 4 + 4 + 4 + 8;

/// The disk that the open transactions of one stream may take together.
#[derive(Debug)]
pub struct SpillQuota {
    dir: PathBuf,
    limit: u64,
    used: AtomicU64,
}

impl SpillQuota {
    /// At most `limit` bytes under `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, limit: u64) -> Arc<Self> {
        Arc::new(Self { dir, limit, used: AtomicU64::new(0) })
    }

    /// Bytes on disk now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Where the files lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The spill file of one transaction.
#[derive(Debug)]
pub struct SpillFile {
    quota: Arc<SpillQuota>,
    file: File,
    len: AtomicU64,
}

impl SpillFile {
    /// Open a new, unlinked file.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written.
    pub fn create(quota: &Arc<SpillQuota>) -> Result<Arc<Self>> {
        let file = tempfile::tempfile_in(&quota.dir)?;
        Ok(Arc::new(Self { quota: Arc::clone(quota), file, len: AtomicU64::new(0) }))
    }

    /// Append a segment of an open transaction; what is returned can be loaded once the commit is known.
    ///
    /// # Errors
    /// [`Error::Limit`] when the quota is used up, [`Error::Io`] when the disk is full.
    pub fn append(self: &Arc<Self>, segment: Segment) -> Result<OpenSegment> {
        let bytes = encode(&segment);
        let size = bytes.len() as u64;
        let used = self.quota.used.fetch_add(size, Ordering::Relaxed) + size;
        if used > self.quota.limit {
            self.quota.used.fetch_sub(size, Ordering::Relaxed);
            return Err(Error::Limit(format!(
                "open transactions need more than spill_bytes_max = {} bytes in {}",
                self.quota.limit,
                self.quota.dir.display()
            )));
        }
        let offset = self.len.fetch_add(size, Ordering::Relaxed);
        self.file.write_all_at(&bytes, offset)?;
        let Segment { origin, tables, txns, entries, arena } = segment;
        let counts = count(&txns, &entries);
        let place = Place { file: Arc::clone(self), offset, size: bytes.len() };
        Ok(OpenSegment { origin, tables, txns, counts, nbytes: arena.len(), place })
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.quota.used.fetch_sub(self.len.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Place {
    file: Arc<SpillFile>,
    offset: u64,
    size: usize,
}

/// A spilled segment whose transaction is still open.
#[derive(Debug)]
pub struct OpenSegment {
    origin: Arc<Origin>,
    tables: Vec<Arc<Table>>,
    txns: Vec<Txn>,
    counts: Vec<usize>,
    nbytes: usize,
    place: Place,
}

/// How a transaction ended: what its surviving rows share, and the subtransactions that did not survive.
#[derive(Debug)]
pub struct Settlement {
    /// What the rows share from now on.
    pub txn: Txn,
    /// Subtransaction ids whose rows are dropped.
    pub aborted: FxHashSet<u32>,
}

impl OpenSegment {
    /// Give it its transaction's end; ordinals start at `first_ordinal`.
    #[must_use]
    pub fn settle(self, settlement: &Arc<Settlement>, first_ordinal: u64) -> SpilledSegment {
        let survives = |txn: &Txn| !settlement.aborted.contains(&txn.xid);
        let len = self.txns.iter().zip(&self.counts).filter(|(txn, _)| survives(txn)).map(|(_, count)| count).sum();
        SpilledSegment { open: self, settlement: Arc::clone(settlement), first_ordinal, len }
    }
}

/// A spilled segment of a committed transaction.
#[derive(Debug)]
pub struct SpilledSegment {
    open: OpenSegment,
    settlement: Arc<Settlement>,
    first_ordinal: u64,
    len: usize,
}

impl SpilledSegment {
    /// Number of surviving changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none survived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Table versions of its rows.
    #[must_use]
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.open.tables
    }

    /// The stream it comes from.
    #[must_use]
    pub fn origin(&self) -> &Arc<Origin> {
        &self.open.origin
    }

    /// Bytes of cells.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.open.nbytes
    }

    /// Commit time, microseconds since the Unix epoch.
    #[must_use]
    pub fn at_us(&self) -> i64 {
        self.settlement.txn.at_us
    }

    /// Read it back into memory.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read.
    pub fn load(&self) -> Result<Segment> {
        let mut bytes = vec![0; self.open.place.size];
        self.open.place.file.file.read_exact_at(&mut bytes, self.open.place.offset)?;
        let (entries, arena) = decode(bytes)?;
        let OpenSegment { origin, tables, txns, .. } = &self.open;
        let mut segment =
            Segment { origin: Arc::clone(origin), tables: tables.clone(), txns: txns.clone(), entries, arena };
        segment.settle(&self.settlement, self.first_ordinal);
        Ok(segment)
    }
}

impl Segment {
    /// Drop the rows of aborted subtransactions, give the others their transaction and ordinals; returns the next ordinal.
    /// Until then each row's transaction is the subtransaction that made it.
    pub fn settle(&mut self, settlement: &Settlement, first_ordinal: u64) -> u64 {
        let txns = &self.txns;
        if !settlement.aborted.is_empty() {
            self.entries.retain(|entry| !settlement.aborted.contains(&txns[entry.txn as usize].xid));
        }
        self.txns = vec![settlement.txn.clone()];
        let mut ordinal = first_ordinal;
        for entry in &mut self.entries {
            entry.txn = 0;
            entry.ordinal = ordinal;
            ordinal += 1;
        }
        ordinal
    }
}

fn count(txns: &[Txn], entries: &[Entry]) -> Vec<usize> {
    let mut counts = vec![0; txns.len()];
    for entry in entries {
        counts[entry.txn as usize] += 1;
    }
    counts
}

fn encode(segment: &Segment) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + segment.entries.len() * ENTRY_BYTES + segment.arena.len());
    bytes.extend_from_slice(&(segment.entries.len() as u64).to_le_bytes());
    for entry in &segment.entries {
        let Entry { op, old_image, flags, table, txn, old, new, lsn, snapshot: _, ordinal: _ } = *entry;
        bytes.extend_from_slice(&[op as u8, old_image as u8, flags, 0]);
        bytes.extend_from_slice(&table.to_le_bytes());
        for number in [txn, old, new] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&lsn.to_le_bytes());
    }
    bytes.extend_from_slice(&segment.arena);
    bytes
}

fn decode(mut bytes: Vec<u8>) -> Result<(Vec<Entry>, Vec<u8>)> {
    let torn = || Error::malformed("spill file is torn", 0);
    let (count, rest) = bytes.split_first_chunk::<8>().ok_or_else(torn)?;
    let count = usize::try_from(u64::from_le_bytes(*count)).map_err(|_| torn())?;
    let index = rest.get(..count.checked_mul(ENTRY_BYTES).ok_or_else(torn)?).ok_or_else(torn)?;
    let mut entries = Vec::with_capacity(count);
    for raw in index.chunks_exact(ENTRY_BYTES) {
        let number = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        entries.push(Entry {
            op: Op::parse(raw[0]).ok_or_else(torn)?,
            snapshot: SnapshotFlag::Not,
            old_image: [OldImage::None, OldImage::Key, OldImage::Full]
                .into_iter()
                .nth(usize::from(raw[1]))
                .ok_or_else(torn)?,
            flags: raw[2],
            table: u16::from_le_bytes([raw[4], raw[5]]),
            txn: number(6),
            old: number(10),
            new: number(14),
            ordinal: 0,
            lsn: u64::from(number(18)) | u64::from(number(22)) << 32,
        });
    }
    bytes.drain(..8 + count * ENTRY_BYTES);
    Ok((entries, bytes))
}
