//! What keys and values are spelled as: JSON, or a format whose schemas a registry keeps, framed as Confluent does it:
//! a zero byte, the schema's id in four bytes, the value. Never asks a registry: ids come from the caller.

use rustc_hash::FxHashMap;

use super::codec::Scratch;
use super::event::{self, Event};
use super::naming;
use super::plan::{Fault, Plan};
use super::profile::Profile;
use super::schema;
use crate::batch::{Segment, Tuple};
use crate::encode::avro::{self, Avro};
use crate::encode::connect::{Json, Schema};
use crate::encode::json_schema;
use crate::error::{Error, Result};

/// What no table version is: where the ids of messages stand.
const MESSAGES: u64 = u64::MAX;
/// A fault of a whole record and no column.
const NO_COLUMN: usize = usize::MAX;

/// How keys or values are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As JsonConverter does.
    #[default]
    Json,
    /// As AvroConverter does.
    Avro(avro::Options),
    /// As JsonSchemaConverter does.
    JsonSchema(json_schema::Options),
}

impl Form {
    /// Its schemas in the words of a registry; None when it needs none.
    #[must_use]
    pub const fn kind(self) -> Option<&'static str> {
        match self {
            Self::Json => None,
            Self::Avro(_) => Some("AVRO"),
            Self::JsonSchema(_) => Some("JSON"),
        }
    }

    fn schema(self, schema: &Schema) -> std::result::Result<String, String> {
        let mut text = Vec::new();
        match self {
            Self::Json => {}
            Self::Avro(options) => avro::write_schema(schema, options, &mut text)?,
            Self::JsonSchema(options) => json_schema::write_schema(schema, options, &mut text),
        }
        String::from_utf8(text).map_err(|_| "a schema that is not UTF-8".to_owned())
    }
}

/// Which half of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// A schema that needs an id before records can be written: the caller asks a registry, and tells
/// [`super::Encoder::register`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unregistered {
    /// What to tell it for.
    pub version: u64,
    /// Of which half of the records.
    pub half: Half,
    /// Where the records go.
    pub topic: String,
    /// Full name of the record.
    pub name: String,
    /// What the text is, in the registry's words.
    pub kind: &'static str,
    /// The schema.
    pub text: String,
}

/// Have `$write` write a value through `$format` in the form that was chosen; a fault of it returns from the function.
macro_rules! spelled {
    ($form:expr, $out:ident, $format:ident => $write:expr) => {
        match $form {
            Form::Avro(_) => {
                let mut avro = Avro::new($out);
                let $format = &mut avro;
                $write?;
                avro.finish()
            }
            Form::Json | Form::JsonSchema(_) => {
                let $format = &mut Json::entries($out);
                $write?;
                Ok(())
            }
        }
    };
}

/// A form, and the id of the schema that goes with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spelling {
    form: Form,
    id: u32,
}

impl Spelling {
    /// Whether it is JSON.
    pub(super) fn is_json(self) -> bool {
        self.form == Form::Json
    }

    fn frame(self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&self.id.to_be_bytes());
    }

    /// Append a row's key; `null` for a table without one.
    pub(super) fn write_key(
        self,
        plan: &Plan,
        row: Tuple<'_>,
        key_only: bool,
        other: Option<Tuple<'_>>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Fault> {
        if !plan.has_key() {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.frame(out);
        spelled!(self.form, out, format => plan.write_key(row, key_only, other, scratch, format))
            .map_err(|reason| (NO_COLUMN, reason))
    }

    /// Append an event.
    pub(super) fn write_event(
        self,
        event: &Event<'_>,
        plan: &Plan,
        segment: &Segment,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Fault> {
        self.frame(out);
        spelled!(self.form, out, format => event.write(plan, segment, scratch, format))
            .map_err(|reason| (NO_COLUMN, reason))
    }

    /// Append the key of a message.
    pub(super) fn write_message_key(self, prefix: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
        self.frame(out);
        spelled!(self.form, out, format => event::write_message_key(prefix, format))
    }

    /// Append the event of a message.
    pub(super) fn write_message(
        self,
        event: &Event<'_>,
        message: (&[u8], &[u8]),
        segment: &Segment,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), &'static str> {
        self.frame(out);
        spelled!(self.form, out, format => event.write_message(message, segment, format))
    }
}

/// The forms of keys and values, and the ids that are known.
#[derive(Debug, Default)]
pub(super) struct Forms {
    forms: [Form; 2],
    ids: FxHashMap<(u64, Half), u32>,
}

impl Forms {
    pub(super) fn new(forms: [Form; 2]) -> Self {
        Self { forms, ids: FxHashMap::default() }
    }

    /// Whether both are JSON.
    pub(super) fn are_json(&self) -> bool {
        self.forms == [Form::Json; 2]
    }

    pub(super) fn register(&mut self, version: u64, half: Half, id: u32) {
        self.ids.insert((version, half), id);
    }

    /// Of messages, or of the table version that a plan is for.
    pub(super) fn spellings(&self, version: Option<u64>) -> [Spelling; 2] {
        [Half::Key, Half::Value].map(|half| {
            let id = self.ids.get(&(version.unwrap_or(MESSAGES), half)).copied().unwrap_or_default();
            Spelling { form: self.forms[half as usize], id }
        })
    }

    /// Check that the ids of all that `segment` holds are known.
    ///
    /// # Errors
    /// [`Error::Unregistered`] with the schemas that need one; [`Error::Named`] for one that the form cannot have.
    pub(super) fn check(&self, segment: &Segment, plans: &[std::sync::Arc<Plan>], profile: &Profile) -> Result<()> {
        if self.are_json() {
            return Ok(());
        }
        let mut wanted = Vec::new();
        for (table, plan) in segment.tables().iter().zip(plans) {
            let schemas = [plan.key_schema(), Some(plan.envelope_schema())];
            self.want(table.version, plan.topic(), schemas, &mut wanted)?;
        }
        if segment.rows().any(|row| row.table().is_none()) {
            let schemas = [schema::message_key(), schema::message(profile)];
            let messages = naming::messages(&profile.topic_prefix);
            self.want(MESSAGES, &messages, schemas.each_ref().map(Some), &mut wanted)?;
        }
        if wanted.is_empty() { Ok(()) } else { Err(Error::Unregistered(wanted)) }
    }

    fn want(
        &self,
        version: u64,
        topic: &str,
        schemas: [Option<&Schema>; 2],
        wanted: &mut Vec<Unregistered>,
    ) -> Result<()> {
        for ((form, half), schema) in self.forms.into_iter().zip([Half::Key, Half::Value]).zip(schemas) {
            let (Some(kind), Some(schema)) = (form.kind(), schema) else { continue };
            if self.ids.contains_key(&(version, half)) {
                continue;
            }
            let text = form.schema(schema).map_err(|reason| Error::Named(format!("topic {topic}: {reason}")))?;
            let name = schema.name.as_deref().unwrap_or_default().to_owned();
            wanted.push(Unregistered { version, half, topic: topic.to_owned(), name, kind, text });
        }
        Ok(())
    }
}
