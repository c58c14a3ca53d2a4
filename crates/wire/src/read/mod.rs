//! Reads change events back: the records of one Kafka partition become the changes that they were made of. Debezium's
//! JSON (with schemas, without, or wrapped), whoever wrote it, and plain JSON.
//!
//! What is framed for a schema registry becomes JSON first (`frame`; `avro`, `avro_schema`, `json_schema`, `protobuf`;
//! `tree` for the texts of schemas, `cursor` for binary values).
//!
//! `scan` is the cursor over JSON, `source` the envelope, `control` records that are no rows, `flat` rows that say what
//! happened to them, `schema` Connect's schemas, `decode` a value (`number`,
//! `temporal` and `base64` each a family of them), `key` a record's key, `routed` keys that name a
//! table, `shape` a table version, `assemble` what every
//! format shares. A JSON scanner of our own: a value's bytes go straight into a cell, a schema that was seen is passed
//! over with one comparison, and what is not looked at is not built (docs/design/0015-reading-events.md).

mod assemble;
mod avro;
mod avro_schema;
mod base64;
mod control;
mod cursor;
mod decode;
mod flat;
mod frame;
mod json_schema;
mod key;
mod number;
mod placeholder;
mod protobuf;
mod routed;
mod scan;
mod schema;
mod shape;
mod source;
mod temporal;
mod tree;

use std::sync::Arc;

use self::assemble::{Assembler, Fact, NOTHING};
use self::decode::Scratch;
pub use self::frame::SchemaKind;
use self::frame::{Frames, Unframed};
use self::key::{Key, Keys};
use self::placeholder::Placeholders;
use self::routed::{Name, Routed};
use self::scan::Scanner;
use self::schema::Schema;
use self::shape::{Place, Seen, Shape, Tools, Unfit};
use self::source::{Parts, Source, said};
use crate::batch::{ABSENT, Batch, Cell, FLAG_TRANSACTIONAL, OldImage, Op, SnapshotFlag, Txn};
use crate::error::{Error, Result};
use crate::position::Phase;
use crate::value::bytea::pairs;

/// Table versions and schemas that are kept of one partition.
const SHAPES_MAX: usize = 1024;
/// Sets of columns that are kept of one table whose values have no schema: writers of two versions may take turns.
const SETS_MAX: usize = 8;
/// What a record may become: so much, and so many bytes for each of its own. The bytes of a decimal or of bits may stand for
/// thousands of digits.
const ROOM_BYTES: usize = 16 << 20;
const ROOM_TIMES: usize = 64;

/// 0001-01-01, the first time that Python's calendar has. One beyond that calendar, of a writer that took another unit, is
/// informative at most and must not stop the row that it came with.
pub const AT_US_MIN: i64 = -62_135_596_800_000_000;
/// The last microsecond of 9999, the last time that Python's calendar has.
pub const AT_US_MAX: i64 = 253_402_300_799_999_999;

/// What plain JSON means: values that are no change events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plain {
    /// Each is something that happened: op c.
    #[default]
    Append,
    /// Each is what its key holds from now on: op u.
    Upsert,
}

/// What a reader of one partition is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lineage of the positions.
    pub lineage: String,
    /// The topic, which names the table of plain values.
    pub topic: String,
    /// The partition, for messages.
    pub partition: i32,
    /// What plain JSON means.
    pub plain: Plain,
    /// `unavailable.value.placeholder` of whoever writes, as bytes.
    pub unavailable: Vec<u8>,
    /// `binary.handling.mode` of whoever writes is hex, for the contents of messages: nothing in an event tells.
    pub hex: bool,
    /// A TRUNCATE is read; otherwise it is refused, as its place among rows of other partitions is not known.
    pub truncates: bool,
    /// Size at which a segment is closed.
    pub segment_bytes: usize,
}

/// One record of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Bytes of the key.
    pub key: Option<&'a [u8]>,
    /// Bytes of the value; None for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The record's own time, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Its offset.
    pub offset: i64,
}

