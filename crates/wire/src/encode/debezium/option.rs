//! Options as texts: the one place where their values are read. Their table, with defaults and meanings, is Python's
//! (`src/tailrace/format/option.py`). Messages name the option and what it takes.

use std::ops::Range;

use super::form::Form;
use super::mask::Mask;
use super::naming::Rerouting;
use super::profile::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, OpSet, Profile, TimePrecision, Wrapping};
use super::rule::{Rules, hash_of};
use crate::encode::{Adjustment, avro, json_schema, protobuf};
use crate::pattern::{Pattern, Patterns};
use crate::value::bytea;

type Set = Result<(), String>;

impl Profile {
    /// A profile from options by name, Debezium's with underscores for dots; what is not given has Debezium's default.
    ///
    /// # Errors
    /// Which option is not known, or has a value that it does not take.
    pub fn parse<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut profile = Self::new("");
        let mut avro = [avro::Options::default(); 2];
        let mut json = [json_schema::Options::default(); 2];
        let mut proto = [protobuf::Options::default(); 2];
        for (name, text) in options {
            let (sides, option) = sides(name);
            match option {
                "connect_meta_data" => avro[sides].iter_mut().try_for_each(|side| set(&mut side.meta, name, text))?,
                "enhanced_avro_schema_support" | "enhanced_protobuf_schema_support" => drop(choice(name, text, FLAG)?),
                "scrub_invalid_names" => {
                    avro[sides.clone()].iter_mut().try_for_each(|side| set(&mut side.scrub, name, text))?;
                    proto[sides].iter_mut().try_for_each(|side| set(&mut side.scrub, name, text))?
                }
                "optional_for_nullables" => {
                    proto[sides].iter_mut().try_for_each(|side| set(&mut side.optional, name, text))?
                }
                "wrapper_for_nullables" => {
                    proto[sides].iter_mut().try_for_each(|side| set(&mut side.wrapper, name, text))?
                }
                "object_additional_properties" => {
                    json[sides].iter_mut().try_for_each(|side| set(&mut side.additional, name, text))?
                }
                _ => profile.set(name, text)?,
            }
        }
        for (at, form) in [&mut profile.key_form, &mut profile.value_form].into_iter().enumerate() {
            match form {
                Form::Json => {}
                Form::Avro(own) => *own = avro[at],
                Form::JsonSchema(own) => *own = json[at],
                Form::Protobuf(own) => *own = proto[at],
            }
        }
        match profile.wrapping {
            Wrapping::Payload if profile.schemas => return Err(PAYLOAD_SCHEMAS.into()),
            _ => {}
        }
        profile.agrees().map(|()| profile)
    }

    fn set(&mut self, name: &str, text: &str) -> Set {
        match name {
            "topic_prefix" => self.topic_prefix = text.into(),
            "profile" => {
                self.wrapping = choice(name, text, PROFILE)?;
                self.whole_before = text == "flink";
            }
            "schemas_enable" => self.schemas = choice(name, text, FLAG)?,
            "decimal_handling_mode" => self.decimal = choice(name, text, DECIMAL)?,
            "tombstones_on_delete" => self.tombstones_on_delete = choice(name, text, FLAG)?,
            "time_precision_mode" => self.time = choice(name, text, TIME)?,
            "interval_handling_mode" => self.interval = choice(name, text, INTERVAL)?,
            "binary_handling_mode" => self.binary = choice(name, text, BINARY)?,
            "hstore_handling_mode" => self.hstore = choice(name, text, HSTORE)?,
            "money_fraction_digits" => {
                let digits = text.parse().ok().filter(|digits| (0..=MONEY_DIGITS_MAX).contains(digits));
                self.money_digits = digits.ok_or_else(|| wrong(name, text, "0 to 1000"))?;
            }
            "include_unknown_datatypes" => self.unknown = choice(name, text, FLAG)?,
            "unavailable_value_placeholder" => self.unavailable = placeholder(name, text)?,
            "skipped_operations" => self.skipped = OpSet::parse(text).ok_or_else(|| wrong(name, text, "c, u, d, t"))?,
            "key_converter" => self.key_form = choice(name, text, FORM)?,
            "value_converter" => self.value_form = choice(name, text, FORM)?,
            "extended_headers_enabled" => self.extended_headers = choice(name, text, FLAG)?,
            "schema_name_adjustment_mode" => self.schema_names = choice(name, text, &Adjustment::WORDS)?,
            "field_name_adjustment_mode" => self.field_names = choice(name, text, &Adjustment::WORDS)?,
            "message_key_columns" => self.rules.key = told(name, Rules::parse_key(text))?,
            "message_prefix_include_list" => self.prefixes[0] = told(name, Patterns::parse(text))?,
            "message_prefix_exclude_list" => self.prefixes[1] = told(name, Patterns::parse(text))?,
            "provide_transaction_metadata" => self.transactions = choice(name, text, FLAG)?,
            "heartbeat_interval_ms" => self.heartbeat_ms = whole(name, text)?,
            _ if name.starts_with("topic_") => self.set_topic(name, text)?,
            _ if name.starts_with("column_") => self.set_column(name, text)?,
            "datatype_propagate_source_type" => self.rules.propagate_types = told(name, Patterns::parse(text))?,
            _ => return Err(format!("{name:?} is not an option")),
        }
        Ok(())
    }

    /// The options that say what topics are called.
    fn set_topic(&mut self, name: &str, text: &str) -> Set {
        let topics = &mut self.topics;
        let reroute = &mut topics.rerouting;
        match name {
            "topic_delimiter" => topics.delimiter = topic_name(name, text)?,
            "topic_transaction" => topics.transaction = topic_name(name, text)?,
            "topic_heartbeat_prefix" => topics.heartbeat_prefix = topic_name(name, text)?,
            "topic_heartbeat_name" => topics.heartbeat_name = Some(topic_name(name, text)?),
            "topic_naming_strategy" => {
                let bare =
                    text.strip_prefix("io.debezium.schema.").and_then(|name| name.strip_suffix("TopicNamingStrategy"));
                let kind = bare
                    .unwrap_or_default()
                    .strip_prefix("Schema")
                    .or(bare.and_then(|bare| bare.strip_prefix("Default")));
                topics.schema = bare.is_some_and(|bare| bare.starts_with("Schema"));
                topics.unicode = kind == Some("Unicode");
                topics.reroutes = kind == Some("Regex");
                if !matches!(kind, Some("" | "Unicode" | "Regex")) {
                    return Err(wrong(name, text, "Debezium's own strategies"));
                }
            }
            "topic_regex" => reroute.regex = Some(told(name, Pattern::parse_exact(text))?),
            "topic_replacement" => reroute.replacement = text.into(),
            "topic_key_enforce_uniqueness" => reroute.unique = choice(name, text, FLAG)?,
            "topic_key_field_name" => reroute.field = text.into(),
            "topic_key_field_regex" => reroute.field_regex = Some(told(name, Pattern::parse_exact(text))?),
            "topic_key_field_replacement" => reroute.field_replacement = text.into(),
            _ => return Err(format!("{name:?} is not an option")),
        }
        Ok(())
    }

    /// The options that are about columns.
    fn set_column(&mut self, name: &str, text: &str) -> Set {
        let rules = &mut self.rules;
        let columns = |name| told(name, Patterns::parse(text));
        let between = |start, end| name.strip_prefix(start).and_then(|rest: &str| rest.strip_suffix(end));
        match name {
            "column_include_list" => rules.include = columns(name)?,
            "column_exclude_list" => rules.exclude = columns(name)?,
            "column_propagate_source_type" => rules.propagate = columns(name)?,
            _ => {
                if let Some(count) = between("column_truncate_to_", "_chars") {
                    rules.add(columns(name)?, Mask::Truncate(whole(name, count)?));
                } else if let Some(count) = between("column_mask_with_", "_chars") {
                    rules.add(columns(name)?, Mask::Stars(whole(name, count)?));
                } else if let Some(rest) = name.strip_prefix("column_mask_hash_") {
                    // The name holds a secret.
                    let hash = told("column_mask_hash_…", hash_of(rest))?;
                    rules.add(columns("column_mask_hash_…")?, Mask::Hash(hash));
                } else {
                    return Err(format!("{name:?} is not an option"));
                }
            }
        }
        Ok(())
    }

    /// What options say together.
    fn agrees(&self) -> Set {
        if self.topic_prefix.is_empty() {
            return Err("topic_prefix is empty".into());
        }
        if !self.rules.include.is_empty() && !self.rules.exclude.is_empty() {
            return Err("column_include_list and column_exclude_list exclude each other".into());
        }
        if self.prefixes.iter().all(|list| !list.is_empty()) {
            return Err("message_prefix_include_list and message_prefix_exclude_list exclude each other".into());
        }
        if self.value_form != Form::Json && !matches!(self.wrapping, Wrapping::Plain | Wrapping::Flat) {
            return Err("value_converter: this profile is a way to write JSON, and of no other format: of Debezium's \
                 CloudEvents too those in Avro are not written; leave out the converter or the profile"
                .into());
        }
        let Rerouting { regex, replacement, field_regex, field_replacement, .. } = &self.topics.rerouting;
        if self.topics.reroutes && (regex.is_none() || replacement.is_empty()) {
            return Err("topic_naming_strategy: this strategy needs topic_regex and topic_replacement".into());
        }
        for (regex, replacement, name) in
            [(regex, replacement, "topic_replacement"), (field_regex, field_replacement, "topic_key_field_replacement")]
        {
            regex.iter().try_for_each(|regex| told(name, regex.check(replacement)))?;
        }
        if field_regex.is_some() && field_replacement.is_empty() {
            return Err("topic_key_field_regex needs topic_key_field_replacement".into());
        }
        Ok(())
    }
}

