//! Debezium 3.6's change events as JSON, for PostgreSQL. The real engine is the judge of every
//! byte: `tests/conformance` compares. Never reads a clock: the caller says what time it is.
//!
//! `plan` knows a table version, `schema` what it says of itself, `codec` a column; `number`, `text`, `temporal`, `binary`
//! and `array` each write a family of types, in any format; `envelope` is what stands around the rows in JSON, `event` in
//! any format, and `form` which that is.

mod array;
mod binary;
mod codec;
mod control;
mod default;
mod envelope;
mod event;
mod form;
mod mask;
mod naming;
mod number;
mod option;
mod plan;
mod profile;
mod rule;
pub mod schema;
mod source_type;
mod temporal;
#[cfg(test)]
mod tests;
mod text;
mod transaction;
mod transformed;
mod uuid;
mod vector;

use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use codec::Scratch;
pub use event::Event;
pub use form::{Form, Unregistered};
pub use option::unavailable;
pub use plan::{Fault, Plan};
pub use profile::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, OpSet, Profile, TimePrecision};
pub(crate) use uuid::name_based;

use self::control::{Control, Note};
use self::envelope::Frame;
use self::event::{OfMessage, OfRow, Prefix};
use self::form::{Forms, MESSAGES, Spelling, close_payload};
use self::plan::KeyOf;
use self::transaction::{End, Open};
use self::transformed::{Job, Transformed};
use crate::batch::{FLAG_TRANSACTIONAL, OldImage, Op, RowRef, Segment, Tuple};
use crate::encode::Encoded;
pub use crate::encode::connect::Half;
use crate::encode::connect::{Json, Schema};
use crate::encode::encoded::{Line, opening};
use crate::encode::json;
use crate::encode::smt::{self, Answer, Guarded, Judge, Question};
use crate::error::{Error, Result};
use crate::position::Phase;
use crate::table::Table;

/// Plans that are kept; more table versions than this in one process are rare, and planning is cheap.
const PLANS_MAX: usize = 4096;

/// Encodes segments for one profile; keeps a plan for each table version.
#[derive(Debug)]
pub struct Encoder {
    profile: Profile,
    messages: Vec<u8>,
    forms: Forms,
    /// Those of the change at hand.
    spellings: [Spelling; 2],
    now_ns: i64,
    message_schemas: [Schema; 2],
    message_heads: [Vec<u8>; 2],
    context: Vec<(&'static str, Vec<u8>)>,
    plans: FxHashMap<u64, Arc<Plan>>,
    transformed: Option<Transformed>,
    frame: Frame,
    scratch: Scratch,
    key: Vec<u8>,
    old_key: Vec<u8>,
    control: Control,
    /// The transaction of the last row, when transactions are told of.
    open: Option<Open>,
    /// When the last heartbeat was written, or could have been for the first time.
    beat_ns: Option<i64>,
    /// When the heartbeat was written that is not settled yet.
    beats: Option<i64>,
}

/// How far the encoding of a batch has come.
#[derive(Debug, Default)]
pub struct Course {
    /// Index in the batch of the first change that is still to be encoded.
    pub change: usize,
    /// When it is processed, nanoseconds since the Unix epoch.
    pub now_ns: i64,
    /// Whether what comes next is the batch's last segment.
    pub last: bool,
    open: Option<Open>,
}

/// Why a change cannot be written, before it has words.
enum Refusal {
    Cell(Fault),
    Row(&'static str),
    Record(smt::Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Cell(fault)
    }
}

impl Encoder {
    /// An encoder without plans yet.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let messages = opening(&naming::messages(&profile.topic_prefix));
        let message_schemas = [schema::message_key(), schema::message(&profile)];
        let head = |schema: &Schema| if profile.schemas { plan::head(schema) } else { Vec::new() };
        Self {
            context: context(&profile),
            forms: Forms::new([profile.key_form, profile.value_form]),
            spellings: [Spelling::default(); 2],
            now_ns: 0,
            control: Control::new(&profile),
            open: None,
            beat_ns: None,
            beats: None,
            message_heads: message_schemas.each_ref().map(head),
            message_schemas,
            profile,
            messages,
            plans: FxHashMap::default(),
            transformed: None,
            frame: Frame::default(),
            scratch: Scratch::default(),
            key: Vec::new(),
            old_key: Vec::new(),
        }
    }

