//! Tables, columns and the closed set of portable types.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The portable type of a column: what the encoders choose by. Servers' types outside the set are `Other`, kept as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `bool`
    Bool,
    /// `int2`
    Int2,
    /// `int4`
    Int4,
    /// `int8`
    Int8,
    /// `oid`
    Oid,
    /// `float4`
    Float4,
    /// `float8`
    Float8,
    /// `numeric` or `numeric(precision,scale)`
    Numeric(Option<(u16, i16)>),
    /// `money`
    Money,
    /// `text`
    Text,
    /// `varchar` or `varchar(n)`
    Varchar(Option<u32>),
    /// `bpchar` or `bpchar(n)`
    Bpchar(Option<u32>),
    /// `name`
    Name,
    /// `citext`
    Citext,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time(p)`, p digits of a second
    Time(u8),
    /// `timetz(p)`
    TimeTz(u8),
    /// `timestamp(p)`
    Timestamp(u8),
    /// `timestamptz(p)`
    TimestampTz(u8),
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `xml`
    Xml,
    /// `inet`
    Inet,
    /// `cidr`
    Cidr,
    /// `macaddr`
    Macaddr,
    /// `macaddr8`
    Macaddr8,
    /// `bit(n)`
    Bit(u32),
    /// `varbit` or `varbit(n)`
    Varbit(Option<u32>),
    /// `enum`; labels stand in [`Column::labels`]
    Enum,
    /// a range type, by its name (`int4range`, …)
    Range(&'static str),
    /// `multirange`
    Multirange,
    /// `hstore`
    Hstore,
    /// `ltree`
    Ltree,
    /// `tsvector`
    Tsvector,
    /// `point`
    Point,
    /// `<element>[]`
    Array(Box<Type>),
    /// anything else, as the server prints it
    Other,
}

const RANGES: [&str; 6] = ["int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"];

impl Type {
    /// Whether the server may store a value apart from its row, as it has no fixed length (`pg_type.typlen`, TOAST): an
    /// update that leaves it as it was does not bring it then.
    #[must_use]
    pub const fn may_be_stored_apart(&self) -> bool {
        !matches!(
            self,
            Self::Bool
                | Self::Int2
                | Self::Int4
                | Self::Int8
                | Self::Oid
                | Self::Float4
                | Self::Float8
                | Self::Money
                | Self::Name
                | Self::Date
                | Self::Time(_)
                | Self::TimeTz(_)
                | Self::Timestamp(_)
                | Self::TimestampTz(_)
                | Self::Interval
                | Self::Uuid
                | Self::Macaddr
                | Self::Macaddr8
                | Self::Enum
                | Self::Point
        )
    }

    /// Read a portable type's name; None for a name outside the closed set.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(element) = text.strip_suffix("[]") {
            return Some(Self::Array(Box::new(Self::parse(element)?)));
        }
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(')')?)),
            None => (text, None),
        };
        let size = || arguments.map(|text| text.parse::<u32>().ok());
        let length = || match size() {
            None => Some(None),
            Some(Some(n)) => Some(Some(n)),
            Some(None) => None,
        };
        let digits = || match size() {
            None => Some(6),
            Some(Some(n)) if n <= 6 => u8::try_from(n).ok(),
            Some(_) => None,
        };
        Some(match name {
            "numeric" => Self::Numeric(match arguments {
                None => None,
                Some(text) => {
                    let (precision, scale) = text.split_once(',')?;
                    Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
                }
            }),
            "varchar" => Self::Varchar(length()?),
            "bpchar" => Self::Bpchar(length()?),
            "bit" => Self::Bit(length()?.unwrap_or(1)),
            "varbit" => Self::Varbit(length()?),
            "time" => Self::Time(digits()?),
            "timetz" => Self::TimeTz(digits()?),
            "timestamp" => Self::Timestamp(digits()?),
            "timestamptz" => Self::TimestampTz(digits()?),
            _ if arguments.is_some() => return None,
            _ => Self::parse_plain(name)?,
        })
    }

    fn parse_plain(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "oid" => Self::Oid,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "money" => Self::Money,
            "text" => Self::Text,
            "name" => Self::Name,
            "citext" => Self::Citext,
            "bytea" => Self::Bytea,
            "date" => Self::Date,
            "interval" => Self::Interval,
            "uuid" => Self::Uuid,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "xml" => Self::Xml,
            "inet" => Self::Inet,
            "cidr" => Self::Cidr,
            "macaddr" => Self::Macaddr,
            "macaddr8" => Self::Macaddr8,
            "enum" => Self::Enum,
            "multirange" => Self::Multirange,
            "hstore" => Self::Hstore,
            "ltree" => Self::Ltree,
            "tsvector" => Self::Tsvector,
            "point" => Self::Point,
            "other" => Self::Other,
            _ => Self::Range(RANGES.into_iter().find(|range| *range == name)?),
        })
    }

    fn plain_name(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int2 => "int2",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::Oid => "oid",
            Self::Float4 => "float4",
            Self::Float8 => "float8",
            Self::Numeric(_) => "numeric",
            Self::Money => "money",
            Self::Text => "text",
            Self::Varchar(_) => "varchar",
            Self::Bpchar(_) => "bpchar",
            Self::Name => "name",
            Self::Citext => "citext",
            Self::Bytea => "bytea",
            Self::Date => "date",
            Self::Time(_) => "time",
            Self::TimeTz(_) => "timetz",
            Self::Timestamp(_) => "timestamp",
            Self::TimestampTz(_) => "timestamptz",
            Self::Interval => "interval",
            Self::Uuid => "uuid",
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::Xml => "xml",
            Self::Inet => "inet",
            Self::Cidr => "cidr",
            Self::Macaddr => "macaddr",
            Self::Macaddr8 => "macaddr8",
            Self::Bit(_) => "bit",
            Self::Varbit(_) => "varbit",
            Self::Enum => "enum",
            Self::Range(name) => name,
            Self::Multirange => "multirange",
            Self::Hstore => "hstore",
            Self::Ltree => "ltree",
            Self::Tsvector => "tsvector",
            Self::Point => "point",
            Self::Array(_) => "array",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(element) => write!(f, "{element}[]"),
            Self::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            Self::Varchar(Some(n)) | Self::Bpchar(Some(n)) | Self::Varbit(Some(n)) | Self::Bit(n) => {
                write!(f, "{}({n})", self.plain_name())
            }
            Self::Time(p) | Self::TimeTz(p) | Self::Timestamp(p) | Self::TimestampTz(p) if *p < 6 => {
                write!(f, "{}({p})", self.plain_name())
            }
            _ => f.write_str(self.plain_name()),
        }
    }
}

/// What the source tells of a column beside what its cells need: for those who make the table elsewhere. No part of any
/// equality, since the cells mean the same whatever stands here.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// The comment on the column.
    pub comment: Option<String>,
    /// The server counts its values up: identity, serial, `AUTO_INCREMENT`.
    pub identity: bool,
    /// What rows that are older than the column have in it, where the server knows that.
    pub backfill: Option<String>,
    /// The expression of its default, as the server prints it.
    pub default: Option<String>,
    /// The server makes values for it, by a default or a generation: unless `backfill` tells them, older rows may have
    /// some that no event has told.
    pub defaulted: bool,
}

/// One column of a table version. Equality ignores the note.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name, as the server has it.
    pub name: String,
    /// Portable type.
    pub kind: Type,
    /// The server's own spelling of the type.
    pub native: String,
    /// Whether the column may be null.
    pub nullable: bool,
    /// Labels of an enum, in sort order.
    pub labels: Vec<String>,
    /// Beside the cells.
    pub note: Note,
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.kind, &self.native, self.nullable, &self.labels)
            == (&other.name, &other.kind, &other.native, other.nullable, &other.labels)
    }
}

impl Eq for Column {}

impl Hash for Column {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.kind, &self.native, self.nullable, &self.labels).hash(state);
    }
}

/// A type that is not the server's own, as its source defines it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeDefinition {
    /// Schema (namespace) name.
    pub schema: String,
    /// Type name.
    pub name: String,
    /// What sort of type it is, in the source's words (`enum`, `domain`, `composite`, …).
    pub kind: String,
    /// Labels of an enum, in sort order.
    pub labels: Vec<String>,
    /// What it is made of: a name each, and a type in the server's own spelling.
    pub parts: Vec<(String, String)>,
}

/// What the source tells of a table beside what its rows need. No part of any equality.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// The comment on the table.
    pub comment: Option<String>,
    /// The types that its columns need, each behind those that it needs itself.
    pub types: Vec<TypeDefinition>,
    /// The source's number for it, which another table that takes its name does not have (`pg_class.oid`).
    pub oid: Option<u32>,
}

static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// One version of a table: immutable. Equality ignores the version number and the notes.
#[derive(Clone, Debug)]
pub struct Table {
    /// Schema (namespace) name.
    pub schema: String,
    /// Table name.
    pub name: String,
    /// Columns in the order of the cells.
    pub columns: Vec<Column>,
    /// Indexes of the key columns, in key order; empty without a usable key.
    pub key: Vec<u16>,
    /// Unique within this process.
    pub version: u64,
    /// Beside the rows.
    pub notes: Arc<Notes>,
}

impl Table {
    /// Make a new version of a table.
    #[must_use]
    pub fn new(schema: String, name: String, columns: Vec<Column>, key: Vec<u16>) -> Arc<Self> {
        Self::noted(schema, name, columns, key, Arc::default())
    }

    /// Make a new version of a table of which more is known; a transform hands on the notes of the table that it reads.
    #[must_use]
    pub fn noted(schema: String, name: String, columns: Vec<Column>, key: Vec<u16>, notes: Arc<Notes>) -> Arc<Self> {
        let version = VERSIONS.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { schema, name, columns, key, version, notes })
    }

    /// Index of a column by name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        (&self.schema, &self.name, &self.columns, &self.key) == (&other.schema, &other.name, &other.columns, &other.key)
    }
}

impl Eq for Table {}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_round_trip() {
        for text in [
            "bool",
            "int4",
            "numeric",
            "numeric(12,2)",
            "numeric(5,-2)",
            "varchar(20)",
            "varchar",
            "bpchar(3)",
            "bit(3)",
            "timestamp",
            "timestamptz(3)",
            "int4[]",
            "numeric(12,2)[]",
            "daterange",
            "multirange",
            "enum",
            "other",
            "time(0)",
        ] {
            assert_eq!(Type::parse(text).map(|kind| kind.to_string()).as_deref(), Some(text));
        }
        for text in ["int", "int4(3)", "numeric(1)", "timestamp(7)", "varchar(x)", "", "[]"] {
            assert_eq!(Type::parse(text), None, "{text}");
        }
    }
}
