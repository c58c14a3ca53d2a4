//! Options as texts: the one place where their values are read. Their table, with defaults and meanings, is Python's
//! (`src/tailrace/format/option.py`). Messages name the option and what it takes.

use std::ops::Range;

use super::form::Form;
use super::profile::{DecimalMode, OpSet, Profile};
use crate::encode::avro;

type Set = Result<(), String>;

impl Profile {
    /// A profile from options by name, Debezium's with underscores for dots; what is not given has Debezium's default.
    ///
    /// # Errors
    /// Which option is not known, or has a value that it does not take.
    pub fn parse<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut profile = Self::new("");
        let mut avro = [avro::Options::default(); 2];
        for (name, text) in options {
            let (sides, option) = sides(name);
            match option {
                "connect_meta_data" => avro[sides].iter_mut().try_for_each(|side| set(&mut side.meta, name, text))?,
                "enhanced_avro_schema_support" => drop(choice(name, text, FLAG)?),
                "scrub_invalid_names" => {
                    avro[sides].iter_mut().try_for_each(|side| set(&mut side.scrub, name, text))?
                }
                _ => profile.set(name, text)?,
            }
        }
        for (form, options) in [&mut profile.key_form, &mut profile.value_form].into_iter().zip(avro) {
            if let Form::Avro(own) = form {
                *own = options;
            }
        }
        if profile.topic_prefix.is_empty() {
            return Err("topic_prefix is empty".into());
        }
        if profile.payload && profile.schemas {
            return Err(
                "profile = \"payload\" is a payload without its schema: leave out schemas_enable or the profile".into(),
            );
        }
        Ok(profile)
    }

    fn set(&mut self, name: &str, text: &str) -> Set {
        match name {
            "topic_prefix" => self.topic_prefix = text.into(),
            "profile" => self.payload = choice(name, text, PROFILE)?,
            "schemas_enable" => self.schemas = choice(name, text, FLAG)?,
            "decimal_handling_mode" => self.decimal = choice(name, text, DECIMAL)?,
            "tombstones_on_delete" => self.tombstones_on_delete = choice(name, text, FLAG)?,
            "unavailable_value_placeholder" => self.unavailable = text.into(),
            "skipped_operations" => self.skipped = OpSet::parse(text).ok_or_else(|| wrong(name, text, "c, u, d, t"))?,
            "key_converter" => self.key_form = choice(name, text, FORM)?,
            "value_converter" => self.value_form = choice(name, text, FORM)?,
            "extended_headers_enabled" => self.extended_headers = choice(name, text, FLAG)?,
            _ => return Err(format!("{name:?} is not an option")),
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

const FORM: &[(&str, Form)] = &[("json", Form::Json), ("avro", Form::Avro(avro::Options::DEFAULT))];
/// What of a profile is not a matter of other options: whether keys and values stand in a payload.
const PROFILE: &[(&str, bool)] = &[("debezium", false), ("payload", true), ("flat", false)];
const FLAG: &[(&str, bool)] = &[("true", true), ("false", false)];
const DECIMAL: &[(&str, DecimalMode)] =
    &[("precise", DecimalMode::Precise), ("double", DecimalMode::Double), ("string", DecimalMode::String)];

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
    }

    #[test]
    fn errors_name_the_option_and_its_values() {
        let error = |given: &[(&'static str, &'static str)]| Profile::parse(given.iter().copied()).unwrap_err();
        assert_eq!(
            error(&[("decimal_handling_mode", "x")]),
            r#"decimal_handling_mode takes precise, double, string, not "x""#
        );
        assert_eq!(error(&[("nothing", "x")]), r#""nothing" is not an option"#);
        assert_eq!(error(&[]), "topic_prefix is empty");
    }
}
