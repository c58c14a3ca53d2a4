//! `ByLogicalTableRouter`: the records of several tables in one topic.

use super::Flow;
use super::record::{Node, Record};
use crate::encode::Adjustment;
use crate::encode::connect::{Kind, Schema};
use crate::pattern::Pattern;

/// A pattern that must match a whole text, as Java's `Matcher.matches`, and what to put in its place.
#[derive(Clone, Debug)]
pub struct Replace {
    pattern: Pattern,
    replacement: String,
}

impl Replace {
    /// Compile both.
    ///
    /// # Errors
    /// In words, when the pattern is none that can be used here, or the replacement names a group that is not there.
    pub fn new(pattern: &str, replacement: &str) -> Result<Self, String> {
        let pattern = Pattern::parse_exact(pattern)?;
        pattern.check(replacement)?;
        Ok(Self { pattern, replacement: replacement.to_owned() })
    }

    /// The replacement for a text that matches.
    #[must_use]
    pub fn of(&self, text: &str) -> Option<String> {
        self.pattern.replace(text, &self.replacement)
    }
}

/// The options.
#[derive(Clone, Debug)]
pub struct ByTable {
    /// `topic.regex`, `topic.replacement`
    pub topic: Replace,
    /// `key.field.name`, if `key.enforce.uniqueness`
    pub key_field: Option<String>,
    /// `key.field.regex`, `key.field.replacement`
    pub key_value: Option<Replace>,
    /// `schema.name.adjustment.mode`
    pub adjust: Adjustment,
}

impl ByTable {
    /// Apply it.
    pub(super) fn apply(&self, mut record: Record) -> Flow {
        let Some(topic) = self.topic.of(&record.topic).filter(|topic| !topic.is_empty()) else {
            return Flow::Next(record);
        };
        if let Some(key) = record.key.as_mut().filter(|key| matches!(key.schema.kind, Kind::Struct(_))) {
            key.schema.name = Some(self.adjust.schema(&format!("{topic}.Key")).into());
            if let Some(field) = &self.key_field {
                let table = self.key_value.as_ref().and_then(|replace| replace.of(&record.topic));
                let table = table.unwrap_or_else(|| record.topic.clone());
                key.put(field, Node::text(Schema::new(Kind::String), &table));
            }
        }
        if let Some(envelope) = record.value.as_mut().filter(|value| value.is_envelope() && !value.is_null()) {
            for image in ["before", "after"] {
                let name = self.adjust.schema(&format!("{topic}.Value"));
                envelope.change(image, |schema, _| schema.name = Some(name.into()));
            }
            envelope.schema.name = Some(self.adjust.schema(&format!("{topic}.Envelope")).into());
        }
        record.topic = topic;
        Flow::Next(record)
    }
}
