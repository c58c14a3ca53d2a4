//! Avro as Confluent's AvroConverter writes it: the schema of a Connect schema (`schema`), values in binary (`binary`),
//! and the frame around them. Which id a schema has is the registry's to say: nothing here asks for it.
//!
//! Source of the rules: the Avro 1.11 specification, and what Confluent's AvroData 7.0 prints for the same Connect
//! schemas; `tests/conformance` compares with the real one.

mod binary;
mod schema;

pub use binary::Avro;
pub use schema::{Options, write_schema};
