//! Arrow record batches from segments, and cells from record batches. One record batch a segment and table version.

mod cells;
mod column;
mod encoder;
#[cfg(test)]
mod tests;
mod text;
mod types;

pub use cells::with_arrow;
pub use encoder::{Encoder, META};
pub use types::{arrow_name, arrow_type, duckdb_type};
