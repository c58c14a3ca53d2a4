//! What keys and values are spelled as: JSON, or a format whose schemas a registry keeps, framed as Confluent does it:
//! a zero byte, the schema's id in four bytes, the value. Never asks a registry: ids come from the caller.

use rustc_hash::FxHashMap;

use super::Refusal;
use crate::encode::avro::{self, Avro};
use crate::encode::connect::{Format, Half, Json, Schema};
use crate::encode::json_schema;
use crate::encode::protobuf::{self, Protobuf};
use crate::encode::smt::{self, Spelled};
use crate::error::{Error, Result};

/// What no table version is: where the ids of messages stand, of transactions, of heartbeats, and, from the last one on, of
/// what transforms have made.
pub(super) const MESSAGES: u64 = u64::MAX;
pub(super) const TRANSACTIONS: u64 = u64::MAX - 1;
pub(super) const HEARTBEATS: u64 = u64::MAX - 2;
const TRANSFORMED: u64 = 1 << 63;
/// Schemas that are remembered; more in one process are asked for again.
const NUMBERS_MAX: usize = 4096;

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
    /// As ProtobufConverter does.
    Protobuf(protobuf::Options),
}

impl Form {
    /// Its schemas in the words of a registry; None when it needs none.
    #[must_use]
    pub const fn kind(self) -> Option<&'static str> {
        match self {
            Self::Json => None,
            Self::Avro(_) => Some("AVRO"),
            Self::JsonSchema(_) => Some("JSON"),
            Self::Protobuf(_) => Some("PROTOBUF"),
        }
    }

    fn schema(self, schema: &Schema) -> std::result::Result<String, String> {
        let mut text = Vec::new();
        match self {
            Self::Json => {}
            Self::Avro(options) => avro::write_schema(schema, options, &mut text)?,
            Self::JsonSchema(options) => json_schema::write_schema(schema, options, &mut text),
            Self::Protobuf(options) => protobuf::write_schema(schema, options, &mut text)?,
        }
        String::from_utf8(text).map_err(|_| "a schema that is not UTF-8".to_owned())
    }

    /// What a record of a schema is called, as subjects have it.
    fn name(self, schema: &Schema) -> String {
        match self {
            Self::Protobuf(options) => protobuf::full_name(schema, options),
            _ => schema.name.as_deref().unwrap_or_default().to_owned(),
        }
    }
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

/// A form, and the id of the schema that goes with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spelling {
    form: Form,
    id: u32,
}

/// What can be spelled: each kind of a key and of a value is one.
pub(super) trait Spell {
    /// Write it.
    ///
    /// # Errors
    /// When it cannot be written.
    fn spell<F: Format>(self, out: &mut F) -> std::result::Result<(), Refusal>;
}

impl Spelling {
    /// Whether it is JSON.
    #[inline]
    pub(super) fn is_json(self) -> bool {
        self.form == Form::Json
    }