/// Turns the records of one partition into batches.
#[derive(Debug)]
pub struct Reader {
    settings: Settings,
    name: (String, String),
    placeholders: Placeholders,
    assembler: Assembler,
    keys: Keys,
    routed: Routed,
    /// The bytes before the payload of values that have schemas.
    forms: Vec<Vec<u8>>,
    /// Known table versions, the last used one first.
    shapes: Vec<Arc<Shape>>,
    /// The key of the record before, when that was a delete: a tombstone may follow.
    deleted: Option<Option<Vec<u8>>>,
    scratch: Scratch,
    frames: Frames,
    unframed: Unframed,
    /// Attributes of the CloudEvent that is read, a JSON object; empty when they do not stand beside its data.
    attributes: Vec<u8>,
}

impl Reader {
    /// A reader that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            name: table_of(&settings.topic),
            placeholders: Placeholders::new(&settings.unavailable),
            assembler: Assembler::new(&settings.lineage, settings.segment_bytes),
            keys: Keys::default(),
            routed: Routed::default(),
            forms: Vec::new(),
            shapes: Vec::new(),
            deleted: None,
            scratch: Scratch::default(),
            frames: Frames::default(),
            unframed: Unframed::default(),
            attributes: Vec::new(),
            settings,
        }
    }

    /// See [`Settings::truncates`].
    #[must_use]
    pub fn truncates(&self) -> bool {
        self.settings.truncates
    }

    /// Whether a TRUNCATE is understood from here on: see [`Settings::truncates`].
    pub fn set_truncates(&mut self, truncates: bool) {
        self.settings.truncates = truncates;
    }

    /// Ids of schemas in Confluent's frames of a record that nobody told yet ([`Self::add_schema`]).
    pub fn unknown(&self, record: &Record<'_>) -> impl Iterator<Item = u32> {
        self.frames.unknown(record)
    }

    /// The schema of an id, and the texts of those that it refers to by name, each behind what it refers to itself.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a schema that cannot be read, in words.
    pub fn add_schema(&mut self, id: u32, kind: SchemaKind, text: &str, references: &[(String, String)]) -> Result<()> {
        self.frames.add(id, kind, text, references).map_err(|error| match error {
            Error::Malformed { what, offset } => Error::Malformed { what: format!("schema {id}: {what}"), offset },
            other => other,
        })
    }

    /// Read the next record; every schema that it is framed with must be known.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming topic, partition and offset; what came before is not lost: [`Reader::take`] has it.
    pub fn feed(&mut self, record: Record<'_>) -> Result<()> {
        self.feed_data(record, b"")
    }

    /// The same of the data of a CloudEvent in the binary form: `attributes` are what its headers say, a JSON object of
    /// texts under the names that the structured form has.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn feed_data(&mut self, record: Record<'_>, attributes: &[u8]) -> Result<()> {
        self.attributes.clear();
        self.attributes.extend_from_slice(attributes);
        let start = self.assembler.arena().len();
        let (frames, mut unframed) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.unframed));
        let read = frames.open(record, &mut unframed).and_then(|record| {
            let room = ROOM_TIMES.saturating_mul(record.value.map_or(0, <[u8]>::len)).saturating_add(ROOM_BYTES);
            self.scratch.end = start.saturating_add(room);
            self.record(record)
        });
        (self.frames, self.unframed) = (frames, unframed);
        match read {
            Ok(()) => {
                self.assembler.reach(record.offset);
                Ok(())
            }
            Err(error) => {
                let arena = self.assembler.arena();
                arena.truncate(start.min(arena.len()));
                Err(self.named(error, record.offset))
            }
        }
    }

    /// What was read so far; without changes when records said nothing new. None when nothing was read.
    pub fn take(&mut self) -> Option<Batch> {
        self.assembler.take()
    }

    #[cold]
    fn named(&self, error: Error, record: i64) -> Error {
        let at = format!("topic {}, partition {}, offset {record}", self.settings.topic, self.settings.partition);
        match error {
            Error::Malformed { what, offset } => Error::Malformed { what: format!("{at}: {what}"), offset },
            Error::Limit(what) => Error::Malformed { what: format!("{at}: {what}"), offset: 0 },
            other => other,
        }
    }

    fn record(&mut self, record: Record<'_>) -> Result<()> {
        let key = self.keys.read(record.key)?;
        let Some(value) = record.value else { return self.tombstone(record, key) };
        self.deleted = None;
        std::str::from_utf8(value).map_err(|error| {
            Error::malformed("neither JSON nor a format that is known: not UTF-8", error.valid_up_to())
        })?;
        if let Some(form) = self.forms.iter().position(|prefix| value.starts_with(prefix)) {
            let at = self.forms[form].len();
            return self.payload(record, key, (value, at), Some(form), &Parts::default());
        }
        let mut scanner = Scanner::new(value, 0);
        if scanner.peek()? != b'{' {
            scanner.skip()?;
            scanner.end()?;
            return self.plain(record, key, (value, 0), None, &Parts::default());
        }
        let parts = Parts::read(&mut scanner)?;
        scanner.end()?;
        let Some(at) = parts.wrapped() else { return self.parts(record, key, (value, 0), parts, None) };
        parts.check(None, value)?;
        let form = match parts.schema {
            Some(schema) if schema < at => {
                if self.forms.len() >= SHAPES_MAX {
                    self.forms.clear();
                    self.shapes.clear();
                }
                self.forms.push(value[..at].to_vec());
                Some(self.forms.len() - 1)
            }
            Some(schema) => return Err(Error::malformed("a schema behind its payload", schema)),
            None => None,
        };
        self.payload(record, key, (value, at), form, &parts)
    }

    /// What stands in a wrapper, at `at`.
    fn payload(
        &mut self,
        record: Record<'_>,
        key: Option<Key<'_>>,
        (value, at): (&[u8], usize),
        form: Option<usize>,
        wrapper: &Parts,
    ) -> Result<()> {
        let mut scanner = Scanner::new(value, at);
        match scanner.peek()? {
            b'n' => {
                scanner.skip()?;
                self.closed(&mut scanner)?;
                self.tombstone(record, key)
            }
            b'{' => {
                let parts = Parts::read(&mut scanner)?;
                if form.is_some() {
                    self.closed(&mut scanner)?;
                }
                match (form, parts.wrapped()) {
                    // A CloudEvent's data may be wrapped once more.
                    (None, Some(inner)) => {
                        parts.check(None, value)?;
                        let mut scanner = Scanner::new(value, inner);
                        scanner.open(b'{')?;
                        scanner.jump(inner);
                        let parts = Parts::read(&mut scanner)?.within(wrapper, 0);
                        self.parts(record, key, (value, inner), parts, None)
                    }
                    _ => self.parts(record, key, (value, at), parts.within(wrapper, 0), form),
                }
            }
            _ => {
                scanner.skip()?;
                self.plain(record, key, (value, at), form, &Parts::default())
            }
        }
    }

    /// Only the end of the wrapper may follow.
    fn closed(&self, scanner: &mut Scanner<'_>) -> Result<()> {
        if scanner.peek()? != b'}' {
            return Err(scanner.fault("a member behind the payload"));
        }
        scanner.pass(b"}");
        scanner.end()
    }

    /// An object whose members are known: a change event, or a plain value.
    fn parts(
        &mut self,
        record: Record<'_>,
        key: Option<Key<'_>>,
        (value, at): (&[u8], usize),
        parts: Parts,
        form: Option<usize>,
    ) -> Result<()> {
        let attributes = std::mem::take(&mut self.attributes);
        let parts = if attributes.is_empty() {
            parts
        } else {
            parts.within(&Parts::read(&mut Scanner::new(&attributes, 0))?, 0)
        };
        let Some(op) = parts.event() else {
            self.attributes = attributes;
            return self.plain(record, key, (value, at), form, &parts);
        };
        parts.check(Some(op), value)?;
        let source = match parts.source {
            Some(at) if attributes.is_empty() => Source::read(&mut Scanner::new(value, at))?,
            Some(_) => Source::read(&mut Scanner::new(&attributes, 0))?,
            None => Source::default(),
        };
        let fact = fact(op, &source, parts.ts_ms.unwrap_or(record.timestamp_ms));
        if op == Op::Message {
            return self.message(record, fact, (value, parts.message));
        }
        let schema = said(source.schema).or_else(|| said(source.database)).unwrap_or_else(|| self.name.0.clone());
        let table = said(source.table);
        let told = table.is_some();
        let name = (schema, table.unwrap_or_else(|| self.name.1.clone()));
        self.route(key, &name, told)?;
        let place = |at| Place { bytes: value, at: Some(at), key };
        let images = match (op, parts.before, parts.after) {
            (Op::Truncate, ..) if !self.settings.truncates => return Err(Error::malformed(UNORDERED, at)),
            (Op::Truncate, ..) => [None, None],
            (Op::Create | Op::Read, _, Some(after)) => [None, Some(place(after))],
            (Op::Update, before, Some(after)) => [before.map(place), Some(place(after))],
            (Op::Delete, Some(before), _) => [Some(place(before)), None],
            (Op::Delete, None, _) if key.is_some() => [Some(Place { bytes: value, at: None, key }), None],
            _ => return Err(Error::malformed("a change event without the row that its op needs", at)),
        };
        if op == Op::Delete {
            self.deleted = Some(record.key.map(<[u8]>::to_vec));
        }
        self.change(record, fact, Row { name, images, key, form, ..Row::default() })
    }

    /// A value that is no change event.
    fn plain(
        &mut self,
        record: Record<'_>,
        key: Option<Key<'_>>,
        (value, at): (&[u8], usize),
        form: Option<usize>,
        parts: &Parts,
    ) -> Result<()> {
        if !self.attributes.is_empty() {
            return Err(Error::malformed("data of a CloudEvent without the images of a row", at));
        }
        if control::is_control(parts, key.map(|key| self.keys.form(key))) {
            return Ok(());
        }
        let op = if self.settings.plain == Plain::Append { Op::Create } else { Op::Update };
        let name = self.name.clone();
        self.route(key, &name, false)?;
        let Some(told) = parts.flat.op(op) else {
            let fact = fact(op, &Source::default(), record.timestamp_ms);
            let said = parts.flat.unmarked(value, at)?;
            let (bytes, at) = said.as_ref().map_or((value, at), |said| (&said.row, 0));
            let images = [None, Some(Place { bytes, at: Some(at), key })];
            return self.change(record, fact, Row { name, images, key, form, partial: true, ..Row::default() });
        };
        let said = parts.flat.told(value, at)?;
        let source = Source { lsn: parts.flat.lsn, ..Source::default() };
        let fact = fact(told, &source, parts.flat.ts_ms.unwrap_or(record.timestamp_ms));
        let image = Some(Place { bytes: &said.row, at: Some(0), key });
        let mut images = [None, image];
        if told == Op::Delete {
            self.deleted = Some(record.key.map(<[u8]>::to_vec));
            images = [image, None];
        }
        let (gone, whole) = (said.gone, said.whole);
        self.change(record, fact, Row { name, images, key, form, partial: true, gone, whole })
    }

    /// A key without a value: its row is gone. Right behind the delete of the same key it says nothing new; without one
    /// compaction has taken the delete, or reading begins between the two.
    fn tombstone(&mut self, record: Record<'_>, key: Option<Key<'_>>) -> Result<()> {
        if self.deleted.take().is_some_and(|deleted| deleted.as_deref() == record.key) {
            return Ok(());
        }
        let Some(key) = key else { return Err(Error::malformed("a record with neither key nor value", 0)) };
        let fact = fact(Op::Delete, &Source::default(), record.timestamp_ms);
        let known = self.whose(key)?;
        if control::is_bare(&self.settings.topic, (key, &self.keys), known.is_some())? {
            return Ok(());
        }
        let (name, form) = known.unwrap_or_else(|| {
            let name = self.keys.form(key).table().unwrap_or_else(|| self.name.clone());
            (name, None)
        });
        let stream = self.assembler.stream();
        let images = [Some(Place { bytes: &[], at: None, key: Some(key) }), None];
        self.change(
            record,
            Fact { stream, ..fact },
            Row { name, images, key: Some(key), form, partial: true, ..Row::default() },
        )
    }

    /// Of which table the row of a key without a value was, and which schema the values of such rows have; None when
    /// nothing that was read tells.
    fn whose(&self, key: Key<'_>) -> Result<Option<(Name, Option<usize>)>> {
        let mut alike = self.shapes.iter().filter(|shape| shape.key_form == Some(key.form));
        let of = |shape: &Arc<Shape>| ((shape.table.schema.clone(), shape.table.name.clone()), shape.form);
        let Some(text) = self.routed_by(key)? else {
            let Some(known) = alike.next() else { return Ok(None) };
            if alike.any(|other| !known.is_of(other)) {
                return Err(Error::malformed(AMBIGUOUS, 0));
            }
            return Ok(Some(of(known)));
        };
        let name = match self.routed.table(&text) {
            Some(Some(table)) => table.clone(),
            Some(None) => return Err(Error::malformed(AMBIGUOUS, 0)),
            None if alike.clone().next().is_some() && !self.routed.told() => self.name.clone(),
            None if text.contains('.') => table_of(&text),
            None if alike.next().is_some() => return Err(Error::malformed(UNNAMED, 0)),
            None => return Ok(None),
        };
        match alike.clone().find(|shape| shape.names(&name)) {
            Some(shape) => Ok(Some(of(shape))),
            // What it names is a topic, of a table that may be called otherwise: `my_table` of `my table`.
            None if self.routed.table(&text).is_none() && alike.next().is_some() => Err(Error::malformed(UNNAMED, 0)),
            None => Ok(Some((name, None))),
        }
    }

    /// What a key names, if it names a table.
    fn routed_by(&self, key: Key<'_>) -> Result<Option<String>> {
        if self.keys.form(key).has(ROUTED) { self.keys.text(key, ROUTED) } else { Ok(None) }
    }

    /// Note of which table the rows are that come under what their keys name; `told` when the row said it itself.
    #[inline]
    fn route(&mut self, key: Option<Key<'_>>, table: &Name, told: bool) -> Result<()> {
        if let Some(key) = key
            && let Some(text) = self.routed_by(key)?
        {
            self.routed.saw(text, table, told);
        }
        Ok(())
    }

    /// Write a row's images, with the shape that fits them, and add the change.
    fn change(&mut self, record: Record<'_>, fact: Fact, row: Row<'_>) -> Result<()> {
        let (mut tried, mut learnt) = (0, false);
        loop {
            let shape = match self.known(&row, tried) {
                Some(shape) => shape,
                None if fact.op == Op::Truncate => Arc::new(Shape::untold(row.name.clone())),
                None if learnt => return Err(Error::malformed("a row that contradicts itself", 0)),
                None => {
                    (tried, learnt) = (0, true);
                    self.learn(&row)?
                }
            };
            let stream = (fact.stream.0.as_str(), fact.stream.1.as_str());
            let table = self.assembler.enter(Some(&shape.table), stream)?;
            let start = self.assembler.arena().len();
            match self.images(&shape, &row, fact.op) {
                Ok(images) => {
                    if tried > 0 {
                        self.prefer(&shape);
                    }
                    return self.assembler.push(fact, table, images, record.offset);
                }
                Err(unfit) => {
                    self.assembler.arena().truncate(start);
                    match unfit {
                        Unfit::Fault(error) => return Err(error),
                        Unfit::Other if learnt => return Err(Error::malformed("a row that contradicts itself", 0)),
                        Unfit::Other => tried += 1,
                    }
                }
            }
        }
    }

    /// Append the images; returns what an entry holds of them.
    fn images(&mut self, shape: &Shape, row: &Row<'_>, op: Op) -> std::result::Result<(OldImage, u32, u32), Unfit> {
        let Self { assembler, keys, placeholders, scratch, .. } = self;
        let mut tools = Tools { keys, placeholders, scratch };
        let [before, after] = row.images;
        let mut images = NOTHING;
        let mut seen = Seen::default();
        if let Some(after) = after {
            images.2 = assembler.offset(0)?;
            seen = shape.write(after, false, &mut tools, assembler.arena())?;
        }
        if let Some(before) = before {
            images.1 = assembler.offset(0)?;
            let old = shape.write(before, true, &mut tools, assembler.arena())?;
            // An update has its old row under replica identity full only, unless something was left out of the new one.
            let may_lack = row.key.is_some() && !row.whole && (op == Op::Delete || seen.unchanged);
            let key_only = old.key_only && may_lack;
            images.0 = if key_only { OldImage::Key } else { OldImage::Full };
            if key_only && before.at.is_some() {
                assembler.keep_key(images.1, &shape.table)?;
            }
        }
        Ok(images)
    }

    /// The shape for such rows that was used last, when `tried` of them do not fit.
    fn known(&mut self, row: &Row<'_>, tried: usize) -> Option<Arc<Shape>> {
        let at = self.shapes.iter().enumerate().filter(|(_, shape)| row.may_have(shape)).nth(tried)?.0;
        if tried == 0 && at > 0 {
            self.shapes[..=at].rotate_right(1);
            return Some(Arc::clone(&self.shapes[0]));
        }
        Some(Arc::clone(&self.shapes[at]))
    }

    /// Try this shape first from now on.
    #[cold]
    fn prefer(&mut self, shape: &Arc<Shape>) {
        if let Some(at) = self.shapes.iter().position(|known| Arc::ptr_eq(known, shape)) {
            self.shapes[..=at].rotate_right(1);
        }
    }

    /// Make the shape of a row that no known one fits. It takes the place of those that have its columns, or that it
    /// follows; of the others a few are kept.
    #[cold]
    fn learn(&mut self, row: &Row<'_>) -> Result<Arc<Shape>> {
        let key = row.key.map(|key| (key, &self.keys));
        let made = match row.form {
            Some(form) => {
                let columns = self.columns(form, row)?;
                let key = row.key.map(|key| (key.form, self.keys.form(key)));
                Shape::typed(row.name.clone(), columns, Some(form), key)
            }
            None => {
                let values: Vec<Place<'_>> =
                    row.images.into_iter().rev().flatten().filter(|place| place.at.is_some()).collect();
                let before: Vec<&Shape> =
                    self.shapes.iter().map(Arc::as_ref).filter(|shape| row.may_have(shape)).collect();
                Shape::inferred(&before, row.name.clone(), &values, key, row.partial)?
            }
        };
        let known = self.shapes.iter().find(|shape| shape.table == made.table).map(|shape| Arc::clone(&shape.table));
        let made = Arc::new(match known {
            Some(table) => made.with_table(table),
            None => made,
        });
        let mut others = 0;
        self.shapes.retain(|shape| {
            let other = shape.follows() && row.may_have(shape);
            others += usize::from(other);
            !other || !(row.partial || shape.has_columns_of(&made) || others >= SETS_MAX)
        });
        self.shapes.truncate(SHAPES_MAX - 1);
        self.shapes.insert(0, Arc::clone(&made));
        Ok(made)
    }

    /// The columns that a schema describes.
    fn columns(&self, form: usize, row: &Row<'_>) -> Result<Vec<(crate::table::Column, decode::Decoder)>> {
        let prefix = self.forms.get(form).map(Vec::as_slice).unwrap_or_default();
        let mut scanner = Scanner::new(prefix, 0);
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.member(&mut first)? {
            if name.raw == b"schema" {
                let schema = Schema::read(&mut scanner)?;
                let columns = match (row.partial, schema.field("after"), schema.field("before")) {
                    (false, Some(image), _) | (false, None, Some(image)) => image.columns(),
                    (false, None, None) => return Err(scanner.fault("a change event whose schema has no rows")),
                    _ if schema.is_struct() => {
                        let mut columns = schema.columns();
                        columns.retain(|(column, _)| !row.gone.contains(&column.name.as_str()));
                        columns
                    }
                    _ => vec![schema.column(shape::VALUE)],
                };
                return Ok(columns);
            }
            scanner.skip()?;
        }
        Err(scanner.fault("a payload without a schema"))
    }

    /// A logical decoding message.
    fn message(&mut self, record: Record<'_>, fact: Fact, (value, at): (&[u8], Option<usize>)) -> Result<()> {
        let mut scanner = Scanner::new(value, at.unwrap_or(0));
        let (mut prefix, mut content) = (None, None);
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.member(&mut first)? {
            match name.raw {
                b"prefix" => prefix = said(Some(scanner.string()?)),
                b"content" => content = said(Some(scanner.string()?)),
                _ => drop(scanner.skip()?),
            }
        }
        let (Some(prefix), Some(content)) = (prefix, content) else {
            return Err(scanner.fault("a message without prefix or content"));
        };
        let mut bytes = Vec::new();
        if self.settings.hex {
            let digits = content.as_bytes();
            if digits.len() % 2 > 0 || pairs(digits, &mut bytes).is_none() {
                return Err(scanner.fault("a message whose content is not hex, as binary_handling_mode says"));
            }
        } else if base64::decode(content.as_bytes(), &mut bytes).is_none() {
            bytes = content.into_bytes();
        }
        let stream = (fact.stream.0.as_str(), fact.stream.1.as_str());
        let table = self.assembler.enter(None, stream)?;
        let cells = [Cell::Text(prefix.as_bytes()), Cell::Text(&bytes)];
        let new = self.assembler.tuple(cells.into_iter())?;
        let flags = if fact.txn.xid > 0 { FLAG_TRANSACTIONAL } else { 0 };
        self.assembler.push(Fact { flags, ..fact }, table, (OldImage::None, ABSENT, new), record.offset)
    }
}

