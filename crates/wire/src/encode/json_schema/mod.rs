//! JSON Schema as Confluent's JsonSchemaConverter writes it: the schema of a Connect schema (`schema`); values are JSON
//! without a schema around them ([`Json::entries`](crate::encode::connect::Json::entries)), behind Confluent's frame.
//!
//! Source of the rules: Confluent's JsonSchemaData 8.x, and the library that it prints schemas with (everit-json-schema
//! 1.14, whose objects are Java's hash maps); `tests/conformance` compares with rules written down a second time.

mod schema;

pub use schema::{Options, write_schema};
