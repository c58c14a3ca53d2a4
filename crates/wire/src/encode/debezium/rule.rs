//! Options that are about columns by name: which of them are written, masked, or make the key. Decided once for a table
//! version.

use super::mask::{Hash, Mask};
use super::source_type::SourceType;
use crate::encode::connect::Member;
use crate::pattern::Patterns;
use crate::table::{Column, Table, Type};

/// The rules of a profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// `column.include.list`
    pub include: Patterns,
    /// `column.exclude.list`
    pub exclude: Patterns,
    /// `message.key.columns`: a pattern for each key column, in order.
    pub key: Vec<Patterns>,
    /// `column.truncate.…`, then `column.mask.with.…`, then hashes: the first that matches counts.
    pub masks: Vec<(Patterns, Mask)>,
    /// `column.propagate.source.type`
    pub propagate: Patterns,
    /// `datatype.propagate.source.type`
    pub propagate_types: Patterns,
}

impl Rules {
    /// Add a mask; truncations come first, as in Debezium, and hashes last.
    pub fn add(&mut self, columns: Patterns, mask: Mask) {
        let rank = |mask: &Mask| match mask {
            Mask::Truncate(_) => 0,
            Mask::Stars(_) => 1,
            Mask::Hash(_) => 2,
        };
        let at = self.masks.partition_point(|(_, other)| rank(other) <= rank(&mask));
        self.masks.insert(at, (columns, mask));
    }

    /// Read `message.key.columns`: `table:column,column;…`, tables being expressions.
    ///
    /// # Errors
    /// The part that has another form.
    pub fn parse_key(text: &str) -> Result<Vec<Patterns>, String> {
        let mut key = Vec::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (table, columns) =
                part.split_once(':').ok_or_else(|| format!("{part:?} is not of the form table:column,column"))?;
            for column in columns.split(',') {
                key.push(Patterns::parse(&format!("{}.{}", table.replace(',', "\\,"), column.trim()))?);
            }
        }
        Ok(key)
    }

    /// Whether a column is written. Doubt writes it only if nothing else hides it.
    #[must_use]
    pub fn writes(&self, table: &Table, column: &Column) -> bool {
        let name = || format!("{}.{}.{}", table.schema, table.name, column.name);
        (self.include.is_empty() || self.include.matches(&name(), false))
            && (self.exclude.is_empty() || !self.exclude.matches(&name(), true))
    }

    /// What is done to a column's text. Stars and hashes are for types of plain text, truncation for all that are written
    /// as text.
    #[must_use]
    pub fn mask(&self, table: &Table, column: &Column) -> Option<Mask> {
        let name = (!self.masks.is_empty()).then(|| format!("{}.{}.{}", table.schema, table.name, column.name))?;
        let (_, mask) = self.masks.iter().find(|(columns, _)| columns.matches(&name, true))?;
        let length = match &column.kind {
            Type::Varchar(length) | Type::Bpchar(length) => length.map(|length| length as usize),
            Type::Text | Type::Name | Type::Enum => None,
            Type::Other if column.native == "\"char\"" => Some(1),
            _ => return matches!(mask, Mask::Truncate(_)).then(|| mask.clone()),
        };
        Some(match (mask, length) {
            (Mask::Hash(hash), Some(length)) => Mask::Hash(hash.within(length)),
            _ => mask.clone(),
        })
    }

    /// What masks and propagation add to the schema of a column.
    #[must_use]
    pub fn described(&self, table: &Table, column: &Column, mut member: Member) -> Member {
        if self.masks.is_empty() && self.propagate.is_empty() && self.propagate_types.is_empty() {
            return member;
        }
        let source = SourceType::of(column);
        let name = |last: &str| format!("{}.{}.{last}", table.schema, table.name);
        let mask = self.masks.iter().find(|(columns, _)| columns.matches(&name(&column.name), true));
        let propagated = self.propagate.matches(&name(&column.name), false)
            || self.propagate_types.matches(&name(&source.name), false);
        let parameters = &mut member.schema.parameters;
        match mask {
            Some((_, Mask::Truncate(length))) => {
                let cuts = usize::try_from(source.length).is_ok_and(|whole| whole > *length);
                parameters.extend(cuts.then(|| ("truncateLength".into(), length.to_string())));
            }
            Some(_) => parameters.push(("masked".into(), "true".into())),
            None if propagated => {
                parameters.push(("__debezium.source.column.type".into(), source.name.to_uppercase()));
                parameters.push(("__debezium.source.column.length".into(), source.length.to_string()));
                parameters
                    .extend(source.scale.map(|scale| ("__debezium.source.column.scale".into(), scale.to_string())));
                parameters.push(("__debezium.source.column.name".into(), column.name.clone()));
            }
            None => (),
        }
        member
    }

    /// Indexes of the key's columns.
    #[must_use]
    pub fn key(&self, table: &Table) -> Vec<usize> {
        let name = |column: &Column| format!("{}.{}.{}", table.schema, table.name, column.name);
        let named = |patterns: &Patterns| {
            let columns = table.columns.iter().enumerate();
            let found = columns.filter(|(_, column)| patterns.matches(&name(column), false));
            found.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let chosen: Vec<usize> = self.key.iter().flat_map(named).collect();
        if chosen.is_empty() { table.key.iter().map(|index| usize::from(*index)).collect() } else { chosen }
    }
}

