//! Batches from batches: select, rename, mask, pick. A transform is made once and keeps its plan for each table version, so
//! that the same version always becomes the same new version.

mod glob;
mod mask;
mod pick;
mod rename;
mod select;

pub use mask::{Mask, Method};
pub use pick::{only, without};
pub use rename::Rename;
pub use select::{Select, Selection};
