//! Records that are no event of a row: the two ends of a transaction, and heartbeats. They go with the batch in which they
//! fall, before or behind its rows.

use super::form::{Forms, HEARTBEATS, Spell, TRANSACTIONS};
use super::profile::Profile;
use super::transaction::{End, Summary};
use super::{Refusal, plan, schema};
use crate::encode::Encoded;
use crate::encode::connect::{Field, Format, Schema};
use crate::encode::encoded::opening;
use crate::encode::smt::{Cells, Content, Fault, Node, Part, Record, Slot};

/// How such records are written.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) transactions: Stationery,
    pub(super) heartbeats: Stationery,
    server: String,
}

/// What stands around the keys and values of one topic.
#[derive(Debug)]
pub(super) struct Stationery {
    topic: String,
    opening: Vec<u8>,
    schemas: [Schema; 2],
    heads: [Vec<u8>; 2],
    /// Under which the ids of its schemas are known.
    number: u64,
}

impl Stationery {
    fn new(topic: String, schemas: [Schema; 2], number: u64, profile: &Profile) -> Self {
        let heads = schemas.each_ref().map(|schema| if profile.schemas { plan::head(schema) } else { Vec::new() });
        Self { opening: opening(&topic), topic, schemas, heads, number }
    }

    /// Ask for the ids that its records need.
    pub(super) fn want(&self, forms: &mut Forms) {
        forms.want(self.number, &self.topic, self.schemas.each_ref().map(Some));
    }

    /// Write a record; `change` is the index of the change that it stands at.
    fn write(&self, change: usize, forms: &Forms, out: &mut Encoded, key: impl Spell, value: impl Spell) {
        let mut line = out.open(&self.opening);
        let [key_spelling, value_spelling] = forms.spellings(self.number);
        // Neither a place nor a time is ever refused, and such a record is short.
        let _ = key_spelling.write(&self.heads[0], &self.schemas[0], key, &mut out.bytes);
        out.end_key(&mut line);
        let _ = value_spelling.write(&self.heads[1], &self.schemas[1], value, &mut out.bytes);
        out.end_value(&mut line);
        let _ = out.close(&line, change);
    }

    /// Such a record before its first transform.
    fn record(&self) -> Record {
        let node = |half: usize, from: Slot| {
            let slots = (0..self.schemas[half].members().len()).map(|at| Content::slot(from + at as Slot));
            Node { schema: self.schemas[half].clone(), content: Content::Struct(slots.collect()) }
        };
        Record {
            topic: self.topic.clone(),
            key: Some(node(0, KEY)),
            value: Some(node(1, VALUE)),
            headers: Vec::new(),
            cloud: None,
            attributes: Vec::new(),
            partition: None,
            part: Part::Control,
        }
    }
}

/// What such a record says.
#[derive(Clone, Copy)]
pub(super) enum Note<'a> {
    /// That a transaction begins, or ends.
    End(End<'a>),
    /// That there is nothing to say: when, nanoseconds since the Unix epoch.
    Beat(i64),
}

/// The slots of a record: the only member of its key, and those of its value.
const KEY: Slot = 0;
const VALUE: Slot = 1;

/// A note that fills slots.
pub(super) struct Noted<'a> {
    note: Note<'a>,
    server: &'a str,
}

impl Cells for Noted<'_> {
    fn is_unsent(&mut self, _: Slot) -> bool {
        false
    }

    fn cell<F: Format>(&mut self, slot: Slot, out: &mut F) -> Result<(), Fault> {
        match (self.note, slot) {
            (Note::End(end), KEY) => end.id(out),
            (Note::End(end), member) => end.member((member - VALUE) as usize, out),
            (Note::Beat(_), KEY) => out.string(self.server.as_bytes())?,
            (Note::Beat(now_ns), _) => out.integer(now_ns.div_euclid(1_000_000)),
        }
        Ok(())
    }

    fn members<F: Format>(&mut self, members: &[(Field, Slot)], out: &mut F) -> Result<(), Fault> {
        members.iter().try_for_each(|(field, slot)| {
            out.field(field);
            self.cell(*slot, out)
        })
    }

    fn same(&mut self, _: [Slot; 2]) -> bool {
        false
    }

    fn now_ns(&self) -> i64 {
        if let Note::Beat(now_ns) = self.note { now_ns } else { 0 }
    }
}

impl Control {
    pub(super) fn new(profile: &Profile) -> Self {
        let prefix = &profile.topic_prefix;
        let transactions = [schema::transaction_key(), schema::transaction_value()];
        let heartbeats = [schema::heartbeat_key(), schema::heartbeat_value()];
        let (topics, beats) = (profile.topics.transaction(prefix), profile.topics.heartbeat(prefix));
        Self {
            transactions: Stationery::new(topics, transactions, TRANSACTIONS, profile),
            heartbeats: Stationery::new(beats, heartbeats, HEARTBEATS, profile),
            server: prefix.clone(),
        }
    }

    /// Write a record; `change` is the index of the change that it stands at.
    pub(super) fn write(&self, note: Note<'_>, change: usize, forms: &Forms, out: &mut Encoded) {
        match note {
            Note::End(end) => self.transactions.write(change, forms, out, end, Summary(end)),
            Note::Beat(now_ns) => {
                let beat = Beat(now_ns.div_euclid(1_000_000));
                self.heartbeats.write(change, forms, out, Server(&self.server), beat);
            }
        }
    }

    /// Where a record would go if it were not for transforms.
    pub(super) fn topic(&self, note: Note<'_>) -> &str {
        match note {
            Note::End(_) => &self.transactions.topic,
            Note::Beat(_) => &self.heartbeats.topic,
        }
    }

    /// A record before its first transform, which kind it is of, and what fills it.
    pub(super) fn record<'a>(&'a self, note: Note<'a>) -> (usize, impl FnOnce() -> Record + 'a, Noted<'a>) {
        let (kind, stationery) = match note {
            Note::End(_) => (0, &self.transactions),
            Note::Beat(_) => (1, &self.heartbeats),
        };
        (kind, || stationery.record(), Noted { note, server: &self.server })
    }
}

/// The key of a heartbeat.
struct Server<'a>(&'a str);

impl Spell for Server<'_> {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        static NAME: Field = Field::fixed(0, b"\"serverName\":", false);
        out.begin_struct();
        out.field(&NAME);
        out.string(self.0.as_bytes()).map_err(Refusal::Row)?;
        out.end_struct();
        Ok(())
    }
}

/// Its value: when, in milliseconds.
struct Beat(i64);

impl Spell for Beat {
    fn spell<F: Format>(self, out: &mut F) -> Result<(), Refusal> {
        static TS_MS: Field = Field::fixed(0, b"\"ts_ms\":", false);
        out.begin_struct();
        out.field(&TS_MS);
        out.integer(self.0);
        out.end_struct();
        Ok(())
    }
}