/// Read the part of an option's name behind `column_mask_hash_`: `[v2_]<algorithm>_with_salt_<salt>`.
///
/// # Errors
/// What the name lacks.
pub fn hash_of(name: &str) -> Result<Hash, String> {
    let second = name.strip_prefix("v2_");
    let (algorithm, salt) =
        second.unwrap_or(name).split_once("_with_salt_").ok_or("the name lacks _with_salt_ and the salt")?;
    Hash::new(algorithm, salt, second.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> std::sync::Arc<Table> {
        let column = |name: &str, kind: &str| Column {
            name: name.into(),
            native: kind.into(),
            kind: Type::parse(kind).unwrap(),
            nullable: true,
            labels: vec![],
            note: crate::table::Note::default(),
        };
        Table::new(
            "public".into(),
            "t".into(),
            vec![column("id", "int4"), column("a", "text"), column("b", "varchar(5)")],
            vec![0],
        )
    }

    #[test]
    fn keys_are_in_the_order_of_the_option() {
        let rules = Rules { key: Rules::parse_key("public.(t|u):b,a; x:y").unwrap(), ..Rules::default() };
        assert_eq!(rules.key(&table()), [2, 1]);
        assert_eq!(Rules::default().key(&table()), [0]);
        assert!(Rules::parse_key("public.t").is_err());
    }

    #[test]
    fn the_first_rule_counts_and_truncation_is_first() {
        let mut rules = Rules::default();
        rules.add(Patterns::parse("public.t.*").unwrap(), Mask::Hash(hash_of("v2_MD5_with_salt_s").unwrap()));
        rules.add(Patterns::parse("public.t.a").unwrap(), Mask::Truncate(1));
        let of = |index: usize| rules.mask(&table(), &table().columns[index]);
        assert_eq!((of(0), of(1)), (None, Some(Mask::Truncate(1))));
        assert_eq!(of(2).and_then(|mask| mask.apply(Some("x"))).map(|hash| hash.len()), Some(5));
    }

    #[test]
    fn columns_are_included_and_excluded() {
        let rules = Rules {
            include: Patterns::parse("public.t.(id|a)").unwrap(),
            exclude: Patterns::parse("public.t.A").unwrap(),
            ..Rules::default()
        };
        assert_eq!(
            table().columns.iter().map(|column| rules.writes(&table(), column)).collect::<Vec<_>>(),
            [true, false, false]
        );
    }
}
