//! Protobuf as Confluent's ProtobufConverter writes it: the schema of a Connect schema (`schema`), values in binary
//! (`binary`), the few types of their own that Connect's logical types become (`logical`), and what stands between the
//! frame and the value: which of the schema's messages it is.
//!
//! Source of the rules: the Protocol Buffers documentation (proto3, encoding), and what Confluent's ProtobufData 7.0
//! prints for the same Connect schemas; `tests/conformance` compares with the real one.

mod binary;
mod logical;
mod schema;

pub use binary::Protobuf;
pub(crate) use logical::GREGORIAN_DAY;
pub use schema::{full_name, write_index, write_schema};

/// ProtobufConverter's options that change a schema or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `scrub.invalid.names`: whether names that Protobuf does not allow are made into some that it does.
    pub scrub: bool,
    /// `optional.for.nullables`: whether what may be null is an `optional` field, which tells null from zero.
    pub optional: bool,
    /// `wrapper.for.nullables`: whether what may be null is a wrapper's message, which tells null from zero too.
    pub wrapper: bool,
}

impl Options {
    /// ProtobufConverter's.
    pub const DEFAULT: Self = Self { scrub: false, optional: false, wrapper: false };
}
