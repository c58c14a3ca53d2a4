//! `PartitionRouting`: a partition by what a row holds.

use super::Flow;
use super::hash::HashFunction;
use super::record::{Node, Partition, Record};

/// The options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByFields {
    /// `partition.payload.fields`, each a path into the envelope
    pub fields: Vec<Vec<String>>,
    /// `partition.topic.num`
    pub count: u32,
    /// `partition.hash.function`
    pub function: HashFunction,
}

impl ByFields {
    /// Apply it.
    pub(super) fn apply(&self, mut record: Record) -> Flow {
        let Some(envelope) = record.envelope() else { return Flow::Next(record) };
        let deleted = envelope.member("after").is_none_or(|after| after.is_null());
        if deleted && envelope.member("before").is_none_or(|before| before.is_null()) {
            return Flow::Next(record); // a TRUNCATE
        }
        let nodes: Vec<Node> = self.fields.iter().filter_map(|path| find(envelope, path, deleted)).collect();
        if !nodes.is_empty() {
            record.partition = Some(Partition { nodes, count: self.count, function: self.function });
        }
        Flow::Next(record)
    }
}

/// What stands at a path; `change` is the image that there is.
fn find(envelope: &Node, path: &[String], deleted: bool) -> Option<Node> {
    path.iter().try_fold(envelope.clone(), |node, name| match name.as_str() {
        "change" => node.member(if deleted { "before" } else { "after" }),
        name => node.member(name),
    })
}
