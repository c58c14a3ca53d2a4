//! Encodings of segments: one folder each, all of the same shape. An encoder makes a plan for each table version once,
//! then walks a segment's rows and appends to one buffer; it allocates nothing per row.

mod adjust;
pub mod avro;
pub mod connect;
pub mod copy;
pub mod debezium;
mod encoded;
mod java;
pub(crate) mod json;
pub mod json_schema;
pub mod protobuf;
mod scrub;
pub mod smt;
mod varint;

pub use adjust::Adjustment;
pub use encoded::{Encoded, Record};
