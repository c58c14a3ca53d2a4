//! The records of a change on their way through transforms: which there are, what they are before the first transform
//! sees them, and what of a row fills each slot. What transforms do is `encode::smt`'s.

use rustc_hash::FxHashMap;

use super::codec::Scratch;
use super::control::{Control, Note};
use super::envelope::{VERSION, snapshot};
use super::form::Forms;
use super::plan::{self, Plan};
use super::profile::{Profile, Wrapping};
use super::transaction::{Block, Open};
use super::{NoScripts, Refusal, key_only, schema};
use crate::batch::{Cell, FLAG_TRANSACTIONAL, OldImage, Op, RowRef, Segment, SnapshotFlag, Tuple};
use crate::encode::Encoded;
use crate::encode::connect::{Field, Format, Kind, Recorder, Schema, Value};
use crate::encode::smt::{self, Content, Fault, Guarded, Judge, Node, Part, Record, Slot, Step, Wrap};
use crate::position::Phase;

/// Shapes that are remembered; more in one process are planned again.
const SHAPES_MAX: usize = 4096;

/// A slot is one of these kinds in its upper half, and a number in its lower half.
const META: Slot = 0;
const ROW: [Slot; 2] = [1 << 16, 2 << 16];
const KEY: [Slot; 2] = [3 << 16, 4 << 16];
const NUMBER: Slot = 0xffff;
/// Of `META`: the members of the source block come first, then these.
const TS_MS: Slot = 32;
const TS_US: Slot = 33;
const TS_NS: Slot = 34;
const PREFIX: Slot = 35;
const CONTENT: Slot = 36;
/// The members of the block that says which transaction it is, in their order.
const BLOCK: [Slot; 3] = [40, 41, 42];

/// What records have in common that are planned once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    /// The table version; None for messages.
    version: Option<u64>,
    op: Op,
    part: Part,
    images: [bool; 2],
    /// Whether its transaction is told.
    told: bool,
}

/// Transforms, and what they made of each shape so far.
#[derive(Debug)]
pub(super) struct Transformed {
    steps: Vec<Guarded>,
    wrap: Wrap,
    plans: Vec<smt::Plan>,
    places: FxHashMap<Shape, usize>,
    /// The shape of the record before, which the next one mostly has too.
    last: Option<(Shape, usize)>,
    /// Of records that are no change, by their kind.
    notes: [Option<smt::Plan>; 2],
}

/// A change, and where its records go.
pub(super) struct Job<'a, 'b> {
    pub(super) row: &'a RowRef<'a>,
    pub(super) segment: &'a Segment,
    pub(super) profile: &'a Profile,
    pub(super) now_ns: i64,
    pub(super) change: usize,
    pub(super) open: &'b mut Option<Open>,
    pub(super) scratch: &'b mut Scratch,
    pub(super) judge: &'b mut dyn Judge,
    pub(super) forms: &'b mut Forms,
    pub(super) out: &'b mut Encoded,
}

impl Job<'_, '_> {
    /// Count an event in its transaction, if that is told.
    fn count(&mut self, collection: &str) -> Option<Block> {
        self.open.as_mut().map(|open| open.count(collection, self.row.entry().lsn))
    }
}

/// One record of a change.
#[derive(Clone, Copy)]
struct Spec<'a> {
    op: Op,
    part: Part,
    images: [Option<Tuple<'a>>; 2],
}

impl Transformed {
    pub(super) fn new(mut steps: Vec<Guarded>, profile: &Profile) -> Self {
        match profile.wrapping {
            Wrapping::CloudEvent { binary } => steps.push(Guarded { step: Step::CloudEvent { binary }, when: None }),
            Wrapping::Flat => steps.push(Guarded { step: Step::Unsent, when: None }),
            Wrapping::Plain | Wrapping::Payload => {}
        }
        let wrap = match (profile.schemas, profile.wrapping) {
            (true, _) => Wrap::Schema,
            (false, Wrapping::Payload) => Wrap::Payload,
            (false, _) => Wrap::Bare,
        };
        Self { steps, wrap, plans: Vec::new(), places: FxHashMap::default(), last: None, notes: [None, None] }
    }

