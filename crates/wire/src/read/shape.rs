//! How the rows of one table version are read from events: which member is which column.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::decode::{self, Decoder, Miss, Scratch};
use super::key::{Form, Key, Keys, WHOLE};
use super::placeholder::{Placeholders, is_zero};
use super::scan::{Scanner, owned};
use super::schema::native;
use crate::error::{Error, Result};
use crate::table::{Column, Note, Table};

/// Members of values without a schema that become columns: values whose names are data would have ever more of them.
const COLUMNS_MAX: usize = 4096;
/// The column of a value that is no object.
pub(super) const VALUE: &str = "_value";

/// How one column is read.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    /// `"name":`, as it stands in JSON when nothing is escaped.
    opening: Vec<u8>,
    decoder: Decoder,
    /// Whether a value was seen, or a schema: a column of nulls has no type yet.
    known: bool,
    /// A zero may stand for what was not sent: Debezium has no null for a column that cannot be null.
    zeros: bool,
    /// It is a member of the key only.
    from_key: bool,
    /// Its place in the key.
    key: Option<usize>,
}

/// How the values of one table version are read.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) table: Arc<Table>,
    fields: Vec<Field>,
    places: FxHashMap<String, usize>,
    /// Which schema its values have; None without one: then columns follow the values.
    pub(super) form: Option<usize>,
    pub(super) key_form: Option<usize>,
    /// Values may lack members, which are null then.
    partial: bool,
    /// Values are no objects.
    whole: bool,
}

/// Where an image is read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the object begins; None for what the key alone says.
    pub(super) at: Option<usize>,
    pub(super) key: Option<Key<'a>>,
}

/// What is to be known of an image that was written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Cells that were not sent because they did not change.
    pub(super) unchanged: bool,
    /// No cell outside of the key says more than "not sent".
    pub(super) key_only: bool,
}

/// Why an image was not written.
#[derive(Debug)]
pub(super) enum Unfit {
    /// Its members or their types are others than the table version has.
    Other,
    Fault(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

/// What reading an image needs beside its shape.
pub(super) struct Tools<'a> {
    pub(super) keys: &'a Keys,
    pub(super) placeholders: &'a Placeholders,
    pub(super) scratch: &'a mut Scratch,
}

impl Shape {
    /// A table version whose values have a schema.
    pub(super) fn typed(
        name: (String, String),
        columns: Vec<(Column, Decoder)>,
        form: Option<usize>,
        key: Option<(usize, &Form)>,
    ) -> Self {
        let fields = columns.iter().map(|(column, decoder)| Field {
            zeros: !column.nullable,
            ..Field::new(&column.name, decoder.clone(), true)
        });
        let mut described: Vec<Column> = columns.iter().map(|(column, _)| column.clone()).collect();
        let mut fields: Vec<Field> = fields.collect();
        add_key(&mut fields, key.map(|(_, form)| form), |column| described.insert(0, column));
        Self::of(name, fields, described, (form, key.map(|(form, _)| form)))
    }

    /// A table of which nothing but its name is known.
    pub(super) fn untold(name: (String, String)) -> Self {
        Self::of(name, Vec::new(), Vec::new(), (None, None))
    }

    fn of(
        (schema, name): (String, String),
        fields: Vec<Field>,
        columns: Vec<Column>,
        (form, key_form): (Option<usize>, Option<usize>),
    ) -> Self {
        let places = fields.iter().enumerate().map(|(index, field)| (field.name.clone(), index)).collect();
        let mut key: Vec<_> = fields.iter().enumerate().filter_map(|(at, field)| Some((field.key?, at))).collect();
        key.sort_unstable();
        let key = key.into_iter().filter_map(|(_, at)| u16::try_from(at).ok()).collect();
        let table = Table::new(schema, name, columns, key);
        Self { table, fields, places, form, key_form, partial: false, whole: false }
    }

