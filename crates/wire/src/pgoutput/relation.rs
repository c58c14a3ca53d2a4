//! What the server says of a table before its rows: the Relation message, and the table that it was described as.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::message::Reader;
use crate::batch::{SHARED_BIT, column_bit};
use crate::error::{Error, Result};
use crate::table::Table;

/// A Relation message: look the table up in the catalog, then describe it to the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Oid of the table (of the partition root, when the publication says so).
    pub oid: u32,
    /// Schema name.
    pub schema: String,
    /// Table name.
    pub name: String,
    /// `pg_class.relreplident`: `d`, `n`, `f` or `i`.
    pub replica_identity: char,
    /// The published columns in the order of the cells.
    pub columns: Vec<RelationColumn>,
    /// Indexes of the columns that can be null, whatever the catalog says now: rows have shown it. The message tells
    /// nothing of it.
    pub nullable: Vec<usize>,
}

/// One column of a Relation message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Name.
    pub name: String,
    /// Oid of the type.
    pub type_oid: u32,
    /// Type modifier, -1 for none.
    pub modifier: i32,
    /// Part of the replica identity.
    pub key: bool,
}

/// The least that a column takes in a message: flags, an empty name, type and modifier.
const COLUMN_BYTES_MIN: usize = 1 + 1 + 4 + 4;

impl Relation {
    /// Read a Relation message ('R') behind its kind and xid.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (oid, schema, name) = (reader.u32()?, reader.string()?, reader.string()?);
        let at = reader.place().1;
        let replica_identity = match reader.u8()? {
            identity @ (b'd' | b'n' | b'f' | b'i') => char::from(identity),
            identity => return Err(Error::malformed(format!("unknown replica identity {identity:#04x}"), at)),
        };
        let count = usize::from(reader.u16()?);
        let mut columns = Vec::with_capacity(count.min(reader.left() / COLUMN_BYTES_MIN));
        for _ in 0..count {
            let at = reader.place().1;
            let key = match reader.u8()? {
                0 => false,
                1 => true,
                flags => return Err(Error::malformed(format!("unknown column flags {flags:#04x}"), at)),
            };
            let name = reader.string()?.to_owned();
            let type_oid = reader.u32()?;
            columns.push(RelationColumn { name, type_oid, modifier: reader.u32()?.cast_signed(), key });
        }
        reader.end()?;
        let schema = if schema.is_empty() { "pg_catalog" } else { schema };
        Ok(Self {
            oid,
            schema: schema.to_owned(),
            name: name.to_owned(),
            replica_identity,
            columns,
            nullable: Vec::new(),
        })
    }

    /// Whether both came as the same message.
    fn is_like(&self, other: &Self) -> bool {
        (self.oid, &self.schema, &self.name, self.replica_identity, &self.columns)
            == (other.oid, &other.schema, &other.name, other.replica_identity, &other.columns)
    }

    /// Whether the flags tell by which columns a row is known. Otherwise only the catalog does, and the same message comes
    /// again when a key was made, dropped or changed.
    fn tells_key(&self) -> bool {
        matches!(self.replica_identity, 'd' | 'i') && self.columns.iter().any(|column| column.key)
    }

    /// Whether the table has this relation's columns, in order, and room for the nulls that were seen.
    pub(super) fn fits(&self, table: &Table) -> bool {
        let names = self.columns.iter().map(|column| &column.name);
        names.eq(table.columns.iter().map(|column| &column.name))
            && self.nullable.iter().all(|column| table.columns[*column].nullable)
    }
}

