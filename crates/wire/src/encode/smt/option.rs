//! Options of transforms as texts: the one place where their values are read. Their table, with defaults and meanings, is
//! Python's (`src/tailrace/format/transform.py`). Messages name the option and what it takes.

use super::{
    Added, ByFields, ByTable, Changed, Deletes, Guarded, HashFunction, Nulls, Predicate, Replace, Script, Step,
    ToValue, ToZone, Unwrap,
};
use crate::encode::Adjustment;
use crate::pattern::Pattern;

/// The options of one transform by name, defaults included.
struct Options<'a> {
    kind: &'a str,
    given: &'a [(String, String)],
}

impl Guarded {
    /// A transform by its kind and its options, Debezium's names with underscores for dots. All that have a default must
    /// be given; what is not known is not looked at.
    ///
    /// # Errors
    /// In words: which option has a value that it does not take.
    pub fn parse(kind: &str, given: &[(String, String)]) -> Result<Self, String> {
        let options = Options { kind, given };
        let step = match kind {
            "extract_new_record_state" => Step::Unwrap(options.unwrap()?),
            "by_logical_table_router" => Step::ByTable(Box::new(options.by_table()?)),
            "extract_changed_record_state" => Step::Changed(Changed {
                changed: options.header("header_changed_name")?,
                unchanged: options.header("header_unchanged_name")?,
            }),
            "header_to_value" => Step::ToValue(options.to_value()?),
            "partition_routing" => Step::Partition(options.by_fields()?),
            "timezone_converter" => {
                let (include, exclude) = (options.text("include_list"), options.text("exclude_list"));
                Step::Zone(ToZone::new(options.required("converted_timezone")?, include, exclude)?)
            }
            "filter" | "content_based_router" => {
                let topics = Some(options.text("topic_regex")).filter(|regex| !regex.is_empty());
                let topics = topics.map(Pattern::parse_exact).transpose()?;
                let nulls = [("keep", Nulls::Keep), ("drop", Nulls::Drop), ("evaluate", Nulls::Evaluate)];
                Step::Script(Script { topics, nulls: options.choice("null_handling_mode", &nulls)? })
            }
            _ => return Err(format!("{kind:?} is not a transform")),
        };
        Ok(Self { step, when: options.when()? })
    }
}