    /// The table version that fits the values at `places`: what is known of its columns, the latest first, is kept, so that
    /// it only ever widens.
    pub(super) fn inferred(
        before: &[&Self],
        name: (String, String),
        values: &[Place<'_>],
        key: Option<(Key<'_>, &Keys)>,
        partial: bool,
    ) -> Result<Self> {
        let mut fields: Vec<Field> = Vec::new();
        let mut places: FxHashMap<String, usize> = FxHashMap::default();
        let mut whole = false;
        let old: Vec<&Field> = before.iter().flat_map(|shape| &shape.fields).collect();
        if partial {
            let latest = before.first().map(|shape| shape.fields.as_slice()).unwrap_or_default();
            fields.extend(latest.iter().filter(|field| !field.from_key).cloned());
            places.extend(fields.iter().enumerate().map(|(index, field)| (field.name.clone(), index)));
        }
        let mut seen: FxHashSet<String> = FxHashSet::default();
        for place in values {
            let mut scanner = Scanner::new(place.bytes, place.at.unwrap_or(0));
            if scanner.peek()? != b'{' {
                whole = true;
                let name = VALUE.to_owned();
                learn(&mut scanner, name, &mut fields, &mut places, &old)?;
                continue;
            }
            scanner.open(b'{')?;
            let mut first = true;
            while let Some(name) = scanner.member(&mut first)? {
                let name = owned(name).ok_or_else(|| scanner.fault("a name with an escape that is not JSON's"))?;
                if partial && key.is_some() {
                    seen.insert(name.clone());
                }
                learn(&mut scanner, name, &mut fields, &mut places, &old)?;
            }
        }
        add_key(&mut fields, key.map(|(key, keys)| keys.form(key)), |_| ());
        if let Some(key) = key.filter(|_| partial) {
            left_out(&mut fields, &seen, key)?;
        }
        for field in fields.iter_mut().filter(|field| field.from_key && !field.known) {
            if let Some((key, keys)) = key {
                let known = old.iter().find(|known| known.name == field.name && known.from_key).map(|old| &old.decoder);
                let found = keys.inferred(key, &field.name)?;
                field.decoder = match (known, found) {
                    (Some(known), Some(found)) => decode::joined(known, &found),
                    (Some(decoder), None) => decoder.clone(),
                    (None, found) => found.unwrap_or(Decoder::Text),
                };
                field.known = true;
            }
        }
        let columns = fields.iter().map(Field::column).collect();
        let shape = Self::of(name, fields, columns, (None, key.map(|(key, _)| key.form)));
        Ok(Self { partial, whole, ..shape })
    }

    /// The same shape of a table version that is known already.
    pub(super) fn with_table(self, table: Arc<Table>) -> Self {
        Self { table, ..self }
    }

    /// Whether it is of this table.
    pub(super) fn names(&self, (schema, name): &(String, String)) -> bool {
        self.table.name == *name && self.table.schema == *schema
    }

    /// Whether both are of one table.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.table.name == other.table.name && self.table.schema == other.table.schema
    }

    /// Whether it may have changed since: it was not told by a schema.
    pub(super) fn follows(&self) -> bool {
        self.form.is_none()
    }

    /// Whether it has the same columns, of whatever types.
    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        self.fields.len() == other.fields.len() && self.places.keys().all(|name| other.places.contains_key(name))
    }

    /// Append the image at `place`. `old` says whether a row's old version is read, which may have its key only.
    pub(super) fn write(
        &self,
        place: Place<'_>,
        old: bool,
        tools: &mut Tools<'_>,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Seen, Unfit> {
        let start = out.len();
        let count = u16::try_from(self.fields.len()).map_err(|_| Error::Limit("more than 65,535 columns".into()))?;
        out.extend_from_slice(&count.to_be_bytes());
        let Some(at) = place.at else {
            self.write_key(place, tools, out)?;
            return Ok(Seen { unchanged: false, key_only: true });
        };
        if let Some(seen) = self.in_order(place, at, old, tools, out)? {
            return Ok(seen);
        }
        out.truncate(start + 2);
        self.out_of_order(place, at, old, tools, out)
    }

    /// Cells of the key; all others null.
    fn write_key(&self, place: Place<'_>, tools: &mut Tools<'_>, out: &mut Vec<u8>) -> std::result::Result<(), Unfit> {
        for field in &self.fields {
            if field.key.is_some() { self.key_cell(field, place, tools, out)? } else { out.push(b'n') }
        }
        Ok(())
    }

    /// The usual case: all members in the order of the columns. None when it is another.
    #[inline]
    fn in_order(
        &self,
        place: Place<'_>,
        at: usize,
        old: bool,
        tools: &mut Tools<'_>,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Option<Seen>, Unfit> {
        let mut scanner = Scanner::new(place.bytes, at);
        let mut seen = Seen { unchanged: false, key_only: old };
        let mut separator: &[u8] = b"{";
        if self.whole || scanner.peek()? != b'{' {
            return Ok(None);
        }
        for field in &self.fields {
            if field.from_key {
                self.key_cell(field, place, tools, out)?;
                continue;
            }
            if !(scanner.pass(separator) && scanner.pass(&field.opening)) {
                return Ok(None);
            }
            separator = b",";
            cell(field, &mut scanner, &mut seen, tools, out).map_err(|miss| self.miss(field, &scanner, miss))?;
        }
        if !(scanner.pass(b"}") || (separator == b"{" && scanner.pass(b"{}"))) {
            return Ok(None);
        }
        Ok(Some(seen))
    }

