//! From what transforms left of a record to bytes: a tree of plans, grown as answers come, and the rows that fill them.

use std::borrow::Cow;
use std::cell::Cell;

use rustc_hash::FxHashMap;

use super::record::{Content, Node, Partition, Record, Slot, Source, Text};
use super::{Ask, Flow, Guarded, Step, hash, unsent};
use crate::encode::connect::{Field, Format, Half, Json, Member, Recorder, Schema, Value, write_schema};
use crate::encode::encoded::{Encoded, opening};
use crate::value::time::civil_from_days;

/// Answers that are remembered at one place; more in one process are made again.
const ANSWERS_MAX: usize = 1024;
/// What Kafka allows.
const TOPIC_MAX: usize = 249;

/// Why a record cannot be written; never holds a value (I9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The column that it is about.
    pub column: Option<usize>,
    /// In words.
    pub reason: Cow<'static, str>,
}

impl From<&'static str> for Fault {
    fn from(reason: &'static str) -> Self {
        Self { column: None, reason: Cow::Borrowed(reason) }
    }
}

/// A row, as an encoder fills slots from it.
pub trait Cells {
    /// Write the value of a slot.
    ///
    /// # Errors
    /// When it cannot be written.
    fn cell<F: Format>(&mut self, slot: Slot, out: &mut F) -> Result<(), Fault>;

    /// Write the values of slots, each as the member that it stands with.
    ///
    /// # Errors
    /// When one cannot be written.
    fn members<F: Format>(&mut self, members: &[(Field, Slot)], out: &mut F) -> Result<(), Fault>;

    /// Whether two slots are known to hold the same without converting them.
    fn same(&mut self, slots: [Slot; 2]) -> bool;

    /// Whether the server has not sent a slot's value.
    fn is_unsent(&mut self, slot: Slot) -> bool;

    /// The time of processing, nanoseconds since the Unix epoch.
    fn now_ns(&self) -> i64;
}

/// What a record is before a script sees it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Index of the transform that asks.
    pub step: usize,
    /// Index of the change in the batch.
    pub change: usize,
    /// The record as it is there.
    pub record: &'a Record,
    /// What its headers hold.
    pub headers: &'a [(&'a str, Value)],
}

/// Who answers for conditions in another language.
pub trait Judge {
    /// What becomes of a record.
    ///
    /// # Errors
    /// In words without values, when the script fails: the change is refused.
    fn judge(&mut self, question: &Question<'_>) -> Result<Answer, String>;
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It stays as it is.
    Keep,
    /// It is dropped.
    Drop,
    /// It goes to this topic.
    Topic(String),
    /// Which fields changed, or were not sent.
    Changed(Vec<bool>),
}

/// What stands around a value in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrap {
    /// Nothing.
    #[default]
    Bare,
    /// `{"schema":…,"payload":…}`
    Schema,
    /// `{"payload":…}`
    Payload,
}

/// Who spells keys and values, in JSON or in a format whose schemas a registry keeps.
pub trait Spell {
    /// Append half a record of `topic`.
    ///
    /// # Errors
    /// When it cannot be written.
    fn spell<C: Cells>(
        &mut self,
        half: Half,
        topic: &str,
        spelled: &Spelled,
        cells: &mut C,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault>;
}

/// What is known of records of one shape.
#[derive(Debug)]
pub enum Plan {
    /// They are dropped.
    Drop,
    /// They cannot be written.
    Refuse(&'static str),
    /// They are written so.
    Write(Box<Written>),
    /// It depends.
    Ask(Box<Pending>),
}

/// A record that waits for an answer before its next transform.
#[derive(Debug)]
pub struct Pending {
    ask: Ask,
    record: Record,
    step: usize,
    answers: FxHashMap<Answer, Plan>,
}

/// The fixed bytes of a record, and the slots between them.
#[derive(Debug)]
pub struct Written {
    topic: String,
    opening: Vec<u8>,
    key: Option<Spelled>,
    value: Option<Spelled>,
    headers: Vec<(String, Spelled)>,
    attributes: Vec<(String, Content)>,
    partition: Option<Partition>,
}

/// A key, a value or a header.
#[derive(Debug)]
pub struct Spelled {
    /// The number under which whoever spells it knows its schema.
    pub number: Cell<Option<u64>>,
    schema: Option<Schema>,
    /// The CloudEvent that it is the data of, up to there; empty when it stands alone.
    cloud: Vec<Piece>,
    before: Vec<u8>,
    pieces: Vec<Piece>,
    bare: bool,
    after: &'static [u8],
}

/// A step of writing a value.
#[derive(Debug)]
enum Piece {
    Begin,
    Field(Field),
    /// Members that a row fills as it is.
    Members(Vec<(Field, Slot)>),
    Slot(Source),
    Fixed(Value),
    Text(Text, Vec<Content>),
    End,
}

impl Plan {
    /// What the transforms from `step` on make of a record.
    #[must_use]
    pub fn new(steps: &[Guarded], step: usize, mut record: Record, wrap: Wrap) -> Self {
        for (index, guarded) in steps.iter().enumerate().skip(step) {
            record = match guarded.apply(record) {
                Flow::Next(record) => record,
                Flow::Drop => return Self::Drop,
                Flow::Refuse(reason) => return Self::Refuse(reason),
                Flow::Ask(ask, record) => {
                    return Self::Ask(Box::new(Pending { ask, record, step: index, answers: FxHashMap::default() }));
                }
            };
        }
        if !is_topic(&record.topic) {
            return Self::Refuse("a topic whose name Kafka does not allow: [a-zA-Z0-9._-], up to 249 of them");
        }
        Self::Write(Box::new(Written::new(record, wrap)))
    }