    /// The same, with these transforms of every record, in order; none costs nothing.
    #[must_use]
    pub fn transforming(mut self, steps: Vec<Guarded>) -> Self {
        self.transformed = (!steps.is_empty() || self.profile.wrapping != profile::Wrapping::Plain)
            .then(|| Transformed::new(steps, &self.profile));
        self
    }

    /// The options.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The registry's id of a schema that [`Self::encode`] asked for.
    pub fn register(&mut self, version: u64, half: Half, id: u32) {
        self.forms.register(version, half, id);
    }

    /// Replace what `out` holds by the records of `segment`, the whole of a batch. `base_index` is the index of its first
    /// change; `now_ns` is the time of processing, nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// Those of [`Self::encode_next`].
    pub fn encode(&mut self, segment: &Segment, base_index: usize, now_ns: i64, out: &mut Encoded) -> Result<()> {
        let mut course = Course { change: base_index, now_ns, last: true, open: None };
        self.encode_next(segment, &mut course, &mut NoScripts, out)
    }

    /// Replace what `out` holds by the records of the next segment of a batch.
    ///
    /// # Errors
    /// [`Error::Reject`] with every change that the format cannot carry (index in the batch), [`Error::Unregistered`] with
    /// the schemas that need an id first; `out` is empty then, and `course` where it was. `judge` answers for
    /// transforms in another language.
    pub fn encode_next(
        &mut self,
        segment: &Segment,
        course: &mut Course,
        judge: &mut dyn Judge,
        out: &mut Encoded,
    ) -> Result<()> {
        self.open.clone_from(&course.open);
        let end = course.change + segment.len();
        let mut written = self.rows(segment, course, judge, out);
        if course.last && written.is_ok() {
            written = self.leave(end, out).and_then(|()| self.beat(course.now_ns, end, out));
        }
        self.settle(written, out)?;
        (course.change, course.open) = (end, self.open.take());
        Ok(())
    }

    /// Replace what `out` holds by what a batch without changes has: a heartbeat, if it is time for one.
    ///
    /// # Errors
    /// [`Error::Unregistered`] with the schemas that need an id first.
    pub fn encode_idle(&mut self, now_ns: i64, out: &mut Encoded) -> Result<()> {
        out.restart(self.has_lines());
        let written = self.beat(now_ns, 0, out);
        self.settle(written, out)
    }

    /// Of what was written nothing is left unless all of it could be, and the ids of all schemas were known.
    fn settle(&mut self, written: Result<()>, out: &mut Encoded) -> Result<()> {
        let settled = match (self.forms.check(), written) {
            (Err(Error::Unregistered(wanted)), _) => Err(Error::Unregistered(wanted)),
            (checked, written) => checked.and(written),
        };
        match settled {
            Ok(()) => self.beat_ns = self.beats.take().or(self.beat_ns),
            Err(_) => out.clear(),
        }
        settled
    }

    fn rows(&mut self, segment: &Segment, course: &Course, judge: &mut dyn Judge, out: &mut Encoded) -> Result<()> {
        let (base_index, now_ns) = (course.change, course.now_ns);
        out.restart(self.has_lines());
        self.now_ns = now_ns;
        self.frame.begin(&self.profile.topic_prefix, segment.origin(), now_ns);
        let plans: Vec<Arc<Plan>> = segment.tables().iter().map(|table| self.plan(table)).collect();
        self.ask(segment, &plans)?;
        let mut rejected = Vec::new();
        for (index, row) in segment.rows().enumerate() {
            let change = base_index + index;
            let skipped = self.profile.skipped.contains(row.op());
            // Debezium has the publication leave out rows that are skipped: only a TRUNCATE begins a transaction all the same.
            if self.profile.transactions && (!skipped || row.op() == Op::Truncate) {
                self.enter(&row, change, out)?;
            }
            if skipped || !row.message().is_none_or(|(prefix, _)| self.wants(prefix)) {
                continue;
            }
            let mark = out.mark();
            let plan = plans.get(usize::from(row.entry().table));
            if !self.forms.are_json() {
                self.spellings = self.forms.spellings(row.table().map_or(MESSAGES, |table| table.version));
            }
            let written = match &mut self.transformed {
                _ if self.profile.whole_before && lacks_before(&row) => Err(NO_BEFORE),
                None => self.change(&row, plan, change, out),
                Some(transformed) => {
                    let (profile, scratch) = (&self.profile, &mut self.scratch);
                    let judge = &mut *judge;
                    let forms = &mut self.forms;
                    let open = &mut self.open;
                    let mut job = Job { row: &row, segment, profile, now_ns, change, open, scratch, judge, forms, out };
                    match plan {
                        Some(plan) => transformed.change(plan, &mut job),
                        None => transformed.message(&mut job),
                    }
                }
            };
            if let Err(refusal) = written {
                out.rewind(mark);
                rejected.push((change, refusal.words(&row)));
            }
        }
        if rejected.is_empty() { Ok(()) } else { Err(Error::Reject(rejected)) }
    }