    #[cold]
    fn out_of_order(
        &self,
        place: Place<'_>,
        at: usize,
        old: bool,
        tools: &mut Tools<'_>,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Seen, Unfit> {
        let mut scanner = Scanner::new(place.bytes, at);
        let mut found: Vec<Option<usize>> = vec![None; self.fields.len()];
        if scanner.peek()? == b'{' && !self.whole {
            scanner.open(b'{')?;
            let mut first = true;
            while let Some(name) = scanner.member(&mut first)? {
                let name = owned(name).ok_or_else(|| scanner.fault("a name with an escape that is not JSON's"))?;
                match self.places.get(&name) {
                    Some(index) => found[*index] = Some(scanner.at()),
                    None if self.follows() => return Err(Unfit::Other),
                    None => return Err(scanner.fault("a member that the schema does not have").into()),
                }
                scanner.skip()?;
            }
        } else if let Some(index) = self.places.get(VALUE).filter(|_| self.whole && scanner.peek().is_ok()) {
            if scanner.peek()? == b'{' {
                return Err(Unfit::Other);
            }
            found[*index] = Some(at);
        } else if self.follows() {
            return Err(Unfit::Other);
        } else {
            return Err(scanner.fault("not a JSON object").into());
        }
        let mut seen = Seen { unchanged: false, key_only: old };
        for (field, at) in self.fields.iter().zip(found) {
            match at {
                _ if field.from_key => self.key_cell(field, place, tools, out)?,
                Some(at) => {
                    scanner.jump(at);
                    cell(field, &mut scanner, &mut seen, tools, out)
                        .map_err(|miss| self.miss(field, &scanner, miss))?;
                }
                None if self.follows() && !self.partial && !old => return Err(Unfit::Other),
                // What the value leaves out because its key says it.
                None if field.key.is_some() && place.key.is_some() && !old => {
                    self.key_cell(field, place, tools, out)?;
                }
                None => out.push(b'n'),
            }
        }
        Ok(seen)
    }

    fn key_cell(
        &self,
        field: &Field,
        place: Place<'_>,
        tools: &mut Tools<'_>,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Unfit> {
        let Some(key) = place.key else {
            return Err(Error::malformed("a record without the key that its table has", 0).into());
        };
        let start = out.len();
        out.extend_from_slice(b"t\0\0\0\0");
        let written = tools.keys.cell(key, (&field.name, &field.decoder), tools.scratch, out);
        match written {
            Ok(true) => close(start, out)?,
            Ok(false) => {
                out.truncate(start);
                out.push(b'n');
            }
            Err(Miss::Kind) if self.follows() => return Err(Unfit::Other),
            Err(Miss::Kind) => {
                return Err(
                    Error::malformed(format!("{}, key column {:?}: {OTHER_TYPE}", self.table, field.name), 0).into()
                );
            }
            Err(Miss::Fault(error)) => return Err(error.into()),
        }
        Ok(())
    }

    #[cold]
    fn miss(&self, field: &Field, scanner: &Scanner<'_>, miss: Miss) -> Unfit {
        match miss {
            Miss::Kind if self.follows() => Unfit::Other,
            Miss::Kind => Unfit::Fault(self.named(field, OTHER_TYPE, scanner.at())),
            Miss::Fault(Error::Malformed { what, offset }) => Unfit::Fault(self.named(field, &what, offset)),
            Miss::Fault(error) => Unfit::Fault(error),
        }
    }

    fn named(&self, field: &Field, what: &str, at: usize) -> Error {
        Error::malformed(format!("{}, column {:?}: {what}", self.table, field.name), at)
    }
}

const OTHER_TYPE: &str = "a value of another type than the schema says";

impl Field {
    fn new(name: &str, decoder: Decoder, known: bool) -> Self {
        let mut opening = Vec::new();
        crate::encode::json::text(name, &mut opening);
        opening.push(b':');
        let name = name.to_owned();
        Self { name, opening, decoder, known, zeros: true, from_key: false, key: None }
    }