    /// Write the records of a change of a table.
    pub(super) fn change(&mut self, plan: &Plan, job: &mut Job<'_, '_>) -> Result<(), Refusal> {
        let row = job.row;
        let spec = |op, images| Spec { op, part: Part::Event, images };
        match (row.op(), row.before(), row.after()) {
            (op @ (Op::Create | Op::Read), _, after @ Some(_)) => self.record(plan, spec(op, [None, after]), job),
            (Op::Update, before, Some(after)) => {
                if plan.has_key() && before.is_some_and(|before| moved(plan, row, [before, after], job.scratch)) {
                    self.deleted(plan, Spec { part: Part::OldKey, ..spec(Op::Delete, [before, None]) }, job)?;
                    let new = Spec { part: Part::NewKey, ..spec(Op::Create, [None, Some(after)]) };
                    return self.record(plan, new, job);
                }
                self.record(plan, spec(Op::Update, [before, Some(after)]), job)
            }
            (Op::Delete, before @ Some(_), _) => self.deleted(plan, spec(Op::Delete, [before, None]), job),
            (Op::Truncate, ..) => self.record(plan, spec(Op::Truncate, [None, None]), job),
            _ => Err(Refusal::Row("the row image that the operation needs was not sent")),
        }
    }

    /// A delete and its tombstone.
    fn deleted(&mut self, plan: &Plan, spec: Spec<'_>, job: &mut Job<'_, '_>) -> Result<(), Refusal> {
        self.record(plan, spec, job)?;
        if !job.profile.tombstones_on_delete {
            return Ok(());
        }
        let part = if spec.part == Part::OldKey { Part::OldTombstone } else { Part::Tombstone };
        self.record(plan, Spec { part, ..spec }, job)
    }

    fn record(&mut self, plan: &Plan, spec: Spec<'_>, job: &mut Job<'_, '_>) -> Result<(), Refusal> {
        let version = job.row.table().map(|table| table.version);
        let tombstone = matches!(spec.part, Part::Tombstone | Part::OldTombstone);
        let block = if tombstone { None } else { job.count(&plan.collection) };
        let images = spec.images.map(|image| image.is_some());
        let shape = Shape { version, op: spec.op, part: spec.part, images, told: block.is_some() };
        let place = self.place(shape, || table_record(plan, shape, job.row, job.profile));
        self.write(place, (Some(plan), spec), block, job)
    }

    /// Write a logical decoding message.
    pub(super) fn message(&mut self, job: &mut Job<'_, '_>) -> Result<(), Refusal> {
        let block = job.count("message");
        let told = block.is_some();
        let shape = Shape { version: None, op: Op::Message, part: Part::Event, images: [false; 2], told };
        let place = self.place(shape, || message_record(told, job.profile));
        let spec = Spec { op: Op::Message, part: Part::Event, images: [None, None] };
        self.write(place, (None, spec), block, job)
    }