    /// Check that the ids of all that is known before its rows are read have been told.
    fn ask(&mut self, segment: &Segment, plans: &[Arc<Plan>]) -> Result<()> {
        if self.forms.are_json() {
            return Ok(());
        }
        if self.transformed.is_none() {
            if self.profile.transactions && segment.txns().iter().any(|txn| txn.phase == Phase::Row) {
                self.control.transactions.want(&mut self.forms);
            }
            for (table, plan) in segment.tables().iter().zip(plans) {
                self.forms.want(table.version, plan.topic(), [plan.key_schema(), Some(plan.envelope_schema())]);
            }
            if segment.rows().any(|row| row.table().is_none()) {
                let topic = naming::messages(&self.profile.topic_prefix);
                self.forms.want(MESSAGES, &topic, self.message_schemas.each_ref().map(Some));
            }
        }
        self.forms.check()
    }

    /// Tell that transactions end and begin where this row does not belong to the last one's.
    fn enter(&mut self, row: &RowRef<'_>, change: usize, out: &mut Encoded) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.holds(row)) {
            return Ok(());
        }
        self.leave(change, out)?;
        self.open = Open::of(row);
        // The message of the beginning has no LSN where one of the origin follows, and Debezium writes that.
        let begin = if row.txn().origin.is_some() { 0 } else { row.entry().lsn };
        self.tell_end(Some(begin), change, out)
    }

    /// Tell the end of the last transaction.
    fn leave(&mut self, change: usize, out: &mut Encoded) -> Result<()> {
        self.tell_end(None, change.saturating_sub(1), out)?;
        self.open = None;
        Ok(())
    }

