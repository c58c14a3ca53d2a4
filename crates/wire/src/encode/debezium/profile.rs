//! What a user can choose about the events: Debezium's options and defaults.

use super::form::Form;
use super::naming::Topics;
use super::rule::Rules;
use crate::batch::Op;
use crate::encode::Adjustment;
use crate::pattern::Patterns;

/// `decimal.handling.mode`: how `numeric` and `money` are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecimalMode {
    /// Base64 of the unscaled integer's bytes; a struct with the scale where the column has none.
    #[default]
    Precise,
    /// A JSON number, rounded to a double.
    Double,
    /// Text with all digits.
    String,
}

/// `time.precision.mode`: how dates, times and timestamps without a zone are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimePrecision {
    /// Days; milliseconds for up to three digits of a second, microseconds for more.
    #[default]
    Adaptive,
    /// The same, but times of day are microseconds always.
    AdaptiveTimeMicroseconds,
    /// Connect's own types: days and milliseconds.
    Connect,
    /// ISO 8601 in UTC.
    IsoString,
    /// The same without the letter for UTC, as SQL reads it; not one of Debezium's.
    Local,
    /// Days and microseconds.
    Microseconds,
    /// Days and nanoseconds.
    Nanoseconds,
}

/// `interval.handling.mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntervalMode {
    /// Microseconds, a month being 365.25 / 12 days.
    #[default]
    Numeric,
    /// ISO 8601's pattern, `P1Y2M3DT4H5M6.78S`.
    String,
}

/// `binary.handling.mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BinaryMode {
    /// Bytes, which are base64 in JSON.
    #[default]
    Bytes,
    /// Text in base64.
    Base64,
    /// Text in base64 with `-` and `_`.
    Base64UrlSafe,
    /// Text in hex.
    Hex,
}

/// `hstore.handling.mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HstoreMode {
    /// The text of a JSON object.
    #[default]
    Json,
    /// A map.
    Map,
}

/// What stands around keys and values, or in place of the envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrapping {
    /// Nothing but a schema, if those are wanted.
    #[default]
    Plain,
    /// Every key, value and header in `{"payload":…}`, as with a schema but without one.
    Payload,
    /// Rows that say what happened to them; what was not sent of them is null, and listed.
    Flat,
    /// Values are CloudEvents: in the structured form, or their data alone, with the attributes in headers.
    CloudEvent {
        /// Whether it is the binary form.
        binary: bool,
    },
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpSet(u8);

impl OpSet {
    /// Read a list as Debezium writes it (`"t"`, `"c,u"`, `"none"`); None for an unknown letter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() || text.trim() == "none" {
            return Some(Self::default());
        }
        text.split(',').try_fold(Self::default(), |set, letter| match letter.trim().as_bytes() {
            [letter] => Op::parse(*letter).map(|op| Self(set.0 | Self::bit(op))),
            _ => None,
        })
    }

    /// Whether `op` is in the set.
    #[must_use]
    pub fn contains(self, op: Op) -> bool {
        self.0 & Self::bit(op) != 0
    }

    const fn bit(op: Op) -> u8 {
        match op {
            Op::Create => 1,
            Op::Update => 2,
            Op::Delete => 4,
            Op::Read => 8,
            Op::Truncate => 16,
            Op::Message => 32,
        }
    }
}

/// Debezium's options that shape an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// `topic.prefix`, the logical name of the source.
    pub topic_prefix: String,
    /// `decimal.handling.mode`
    pub decimal: DecimalMode,
    /// `time.precision.mode`
    pub time: TimePrecision,
    /// `interval.handling.mode`
    pub interval: IntervalMode,
    /// `binary.handling.mode`
    pub binary: BinaryMode,
    /// `hstore.handling.mode`
    pub hstore: HstoreMode,
    /// `money.fraction.digits`
    pub money_digits: i16,
    /// `include.unknown.datatypes`
    pub unknown: bool,
    /// `tombstones.on.delete`
    pub tombstones_on_delete: bool,
    /// `unavailable.value.placeholder`, as bytes: it may be given in hex.
    pub unavailable: Vec<u8>,
    /// `skipped.operations`
    pub skipped: OpSet,
    /// `schemas.enable` of Kafka's JsonConverter: each key and value with its schema before it.
    pub schemas: bool,
    /// What stands around what is written.
    pub wrapping: Wrapping,
    /// Whether updates and deletes without their whole old row are refused.
    pub whole_before: bool,
    /// `key.converter`
    pub key_form: Form,
    /// `value.converter`
    pub value_form: Form,
    /// `extended.headers.enabled`: four `__debezium.context.…` headers on every record of a table.
    pub extended_headers: bool,
    /// The id of this run, one of those headers.
    pub run_id: String,
    /// `topic.…`
    pub topics: Topics,
    /// `schema.name.adjustment.mode`
    pub schema_names: Adjustment,
    /// `field.name.adjustment.mode`
    pub field_names: Adjustment,
    /// `column.…`, `datatype.…` and `message.key.columns`
    pub rules: Rules,
    /// `message.prefix.include.list` and `message.prefix.exclude.list`
    pub prefixes: [Patterns; 2],
    /// `provide.transaction.metadata`
    pub transactions: bool,
    /// `heartbeat.interval.ms`; 0 for none.
    pub heartbeat_ms: u64,
}

impl Profile {
    /// Debezium's defaults, without context headers.
    #[must_use]
    pub fn new(topic_prefix: impl Into<String>) -> Self {
        Self {
            topic_prefix: topic_prefix.into(),
            decimal: DecimalMode::Precise,
            time: TimePrecision::Adaptive,
            interval: IntervalMode::Numeric,
            binary: BinaryMode::Bytes,
            hstore: HstoreMode::Json,
            money_digits: 2,
            unknown: false,
            tombstones_on_delete: true,
            unavailable: "__debezium_unavailable_value".into(),
            skipped: OpSet(OpSet::bit(Op::Truncate)),
            schemas: false,
            wrapping: Wrapping::Plain,
            whole_before: false,
            key_form: Form::Json,
            value_form: Form::Json,
            extended_headers: false,
            run_id: String::new(),
            topics: Topics::default(),
            schema_names: Adjustment::None,
            field_names: Adjustment::None,
            rules: Rules::default(),
            prefixes: Default::default(),
            transactions: false,
            heartbeat_ms: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_operations_are_read_as_debezium_lists_them() {
        let set = OpSet::parse("c, t").unwrap_or_default();
        assert!(set.contains(Op::Create) && set.contains(Op::Truncate) && !set.contains(Op::Update));
        assert_eq!(OpSet::parse("none"), Some(OpSet::default()));
        assert_eq!(OpSet::parse("x"), None);
    }
}