/// The member with which Debezium's `ByLogicalTableRouter` tells the keys of a topic's tables apart.
const ROUTED: &str = "__dbz__physicalTableIdentifier";
/// Why a tombstone is refused.
const AMBIGUOUS: &str = "a key without a value, and several tables of this topic have such keys: nothing tells whose \
    row is gone";

/// Why a tombstone is refused whose key names what no row was under.
const UNNAMED: &str = "a key without a value, and the table that its key names is of no row that was read here: nothing \
    tells whose row is gone";

/// Why a TRUNCATE is refused.
const UNORDERED: &str = "a TRUNCATE, of which nothing tells before which rows of the topic's other partitions it was: \
    truncate = \"apply\" takes it where it stands";

/// A row of a record, before it is written.
#[derive(Debug, Default)]
struct Row<'a> {
    /// Schema and table.
    name: (String, String),
    /// Before and after.
    images: [Option<Place<'a>>; 2],
    key: Option<Key<'a>>,
    /// Which schema the value has.
    form: Option<usize>,
    /// Not an event: members may be missing.
    partial: bool,
    /// Members of its schema that are no columns: they said what happened to it.
    gone: &'static [&'static str],
    /// It said that all of it was sent.
    whole: bool,
}

impl Row<'_> {
    /// Whether a shape is of such rows.
    fn may_have(&self, shape: &Shape) -> bool {
        let truncate = self.images.iter().all(Option::is_none);
        let same = shape.form == self.form && shape.key_form == self.key.map(|key| key.form);
        (truncate || same) && shape.names(&self.name)
    }
}