    /// Write a record that is no change.
    pub(super) fn note(
        &mut self,
        (control, note): (&Control, Note<'_>),
        change: usize,
        forms: &mut Forms,
        out: &mut Encoded,
    ) -> Result<(), Fault> {
        let (kind, record, mut noted) = control.record(note);
        let way = (&self.steps[..], self.wrap);
        let plan = self.notes[kind].get_or_insert_with(|| smt::Plan::new(way.0, 0, record(), way.1));
        plan.write(way, &mut noted, forms, &mut NoScripts, change, out)
    }

    /// Where the plan of a shape is, made of the record that `make` gives if it is new.
    fn place(&mut self, shape: Shape, make: impl FnOnce() -> Record) -> usize {
        if let Some((last, place)) = self.last
            && last == shape
        {
            return place;
        }
        if self.plans.len() >= SHAPES_MAX {
            self.plans.clear();
            self.places.clear();
        }
        let (steps, wrap, plans) = (&self.steps, self.wrap, &mut self.plans);
        let place = *self.places.entry(shape).or_insert_with(|| {
            plans.push(smt::Plan::new(steps, 0, make(), wrap));
            plans.len() - 1
        });
        self.last = Some((shape, place));
        place
    }

    fn write(
        &mut self,
        place: usize,
        (known, spec): (Option<&Plan>, Spec<'_>),
        block: Option<Block>,
        job: &mut Job<'_, '_>,
    ) -> Result<(), Refusal> {
        let Some(plan) = self.plans.get_mut(place) else { return Ok(()) };
        let mut filled = Filled {
            row: job.row,
            segment: job.segment,
            plan: known,
            profile: job.profile,
            images: spec.images,
            now_ns: job.now_ns,
            block,
            scratch: &mut *job.scratch,
        };
        let way = (&self.steps[..], self.wrap);
        plan.write(way, &mut filled, &mut *job.forms, &mut *job.judge, job.change, &mut *job.out)
            .map_err(Refusal::Record)
    }
}

/// Whether an update gave a row another key.
fn moved(plan: &Plan, row: &RowRef<'_>, [before, after]: [Tuple<'_>; 2], scratch: &mut Scratch) -> bool {
    let mut key = |row, key_only, other| {
        let mut recorder = Recorder::default();
        plan.write_key(row, key_only, other, scratch, &mut recorder).map(|()| recorder.finish())
    };
    matches!((key(after, false, Some(before)), key(before, key_only(row), Some(after))), (Ok(new), Ok(old)) if new != old)
}

/// A record of a table before its first transform.
fn table_record(plan: &Plan, shape: Shape, row: &RowRef<'_>, profile: &Profile) -> Record {
    let old = matches!(shape.part, Part::OldKey | Part::OldTombstone) || shape.op == Op::Delete;
    let key = |which: Slot| plan.key_schema().map(|schema| filled(schema, which));
    let mut headers = Vec::new();
    match shape.part {
        Part::OldKey | Part::OldTombstone => headers.extend(key(KEY[1]).map(|key| ("__debezium.newkey".into(), key))),
        Part::NewKey => headers.extend(key(KEY[0]).map(|key| ("__debezium.oldkey".into(), key))),
        Part::Event | Part::Tombstone | Part::Control => {}
    }
    let text = |text: &str| Node::text(Schema::new(Kind::String), text);
    headers.extend(super::context_values(profile).map(|(name, value)| (name.into(), text(value))));
    let value = (!matches!(shape.part, Part::Tombstone | Part::OldTombstone)).then(|| envelope(plan, shape, row));
    let key = if shape.op == Op::Truncate { None } else { key(KEY[usize::from(!old)]) };
    Record {
        topic: plan.topic().into(),
        key,
        value,
        headers,
        cloud: None,
        attributes: Vec::new(),
        partition: None,
        part: shape.part,
    }
}

fn envelope(plan: &Plan, shape: Shape, row: &RowRef<'_>) -> Node {
    let image = |at: usize| {
        let cell = |index| {
            let (slot, sent) = (ROW[at] | index as Slot, Some(plan.sent(index)[at]));
            Content::Slot(smt::Source { slot, zone: None, default: None, sent })
        };
        if shape.images[at] { Content::Struct(plan.shown().map(cell).collect()) } else { Content::Null }
    };
    let (schema_name, table) = row.table().map_or(("", ""), |table| (&table.schema, &table.name));
    let content = Content::Struct(vec![
        image(0),
        image(1),
        source(schema_name, table, Some(&row.segment().origin().connector)),
        block(shape.told),
        Content::Fixed(Value::String(char::from(shape.op as u8).into())),
        Content::slot(TS_MS),
        Content::slot(TS_US),
        Content::slot(TS_NS),
    ]);
    Node { schema: plan.envelope_schema().clone(), content }
}

/// The members of a source block, in slots by their order; what a table always has is there at once.
fn source(schema_name: &str, table: &str, connector: Option<&str>) -> Content {
    let fixed = |text: &str| Content::Fixed(Value::String(text.into()));
    let member = |(at, member): (usize, &crate::encode::connect::Member)| match member.name.as_str() {
        "version" => fixed(VERSION),
        "schema" => fixed(schema_name),
        "table" => fixed(table),
        "connector" => connector.map_or(Content::slot(META | at as Slot), fixed),
        "xmin" => Content::Null,
        "snapshot" => {
            let (slot, default) = (META | at as Slot, member.schema.default.clone());
            Content::Slot(smt::Source { slot, zone: None, default, sent: None })
        }
        _ => Content::slot(META | at as Slot),
    };
    Content::Struct(schema::source().members().iter().enumerate().map(member).collect())
}

/// The block that says which transaction a record is part of.
fn block(told: bool) -> Content {
    if told { Content::Struct(BLOCK.map(Content::slot).into()) } else { Content::Null }
}

/// A struct of which each member is a slot.
fn filled(schema: &Schema, which: Slot) -> Node {
    let slots = (0..schema.members().len()).map(|at| Content::slot(which | at as Slot));
    Node { schema: schema.clone(), content: Content::Struct(slots.collect()) }
}

/// A message before its first transform.
fn message_record(told: bool, profile: &Profile) -> Record {
    let prefix = || Content::slot(PREFIX);
    let content = Content::Struct(vec![
        Content::Fixed(Value::String("m".into())),
        Content::slot(TS_MS),
        source("", "", None),
        block(told),
        Content::Struct(vec![prefix(), Content::slot(CONTENT)]),
    ]);
    Record {
        topic: super::naming::messages(&profile.topic_prefix),
        key: Some(Node { schema: schema::message_key(), content: Content::Struct(vec![prefix()]) }),
        value: Some(Node { schema: schema::message(profile), content }),
        headers: Vec::new(),
        cloud: None,
        attributes: Vec::new(),
        partition: None,
        part: Part::Event,
    }
}

/// A row that fills slots.
struct Filled<'a> {
    row: &'a RowRef<'a>,
    segment: &'a Segment,
    plan: Option<&'a Plan>,
    profile: &'a Profile,
    images: [Option<Tuple<'a>>; 2],
    now_ns: i64,
    block: Option<Block>,
    scratch: &'a mut Scratch,
}

impl<'a> Filled<'a> {
    /// The cell of a row slot, an unchanged one from the old row where that has it.
    #[inline]
    fn row_cell(&mut self, image: usize, index: usize) -> Option<Cell<'a>> {
        let cell = self.images[image]?.cell(index)?;
        if image == 1 && cell == Cell::Unchanged && self.row.entry().old_image == OldImage::Full {
            return self.row.before().and_then(|before| before.cell(index)).or(Some(cell));
        }
        Some(cell)
    }