/// Whose an option of converters is, the key's, the value's or both's, and its name without saying that.
fn sides(name: &str) -> (Range<usize>, &str) {
    let own = |side| name.strip_prefix(side).and_then(|rest| rest.strip_prefix("_converter_"));
    match (own("key"), own("value")) {
        (Some(option), _) => (0..1, option),
        (_, Some(option)) => (1..2, option),
        _ => (0..2, name),
    }
}

fn set(flag: &mut bool, name: &str, text: &str) -> Set {
    *flag = choice(name, text, FLAG)?;
    Ok(())
}

const FORM: &[(&str, Form)] = &[
    ("json", Form::Json),
    ("avro", Form::Avro(avro::Options::DEFAULT)),
    ("json_schema", Form::JsonSchema(json_schema::Options::DEFAULT)),
    ("protobuf", Form::Protobuf(protobuf::Options::DEFAULT)),
];
/// What of a profile is not a matter of other options.
const PROFILE: &[(&str, Wrapping)] = &[
    ("debezium", Wrapping::Plain),
    ("payload", Wrapping::Payload),
    ("flat", Wrapping::Flat),
    ("flink", Wrapping::Plain),
    ("cloudevents", Wrapping::CloudEvent { binary: false }),
    ("cloudevents_binary", Wrapping::CloudEvent { binary: true }),
];
const PAYLOAD_SCHEMAS: &str =
    "profile = \"payload\" is a payload without its schema: leave out schemas_enable or the profile";
