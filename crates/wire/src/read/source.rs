//! The envelope of a change event: which members it has, and what its source block says. Values of rows are not read here.

use super::flat::Flat;
use super::scan::{Quoted, Scanner, owned};
use crate::batch::{Op, SnapshotFlag};
use crate::error::Result;

/// What Debezium's attributes of a CloudEvent begin with: the operation, and what the source block says.
const CLOUD: &[u8] = b"iodebezium";

/// Where the members of a change event begin; None for those that are null or missing.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) op: Option<Op>,
    pub(super) before: Option<usize>,
    pub(super) after: Option<usize>,
    pub(super) source: Option<usize>,
    pub(super) message: Option<usize>,
    /// What stands around an event: the schema and the payload of Connect's converter, the data of a CloudEvent.
    pub(super) schema: Option<usize>,
    pub(super) payload: Option<usize>,
    pub(super) data: Option<usize>,
    /// How many members there are.
    members: usize,
    /// When the event was made, milliseconds since the Unix epoch.
    pub(super) ts_ms: Option<i64>,
    images: bool,
    wrapping: usize,
    cloud: bool,
    /// What a CloudEvent says of its data.
    cloud_op: Option<Op>,
    /// What a row says of itself.
    pub(super) flat: Flat,
    /// How many members of the end of a transaction there are, its status left out; whether that is one.
    ends: usize,
    status: bool,
}

impl Parts {
    /// Read the object that comes next. Of a row image or a source block that stands there once the grammar is not checked:
    /// that is for who reads it, or [`Self::check`].
    pub(super) fn read(scanner: &mut Scanner<'_>) -> Result<Self> {
        let mut parts = Self::default();
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.member(&mut first)? {
            let first_byte = scanner.peek()?;
            let at = scanner.at();
            let seen = match name.raw {
                b"before" => Some(parts.before),
                b"after" => Some(parts.after),
                b"source" => Some(parts.source),
                _ => None,
            };
            if let Some(Some(before)) = seen {
                let mut again = scanner.clone();
                again.jump(before);
                again.skip()?;
            }
            let raw = if first_byte == b'{' && seen == Some(None) {
                scanner.leap()?;
                scanner.since(at)
            } else {
                scanner.skip()?
            };
            let object = (first_byte == b'{').then_some(at);
            parts.members += 1;
            match name.raw {
                b"schema" if first_byte == b'{' || first_byte == b'n' => {
                    (parts.schema, parts.wrapping) = (object, parts.wrapping + 1);
                }
                b"payload" => (parts.payload, parts.wrapping) = (Some(at), parts.wrapping + 1),
                b"data" => parts.data = object,
                b"specversion" => parts.cloud = true,
                b"before" | b"after" if first_byte == b'{' || first_byte == b'n' => {
                    parts.images = true;
                    *(if name.raw == b"before" { &mut parts.before } else { &mut parts.after }) = object;
                }
                b"source" => parts.source = object,
                b"message" => parts.message = object,
                b"op" => parts.op = letter(raw),
                b"iodebeziumop" => parts.cloud_op = letter(raw),
                b"ts_ms" => parts.ts_ms = crate::value::number::integer(raw),
                b"status" => parts.status = matches!(raw, b"\"BEGIN\"" | b"\"END\""),
                b"id" | b"event_count" | b"data_collections" => parts.ends += 1,
                name if name.starts_with(b"__") => parts.flat.see(name, raw, at),
                _ => {}
            }
        }
        Ok(parts)
    }

    /// Check the grammar of what nobody reads: images that `op` does not show; of what is no event, the source block too.
    pub(super) fn check(&self, op: Option<Op>, bytes: &[u8]) -> Result<()> {
        let unread = match op {
            Some(Op::Create | Op::Read) => [self.before, None, None],
            Some(Op::Update) => [None; 3],
            Some(Op::Delete) => [None, self.after, None],
            Some(Op::Truncate | Op::Message) => [self.before, self.after, None],
            None => [self.before, self.after, self.source],
        };
        unread.into_iter().flatten().try_for_each(|at| Scanner::new(bytes, at).skip().map(drop))
    }

    /// Where what is wrapped begins, if these are the members of a wrapper.
    pub(super) fn wrapped(&self) -> Option<usize> {
        match self.payload {
            Some(payload) if self.wrapping == self.members => Some(payload),
            _ if self.cloud => self.data,
            _ => None,
        }
    }

    /// The same of data that are known by what stands around them: the CloudEvent that begins at `at`.
    pub(super) fn within(self, cloud: &Self, at: usize) -> Self {
        match cloud.cloud_op.filter(|_| cloud.cloud && self.op.is_none()) {
            Some(op) => Self { op: Some(op), source: Some(at), ..self },
            None => self,
        }
    }

