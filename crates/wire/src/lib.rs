//! Wire formats of change data capture: bytes in, batches and encodings out.
//!
//! This crate knows no Python, no sockets and no clock. Everything that arrives is checked before it is trusted: no
//! input makes it panic or allocate more than the input itself justifies.

#[cfg(feature = "arrow")]
pub mod arrow;
pub mod batch;
pub mod chunk;
pub mod copy;
pub mod encode;
pub mod error;
pub mod fold;
pub mod pattern;
pub mod pgoutput;
pub mod position;
pub mod read;
pub mod table;
pub mod transform;
pub mod value;