    /// Append the record of a row, if there is one.
    ///
    /// # Errors
    /// When it cannot be written; `out` must be rewound then.
    pub fn write<C: Cells, S: Spell>(
        &mut self,
        (steps, wrap): (&[Guarded], Wrap),
        cells: &mut C,
        spell: &mut S,
        judge: &mut dyn Judge,
        change: usize,
        out: &mut Encoded,
    ) -> Result<(), Fault> {
        let mut plan = self;
        loop {
            match plan {
                Self::Drop => return Ok(()),
                Self::Refuse(reason) => return Err(Fault::from(*reason)),
                Self::Write(written) => return written.write(cells, spell, change, out),
                Self::Ask(pending) => {
                    let answer = pending.answer(cells, judge, change)?;
                    if pending.answers.len() >= ANSWERS_MAX {
                        pending.answers.clear();
                    }
                    if !pending.answers.contains_key(&answer) {
                        let next = pending.resume(&answer, steps, wrap);
                        pending.answers.insert(answer.clone(), next);
                    }
                    let Some(next) = pending.answers.get_mut(&answer) else { return Ok(()) };
                    plan = next;
                }
            }
        }
    }
}

fn is_topic(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_MAX).contains(&name.len()) && name.bytes().all(sound) && !matches!(name, "." | "..")
}

impl Pending {
    fn answer<C: Cells>(&self, cells: &mut C, judge: &mut dyn Judge, change: usize) -> Result<Answer, Fault> {
        match &self.ask {
            Ask::Topic(node) => Ok(match recorded(&node.content, cells)? {
                Value::String(topic) if !topic.trim().is_empty() => Answer::Topic(topic),
                _ => Answer::Keep,
            }),
            Ask::Changed(pairs) => {
                let differs = |pair: &super::Pair| -> Result<bool, Fault> {
                    if let [Content::Slot(old), Content::Slot(new)] = &pair.contents
                        && cells.same([old.slot, new.slot])
                    {
                        return Ok(false);
                    }
                    Ok(recorded(&pair.contents[0], cells)? != recorded(&pair.contents[1], cells)?)
                };
                pairs.iter().map(differs).collect::<Result<_, _>>().map(Answer::Changed)
            }
            Ask::Unsent(columns) => {
                Ok(Answer::Changed(columns.iter().map(|(_, slot)| cells.is_unsent(*slot)).collect()))
            }
            Ask::Script => {
                let headers = self.record.headers.iter();
                let headers = headers.map(|(name, node)| Ok((name.as_str(), recorded(&node.content, cells)?)));
                let headers = headers.collect::<Result<Vec<_>, Fault>>()?;
                judge
                    .judge(&Question { step: self.step, change, record: &self.record, headers: &headers })
                    .map_err(|reason| Fault { column: None, reason: Cow::Owned(reason) })
            }
        }
    }

