//! Segments of large transactions on disk: one unlinked temporary file a transaction, so that a killed process leaves nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::{FxHashMap, FxHashSet};

use super::segment::{Entry, OldImage, Op, Origin, Segment, SnapshotFlag, Txn, replace_table};
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
        let index = encode(&segment);
        let size = index.len() + segment.arena.len();
        let used = self.quota.used.fetch_add(size as u64, Ordering::Relaxed).saturating_add(size as u64);
        if used > self.quota.limit {
            self.quota.used.fetch_sub(size as u64, Ordering::Relaxed);
            return Err(Error::Limit(format!(
                "open transactions need more than spill_bytes_max = {} bytes in {}",
                self.quota.limit,
                self.quota.dir.display()
            )));
        }
        let offset = self.len.fetch_add(size as u64, Ordering::Relaxed);
        self.file.write_all_at(&index, offset)?;
        self.file.write_all_at(&segment.arena, offset + index.len() as u64)?;
        let counts = count(&segment);
        let Segment { origin, tables, arena, .. } = segment;
        let place = Place { file: Arc::clone(self), offset, size };
        Ok(OpenSegment { origin, tables, counts, nbytes: arena.len(), place })
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
    counts: Vec<Count>,
    nbytes: usize,
    place: Place,
}

/// Rows of one subtransaction in one table of a segment.
#[derive(Debug)]
struct Count {
    xid: u32,
    table: u16,
    rows: u32,
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
    /// Bytes of cells.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// See [`Segment::replace_table`].
    pub fn replace_table(&mut self, old: &Arc<Table>, new: &Arc<Table>) {
        replace_table(&mut self.tables, old, new);
    }

    /// Give it its transaction's end; ordinals start at `first_ordinal`.
    #[must_use]
    pub fn settle(self, settlement: &Arc<Settlement>, first_ordinal: u64) -> SpilledSegment {
        let Self { origin, tables: all_tables, counts, nbytes, place } = self;
        let survivors = || counts.iter().filter(|count| !settlement.aborted.contains(&count.xid));
        let used: FxHashSet<u16> = survivors().map(|count| count.table).collect();
        let len = survivors().map(|count| count.rows as usize).sum();
        let tables = (0u16..).zip(&all_tables).filter(|(index, _)| used.contains(index));
        let tables = tables.map(|(_, table)| Arc::clone(table)).collect();
        let settlement = Arc::clone(settlement);
        SpilledSegment { origin, tables, all_tables, nbytes, place, settlement, first_ordinal, len }
    }
}

/// A spilled segment of a committed transaction.
#[derive(Debug)]
pub struct SpilledSegment {
    origin: Arc<Origin>,
    tables: Vec<Arc<Table>>,
    /// With those of rows that did not survive: what the index on disk refers to.
    all_tables: Vec<Arc<Table>>,
    nbytes: usize,
    place: Place,
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
        &self.tables
    }

    /// The stream it comes from.
    #[must_use]
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Bytes of cells.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.nbytes
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
        let mut bytes = vec![0; self.place.size];
        self.place.file.file.read_exact_at(&mut bytes, self.place.offset)?;
        let (mut entries, arena) = decode(bytes)?;
        entries.retain(|entry| !self.settlement.aborted.contains(&entry.txn));
        let (origin, tables) = (Arc::clone(&self.origin), self.all_tables.clone());
        let mut segment = Segment { origin, tables, txns: Vec::new(), entries, arena };
        segment.drop_unused_tables();
        segment.number(&self.settlement.txn, self.first_ordinal);
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
            self.drop_unused_tables();
        }
        self.number(&settlement.txn, first_ordinal)
    }

    fn number(&mut self, txn: &Txn, first_ordinal: u64) -> u64 {
        self.txns = vec![txn.clone()];
        let mut ordinal = first_ordinal;
        for entry in &mut self.entries {
            entry.txn = 0;
            entry.ordinal = ordinal;
            ordinal += 1;
        }
        ordinal
    }
}

fn count(segment: &Segment) -> Vec<Count> {
    let mut counts: Vec<Count> = Vec::new();
    let mut places: FxHashMap<(u32, u16), usize> = FxHashMap::default();
    for entry in &segment.entries {
        let (xid, table) = (segment.txns[entry.txn as usize].xid, entry.table);
        match counts.last_mut() {
            Some(last) if (last.xid, last.table) == (xid, table) => last.rows += 1,
            _ => match places.get(&(xid, table)).and_then(|place| counts.get_mut(*place)) {
                Some(known) => known.rows += 1,
                None => {
                    places.insert((xid, table), counts.len());
                    counts.push(Count { xid, table, rows: 1 });
                }
            },
        }
    }
    counts
}

/// The index on disk; a row's transaction is its subtransaction's id there.
fn encode(segment: &Segment) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + segment.entries.len() * ENTRY_BYTES);
    bytes.extend_from_slice(&(segment.entries.len() as u64).to_le_bytes());
    for entry in &segment.entries {
        let Entry { op, old_image, flags, table, txn, old, new, lsn, snapshot: _, ordinal: _ } = *entry;
        bytes.extend_from_slice(&[op as u8, old_image as u8, flags, 0]);
        bytes.extend_from_slice(&table.to_le_bytes());
        for number in [segment.txns[txn as usize].xid, old, new] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&lsn.to_le_bytes());
    }
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