/// Give a message the name of its option.
fn told<T>(name: &str, result: Result<T, String>) -> Result<T, String> {
    result.map_err(|message| format!("{name}: {message}"))
}

fn whole<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| wrong(name, text, "a whole number"))
}

/// A text that a topic's name may hold.
fn topic_name(name: &str, text: &str) -> Result<String, String> {
    let sound = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if sound { Ok(text.into()) } else { Err(wrong(name, text, "letters, digits, dots, dashes and underscores")) }
}

const FLAG: &[(&str, bool)] = &[("true", true), ("false", false)];
const DECIMAL: &[(&str, DecimalMode)] =
    &[("precise", DecimalMode::Precise), ("double", DecimalMode::Double), ("string", DecimalMode::String)];

const TIME: &[(&str, TimePrecision)] = &[
    ("adaptive", TimePrecision::Adaptive),
    ("adaptive_time_microseconds", TimePrecision::AdaptiveTimeMicroseconds),
    ("connect", TimePrecision::Connect),
    ("isostring", TimePrecision::IsoString),
    ("local", TimePrecision::Local),
    ("microseconds", TimePrecision::Microseconds),
    ("nanoseconds", TimePrecision::Nanoseconds),
];
const INTERVAL: &[(&str, IntervalMode)] = &[("numeric", IntervalMode::Numeric), ("string", IntervalMode::String)];
const BINARY: &[(&str, BinaryMode)] = &[
    ("bytes", BinaryMode::Bytes),
    ("base64", BinaryMode::Base64),
    ("base64-url-safe", BinaryMode::Base64UrlSafe),
    ("hex", BinaryMode::Hex),
];
const HSTORE: &[(&str, HstoreMode)] = &[("json", HstoreMode::Json), ("map", HstoreMode::Map)];
const MONEY_DIGITS_MAX: i16 = 1000;

