//! The keys of records: which columns they name, and their cells.

use super::decode::{Decoder, Miss, Scratch, inferred};
use super::scan::{Scanner, owned};
use super::schema::{Schema, native};
use super::source::Parts;
use crate::error::{Error, Result};
use crate::table::{Column, Note, Type};
use crate::value::bytea;

/// The column of a key that is no object.
pub(super) const WHOLE: &str = "_key";
/// Forms that are kept; topics have one or two.
const FORMS_MAX: usize = 256;

/// What keys of one form have in common.
#[derive(Debug)]
pub(super) struct Form {
    /// The bytes up to the payload, of a key that is wrapped.
    prefix: Vec<u8>,
    /// Name of the schema; empty without one.
    schema: String,
    /// Its columns, typed when there is a schema.
    pub(super) columns: Vec<(Column, Option<Decoder>)>,
    kind: Kind,
    /// It has a schema, which is in the prefix.
    typed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An object with these members.
    Object,
    /// One JSON value with a schema.
    Value,
    /// Bytes of any kind, taken as text.
    Raw,
}

/// A key: its form, and where its payload begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub(super) form: usize,
    bytes: &'a [u8],
    at: usize,
}

/// The forms that the keys of one partition had.
#[derive(Debug, Default)]
pub(super) struct Keys {
    forms: Vec<Form>,
    last: usize,
}

impl Keys {
    pub(super) fn form(&self, key: Key<'_>) -> &Form {
        &self.forms[key.form]
    }

    /// Find the form of a key; None for a record that has none.
    pub(super) fn read<'a>(&mut self, key: Option<&'a [u8]>) -> Result<Option<Key<'a>>> {
        let Some(bytes) = key else { return Ok(None) };
        if let Some(form) = self.forms.get(self.last)
            && let Some(at) = form.begins(bytes)
        {
            return self.key(self.last, bytes, at).map(Some);
        }
        self.find(bytes)
    }

    /// A key of a form that is known: its cells are text, unless all of it is taken as it comes.
    fn key<'a>(&self, form: usize, bytes: &'a [u8], at: usize) -> Result<Key<'a>> {
        if self.forms[form].kind != Kind::Raw {
            std::str::from_utf8(bytes)
                .map_err(|error| Error::malformed("a key that is not UTF-8", error.valid_up_to()))?;
        }
        Ok(Key { form, bytes, at })
    }

    #[cold]
    fn find<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Key<'a>>> {
        for (index, form) in self.forms.iter().enumerate() {
            if let Some(at) = form.begins(bytes) {
                self.last = index;
                return self.key(index, bytes, at).map(Some);
            }
        }
        if self.forms.len() >= FORMS_MAX {
            return Err(Error::Limit(format!("keys of more than {FORMS_MAX} forms")));
        }
        let Some((form, at)) = Form::of(bytes)? else { return Ok(None) };
        self.forms.push(form);
        self.last = self.forms.len() - 1;
        Ok(Some(Key { form: self.last, bytes, at }))
    }

    /// Append the cell of the key's column `name`, text without its length; false for null.
    pub(super) fn cell(
        &self,
        key: Key<'_>,
        (name, decoder): (&str, &Decoder),
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> std::result::Result<bool, Miss> {
        if self.form(key).kind == Kind::Raw {
            raw(key.bytes, out);
            return Ok(true);
        }
        let Some(mut scanner) = self.member(key, name)? else { return Ok(false) };
        if scanner.null()? {
            return Ok(false);
        }
        decoder.write(&mut scanner, scratch, out)?;
        Ok(true)
    }

    /// How the key's column `name` is read, as far as its value shows.
    pub(super) fn inferred(&self, key: Key<'_>, name: &str) -> Result<Option<Decoder>> {
        if self.form(key).kind == Kind::Raw {
            return Ok(Some(Decoder::Text));
        }
        self.member(key, name)?.map_or(Ok(None), |mut scanner| inferred(&mut scanner))
    }

    /// What the key's member `name` says, if that is a text.
    pub(super) fn text(&self, key: Key<'_>, name: &str) -> Result<Option<String>> {
        let Some(mut scanner) = self.member(key, name)? else { return Ok(None) };
        if scanner.peek()? != b'"' {
            return Ok(None);
        }
        scanner.string().map(owned)
    }

    /// A scanner before the value of the key's column `name`.
    fn member<'a>(&self, key: Key<'a>, name: &str) -> Result<Option<Scanner<'a>>> {
        let mut scanner = Scanner::new(key.bytes, key.at);
        if self.form(key).kind == Kind::Value {
            return Ok(Some(scanner));
        }
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            let found =
                if member.escaped { owned(member).as_deref() == Some(name) } else { member.raw == name.as_bytes() };
            if found {
                return Ok(Some(scanner));
            }
            scanner.skip()?;
        }
        Ok(None)
    }
}

