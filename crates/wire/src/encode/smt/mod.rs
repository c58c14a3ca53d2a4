//! Single message transforms, by Debezium's names and rules: what they make of a record, whatever it is encoded as.
//!
//! A transform runs once for each shape of a record (a table version, an operation, which images there are), on slots in
//! place of values ([`record`]); what a row costs is filling the slots that were left ([`write`]). Where a transform needs
//! to know a value, it asks ([`Ask`]), and the plan branches: each answer has a plan of its own, made when it first
//! comes. A condition in Python is such a question too.

mod cloud;
mod hash;
mod header;
mod option;
mod partition;
mod record;
mod route;
mod unsent;
mod unwrap;
mod write;
mod zone;

pub use hash::HashFunction;
pub use header::{Changed, Pair, ToValue};
pub use partition::ByFields;
pub use record::{Content, Node, Part, Partition, Record, Sent, Slot, Source, Text};
pub use route::{ByTable, Replace};
pub use unwrap::{Added, Deletes, Unwrap};
pub use write::{Answer, Cells, Fault, Judge, Plan, Question, Spell, Spelled, Wrap};
pub use zone::{Rules, ToZone, Zone};

use crate::pattern::Pattern;

/// What a condition does to records without a value (`null.handling.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nulls {
    /// They pass.
    #[default]
    Keep,
    /// They are dropped.
    Drop,
    /// They are judged as others are.
    Evaluate,
}

/// A condition or a topic in another language, and what it is for.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// `topic.regex`: for which topics; None for all.
    pub topics: Option<Pattern>,
    /// `null.handling.mode`
    pub nulls: Nulls,
}

/// A transform.
#[derive(Clone, Debug)]
pub enum Step {
    /// `ExtractNewRecordState`
    Unwrap(Unwrap),
    /// `ByLogicalTableRouter`
    ByTable(Box<ByTable>),
    /// `ExtractChangedRecordState`
    Changed(Changed),
    /// `HeaderToValue`
    ToValue(ToValue),
    /// `PartitionRouting`
    Partition(ByFields),
    /// `TimezoneConverter`
    Zone(ToZone),
    /// `Filter` and `ContentBasedRouter`: the answer says which.
    Script(Script),
    /// What the profile `flat` makes of a row that `ExtractNewRecordState` left, whoever asked for that.
    Unsent,
    /// What `CloudEventsConverter` makes of an envelope; or, if `binary`, the same with attributes as headers.
    CloudEvent {
        /// Whether it is the binary form.
        binary: bool,
    },
}

/// When a transform applies, as Kafka Connect's predicates.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// `TopicNameMatches`
    Topic(Pattern),
    /// `RecordIsTombstone`
    Tombstone,
    /// `HasHeaderKey`
    Header(String),
}

/// A transform, and when it applies: a predicate, and whether that must not hold.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// What it does.
    pub step: Step,
    /// When; None is always.
    pub when: Option<(Predicate, bool)>,
}

/// What a transform must know of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// The text that stands there: the topic, unless it is null or blank.
    Topic(Node),
    /// Which of these fields changed.
    Changed(Vec<Pair>),
    /// Which of these columns were not sent.
    Unsent(Vec<(String, Slot)>),
    /// What the language that is not ours says.
    Script,
}

/// What a transform made of a record.
enum Flow {
    Next(Record),
    Drop,
    Refuse(&'static str),
    Ask(Ask, Record),
}

impl Guarded {
    /// None when it cannot be decided.
    fn applies(&self, record: &Record) -> Option<bool> {
        let Some((predicate, negate)) = &self.when else { return Some(true) };
        let holds = match predicate {
            Predicate::Topic(topics) => topics.verdict(&record.topic)?,
            Predicate::Tombstone => record.is_tombstone(),
            Predicate::Header(name) => record.header(name).is_some(),
        };
        Some(holds != *negate)
    }

    fn apply(&self, record: Record) -> Flow {
        match self.applies(&record) {
            Some(true) => {}
            Some(false) => return Flow::Next(record),
            None => return Flow::Refuse(UNDECIDED),
        }
        match &self.step {
            Step::Unwrap(unwrap) => unwrap.apply(record),
            Step::ByTable(router) => router.apply(record),
            Step::Changed(changed) => changed.apply(record),
            Step::ToValue(to_value) => to_value.apply(record),
            Step::Partition(fields) => fields.apply(record),
            Step::Zone(zone) => zone.apply(record),
            Step::Unsent => unsent::apply(record),
            Step::CloudEvent { binary } => cloud::apply(record, *binary),
            // A script judges changes; there is none.
            Step::Script(_) if record.part == Part::Control => Flow::Next(record),
            Step::Script(script) => match script.topics.as_ref().map_or(Some(true), |it| it.verdict(&record.topic)) {
                None => Flow::Refuse(UNDECIDED),
                Some(false) => Flow::Next(record),
                Some(true) => match script.nulls {
                    Nulls::Keep if record.is_tombstone() => Flow::Next(record),
                    Nulls::Drop if record.is_tombstone() => Flow::Drop,
                    _ => Flow::Ask(Ask::Script, record),
                },
            },
        }
    }
}

const UNDECIDED: &str = "a regular expression that takes too many steps for this topic's name: make it simpler";