    /// Tell the beginning or the end of the transaction that is open, if one is.
    fn tell_end(&mut self, begin: Option<u64>, change: usize, out: &mut Encoded) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let told = self.tell(Note::End(End { open: &open, begin }), change, out);
        self.open = Some(open);
        told
    }

    /// Write a record that is no change.
    fn tell(&mut self, note: Note<'_>, change: usize, out: &mut Encoded) -> Result<()> {
        let Some(transformed) = &mut self.transformed else {
            self.control.write(note, change, &self.forms, out);
            return Ok(());
        };
        let noted = transformed.note((&self.control, note), change, &mut self.forms, out);
        noted.map_err(|fault| Error::Named(format!("topic {}: {}", self.control.topic(note), fault.reason)))
    }

    /// Write a heartbeat if it is time.
    fn beat(&mut self, now_ns: i64, change: usize, out: &mut Encoded) -> Result<()> {
        let interval = i64::try_from(self.profile.heartbeat_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        self.beats = None;
        if interval == 0 || now_ns.saturating_sub(*self.beat_ns.get_or_insert(now_ns)) < interval {
            return Ok(());
        }
        if self.transformed.is_none() {
            self.control.heartbeats.want(&mut self.forms);
        }
        self.beats = Some(now_ns);
        self.tell(Note::Beat(now_ns), change, out)
    }

    /// Whether all parts of a record are JSON.
    fn has_lines(&self) -> bool {
        self.forms.are_json() && self.profile.wrapping != profile::Wrapping::CloudEvent { binary: true }
    }

    fn plan(&mut self, table: &Arc<Table>) -> Arc<Plan> {
        if self.plans.len() >= PLANS_MAX {
            self.plans.clear();
        }
        let plan = self.plans.entry(table.version).or_insert_with(|| Arc::new(Plan::new(table, &self.profile)));
        Arc::clone(plan)
    }

    /// Write the records of one change.
    #[inline]
    fn change(
        &mut self,
        row: &RowRef<'_>,
        plan: Option<&Arc<Plan>>,
        change: usize,
        out: &mut Encoded,
    ) -> std::result::Result<(), Refusal> {
        let Some(plan) = plan else { return self.message(row, change, out) };
        match (row.op(), row.before(), row.after()) {
            (Op::Create | Op::Read, _, Some(after)) => {
                let mut line = out.open(&plan.opening);
                write_key(self.spellings[0], plan, after, false, None, &mut self.scratch, &mut out.bytes)?;
                out.end_key(&mut line);
                self.event(row, plan, row.op(), [None, Some(after)], &mut out.bytes)?;
                self.close(line, change, &[], out)
            }
            (Op::Update, before, Some(after)) => self.update(row, plan, before, after, change, out),
            (Op::Delete, Some(before), _) => {
                self.old_key.clear();
                write_key(self.spellings[0], plan, before, key_only(row), None, &mut self.scratch, &mut self.old_key)?;
                self.delete(row, plan, before, change, &[], out)
            }
            (Op::Truncate, ..) => {
                let mut line = out.open(&plan.opening);
                out.bytes.extend_from_slice(b"null");
                out.end_key(&mut line);
                self.event(row, plan, Op::Truncate, [None, None], &mut out.bytes)?;
                self.close(line, change, &[], out)
            }
            _ => Err(Refusal::Row("the row image that the operation needs was not sent")),
        }
    }

    /// An update; a changed key makes it a delete of the old one and a create of the new one.
    fn update(
        &mut self,
        row: &RowRef<'_>,
        plan: &Plan,
        before: Option<Tuple<'_>>,
        after: Tuple<'_>,
        change: usize,
        out: &mut Encoded,
    ) -> std::result::Result<(), Refusal> {
        self.key.clear();
        write_key(self.spellings[0], plan, after, false, before, &mut self.scratch, &mut self.key)?;
        if let Some(before) = before.filter(|_| plan.has_key()) {
            self.old_key.clear();
            write_key(
                self.spellings[0],
                plan,
                before,
                key_only(row),
                Some(after),
                &mut self.scratch,
                &mut self.old_key,
            )?;
            if self.old_key != self.key {
                let [named_old, named_new] = self.named_keys(row, plan, [before, after])?;
                let new_key = std::mem::take(&mut self.key);
                let deleted = self.delete(row, plan, before, change, &[("__debezium.newkey", &named_new)], out);
                self.key = new_key;
                deleted?;
                let mut line = out.open(&plan.opening);
                out.bytes.extend_from_slice(&self.key);
                out.end_key(&mut line);
                self.event(row, plan, Op::Create, [None, Some(after)], &mut out.bytes)?;
                return self.close(line, change, &[("__debezium.oldkey", &named_old)], out);
            }
        }
        let mut line = out.open(&plan.opening);
        out.bytes.extend_from_slice(&self.key);
        out.end_key(&mut line);
        self.event(row, plan, Op::Update, [before, Some(after)], &mut out.bytes)?;
        self.close(line, change, &[], out)
    }

    /// Keys as headers hold them, which are always JSON: the old one and the new one.
    fn named_keys(
        &mut self,
        row: &RowRef<'_>,
        plan: &Plan,
        [before, after]: [Tuple<'_>; 2],
    ) -> std::result::Result<[Vec<u8>; 2], Refusal> {
        if self.spellings[0].is_json() {
            return Ok([self.old_key.clone(), self.key.clone()]);
        }
        let (mut old, mut new, json) = (Vec::new(), Vec::new(), Spelling::default());
        write_key(json, plan, before, key_only(row), Some(after), &mut self.scratch, &mut old)?;
        write_key(json, plan, after, false, Some(before), &mut self.scratch, &mut new)?;
        Ok([old, new])
    }

    /// A delete under `self.old_key`, and its tombstone.
    fn delete(
        &mut self,
        row: &RowRef<'_>,
        plan: &Plan,
        before: Tuple<'_>,
        change: usize,
        headers: &[(&str, &[u8])],
        out: &mut Encoded,
    ) -> std::result::Result<(), Refusal> {
        let mut line = out.open(&plan.opening);
        out.bytes.extend_from_slice(&self.old_key);
        out.end_key(&mut line);
        self.event(row, plan, Op::Delete, [Some(before), None], &mut out.bytes)?;
        self.close(line, change, headers, out)?;
        if self.profile.tombstones_on_delete {
            let mut line = out.open(&plan.opening);
            out.bytes.extend_from_slice(&self.old_key);
            out.end_key(&mut line);
            out.bytes.extend_from_slice(b"null");
            self.close(line, change, headers, out)?;
        }
        Ok(())
    }
}

impl Encoder {
    /// The value of a row's event: `[before, after]`.
    #[inline]
    fn event(
        &mut self,
        row: &RowRef<'_>,
        plan: &Plan,
        op: Op,
        [before, after]: [Option<Tuple<'_>>; 2],
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Refusal> {
        let block = self.open.as_mut().map(|open| open.count(&plan.collection, row.entry().lsn));
        if !self.spellings[1].is_json() {
            let (profile, now_ns) = (&self.profile, self.now_ns);
            let event = Event { row, op, images: [before, after], profile, now_ns, block };
            let row = OfRow { event, plan, scratch: &mut self.scratch };
            return self.spellings[1].write_framed(plan.envelope_schema(), row, out);
        }
        let [_, head] = &plan.heads;
        let bare = head.is_empty();
        out.extend_from_slice(head);
        out.extend_from_slice(b"{\"before\":");
        match before {
            Some(before) => {
                plan.write_row(before, key_only(row), None, &mut self.scratch, &mut Json::new(out, bare))?;
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"after\":");
        match after {
            Some(after) => {
                let full = if row.entry().old_image == OldImage::Full { row.before() } else { None };
                plan.write_row(after, false, full, &mut self.scratch, &mut Json::new(out, bare))?;
            }
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        self.frame.write_source(row, &plan.source, block, true, out);
        self.frame.write_end(op, out);
        close_payload(head, out);
        Ok(())
    }

    /// A logical decoding message: its own envelope, in a topic of its own, without context headers.
    fn message(&mut self, row: &RowRef<'_>, change: usize, out: &mut Encoded) -> std::result::Result<(), Refusal> {
        const NOT_UTF8: Refusal = Refusal::Row("a message whose prefix is not UTF-8");
        let (prefix, content) = row.message().ok_or(Refusal::Row("a change without a table"))?;
        let mut line = out.open(&self.messages);
        let ([key, value], [key_head, head]) = (self.spellings, &self.message_heads);
        let [key_schema, schema] = &self.message_schemas;
        key.write(key_head, key_schema, Prefix(prefix), &mut out.bytes)?;
        out.end_key(&mut line);
        let block = self.open.as_mut().map(|open| open.count("message", row.entry().lsn));
        if value.is_json() {
            out.bytes.extend_from_slice(head);
            out.bytes.extend_from_slice(b"{\"op\":\"m\"");
            out.bytes.extend_from_slice(self.frame.message_time());
            out.bytes.push(b',');
            let transactional = row.entry().flags & FLAG_TRANSACTIONAL != 0;
            self.frame.write_source(row, b",\"schema\":\"\",\"table\":\"\"", block, transactional, &mut out.bytes);
            out.bytes.extend_from_slice(b",\"message\":{\"prefix\":");
            json::string(prefix, &mut out.bytes).ok_or(NOT_UTF8)?;
            out.bytes.extend_from_slice(b",\"content\":");
            let bare = head.is_empty();
            let written = binary::handled(content, self.profile.binary, &mut Json::new(&mut out.bytes, bare));
            written.map_err(Refusal::Row)?;
            out.bytes.extend_from_slice(b"}}");
            close_payload(head, &mut out.bytes);
        } else {
            let (profile, now_ns) = (&self.profile, self.now_ns);
            let event = Event { row, op: Op::Message, images: [None, None], profile, now_ns, block };
            value.write_framed(schema, OfMessage { event, message: (prefix, content) }, &mut out.bytes)?;
        }
        out.end_value(&mut line);
        if out.close(&line, change) { Ok(()) } else { Err(TOO_LONG) }
    }

    /// Whether messages of this prefix are written.
    fn wants(&self, prefix: &[u8]) -> bool {
        let [include, exclude] = &self.profile.prefixes;
        let prefix = String::from_utf8_lossy(prefix);
        (include.is_empty() || include.matches(&prefix, false))
            && (exclude.is_empty() || !exclude.matches(&prefix, true))
    }

    /// End a line whose value was written: its headers, and the context headers if they are wanted.
    #[inline]
    fn close(
        &self,
        mut line: Line,
        change: usize,
        headers: &[(&str, &[u8])],
        out: &mut Encoded,
    ) -> std::result::Result<(), Refusal> {
        out.end_value(&mut line);
        for (name, value) in headers {
            out.header(&line, name, value);
        }
        for (name, value) in &self.context {
            out.header(&line, name, value);
        }
        if out.close(&line, change) { Ok(()) } else { Err(TOO_LONG) }
    }
}

/// Append a row's key with its schema, if the profile wants that; `null` for a table without key.
#[inline]
fn write_key(
    spelling: Spelling,
    plan: &Plan,
    row: Tuple<'_>,
    key_only: bool,
    other: Option<Tuple<'_>>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> std::result::Result<(), Refusal> {
    let Some(schema) = plan.key_schema() else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    spelling.write(&plan.heads[0], schema, KeyOf { plan, row, key_only, other, scratch }, out)
}

/// Whether nulls of the old image mean "not sent".
fn key_only(row: &RowRef<'_>) -> bool {
    row.entry().old_image == OldImage::Key
}

/// Whether the old row of an update or a delete was not sent, or its key only.
fn lacks_before(row: &RowRef<'_>) -> bool {
    matches!(row.op(), Op::Update | Op::Delete) && row.entry().old_image != OldImage::Full
}

const NO_BEFORE: Refusal =
    Refusal::Row("profile = \"flink\" needs the whole old row: ALTER TABLE … REPLICA IDENTITY FULL");
const TOO_LONG: Refusal = Refusal::Row("a record of more than 4 GB");

/// For encoders without transforms in another language.
struct NoScripts;

impl Judge for NoScripts {
    fn judge(&mut self, _: &Question<'_>) -> std::result::Result<Answer, String> {
        Err("a transform in another language, which nobody here speaks".into())
    }
}

/// What `extended.headers.enabled` adds to every record of a table.
fn context(profile: &Profile) -> Vec<(&'static str, Vec<u8>)> {
    let quoted = |(name, text): (&'static str, &str)| {
        let mut json = Vec::new();
        plan::member("", text, &mut json);
        (name, json)
    };
    context_values(profile).map(quoted).collect()
}

fn context_values(profile: &Profile) -> impl Iterator<Item = (&'static str, &str)> {
    let values = [
        ("__debezium.context.connectorLogicalName", profile.topic_prefix.as_str()),
        ("__debezium.context.taskId", "0"),
        ("__debezium.context.connectorName", "postgresql"),
        ("__debezium.context.runId", &profile.run_id),
    ];
    values.into_iter().take(if profile.extended_headers { 4 } else { 0 })
}

impl Refusal {
    /// Names the table and column, never a value (I9).
    fn words(&self, row: &RowRef<'_>) -> String {
        let (column, reason) = match self {
            Self::Cell((column, reason)) => (Some(*column), *reason),
            Self::Row(reason) => (None, *reason),
            Self::Record(fault) => (fault.column, &*fault.reason),
        };
        let Some(table) = row.table() else { return reason.to_owned() };
        match column.and_then(|index| table.columns.get(index)) {
            Some(column) => format!("{table}, column {:?} ({}): {reason}", column.name, column.kind),
            None => format!("{table}: {reason}"),
        }
    }
}