/// A relation of this connection and the version of the table that its rows have.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) relation: Relation,
    /// What it was described as.
    pub(super) table: Option<Arc<Table>>,
    /// The [`column_bit`]s of the columns that cannot be null in that.
    required: u64,
    /// Index of the table in the segment that `epoch` names.
    pub(super) slot: u16,
    pub(super) epoch: u64,
    /// How many Relation messages came before this one, in whichever transaction.
    arrival: u64,
    /// The catalog did not show the table as its transaction has made it: that is described again when it commits.
    pub(super) provisional: bool,
    /// Provisional versions that a row has contradicted: the rows before it have them until then.
    outdated: Vec<Arc<Table>>,
    /// The [`column_bit`]s of the columns that were null in a row meanwhile.
    nulls: u64,
    /// While it is provisional, which columns those are that share a bit.
    shared_nulls: BTreeSet<usize>,
}

impl Known {
    fn new(relation: Relation, table: Option<Arc<Table>>, arrival: u64) -> Self {
        let (slot, epoch, provisional, nulls) = (0, 0, false, 0);
        let (outdated, shared_nulls) = (Vec::new(), BTreeSet::new());
        let mut known = Self {
            relation,
            table: None,
            required: 0,
            slot,
            epoch,
            arrival,
            provisional,
            outdated,
            nulls,
            shared_nulls,
        };
        if let Some(table) = table {
            known.set_table(table);
        }
        known
    }

    /// The rows that follow belong to this version, and unless it is `provisional`, those of the versions that are
    /// returned do, too.
    pub(super) fn describe(&mut self, table: Arc<Table>, provisional: bool) -> Vec<Arc<Table>> {
        self.outdated.extend(self.table.take());
        self.set_table(table);
        self.provisional = provisional;
        if provisional { Vec::new() } else { std::mem::take(&mut self.outdated) }
    }

    /// Note which columns were null in a row: their [`column_bit`]s, and for those that share one, the columns.
    #[inline]
    pub(super) fn saw<I: Iterator<Item = usize>>(&mut self, nulls: u64, columns: impl FnOnce() -> I) {
        self.nulls |= nulls;
        if self.provisional && nulls & SHARED_BIT != 0 {
            self.shared_nulls.extend(columns().filter(|column| column_bit(*column) == SHARED_BIT));
        }
    }

    fn was_null(&self, column: usize) -> bool {
        match column_bit(column) {
            SHARED_BIT => self.shared_nulls.contains(&column),
            bit => self.nulls & bit != 0,
        }
    }

    /// Whether it must be described again, now that its transaction has ended. What its rows have shown holds then, too.
    fn unsettle(&mut self) -> bool {
        if self.provisional {
            let columns = 0..self.relation.columns.len();
            self.relation.nullable = columns.filter(|column| self.was_null(*column)).collect();
        }
        self.provisional
    }

    /// Forget a description that is provisional still: nobody asked for the rows of its transaction.
    fn drop_provisional(&mut self) {
        if self.unsettle() {
            (self.table, self.provisional) = (None, false);
            self.outdated.clear();
        }
    }

    fn set_table(&mut self, table: Arc<Table>) {
        let columns = table.columns.iter().enumerate();
        self.required =
            columns.filter(|(_, column)| !column.nullable).fold(0, |bits, (index, _)| bits | column_bit(index));
        (self.table, self.epoch) = (Some(table), 0);
    }

    /// Whether a row with these nulls ([`column_bit`]s) may contradict what the table was described as.
    #[inline]
    pub(super) fn may_contradict(&self, nulls: u64) -> bool {
        self.required & nulls != 0
    }

    /// Forget the description if one of these columns, which are null in a row, cannot be null in it: the server does
    /// not announce that NOT NULL was dropped, and the catalog may be ahead of the row. What could be null stays so.
    #[cold]
    pub(super) fn contradict(&mut self, nulls: impl Iterator<Item = usize>) -> bool {
        let Some(table) = &self.table else { return false };
        let mut seen: Vec<usize> = nulls.filter(|column| !table.columns[*column].nullable).collect();
        if seen.is_empty() {
            return false;
        }
        seen.extend((0..table.columns.len()).filter(|column| table.columns[*column].nullable));
        seen.sort_unstable();
        seen.dedup();
        self.relation.nullable = seen;
        let table = self.table.take();
        self.outdated.extend(table.filter(|_| self.provisional));
        true
    }
}

