//! Hide the values of columns, in every image and so in the key too.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::glob::Globs;
use super::plan::{self, Images, Plan, Plans, Transform};
use crate::batch::{Batch, Cell, SegmentBuilder, Tuple};
use crate::error::{Error, Result};
use crate::table::{Column, Table, Type};
use crate::value::bytea;

/// How to hide a value. Null stays null, an unchanged cell stays unchanged.
///
/// A column whose masked values its type cannot hold becomes `text`: under `Hash` every type, under `Truncate` all but the types
/// of plain text, under `Redact` those that are not plain text and not nullable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// Null, or empty text where the column is not nullable. Not for key columns.
    Redact,
    /// HMAC-SHA-256 of the text under this salt, in hex. Different texts stay different (two with one hash are not known to
    /// exist), so keys do; equal texts stay equal, so joins do. Values that are equal but spelled differently do not.
    Hash(Vec<u8>),
    /// The first characters. Not for key columns.
    Truncate(usize),
}

/// A mask with its plans.
pub struct Mask {
    columns: Globs,
    how: How,
    plans: Plans,
}

#[derive(Clone)]
enum How {
    Null,
    Empty,
    Hash(Hmac<Sha256>),
    Truncate(usize),
}

impl How {
    /// One value, hidden; None is null.
    fn hide(&self, text: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        match self {
            Self::Null => return None,
            Self::Empty => (),
            Self::Hash(keyed) => {
                bytea::digits(&keyed.clone().chain_update(text).finalize().into_bytes(), &mut out);
            }
            Self::Truncate(length) => out.extend_from_slice(start(text, *length)),
        }
        String::from_utf8(out).ok()
    }
}

/// Bytes of a hash in hex.
const HASH_LEN: usize = 64;

impl Mask {
    /// Mask the columns that match these `schema.table.column` globs.
    ///
    /// # Errors
    /// [`Error::Usage`] for a hash without salt, or for what is no regular expression.
    pub fn new(columns: Vec<String>, method: Method) -> Result<Arc<Self>> {
        let how = match method {
            Method::Redact => How::Null,
            Method::Hash(salt) if salt.is_empty() => {
                return Err(Error::Usage("mask by hash needs a salt: short values could be guessed without".into()));
            }
            Method::Hash(salt) => {
                How::Hash(Hmac::new_from_slice(&salt).map_err(|_| Error::Usage("the salt is not usable".into()))?)
            }
            Method::Truncate(length) => How::Truncate(length),
        };
        Ok(Arc::new(Self { columns: Globs::new(&columns)?, how, plans: Plans::default() }))
    }

    /// The same changes with masked cells in every image.
    ///
    /// # Errors
    /// [`Error::Usage`] when a key column would be redacted or truncated: keys must stay apart.
    pub fn apply(self: &Arc<Self>, batch: &Batch) -> Result<Batch> {
        plan::apply(self, batch)
    }

    /// What to do with a column's cells, after its type has been changed to one that holds the result.
    fn column(&self, column: &mut Column) -> How {
        let plain = matches!(column.kind, Type::Text | Type::Varchar(_) | Type::Bpchar(_) | Type::Name | Type::Citext);
        let how = match &self.how {
            How::Null if !column.nullable => How::Empty,
            how => how.clone(),
        };
        let fits = match how {
            How::Null => true,
            How::Empty | How::Truncate(_) => plain,
            How::Hash(_) => column.kind == Type::Text,
        };
        if !fits {
            column.kind = Type::Text;
            "text".clone_into(&mut column.native);
            column.labels.clear();
        }
        how
    }
}

impl Transform for Mask {
    fn plans(&self) -> &Plans {
        &self.plans
    }

    fn plan(&self, table: &Arc<Table>) -> Result<Option<Plan>> {
        let mut columns = table.columns.clone();
        let mut hidden = Vec::new();
        for (index, column) in columns.iter_mut().enumerate() {
            if !self.columns.matches(&format!("{table}.{}", column.name)) {
                continue;
            }
            let is_key = table.key.iter().any(|key| usize::from(*key) == index);
            if is_key && !matches!(self.how, How::Hash(_)) {
                let name = &column.name;
                return Err(Error::Usage(format!(
                    "mask: {table}.{name} is part of the key, and rows would fall together: use the method hash"
                )));
            }
            let how = self.column(column);
            // It is a value of the column like those of its cells, and targets write it into rows.
            column.note.backfill = column.note.backfill.as_deref().and_then(|text| how.hide(text.as_bytes()));
            column.note.default = None;
            hidden.push((index, how));
        }
        if hidden.is_empty() {
            return Ok(Some(Plan::keep(table)));
        }
        let table = Table::noted(
            table.schema.clone(),
            table.name.clone(),
            columns,
            table.key.clone(),
            Arc::clone(&table.notes),
        );
        Ok(Some(Plan { table, images: Images::Masked(Masked(hidden)) }))
    }
}

/// The hidden columns of a table version, in column order.
pub(super) struct Masked(Vec<(usize, How)>);

impl Masked {
    /// Write a masked image; `scratch` holds its hashes.
    pub fn write(&self, builder: &mut SegmentBuilder, tuple: Tuple<'_>, scratch: &mut Vec<u8>) -> Result<u32> {
        scratch.clear();
        let mut hidden = self.0.iter().peekable();
        for (index, cell) in tuple.cells().enumerate() {
            let how = hidden.next_if(|(column, _)| *column == index);
            if let (Some((_, How::Hash(keyed))), Cell::Text(text)) = (how, cell) {
                let hash = keyed.clone().chain_update(text).finalize().into_bytes();
                bytea::digits(&hash, scratch);
            }
        }
        let mut hashes = scratch.chunks_exact(HASH_LEN);
        let mut hidden = self.0.iter().peekable();
        builder.tuple(tuple.cells().enumerate().map(|(index, cell)| {
            let (Some((_, how)), Cell::Text(text)) = (hidden.next_if(|(column, _)| *column == index), cell) else {
                return cell;
            };
            match how {
                How::Null => Cell::Null,
                How::Empty => Cell::Text(b""),
                How::Hash(_) => hashes.next().map_or(Cell::Null, Cell::Text),
                How::Truncate(length) => Cell::Text(start(text, *length)),
            }
        }))
    }
}

/// The first `length` characters of UTF-8 text.
fn start(text: &[u8], length: usize) -> &[u8] {
    let mut starts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xC0 != 0x80);
    starts.nth(length).map_or(text, |(end, _)| &text[..end])
}
