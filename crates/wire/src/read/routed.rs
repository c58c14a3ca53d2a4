//! Keys that name a table, as `ByLogicalTableRouter` makes them. The name is a topic's, so that it may be other than the
//! table's: characters that no topic may have are replaced, and `key.field.regex` makes of it whatever it likes.

use rustc_hash::FxHashMap;

/// Names that are kept of one partition.
const NAMES_MAX: usize = 1024;

/// Schema and table.
pub(super) type Name = (String, String);

/// The tables whose rows came under each name.
#[derive(Debug, Default)]
pub(super) struct Routed {
    /// None where there were several.
    tables: FxHashMap<String, Option<Name>>,
    /// Rows said of which table they are; others are of the topic's, whatever their keys name.
    told: bool,
}

impl Routed {
    /// A row of this table came under a name.
    pub(super) fn saw(&mut self, text: String, table: &Name, told: bool) {
        self.told |= told;
        if let Some(known) = self.tables.get_mut(&text) {
            if known.as_ref().is_some_and(|known| known != table) {
                *known = None;
            }
            return;
        }
        if self.tables.len() >= NAMES_MAX {
            self.tables.clear();
        }
        self.tables.insert(text, Some(table.clone()));
    }

    /// The table of a name; None for one that never came, and the inner None for one of several.
    pub(super) fn table(&self, text: &str) -> Option<Option<&Name>> {
        self.tables.get(text).map(Option::as_ref)
    }

    /// Whether rows said of which table they are.
    pub(super) fn told(&self) -> bool {
        self.told
    }
}