/// Relations by oid. Born and dying with a connection; a streamed transaction has its own, which become everyone's when
/// it commits, just as pgoutput keeps its account of what it has sent.
#[derive(Debug, Default)]
pub(super) struct Relations {
    by_oid: FxHashMap<u32, Known>,
    /// Those with provisional descriptions that later messages of the same transaction have taken the place of.
    superseded: Vec<Known>,
}

impl Relations {
    /// Take note of a Relation message.
    pub(super) fn learn(&mut self, relation: Relation, described: &mut Described) {
        described.arrivals += 1;
        // A transaction that changes the catalog is announced its tables anew with each block.
        if let Some(known) = self.by_oid.get_mut(&relation.oid)
            && known.provisional
            && known.relation.is_like(&relation)
        {
            known.arrival = described.arrivals;
            return;
        }
        let table = described.table(&relation);
        let before = self.by_oid.insert(relation.oid, Known::new(relation, table, described.arrivals));
        self.superseded.extend(before.filter(|known| known.provisional));
    }

    /// A relation that must be described again, now that its transaction has ended, and its place if it was superseded.
    pub(super) fn unsettled(&mut self) -> Option<(u32, Option<usize>)> {
        let superseded = self.superseded.iter_mut().enumerate().map(|(place, known)| (Some(place), known));
        let present = self.by_oid.values_mut().map(|known| (None, known));
        let mut all = superseded.chain(present);
        all.find_map(|(place, known)| known.unsettle().then_some((known.relation.oid, place)))
    }

    /// That relation.
    pub(super) fn at(&self, oid: u32, superseded: Option<usize>) -> Option<&Known> {
        match superseded {
            Some(place) => self.superseded.get(place),
            None => self.get(oid),
        }
    }

    /// That relation, to be described.
    pub(super) fn at_mut(&mut self, oid: u32, superseded: Option<usize>) -> Option<&mut Known> {
        match superseded {
            Some(place) => self.superseded.get_mut(place),
            None => self.get_mut(oid),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, oid: u32) -> Option<&mut Known> {
        self.by_oid.get_mut(&oid)
    }

    pub(super) fn get(&self, oid: u32) -> Option<&Known> {
        self.by_oid.get(&oid)
    }

    /// Take over what a streamed transaction learned, where nothing newer was announced since: the server does not
    /// announce that again. What is provisional still is of a transaction that was delivered before.
    pub(super) fn absorb(&mut self, others: Self) {
        for (oid, mut known) in others.by_oid {
            if self.get(oid).is_none_or(|shared| shared.arrival < known.arrival) {
                known.drop_provisional();
                self.by_oid.insert(oid, known);
            }
        }
    }
}

/// How each relation was described last: the same definition again, in whichever transaction, keeps the table's version.
/// Where the message does not tell the key, the catalog is asked again; pgoutput sends a message only once for each
/// streamed transaction and each change of the table, so that this costs rows nothing.
#[derive(Debug, Default)]
pub(super) struct Described {
    by_oid: FxHashMap<u32, (Relation, Arc<Table>)>,
    /// Relation messages that came.
    arrivals: u64,
}

impl Described {
    fn table(&self, relation: &Relation) -> Option<Arc<Table>> {
        let (known, table) = self.by_oid.get(&relation.oid)?;
        (relation.tells_key() && known.is_like(relation)).then(|| Arc::clone(table))
    }

    /// Remember a description; returns the table's version, an older one when nothing of it has changed.
    pub(super) fn remember(&mut self, relation: &Relation, table: &Arc<Table>) -> Arc<Table> {
        let table = match self.by_oid.get(&relation.oid) {
            Some((_, known)) if known == table => Arc::clone(known),
            _ => Arc::clone(table),
        };
        self.by_oid.insert(relation.oid, (relation.clone(), Arc::clone(&table)));
        table
    }
}