    fn resume(&self, answer: &Answer, steps: &[Guarded], wrap: Wrap) -> Plan {
        let mut record = self.record.clone();
        match answer {
            Answer::Keep => {}
            Answer::Drop => return Plan::Drop,
            Answer::Topic(topic) => record.topic.clone_from(topic),
            Answer::Changed(changed) => match (&self.ask, steps.get(self.step).map(|guarded| &guarded.step)) {
                (Ask::Changed(pairs), Some(Step::Changed(step))) => record = step.answer(record, pairs, changed),
                (Ask::Unsent(columns), _) => match unsent::answer(record, columns, changed) {
                    Ok(answered) => record = answered,
                    Err(reason) => return Plan::Refuse(reason),
                },
                _ => {}
            },
        }
        Plan::new(steps, self.step + 1, record, wrap)
    }
}

/// The value at a place, on its own; of a struct the list of its members' values.
fn recorded<C: Cells>(content: &Content, cells: &mut C) -> Result<Value, Fault> {
    Ok(match content {
        Content::Null => Value::Null,
        Content::Struct(contents) => {
            let values = contents.iter().map(|content| Ok((true, recorded(content, cells)?)));
            Value::List(values.collect::<Result<_, Fault>>()?)
        }
        Content::Fixed(value) => value.clone(),
        Content::Text(text, parts) => made(*text, parts, cells)?,
        Content::Slot(source) => {
            let mut recorder = Recorder::default();
            cells.cell(source.slot, &mut recorder)?;
            let value = recorder.finish().unwrap_or(Value::Null);
            match (value, &source.zone, &source.default) {
                (Value::Null, _, Some(default)) => default.clone(),
                (Value::Integer(value), Some(zone), _) => Value::Integer(zone.integer(value)),
                (Value::String(text), Some(zone), _) => {
                    let moved = zone.text(text.as_bytes(), cells.now_ns());
                    Value::String(moved.and_then(|moved| String::from_utf8(moved).ok()).unwrap_or(text))
                }
                (value, ..) => value,
            }
        }
    })
}

/// A text that is made of others' values.
fn made<C: Cells>(text: Text, parts: &[Content], cells: &mut C) -> Result<Value, Fault> {
    let mut joined = String::new();
    for part in parts {
        match (text, recorded(part, cells)?) {
            (Text::Instant, Value::Integer(ms)) => joined.push_str(&instant(ms)),
            (_, Value::Integer(number)) => joined.push_str(&number.to_string()),
            (_, Value::String(part)) => joined.push_str(&part),
            (Text::Joined, _) => joined.push_str("null"),
            (Text::Digits | Text::Instant, _) => return Ok(Value::Null),
        }
    }
    Ok(Value::String(joined))
}

/// A time in UTC, RFC 3339 with milliseconds.
fn instant(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil_from_days(days);
    let (seconds, ms) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

impl Written {
    fn new(record: Record, wrap: Wrap) -> Self {
        Self {
            opening: opening(&record.topic),
            topic: record.topic,
            key: record.key.map(|key| Spelled::new(&key, wrap).described(key.schema)),
            value: record.value.map(|value| {
                let spelled = Spelled::new(&value, wrap).described(value.schema);
                Spelled { cloud: record.cloud.as_ref().map_or_else(Vec::new, opened), ..spelled }
            }),
            headers: record.headers.iter().map(|(name, node)| (name.clone(), Spelled::new(node, wrap))).collect(),
            attributes: record.attributes,
            partition: record.partition,
        }
    }

    fn write<C: Cells, S: Spell>(
        &self,
        cells: &mut C,
        spell: &mut S,
        change: usize,
        out: &mut Encoded,
    ) -> Result<(), Fault> {
        let mut line = out.open(&self.opening);
        for (half, spelled) in [(Half::Key, &self.key), (Half::Value, &self.value)] {
            match spelled {
                Some(spelled) => spell.spell(half, &self.topic, spelled, cells, &mut out.bytes)?,
                None => out.bytes.extend_from_slice(b"null"),
            }
            if half == Half::Key {
                out.end_key(&mut line);
            }
        }
        out.end_value(&mut line);
        for (name, spelled) in &self.headers {
            let mut value = Vec::new();
            spelled.write_json(cells, &mut value)?;
            out.header(&line, name, &value);
        }
        for (name, content) in &self.attributes {
            if let Value::String(text) = recorded(content, cells)? {
                out.header(&line, name, text.as_bytes());
            }
        }
        if let Some(partition) = &self.partition {
            out.partition(&mut line, place(partition, cells)?);
        }
        if out.close(&line, change) { Ok(()) } else { Err(Fault::from("a record of more than 4 GB")) }
    }
}

/// The partition for a row; None when all that it goes by is null.
fn place<C: Cells>(partition: &Partition, cells: &mut C) -> Result<Option<u32>, Fault> {
    let mut hashes = Vec::with_capacity(partition.nodes.len());
    for node in &partition.nodes {
        let value = recorded(&node.content, cells)?;
        if value != Value::Null {
            let hashed = partition.function.hash(&node.schema, &value);
            hashes.push(hashed.ok_or(Fault::from("partition_payload_fields names a struct or a map"))?);
        }
    }
    Ok((!hashes.is_empty()).then(|| hash::partition(hashes, partition.count)))
}

impl Spelled {
    fn new(node: &Node, wrap: Wrap) -> Self {
        let mut before = Vec::new();
        match wrap {
            Wrap::Bare => {}
            Wrap::Schema => {
                before.extend_from_slice(b"{\"schema\":");
                write_schema(&node.schema, &mut before);
                before.extend_from_slice(b",\"payload\":");
            }
            Wrap::Payload => before.extend_from_slice(b"{\"payload\":"),
        }
        let mut pieces = Vec::new();
        compile(&node.schema, &node.content, &mut pieces);
        let after: &[u8] = if wrap == Wrap::Bare { b"" } else { b"}" };
        Self {
            number: Cell::new(None),
            schema: None,
            cloud: Vec::new(),
            before,
            pieces,
            bare: wrap != Wrap::Schema,
            after,
        }
    }

    fn described(self, schema: Schema) -> Self {
        Self { schema: Some(schema), ..self }
    }

    /// What it is; None of a header, which is JSON always.
    #[must_use]
    pub const fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    /// Append it as JSON, with what stands around it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json<C: Cells>(&self, cells: &mut C, out: &mut Vec<u8>) -> Result<(), Fault> {
        if !self.cloud.is_empty() {
            write_pieces(&self.cloud, cells, &mut Json::new(out, true))?;
            out.extend_from_slice(b",\"data\":");
        }
        out.extend_from_slice(&self.before);
        self.write(cells, &mut Json::new(out, self.bare))?;
        out.extend_from_slice(self.after);
        if !self.cloud.is_empty() {
            out.push(b'}');
        }
        Ok(())
    }

    /// Write it in any format.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write<C: Cells, F: Format>(&self, cells: &mut C, out: &mut F) -> Result<(), Fault> {
        write_pieces(&self.pieces, cells, out)
    }
}

