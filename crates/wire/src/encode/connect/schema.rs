//! Connect's schemas: what Debezium says of every value.

use std::borrow::Cow;

use super::value::Value;

/// The shape of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A boolean.
    Boolean,
    /// An integer of 8 bits.
    Int8,
    /// An integer of 16 bits.
    Int16,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A number of 32 bits.
    Float32,
    /// A number of 64 bits.
    Float64,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A list of such values.
    Array(Box<Schema>),
    /// A map from such keys to such values.
    Map(Box<(Schema, Schema)>),
    /// Named members in order.
    Struct(Vec<Member>),
}

impl Kind {
    /// Its name as JsonConverter has it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float32 => "float",
            Self::Float64 => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Struct(_) => "struct",
        }
    }
}

/// Which half of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// A member of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What its value is.
    pub schema: Schema,
}

/// What a value is, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Its shape.
    pub kind: Kind,
    /// Whether it may be null.
    pub optional: bool,
    /// The name of its meaning, or of a struct.
    pub name: Option<Cow<'static, str>>,
    /// Version of that name.
    pub version: Option<i32>,
    /// For humans.
    pub doc: Option<Cow<'static, str>>,
    /// More on its meaning, in order.
    pub parameters: Vec<(Cow<'static, str>, String)>,
    /// What it is when nobody says.
    pub default: Option<Value>,
}

impl Schema {
    /// A schema of this shape and no more, not optional.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { kind, optional: false, name: None, version: None, doc: None, parameters: Vec::new(), default: None }
    }

    /// A schema of version 1 of a well-known meaning.
    #[must_use]
    pub fn named(kind: Kind, name: &'static str) -> Self {
        Self { name: Some(Cow::Borrowed(name)), version: Some(1), ..Self::new(kind) }
    }

    /// A struct without a name.
    #[must_use]
    pub fn structure(members: impl IntoIterator<Item = (impl Into<String>, Self)>) -> Self {
        let member = |(name, schema): (_, Self)| Member { name: Into::into(name), schema };
        Self::new(Kind::Struct(members.into_iter().map(member).collect()))
    }

    /// A list of such values.
    #[must_use]
    pub fn array(element: Self) -> Self {
        Self::new(Kind::Array(Box::new(element)))
    }

    /// The same, and it may be null.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The same with a parameter more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parameters.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// The members of a struct; none of another shape.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Struct(members) => members,
            _ => &[],
        }
    }
}
