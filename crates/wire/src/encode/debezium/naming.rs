//! What topics and fields are called.

use crate::encode::adjust::push_unit;
use crate::pattern::Pattern;
use crate::table::Table;

/// `topic.naming.strategy` and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Topics {
    /// `topic.delimiter`
    pub delimiter: String,
    /// Whether the schema is a part of the name: all strategies that begin with `Schema`.
    pub schema: bool,
    /// Whether other characters than a topic's become `_u0020` and the like instead of an underscore.
    pub unicode: bool,
    /// Whether the strategy has `Regex` in its name.
    pub reroutes: bool,
    /// What such a strategy does.
    pub rerouting: Rerouting,
    /// `topic.transaction`
    pub transaction: String,
    /// `topic.heartbeat.prefix`
    pub heartbeat_prefix: String,
    /// `topic.heartbeat.name`: the whole name instead.
    pub heartbeat_name: Option<String>,
}

/// What the strategies with `Regex` in their name do.
#[derive(Clone, Debug, PartialEq)]
pub struct Rerouting {
    /// `topic.regex`; the topics that do not match keep their name.
    pub regex: Option<Pattern>,
    /// `topic.replacement`
    pub replacement: String,
    /// `topic.key.enforce.uniqueness`: whether keys get a field that tells tables of one topic apart.
    pub unique: bool,
    /// `topic.key.field.name`
    pub field: String,
    /// `topic.key.field.regex`
    pub field_regex: Option<Pattern>,
    /// `topic.key.field.replacement`
    pub field_replacement: String,
}

impl Default for Rerouting {
    fn default() -> Self {
        Self {
            regex: None,
            replacement: String::new(),
            unique: true,
            field: "__dbz__physicalTableIdentifier".into(),
            field_regex: None,
            field_replacement: String::new(),
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            delimiter: ".".into(),
            schema: true,
            unicode: false,
            reroutes: false,
            rerouting: Rerouting::default(),
            transaction: "transaction".into(),
            heartbeat_prefix: "__debezium-heartbeat".into(),
            heartbeat_name: None,
        }
    }
}

impl Topics {
    /// The topic of a table.
    #[must_use]
    pub fn table(&self, prefix: &str, table: &Table) -> String {
        let topic = sanitised(&self.origin(prefix, table), self.unicode);
        let Rerouting { regex, replacement, .. } = &self.rerouting;
        let rerouted = regex.as_ref().filter(|_| self.reroutes).and_then(|regex| regex.replace(&topic, replacement));
        rerouted.filter(|topic| !topic.is_empty()).map_or(topic, |topic| sanitised(&topic, false))
    }

    /// The field that a key of this table gets besides its columns, and its value.
    #[must_use]
    pub fn key_field(&self, prefix: &str, table: &Table) -> Option<(&str, String)> {
        let Rerouting { unique, field, field_regex, field_replacement, .. } = &self.rerouting;
        if !self.reroutes || !unique {
            return None;
        }
        let origin = self.origin(prefix, table);
        let replaced = field_regex.as_ref().and_then(|regex| regex.replace(&origin, field_replacement));
        Some((field, replaced.unwrap_or(origin)))
    }

    /// The topic of transactions.
    #[must_use]
    pub fn transaction(&self, prefix: &str) -> String {
        sanitised(&[prefix, &self.delimiter, &self.transaction].concat(), false)
    }

    /// The topic of heartbeats.
    #[must_use]
    pub fn heartbeat(&self, prefix: &str) -> String {
        let joined = || [&self.heartbeat_prefix, self.delimiter.as_str(), prefix].concat();
        sanitised(&self.heartbeat_name.clone().unwrap_or_else(joined), false)
    }

    fn origin(&self, prefix: &str, table: &Table) -> String {
        let parts = [prefix, if self.schema { &table.schema } else { "" }, &table.name];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.trim().is_empty()).collect();
        parts.join(&self.delimiter)
    }
}

/// The topic of messages, which has no other name.
pub(super) fn messages(prefix: &str) -> String {
    sanitised(&format!("{prefix}.message"), false)
}

/// A topic's name: each UTF-16 unit that it cannot have becomes an underscore, or `_u0020` and the like.
pub(super) fn sanitised(name: &str, unicode: bool) -> String {
    let mut out = String::new();
    for unit in name.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b".-".contains(&byte) => out.push(byte.into()),
            Ok(b'_') if !unicode => out.push('_'),
            _ if unicode => push_unit(unit, &mut out),
            _ => out.push('_'),
        }
    }
    out.truncate(TOPIC_LEN_MAX);
    out
}

/// The longest name of a topic in Kafka.
const TOPIC_LEN_MAX: usize = 249;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_sanitised_as_debezium_does() {
        let topics = Topics::default();
        let name = Table::new("public".into(), "We ird$.Näme".into(), vec![], vec![]);
        assert_eq!(topics.table("shop", &name), "shop.public.We_ird_.N_me");
        let topics = Topics { unicode: true, ..topics };
        assert_eq!(topics.table("shop", &name), "shop.public.We_u0020ird_u0024.N_u00e4me");
    }
}