/// The pieces of a struct that is not closed.
fn opened(node: &Node) -> Vec<Piece> {
    let mut pieces = Vec::new();
    compile(&node.schema, &node.content, &mut pieces);
    pieces.pop_if(|piece| matches!(piece, Piece::End));
    pieces
}

/// Write pieces in a format.
#[inline]
fn write_pieces<C: Cells, F: Format>(pieces: &[Piece], cells: &mut C, out: &mut F) -> Result<(), Fault> {
    for piece in pieces {
        match piece {
            Piece::Members(members) => cells.members(members, out)?,
            Piece::Field(field) => out.field(field),
            Piece::Slot(Source { slot, zone: None, default: None, .. }) => cells.cell(*slot, out)?,
            Piece::Slot(source) => recorded(&Content::Slot(source.clone()), cells)?.write(out),
            Piece::Fixed(value) => value.write(out),
            Piece::Text(text, parts) => made(*text, parts, cells)?.write(out),
            Piece::Begin => out.begin_struct(),
            Piece::End => out.end_struct(),
        }
    }
    Ok(())
}

fn compile(schema: &Schema, content: &Content, pieces: &mut Vec<Piece>) {
    match content {
        Content::Null => pieces.push(Piece::Fixed(Value::Null)),
        Content::Fixed(value) => pieces.push(Piece::Fixed(value.clone())),
        Content::Slot(source) => pieces.push(Piece::Slot(source.clone())),
        Content::Text(text, parts) => pieces.push(Piece::Text(*text, parts.clone())),
        Content::Struct(contents) => {
            pieces.push(Piece::Begin);
            for (index, (Member { name, schema }, content)) in schema.members().iter().zip(contents).enumerate() {
                let field = Field::new(index as u16, name, schema.optional);
                let field = if schema.default.is_some() { field.with_default() } else { field };
                match (content, pieces.last_mut()) {
                    (Content::Slot(Source { slot, zone: None, default: None, .. }), Some(Piece::Members(members))) => {
                        members.push((field, *slot));
                    }
                    (Content::Slot(Source { slot, zone: None, default: None, .. }), _) => {
                        pieces.push(Piece::Members(vec![(field, *slot)]));
                    }
                    _ => {
                        pieces.push(Piece::Field(field));
                        compile(schema, content, pieces);
                    }
                }
            }
            pieces.push(Piece::End);
        }
    }
}