    /// Write the first of `members`, as many as lie one behind the other in this image, at least one; returns how many.
    #[inline]
    fn row_members<F: Format>(
        &mut self,
        plan: &Plan,
        image: usize,
        members: &[(Field, Slot)],
        out: &mut F,
    ) -> Result<usize, Fault> {
        let full = self.row.entry().old_image == OldImage::Full;
        let key_only = image == 0 && self.row.entry().old_image == OldImage::Key;
        let mut cells = self.images[image].map(|image| image.cells());
        let mut next = 0;
        for (written, (field, slot)) in members.iter().enumerate() {
            let index = (slot & NUMBER) as usize;
            if slot & !NUMBER != ROW[image] || index < next {
                return Ok(written);
            }
            let mut cell = cells.as_mut().and_then(|cells| cells.nth(index - next)).unwrap_or(Cell::Null);
            if cell == Cell::Unchanged && image == 1 && full {
                cell = self.row.before().and_then(|before| before.cell(index)).unwrap_or(cell);
            }
            out.field(field);
            plan.write_cell(index, cell, key_only, self.scratch, out)
                .map_err(|(column, reason)| Fault { column: Some(column), reason: reason.into() })?;
            next = index + 1;
        }
        Ok(members.len())
    }

    fn key<F: Format>(&mut self, old: bool, part: usize, out: &mut F) -> Result<(), plan::Fault> {
        let Some(plan) = self.plan else { return Ok(()) };
        let (images, known) = ([self.row.before(), self.row.after()], (key_only(self.row), false));
        match (old, images) {
            (true, [Some(before), after]) => plan.write_part(part, before, (known.0, after), self.scratch, out),
            (false, [before, Some(after)]) => plan.write_part(part, after, (known.1, before), self.scratch, out),
            _ => Err((0, "the row image that the key needs was not sent")),
        }
    }

