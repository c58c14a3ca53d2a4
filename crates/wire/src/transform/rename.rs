//! Give tables and columns other names.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::plan::{self, Images, Plan, Plans, Transform};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::table::Table;

/// New names with their plans.
pub struct Rename {
    names: FxHashMap<String, String>,
    plans: Plans,
    /// Which table had each new name first.
    taken: Mutex<FxHashMap<String, String>>,
}

impl Rename {
    /// `schema.table` to `schema.table`, or `schema.table.column` to a column's name.
    ///
    /// # Errors
    /// [`Error::Usage`] for an empty name.
    pub fn new(names: Vec<(String, String)>) -> Result<Arc<Self>> {
        if let Some((old, _)) = names.iter().find(|(old, new)| old.is_empty() || new.is_empty()) {
            return Err(Error::Usage(format!("rename {old:?}: a name must not be empty")));
        }
        let (names, plans, taken) = (names.into_iter().collect(), Plans::default(), Mutex::default());
        Ok(Arc::new(Self { names, plans, taken }))
    }

    /// The same changes under other names.
    ///
    /// # Errors
    /// [`Error::Usage`] when two tables, or two columns of one, would have one name.
    pub fn apply(self: &Arc<Self>, batch: &Batch) -> Result<Batch> {
        plan::apply(self, batch)
    }

    fn table_name(&self, table: &Table) -> Result<(String, String)> {
        let Some(new) = self.names.get(&table.to_string()) else {
            return Ok((table.schema.clone(), table.name.clone()));
        };
        match new.split_once('.') {
            Some((schema, name)) if !schema.is_empty() && !name.is_empty() => Ok((schema.to_owned(), name.to_owned())),
            _ => Err(Error::Usage(format!("rename {table}: the new name {new:?} must be schema.table"))),
        }
    }
}

impl Transform for Rename {
    fn plans(&self) -> &Plans {
        &self.plans
    }

    fn plan(&self, table: &Arc<Table>) -> Result<Option<Plan>> {
        let (schema, name) = self.table_name(table)?;
        let mut columns = table.columns.clone();
        for column in &mut columns {
            if let Some(new) = self.names.get(&format!("{table}.{}", column.name)) {
                column.name.clone_from(new);
            }
        }
        for (index, column) in columns.iter().enumerate() {
            if columns[..index].iter().any(|other| other.name == column.name) {
                return Err(Error::Usage(format!("rename: two columns of {table} would be {:?}", column.name)));
            }
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = taken.entry(format!("{schema}.{name}")).or_insert_with(|| table.to_string());
        if *owner != table.to_string() {
            return Err(Error::Usage(format!("rename: both {owner} and {table} would be {schema}.{name}")));
        }
        if (&schema, &name, &columns) == (&table.schema, &table.name, &table.columns) {
            return Ok(Some(Plan::keep(table)));
        }
        let table = Table::noted(schema, name, columns, table.key.clone(), Arc::clone(&table.notes));
        Ok(Some(Plan { table, images: Images::Same }))
    }
}