    fn column(&self) -> Column {
        let kind = decode::kind(&self.decoder);
        // PostgreSQL's own word for it: a sink gives a column of nulls no type that it did not have.
        let native = if self.known { native(&kind) } else { "unknown".to_owned() };
        let nullable = self.key.is_none();
        Column { name: self.name.clone(), kind, native, nullable, labels: Vec::new(), note: Note::default() }
    }
}

/// Learn of one member of a value without a schema, and pass over it.
fn learn(
    scanner: &mut Scanner<'_>,
    name: String,
    fields: &mut Vec<Field>,
    places: &mut FxHashMap<String, usize>,
    old: &[&Field],
) -> Result<()> {
    let found = decode::inferred(scanner)?;
    scanner.skip()?;
    let index = match places.get(&name) {
        Some(index) => *index,
        None => {
            if fields.len() >= COLUMNS_MAX {
                let what = format!("more than {COLUMNS_MAX} different members: their names seem to be data");
                return Err(Error::Limit(what));
            }
            let mut before = old.iter().filter(|field| field.name == name && !field.from_key);
            let mut field =
                before.next().map_or_else(|| Field::new(&name, Decoder::Text, false), |field| Field::clone(field));
            for other in before.filter(|field| field.known) {
                let decoder =
                    if field.known { decode::joined(&field.decoder, &other.decoder) } else { other.decoder.clone() };
                (field.decoder, field.known) = (decoder, true);
            }
            fields.push(field);
            let index = fields.len() - 1;
            places.insert(name, index);
            index
        }
    };
    let field = &mut fields[index];
    if let Some(found) = found {
        field.decoder = if field.known { decode::joined(&field.decoder, &found) } else { found };
        field.known = true;
    }
    Ok(())
}

/// Widen columns of the key that the values, whose members are `seen`, leave out because their key says them.
fn left_out(fields: &mut [Field], seen: &FxHashSet<String>, (key, keys): (Key<'_>, &Keys)) -> Result<()> {
    let missing = |field: &&mut Field| field.key.is_some() && !field.from_key && !seen.contains(&field.name);
    for field in fields.iter_mut().filter(missing) {
        if let Some(found) = keys.inferred(key, &field.name)? {
            field.decoder = if field.known { decode::joined(&field.decoder, &found) } else { found };
            field.known = true;
        }
    }
    Ok(())
}

/// Mark the columns of the key, and put those in front that the value does not have.
fn add_key(fields: &mut Vec<Field>, form: Option<&Form>, mut added: impl FnMut(Column)) {
    fields.iter_mut().for_each(|field| field.key = None);
    let Some(form) = form else { return };
    for (place, (column, decoder)) in form.columns.iter().enumerate().rev() {
        if column.name != WHOLE
            && let Some(field) = fields.iter_mut().find(|field| field.name == column.name)
        {
            field.key = Some(place);
            continue;
        }
        let known = decoder.is_some();
        let field = Field::new(&column.name, decoder.clone().unwrap_or(Decoder::Text), known);
        fields.insert(0, Field { from_key: true, key: Some(place), ..field });
        added(Column { nullable: false, ..column.clone() });
    }
}

/// Append the cell of the value that comes next.
#[inline]
fn cell(
    field: &Field,
    scanner: &mut Scanner<'_>,
    seen: &mut Seen,
    tools: &mut Tools<'_>,
    out: &mut Vec<u8>,
) -> std::result::Result<(), Miss> {
    let first = scanner.peek()?;
    if first == b'n' && scanner.null()? {
        out.push(b'n');
        seen.key_only &= field.key.is_none();
        return Ok(());
    }
    if !field.known {
        return Err(Miss::Kind);
    }
    if matches!(first, b'"' | b'[' | b'{')
        && let Some(length) = tools.placeholders.at(scanner.rest())
    {
        scanner.jump(scanner.at() + length);
        out.push(b'u');
        seen.unchanged = true;
        return Ok(());
    }
    let (start, at) = (out.len(), scanner.at());
    out.extend_from_slice(b"t\0\0\0\0");
    field.decoder.write(scanner, tools.scratch, out)?;
    tools.scratch.fits(out, at)?;
    if seen.key_only && field.key.is_none() {
        seen.key_only = field.zeros && is_zero(scanner.since(at));
    }
    close(start, out)?;
    Ok(())
}

/// Fill in the length of the cell that begins at `start`.
fn close(start: usize, out: &mut [u8]) -> Result<()> {
    let length = u32::try_from(out.len() - start - 5).map_err(|_| Error::Limit("a cell of more than 4 GB".into()))?;
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