impl Form {
    /// Whether such a key has the member `name` and no other.
    pub(super) fn is(&self, name: &str) -> bool {
        self.kind == Kind::Object && self.columns.len() == 1 && self.columns[0].0.name == name
    }

    /// Whether such a key has the member `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.kind == Kind::Object && self.columns.iter().any(|(column, _)| column.name == name)
    }

    /// Name of the schema; empty without one.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// The table whose keys these are, as the schema's name says: `shop.public.orders.Key`.
    pub(super) fn table(&self) -> Option<(String, String)> {
        self.schema.strip_suffix(".Key").map(super::table_of)
    }

    /// Where the payload begins, if the key is of this form.
    #[inline]
    fn begins(&self, bytes: &[u8]) -> Option<usize> {
        let at = bytes.starts_with(&self.prefix).then_some(self.prefix.len())?;
        if self.kind == Kind::Raw {
            return (bytes.first() != Some(&b'{') || std::str::from_utf8(bytes).is_err()).then_some(0);
        }
        if self.typed {
            return Some(at);
        }
        let mut scanner = Scanner::new(bytes, at);
        scanner.open(b'{').ok()?;
        let mut first = true;
        for (column, _) in &self.columns {
            let name = scanner.member(&mut first).ok()??;
            if name.escaped || name.raw != column.name.as_bytes() {
                return None;
            }
            scanner.skip().ok()?;
        }
        matches!(scanner.member(&mut first), Ok(None)).then_some(at)
    }

    /// The form of a key that is like none before, and where its payload begins; None for one that says null.
    fn of(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let object = std::str::from_utf8(bytes).is_ok() && bytes.first() == Some(&b'{');
        let mut scanner = Scanner::new(bytes, 0);
        let Some(parts) = object.then(|| Parts::read(&mut scanner)).transpose()? else {
            let column = column(WHOLE, Type::Text);
            let columns = vec![(column, Some(Decoder::Text))];
            let (prefix, schema) = (Vec::new(), String::new());
            return Ok(Some((Self { prefix, schema, columns, kind: Kind::Raw, typed: false }, 0)));
        };
        scanner.end()?;
        let at = parts.wrapped().unwrap_or(0);
        scanner.jump(at);
        if scanner.null()? {
            return Ok(None);
        }
        let prefix = bytes[..at].to_vec();
        if let Some(start) = parts.schema.filter(|_| at > 0) {
            let schema = Schema::read(&mut Scanner::new(bytes, start))?;
            let (columns, kind) = if schema.is_struct() {
                (schema.columns(), Kind::Object)
            } else {
                (vec![schema.column(WHOLE)], Kind::Value)
            };
            if start > at {
                return Err(Error::malformed("a key whose schema stands behind its payload", start));
            }
            let columns = columns.into_iter().map(|(column, decoder)| (column, Some(decoder))).collect();
            let schema = schema.name().to_owned();
            return Ok(Some((Self { prefix, schema, columns, kind, typed: true }, at)));
        }
        let mut columns = Vec::new();
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.member(&mut first)? {
            let name = owned(name).ok_or_else(|| scanner.fault("a name with an escape that is not JSON's"))?;
            scanner.skip()?;
            columns.push((column(&name, Type::Text), None));
        }
        let schema = String::new();
        Ok(Some((Self { prefix, schema, columns, kind: Kind::Object, typed: false }, at)))
    }
}

fn column(name: &str, kind: Type) -> Column {
    let native = native(&kind);
    Column { name: name.to_owned(), kind, native, nullable: true, labels: Vec::new(), note: Note::default() }
}

/// A key of any bytes as text: what a JSON string says, text as it is, anything else in hex.
fn raw(bytes: &[u8], out: &mut Vec<u8>) {
    if std::str::from_utf8(bytes).is_err() {
        return bytea::hex(bytes, out);
    }
    let mut scanner = Scanner::new(bytes, 0);
    let said = scanner.string().ok().filter(|_| scanner.end().is_ok()).and_then(owned);
    out.extend_from_slice(said.as_deref().map_or(bytes, str::as_bytes));
}
