//! Batches from batches: select, rename, mask, pick. A transform is made once and keeps its plan for each table version, so
//! that the same version always becomes the same new version. Parts on disk stay there: they are transformed when they are
//! read.

mod cut;
mod glob;
mod mask;
mod pick;
mod plan;
mod rename;
mod select;
#[cfg(test)]
mod tests;

pub use cut::{Cut, cut};
pub use glob::Globs;
pub use mask::{Mask, Method};
pub use pick::{only, without};
pub use rename::Rename;
pub use select::{Select, Selection};