/// The bytes that `unavailable_value_placeholder` stands for.
///
/// # Errors
///
/// What is wrong with the hex digits.
pub fn unavailable(text: &str) -> Result<Vec<u8>, String> {
    placeholder("unavailable_value_placeholder", text)
}

/// Text, or bytes behind `hex:`.
fn placeholder(name: &str, text: &str) -> Result<Vec<u8>, String> {
    let Some(digits) = text.strip_prefix("hex:") else { return Ok(text.into()) };
    let mut bytes = Vec::new();
    let read = bytea::unhex(format!("\\x{digits}").as_bytes(), &mut bytes);
    read.map(|()| bytes).ok_or_else(|| wrong(name, text, "text, or hex digits in pairs behind hex:"))
}

/// The value that a word stands for.
fn choice<T: Copy>(name: &str, text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        wrong(name, text, &known.join(", "))
    })
}

fn wrong(name: &str, text: &str, known: &str) -> String {
    format!("{name} takes {known}, not {text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_by_their_names() {
        let given = [("topic_prefix", "shop"), ("decimal_handling_mode", "string"), ("skipped_operations", "c,t")];
        let profile = Profile::parse(given).unwrap();
        assert_eq!((profile.topic_prefix.as_str(), profile.decimal), ("shop", DecimalMode::String));
        assert_eq!(Some(profile.skipped), OpSet::parse("c,t"));
        let profile = Profile::parse([("topic_prefix", "a"), ("unavailable_value_placeholder", "hex:00fF")]).unwrap();
        assert_eq!(profile.unavailable, [0, 0xff]);
    }

    #[test]
    fn errors_name_the_option_and_its_values() {
        let error = |given: &[(&'static str, &'static str)]| Profile::parse(given.iter().copied()).unwrap_err();
        assert_eq!(
            error(&[("decimal_handling_mode", "x")]),
            r#"decimal_handling_mode takes precise, double, string, not "x""#
        );
        assert!(error(&[("unavailable_value_placeholder", "hex:0")]).contains("hex digits in pairs"));
        assert!(error(&[("money_fraction_digits", "-1")]).contains("takes 0 to 1000"));
        assert_eq!(error(&[("nothing", "x")]), r#""nothing" is not an option"#);
        assert_eq!(error(&[]), "topic_prefix is empty");
        assert_eq!(
            error(&[("column_mask_hash_ROT13_with_salt_s3cret", "a")]),
            "column_mask_hash_…: the algorithms are MD5, SHA-1, SHA-224, SHA-256, SHA-384 and SHA-512"
        );
    }
}
