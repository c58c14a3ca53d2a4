//! `ByLogicalTableRouter`: the records of several tables in one topic.

use regex::Regex;

use super::Flow;
use super::record::{Node, Record};
use crate::encode::connect::{Kind, Schema};

/// A pattern that must match a whole text, as Java's `Matcher.matches`, and what to put in its place.
#[derive(Clone, Debug)]
pub struct Replace {
    pattern: Regex,
    replacement: String,
}

impl Replace {
    /// Compile both.
    ///
    /// # Errors
    /// In words, when the pattern is none that can be used here, or the replacement names a group that is not there.
    pub fn new(pattern: &str, replacement: &str) -> Result<Self, String> {
        let pattern = whole(pattern)?;
        let this = Self { pattern, replacement: replacement.to_owned() };
        this.expand(None)?;
        Ok(this)
    }

    /// The replacement for a text that matches.
    #[must_use]
    pub fn of(&self, text: &str) -> Option<String> {
        let captures = self.pattern.captures(text)?;
        self.expand(Some(&captures)).ok()
    }

    /// Java's rules: `$n` takes as many digits as make a group, `${name}` a named group, `\c` is a plain `c`.
    fn expand(&self, captures: Option<&regex::Captures<'_>>) -> Result<String, String> {
        let groups = self.pattern.captures_len();
        let numbered = |number: usize| captures.and_then(|found| found.get(number)).map_or("", |group| group.as_str());
        let mut out = String::new();
        let mut rest = self.replacement.chars().peekable();
        while let Some(char) = rest.next() {
            match char {
                '\\' => out.push(rest.next().ok_or("it ends in a backslash")?),
                '$' if rest.peek() == Some(&'{') => {
                    let name: String = rest.by_ref().skip(1).take_while(|char| *char != '}').collect();
                    if !self.pattern.capture_names().flatten().any(|known| known == name) {
                        return Err(format!("the pattern has no group {name:?}"));
                    }
                    out.push_str(captures.and_then(|found| found.name(&name)).map_or("", |group| group.as_str()));
                }
                '$' => {
                    let digit = |char: char| char.to_digit(10).map(|digit| digit as usize);
                    let mut number = rest.next().and_then(digit).ok_or("behind $ there must be a group")?;
                    while let Some(next) = rest.peek().copied().and_then(digit) {
                        if number * 10 + next >= groups {
                            break;
                        }
                        number = number * 10 + next;
                        rest.next();
                    }
                    if number >= groups {
                        return Err(format!("the pattern has no group {number}"));
                    }
                    out.push_str(numbered(number));
                }
                char => out.push(char),
            }
        }
        Ok(out)
    }
}

/// A pattern that must match a whole text.
///
/// # Errors
/// In words, when it is none that can be used here.
pub fn whole(pattern: &str) -> Result<Regex, String> {
    // On its own first: what closes a group that it did not open is no pattern.
    Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$"))).map_err(|_| {
        format!("{pattern:?} is no regular expression that can be used here (look-around and back references cannot)")
    })
}

/// What becomes of a schema's name.
pub type Adjust = fn(&str) -> String;

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
    pub adjust: Adjust,
}

impl ByTable {
    /// Apply it.
    pub(super) fn apply(&self, mut record: Record) -> Flow {
        let Some(topic) = self.topic.of(&record.topic).filter(|topic| !topic.is_empty()) else {
            return Flow::Next(record);
        };
        if let Some(key) = record.key.as_mut().filter(|key| matches!(key.schema.kind, Kind::Struct(_))) {
            key.schema.name = Some((self.adjust)(&format!("{topic}.Key")).into());
            if let Some(field) = &self.key_field {
                let table = self.key_value.as_ref().and_then(|replace| replace.of(&record.topic));
                let table = table.unwrap_or_else(|| record.topic.clone());
                key.put(field, Node::text(Schema::new(Kind::String), &table));
            }
        }
        if let Some(envelope) = record.value.as_mut().filter(|value| value.is_envelope() && !value.is_null()) {
            for image in ["before", "after"] {
                let name = (self.adjust)(&format!("{topic}.Value"));
                envelope.change(image, |schema, _| schema.name = Some(name.into()));
            }
            envelope.schema.name = Some((self.adjust)(&format!("{topic}.Envelope")).into());
        }
        record.topic = topic;
        Flow::Next(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_follow_javas_rules() {
        let of = |pattern: &str, replacement: &str, text: &str| {
            Replace::new(pattern, replacement).map(|replace| replace.of(text))
        };
        assert_eq!(of("(.*)customers_(.*)", "$1customers", "shop.customers_7"), Ok(Some("shop.customers".into())));
        assert_eq!(of("(.)(.)", "$21$1\\$", "ab"), Ok(Some("b1a$".into())));
        assert_eq!(of("(?<name>a+)b", "${name}", "aab"), Ok(Some("aa".into())));
        assert_eq!(of("a", "b", "aa"), Ok(None));
        assert!(of("a", "$1", "a").is_err());
        assert!(of("a(?=b)", "x", "a").is_err());
        assert!(of("a)(b", "x", "a").is_err());
    }
}
