//! Kafka Connect's data model: what a value is (`schema`), a value on its own (`value`), and where codecs write their
//! values to (`format`), which each encoding spells its own way: `json` here, as Kafka's JsonConverter does.

mod format;
mod json;
mod schema;
mod value;

pub use format::{Field, Format, Written};
pub use json::{Json, write_schema};
pub use schema::{Half, Kind, Member, Schema};
pub use value::{Recorder, Value};
