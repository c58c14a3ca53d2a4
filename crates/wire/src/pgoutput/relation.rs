//! What the server says of a table before its rows: the Relation message.

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