    fn meta<F: Format>(&self, number: Slot, out: &mut F) -> Result<(), &'static str> {
        let (txn, entry, origin) = (self.row.txn(), self.row.entry(), self.segment.origin());
        let at_snapshot = txn.phase == Phase::Snapshot;
        let lsn = if at_snapshot { txn.lsn } else { entry.lsn };
        match number {
            1 => return out.string(origin.connector.as_bytes()),
            2 => return out.string(self.profile.topic_prefix.as_bytes()),
            3 => out.integer(txn.at_us.div_euclid(1000)),
            4 if entry.snapshot == SnapshotFlag::Not => out.null(),
            4 => return out.string(snapshot(entry.snapshot)),
            5 => return out.string(origin.database.as_bytes()),
            6 if at_snapshot => return out.string(format!("[null,\"{lsn}\"]").as_bytes()),
            6 => return out.string(format!("[\"{}\",\"{lsn}\"]", txn.lsn).as_bytes()),
            7 => out.integer(txn.at_us),
            8 => out.integer(txn.at_us.wrapping_mul(1000)),
            11 if txn.xid > 0 && self.transactional() => out.integer(i64::from(txn.xid)),
            12 => out.integer(lsn.cast_signed()),
            14 | 15 => match (&txn.origin, number) {
                (Some((origin, _)), 14) => return out.string(origin.as_bytes()),
                (Some((_, lsn)), _) => out.integer(lsn.cast_signed()),
                (None, _) => out.null(),
            },
            TS_MS => out.integer(self.now_ns.div_euclid(1_000_000)),
            TS_US => out.integer(self.now_ns.div_euclid(1000)),
            TS_NS => out.integer(self.now_ns),
            _ if BLOCK.contains(&number) => match self.block {
                Some(block) => block.member((number - BLOCK[0]) as usize, out),
                None => out.null(),
            },
            PREFIX | CONTENT => match self.row.message() {
                Some((prefix, _)) if number == PREFIX => return out.string(prefix),
                Some((_, content)) => return super::binary::handled(content, self.profile.binary, out),
                None => out.null(),
            },
            _ => out.null(),
        }
        Ok(())
    }

    fn transactional(&self) -> bool {
        self.plan.is_some() || self.row.entry().flags & FLAG_TRANSACTIONAL != 0
    }
}

impl smt::Cells for Filled<'_> {
    #[inline]
    fn cell<F: Format>(&mut self, slot: Slot, out: &mut F) -> Result<(), Fault> {
        let number = (slot & NUMBER) as usize;
        let written = match (slot & !NUMBER, self.plan) {
            (image, Some(plan)) if ROW.contains(&image) => {
                let old = image == ROW[0];
                let cell = self.row_cell(usize::from(!old), number).unwrap_or(Cell::Null);
                let key_only = old && self.row.entry().old_image == OldImage::Key;
                plan.write_cell(number, cell, key_only, self.scratch, out)
            }
            (key, _) if KEY.contains(&key) => self.key(key == KEY[0], number, out),
            _ => return self.meta(slot & NUMBER, out).map_err(Fault::from),
        };
        written.map_err(|(column, reason)| Fault { column: Some(column), reason: reason.into() })
    }

    #[inline]
    fn members<F: Format>(&mut self, members: &[(Field, Slot)], out: &mut F) -> Result<(), Fault> {
        let mut rest = members;
        while let Some((field, slot)) = rest.first() {
            let written = match (self.plan, ROW.iter().position(|image| slot & !NUMBER == *image)) {
                (Some(plan), Some(at)) => self.row_members(plan, at, rest, out)?,
                _ => {
                    out.field(field);
                    self.cell(*slot, out)?;
                    1
                }
            };
            rest = &rest[written..];
        }
        Ok(())
    }

    fn same(&mut self, slots: [Slot; 2]) -> bool {
        let [old, new] = slots;
        if old & !NUMBER != ROW[0] || new & !NUMBER != ROW[1] {
            return false;
        }
        let cells = (self.row_cell(0, (old & NUMBER) as usize), self.row_cell(1, (new & NUMBER) as usize));
        matches!(cells, (Some(Cell::Text(old)), Some(Cell::Text(new))) if old == new)
    }

    fn is_unsent(&mut self, slot: Slot) -> bool {
        let Some(image) = ROW.iter().position(|image| slot & !NUMBER == *image) else { return false };
        match self.row_cell(image, (slot & NUMBER) as usize) {
            Some(Cell::Unchanged) => true,
            Some(Cell::Null) => image == 0 && self.row.entry().old_image == OldImage::Key,
            _ => false,
        }
    }

    fn now_ns(&self) -> i64 {
        self.now_ns
    }
}