impl<'a> Options<'a> {
    /// An option's text; empty when it was not given.
    fn text(&self, name: &str) -> &'a str {
        self.given.iter().find(|(given, _)| given == name).map_or("", |(_, text)| text.as_str())
    }

    fn required(&self, name: &str) -> Result<&'a str, String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).ok_or_else(|| format!("{} needs {name}", self.kind))
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        match self.text(name) {
            "true" => Ok(true),
            "" | "false" => Ok(false),
            other => Err(format!("{name} takes true, false, not {other:?}")),
        }
    }

    fn choice<T: Copy + Default>(&self, name: &str, words: &[(&str, T)]) -> Result<T, String> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(T::default());
        }
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("{name} takes {}, not {text:?}", known.join(", "))
        })
    }

    /// A header's name, which never needs escapes.
    fn header(&self, name: &str) -> Result<Option<String>, String> {
        let text = self.text(name);
        plain(name, text)?;
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn list(&self, name: &str) -> Result<Vec<String>, String> {
        let entries: Vec<String> = self.required(name)?.split(',').map(|entry| entry.trim().to_owned()).collect();
        match entries.iter().any(String::is_empty) {
            true => Err(format!("{name} has an empty entry")),
            false => Ok(entries),
        }
    }

    fn unwrap(&self) -> Result<Unwrap, String> {
        let modes = [
            ("drop", Deletes::Drop),
            ("tombstone", Deletes::Tombstone),
            ("rewrite", Deletes::Rewrite),
            ("rewrite-with-tombstone", Deletes::RewriteWithTombstone),
            ("delete-to-tombstone", Deletes::DeleteToTombstone),
        ];
        let headers = Added::parse(self.text("add_headers"), self.text("add_headers_prefix"))?;
        plain("add_headers", self.text("add_headers"))?;
        plain("add_headers_prefix", self.text("add_headers_prefix"))?;
        Ok(Unwrap {
            deletes: self.choice("delete_tombstone_handling_mode", &modes)?,
            fields: Added::parse(self.text("add_fields"), self.text("add_fields_prefix"))?,
            headers,
            route_by: Some(self.text("route_by_field").to_owned()).filter(|field| !field.is_empty()),
            drop_header: self.header("drop_fields_header_name")?,
            drop_from_key: self.flag("drop_fields_from_key")?,
            drop_keep_required: self.flag("drop_fields_keep_schema_compatible")?,
            null_is_default: self.flag("replace_null_with_default")?,
        })
    }

    fn by_table(&self) -> Result<ByTable, String> {
        let topic = self.replace("topic_regex", "topic_replacement")?;
        let key_value = match self.text("key_field_regex") {
            "" => None,
            _ => Some(self.replace("key_field_regex", "key_field_replacement")?),
        };
        let unique = self.flag("key_enforce_uniqueness")?;
        let field = self.text("key_field_name");
        let adjust = self.choice("schema_name_adjustment_mode", &Adjustment::WORDS)?;
        Ok(ByTable { topic, key_field: unique.then(|| field.to_owned()), key_value, adjust })
    }

    fn replace(&self, pattern: &str, replacement: &str) -> Result<Replace, String> {
        Replace::new(self.required(pattern)?, self.required(replacement)?)
            .map_err(|reason| format!("{pattern}, {replacement}: {reason}"))
    }

    fn to_value(&self) -> Result<ToValue, String> {
        let (headers, fields) = (self.list("headers")?, self.list("fields")?);
        if headers.len() != fields.len() {
            return Err("headers and fields of header_to_value must be as many".into());
        }
        let moves = match self.required("operation")? {
            "move" => true,
            "copy" => false,
            other => return Err(format!("operation takes move, copy, not {other:?}")),
        };
        Ok(ToValue { fields: headers.into_iter().zip(fields).collect(), moves })
    }

    fn by_fields(&self) -> Result<ByFields, String> {
        let fields = self.list("partition_payload_fields")?;
        let fields = fields.iter().map(|path| path.split('.').map(|name| name.trim().to_owned()).collect());
        let count = self.required("partition_topic_num")?;
        let count = count.parse().ok().filter(|count| *count > 0 && *count <= i32::MAX as u32);
        let functions = [("java", HashFunction::Java), ("murmur", HashFunction::Murmur)];
        Ok(ByFields {
            fields: fields.collect(),
            count: count.ok_or("partition_topic_num takes a whole number above 0")?,
            function: self.choice("partition_hash_function", &functions)?,
        })
    }

    /// Kafka Connect's predicates, at most one.
    fn when(&self) -> Result<Option<(Predicate, bool)>, String> {
        let mut predicates = Vec::new();
        match self.text("topic_name_matches") {
            "" => {}
            pattern => predicates.push(Predicate::Topic(Pattern::parse_exact(pattern)?)),
        }
        predicates.extend(self.header("has_header_key")?.map(Predicate::Header));
        predicates.extend(self.flag("record_is_tombstone")?.then_some(Predicate::Tombstone));
        let negate = self.flag("negate")?;
        match (predicates.len(), negate) {
            (0, true) => Err("negate needs topic_name_matches, has_header_key or record_is_tombstone".into()),
            (0 | 1, _) => Ok(predicates.pop().map(|predicate| (predicate, negate))),
            _ => Err("topic_name_matches, has_header_key and record_is_tombstone: give one of them".into()),
        }
    }
}

fn plain(name: &str, text: &str) -> Result<(), String> {
    match text.chars().any(|char| char.is_control() || matches!(char, '"' | '\\')) {
        true => Err(format!("{name} has a quote, a backslash or a control character")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, given: &[(&str, &str)]) -> Result<Step, String> {
        let given: Vec<_> = given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Guarded::parse(kind, &given).map(|guarded| guarded.step)
    }

    #[test]
    fn errors_name_the_option_and_what_it_takes() {
        let error = |kind: &str, given: &[(&str, &str)]| parse(kind, given).unwrap_err();
        assert_eq!(error("nothing", &[]), "\"nothing\" is not a transform");
        assert!(error("extract_new_record_state", &[("delete_tombstone_handling_mode", "none")]).contains("rewrite"));
        assert!(error("extract_new_record_state", &[("add_fields", "source")]).contains("no field"));
        assert!(error("extract_new_record_state", &[("add_headers", "op:a\"b")]).contains("quote"));
        assert_eq!(error("by_logical_table_router", &[]), "by_logical_table_router needs topic_regex");
        assert!(
            error("header_to_value", &[("headers", "a,b"), ("fields", "c"), ("operation", "move")]).contains("many")
        );
        assert!(error("filter", &[("topic_regex", "(")]).contains("not a regular expression"));
        assert!(error("filter", &[("negate", "true")]).contains("needs"));
        let fields = ("partition_payload_fields", "change.id");
        assert!(error("partition_routing", &[fields, ("partition_topic_num", "0")]).contains("above 0"));
    }
}
