//! Keep some tables, columns and operations.

use std::sync::Arc;

use super::glob::Globs;
use super::plan::{self, Images, Plan, Plans, Transform};
use crate::batch::{Batch, Op};
use crate::error::{Error, Result};
use crate::table::Table;

/// What to keep; None keeps all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// `schema.table` globs.
    pub tables: Option<Vec<String>>,
    /// `schema.table` globs of tables to leave out.
    pub exclude_tables: Vec<String>,
    /// `schema.table.column` globs; key columns always stay.
    pub columns: Option<Vec<String>>,
    /// `schema.table.column` globs of columns to leave out; key columns always stay.
    pub exclude_columns: Vec<String>,
    /// Letters of operations.
    pub ops: Option<String>,
}

/// A selection with its plans. Messages belong to no table: only `ops` leaves them out.
pub struct Select {
    tables: Option<Globs>,
    exclude_tables: Globs,
    columns: Option<Globs>,
    exclude_columns: Globs,
    ops: Option<Vec<Op>>,
    plans: Plans,
}

impl Select {
    /// A transform without plans yet.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown letter, or for what is no regular expression.
    pub fn new(selection: Selection) -> Result<Arc<Self>> {
        let Selection { tables, exclude_tables, columns, exclude_columns, ops } = selection;
        let letter = |letter: u8| {
            let unknown = || Error::Usage(format!("unknown op {:?}: use letters of \"cudrtm\"", char::from(letter)));
            Op::parse(letter).ok_or_else(unknown)
        };
        Ok(Arc::new(Self {
            tables: tables.as_deref().map(Globs::new).transpose()?,
            exclude_tables: Globs::new(&exclude_tables)?,
            columns: columns.as_deref().map(Globs::new).transpose()?,
            exclude_columns: Globs::new(&exclude_columns)?,
            ops: ops.map(|ops| ops.bytes().map(letter).collect()).transpose()?,
            plans: Plans::default(),
        }))
    }

    /// The changes that match.
    ///
    /// # Errors
    /// [`Error::Io`] when a spill file cannot be read.
    pub fn apply(self: &Arc<Self>, batch: &Batch) -> Result<Batch> {
        plan::apply(self, batch)
    }
}

impl Transform for Select {
    fn plans(&self) -> &Plans {
        &self.plans
    }

    fn plan(&self, table: &Arc<Table>) -> Result<Option<Plan>> {
        let name = table.to_string();
        if self.tables.as_ref().is_some_and(|globs| !globs.matches(&name)) || self.exclude_tables.matches(&name) {
            return Ok(None);
        }
        let kept = |index: &usize| {
            let is_key = table.key.iter().any(|key| usize::from(*key) == *index);
            let name = format!("{name}.{}", table.columns[*index].name);
            let wanted = self.columns.as_ref().is_none_or(|globs| globs.matches(&name));
            is_key || wanted && !self.exclude_columns.matches(&name)
        };
        let columns: Vec<usize> = (0..table.columns.len()).filter(kept).collect();
        if columns.len() == table.columns.len() {
            return Ok(Some(Plan::keep(table)));
        }
        let moved = |key: &u16| columns.binary_search(&usize::from(*key)).ok().and_then(|at| u16::try_from(at).ok());
        let key = table.key.iter().filter_map(moved).collect();
        let left = columns.iter().map(|index| table.columns[*index].clone()).collect();
        let table = Table::noted(table.schema.clone(), table.name.clone(), left, key, Arc::clone(&table.notes));
        Ok(Some(Plan { table, images: Images::Columns(columns) }))
    }

    fn keeps(&self, op: Op) -> bool {
        self.ops.as_ref().is_none_or(|ops| ops.contains(&op))
    }
}