    /// Append a key or a value of `schema`: as JSON behind its `head`, or framed.
    #[inline]
    pub(super) fn write<S: Spell>(
        self,
        head: &[u8],
        schema: &Schema,
        what: S,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Refusal> {
        if !self.is_json() {
            return self.write_framed(schema, what, out);
        }
        out.extend_from_slice(head);
        what.spell(&mut Json::new(out, head.is_empty()))?;
        close_payload(head, out);
        Ok(())
    }

    /// Append what is no JSON.
    pub(super) fn write_framed<S: Spell>(
        self,
        schema: &Schema,
        what: S,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Refusal> {
        let start = out.len();
        out.push(0);
        out.extend_from_slice(&self.id.to_be_bytes());
        match self.form {
            Form::Avro(_) => {
                let mut avro = Avro::new(out).of(schema.optional);
                what.spell(&mut avro)?;
                avro.finish().map_err(Refusal::Row)
            }
            Form::Protobuf(options) => {
                protobuf::write_index(schema, out);
                let mut protobuf = Protobuf::new(out, schema, options);
                what.spell(&mut protobuf)?;
                if !protobuf.finish().map_err(Refusal::Row)? {
                    out.truncate(start);
                    out.extend_from_slice(b"null");
                }
                Ok(())
            }
            Form::Json | Form::JsonSchema(_) => what.spell(&mut Json::entries(out)),
        }
    }
}

/// End what a head began.
#[inline]
pub(super) fn close_payload(head: &[u8], out: &mut Vec<u8>) {
    out.extend((!head.is_empty()).then_some(b'}'));
}

/// The forms of keys and values, and the ids that are known.
#[derive(Debug, Default)]
pub(super) struct Forms {
    forms: [Form; 2],
    ids: FxHashMap<(u64, Half), u32>,
    /// The numbers of schemas that transforms made, by half, topic and text.
    numbers: FxHashMap<(Half, String, String), u64>,
    /// How many numbers were given.
    given: u64,
    wanted: Vec<Unregistered>,
    refused: Option<Error>,
}

impl Forms {
    pub(super) fn new(forms: [Form; 2]) -> Self {
        Self { forms, ..Self::default() }
    }

    /// Whether both are JSON.
    #[inline]
    pub(super) fn are_json(&self) -> bool {
        self.forms == [Form::Json; 2]
    }

    pub(super) fn register(&mut self, version: u64, half: Half, id: u32) {
        self.ids.insert((version, half), id);
    }

    /// Of the records under a number: a table version, or one of those above.
    pub(super) fn spellings(&self, number: u64) -> [Spelling; 2] {
        [Half::Key, Half::Value].map(|half| {
            let id = self.ids.get(&(number, half)).copied().unwrap_or_default();
            Spelling { form: self.forms[half as usize], id }
        })
    }

    /// Ask for the ids that records of `topic` need.
    pub(super) fn want(&mut self, number: u64, topic: &str, schemas: [Option<&Schema>; 2]) {
        for (half, schema) in [Half::Key, Half::Value].into_iter().zip(schemas) {
            let known = self.forms[half as usize] == Form::Json || self.ids.contains_key(&(number, half));
            if let Some(schema) = schema.filter(|_| !known)
                && let Some(text) = self.text(half, topic, schema)
            {
                self.ask(number, half, topic, schema, text);
            }
        }
    }

    /// The spelling of half a record that transforms have made; without an id its record is of no use, and
    /// [`Self::check`] says so.
    fn spelling(&mut self, half: Half, topic: &str, spelled: &Spelled) -> Spelling {
        let form = self.forms[half as usize];
        let Some(schema) = spelled.schema().filter(|_| form != Form::Json) else { return Spelling::default() };
        let known = spelled.number.get().and_then(|number| self.ids.get(&(number, half)));
        if let Some(id) = known {
            return Spelling { form, id: *id };
        }
        let Some(text) = self.text(half, topic, schema) else { return Spelling { form, id: 0 } };
        if self.numbers.len() >= NUMBERS_MAX {
            self.numbers.clear();
            self.ids.clear();
        }
        let next = TRANSFORMED + self.given;
        let number = *self.numbers.entry((half, topic.to_owned(), text.clone())).or_insert(next);
        self.given += u64::from(number == next);
        spelled.number.set(Some(number));
        match self.ids.get(&(number, half)) {
            Some(id) => Spelling { form, id: *id },
            None => {
                self.ask(number, half, topic, schema, text);
                Spelling { form, id: 0 }
            }
        }
    }

    /// A schema in the words of a registry; None, remembered, for one that the form cannot have.
    fn text(&mut self, half: Half, topic: &str, schema: &Schema) -> Option<String> {
        match self.forms[half as usize].schema(schema) {
            Ok(text) => Some(text),
            Err(reason) => {
                self.refused.get_or_insert(Error::Named(format!("topic {topic}: {reason}")));
                None
            }
        }
    }

    fn ask(&mut self, version: u64, half: Half, topic: &str, schema: &Schema, text: String) {
        let Some(kind) = self.forms[half as usize].kind() else { return };
        if !self.wanted.iter().any(|asked| (asked.version, asked.half) == (version, half)) {
            let name = self.forms[half as usize].name(schema);
            self.wanted.push(Unregistered { version, half, topic: topic.to_owned(), name, kind, text });
        }
    }

    /// Check that all ids were known since the last time.
    ///
    /// # Errors
    /// [`Error::Unregistered`] with the schemas that need one; [`Error::Named`] for one that the form cannot have.
    pub(super) fn check(&mut self) -> Result<()> {
        let wanted = std::mem::take(&mut self.wanted);
        match self.refused.take() {
            Some(error) => Err(error),
            None if wanted.is_empty() => Ok(()),
            None => Err(Error::Unregistered(wanted)),
        }
    }
}

impl smt::Spell for Forms {
    #[inline]
    fn spell<C: smt::Cells>(
        &mut self,
        half: Half,
        topic: &str,
        spelled: &Spelled,
        cells: &mut C,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), smt::Fault> {
        let Some(schema) = spelled.schema().filter(|_| self.forms[half as usize] != Form::Json) else {
            return spelled.write_json(cells, out);
        };
        let spelling = self.spelling(half, topic, spelled);
        spelling.write_framed(schema, Filled { spelled, cells }, out).map_err(|refusal| match refusal {
            Refusal::Record(fault) => fault,
            Refusal::Row(reason) => smt::Fault::from(reason),
            Refusal::Cell((column, reason)) => smt::Fault { column: Some(column), reason: reason.into() },
        })
    }
}

/// Half a record that transforms have made, and the row that fills it.
struct Filled<'a, C> {
    spelled: &'a Spelled,
    cells: &'a mut C,
}

impl<C: smt::Cells> Spell for Filled<'_, C> {
    fn spell<F: Format>(self, out: &mut F) -> std::result::Result<(), Refusal> {
        self.spelled.write(self.cells, out).map_err(Refusal::Record)
    }
}
