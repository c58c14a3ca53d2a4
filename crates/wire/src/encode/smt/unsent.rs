//! Rows that say which of their columns the server has not sent, as they were unchanged: null there, and listed. What
//! a placeholder would be in each type needs no reader that knows it.

use super::Flow;
use super::record::{Content, Node, Record, Slot};
use crate::encode::connect::{Kind, Schema, Value};

/// The list.
const UNAVAILABLE: &str = "__unavailable";
/// What tells such a row from anything else.
const OP: &str = "__op";

/// Add the list, and let what it may name be null.
pub(super) fn apply(mut record: Record) -> Flow {
    let Some(row) = record.value.as_mut() else { return Flow::Next(record) };
    let Some(op) = row.member(OP) else { return Flow::Next(record) };
    if row.member(UNAVAILABLE).is_some() {
        return Flow::Refuse("the row has a column __unavailable, which the profile flat adds: rename the column");
    }
    let (Kind::Struct(members), Content::Struct(contents)) = (&mut row.schema.kind, &row.content) else {
        return Flow::Next(record);
    };
    let mut columns = Vec::new();
    for (member, content) in members.iter_mut().zip(contents) {
        if let Content::Slot(source) = content
            && source.may_be_unsent
        {
            member.schema.optional = true;
            member.schema.default = None; // Connect's readers take it for what is null
            columns.push((member.name.clone(), source.slot));
        }
    }
    row.put(UNAVAILABLE, listed(Content::Null));
    // A create may lack columns too: of a key that changed, what the update left as it was.
    let old = op.content == Content::Fixed(Value::String("d".into()));
    if old || columns.is_empty() { Flow::Next(record) } else { Flow::Ask(super::Ask::Unsent(columns), record) }
}

/// The record, once it is known which columns were not sent.
pub(super) fn answer(mut record: Record, columns: &[(String, Slot)], unsent: &[bool]) -> Record {
    let Some(row) = record.value.as_mut() else { return record };
    let names: Vec<&String> =
        columns.iter().zip(unsent).filter(|(_, unsent)| **unsent).map(|((name, _), _)| name).collect();
    for name in &names {
        row.change(name, |_, content| *content = Content::Null);
    }
    if !names.is_empty() {
        let names = names.into_iter().map(|name| (false, Value::String(name.clone()))).collect();
        row.put(UNAVAILABLE, listed(Content::Fixed(Value::List(names))));
    }
    record
}

fn listed(content: Content) -> Node {
    Node { schema: Schema::array(Schema::new(Kind::String)).optional(), content }
}