/// What an event says beside its rows; `ts_ms` when its source says no time.
fn fact(op: Op, source: &Source<'_>, ts_ms: i64) -> Fact {
    let lsn = source.lsn.and_then(|lsn| u64::try_from(lsn).ok()).unwrap_or(0);
    let commit = source.commit_lsn.and_then(|lsn| u64::try_from(lsn).ok()).unwrap_or(lsn);
    let origin = said(source.origin).map(|name| {
        let lsn = source.origin_lsn.and_then(|lsn| u64::try_from(lsn).ok()).unwrap_or(0);
        (Arc::from(name.as_str()), lsn)
    });
    let snapshot = match (op, source.snapshot) {
        (Op::Read, SnapshotFlag::Not) => SnapshotFlag::Middle,
        (Op::Read, flag) => flag,
        _ => SnapshotFlag::Not,
    };
    Fact {
        op,
        snapshot,
        flags: 0,
        lsn,
        stream: (said(source.connector).unwrap_or_default(), said(source.database).unwrap_or_default()),
        txn: Txn {
            xid: source.transaction.and_then(|xid| u32::try_from(xid).ok()).unwrap_or(0),
            phase: Phase::Offset,
            lsn: commit,
            end: lsn,
            timeline: 0,
            at_us: source.at_us.unwrap_or_else(|| ts_ms.saturating_mul(1000)).clamp(AT_US_MIN, AT_US_MAX),
            origin,
        },
    }
}

/// The table whose rows a topic holds, when they do not say it themselves: `[…​.]schema.table`.
fn table_of(topic: &str) -> (String, String) {
    let mut parts = topic.rsplit('.').filter(|part| !part.is_empty());
    let table = parts.next().unwrap_or(topic).to_owned();
    (parts.next().unwrap_or("public").to_owned(), table)
}