    /// Whether these are all the members of the beginning or the end of a transaction; old connectors write no time.
    pub(super) fn is_end(&self) -> bool {
        self.status && self.ends == 3 && self.members == 4 + usize::from(self.ts_ms.is_some())
    }

    /// Whether these are all the members of a heartbeat.
    pub(super) fn is_beat(&self) -> bool {
        self.members == 1 && self.ts_ms.is_some()
    }

    /// What was done, if this is a change event and no plain object.
    pub(super) fn event(&self) -> Option<Op> {
        let op = self.op?;
        let fits = match op {
            Op::Message => self.message.is_some(),
            Op::Truncate => self.images || self.source.is_some(),
            _ => self.images,
        };
        fits.then_some(op)
    }
}

/// An operation as JSON has it.
pub(super) fn letter(raw: &[u8]) -> Option<Op> {
    match raw {
        [b'"', letter, b'"'] => Op::parse(*letter),
        _ => None,
    }
}

/// What a source block says, as far as a change has a place for it.
#[derive(Debug, Default)]
pub(super) struct Source<'a> {
    pub(super) connector: Option<Quoted<'a>>,
    pub(super) database: Option<Quoted<'a>>,
    pub(super) schema: Option<Quoted<'a>>,
    pub(super) table: Option<Quoted<'a>>,
    pub(super) snapshot: SnapshotFlag,
    pub(super) transaction: Option<i64>,
    pub(super) lsn: Option<i64>,
    /// Where the transaction before this one ended, or this one commits: the first of `sequence`.
    pub(super) commit_lsn: Option<i64>,
    pub(super) at_us: Option<i64>,
    pub(super) origin: Option<Quoted<'a>>,
    pub(super) origin_lsn: Option<i64>,
}

impl<'a> Source<'a> {
    /// Read the object that comes next: a source block, or a CloudEvent, whose numbers are texts.
    pub(super) fn read(scanner: &mut Scanner<'a>) -> Result<Self> {
        let mut source = Self::default();
        let (mut ms, mut us, mut ns) = (None, None, None);
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.member(&mut first)? {
            let (name, cloud) = match name.raw.strip_prefix(CLOUD) {
                Some(name) => (name, true),
                None => (name.raw, false),
            };
            let mut raw: &[u8] = &[];
            if scanner.peek()? == b'"' {
                let quoted = scanner.string()?;
                let text = Some(quoted);
                match name {
                    b"connector" => source.connector = text,
                    b"db" => source.database = text,
                    b"schema" => source.schema = text,
                    b"table" => source.table = text,
                    b"origin" => source.origin = text,
                    b"snapshot" => source.snapshot = text.map_or(SnapshotFlag::Not, |text| snapshot(text.raw)),
                    b"sequence" => source.commit_lsn = text.and_then(|text| first_of_sequence(text.raw)),
                    _ if cloud => raw = quoted.raw,
                    _ => {}
                }
            } else {
                raw = scanner.skip()?;
            }
            if raw.is_empty() {
                continue;
            }
            let number = || crate::value::number::integer(raw);
            match name {
                b"ts_ms" | b"tsms" => ms = number(),
                b"ts_us" | b"tsus" => us = number(),
                b"ts_ns" | b"tsns" => ns = number(),
                b"txId" => source.transaction = number(),
                b"lsn" => source.lsn = number(),
                b"origin_lsn" | b"originlsn" => source.origin_lsn = number(),
                b"snapshot" if raw == b"true" => source.snapshot = SnapshotFlag::Middle,
                _ => {}
            }
        }
        source.at_us =
            us.or_else(|| ns.map(|ns| ns.div_euclid(1000))).or_else(|| ms.and_then(|ms| ms.checked_mul(1000)));
        Ok(source)
    }
}

/// Debezium's names; an incremental snapshot's rows lie between the changes and are marked as any snapshot row.
fn snapshot(name: &[u8]) -> SnapshotFlag {
    match name {
        b"first" => SnapshotFlag::First,
        b"first_in_data_collection" => SnapshotFlag::FirstInTable,
        b"true" | b"incremental" => SnapshotFlag::Middle,
        b"last_in_data_collection" => SnapshotFlag::LastInTable,
        b"last" => SnapshotFlag::Last,
        _ => SnapshotFlag::Not,
    }
}

/// The number in `[\"17\",…`, as it stands in a JSON string.
fn first_of_sequence(raw: &[u8]) -> Option<i64> {
    let rest = raw.strip_prefix(b"[\\\"")?;
    crate::value::number::integer(&rest[..memchr::memchr(b'\\', rest)?])
}

/// What a string of the block says; None when it is missing, or is no JSON.
pub(super) fn said(text: Option<Quoted<'_>>) -> Option<String> {
    text.and_then(owned)
}
