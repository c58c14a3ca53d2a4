//! Rows that say which of their columns the server has not sent: unchanged ones of an update, all but the key of an old
//! row. Null there, and listed. What a placeholder or a zero would be in each type needs no reader that knows it.

use super::Flow;
use super::record::{Content, Node, Record, Sent, Slot, Source};
use crate::encode::connect::{Kind, Schema, Value};

/// The list.
const UNAVAILABLE: &str = "__unavailable";

/// Add the list, and let what it may name be null.
pub(super) fn apply(mut record: Record) -> Flow {
    let Some(row) = record.value.as_mut() else { return Flow::Next(record) };
    let taken = row.member(UNAVAILABLE).is_some();
    let (Kind::Struct(members), Content::Struct(contents)) = (&mut row.schema.kind, &row.content) else {
        return Flow::Next(record);
    };
    let (mut asked, mut is_row) = (Vec::new(), false);
    for (member, content) in members.iter_mut().zip(contents) {
        let Content::Slot(Source { slot, sent: Some(sent), .. }) = content else { continue };
        is_row = true;
        if matches!(sent, Sent::Here | Sent::Perhaps) {
            member.schema.optional = true;
            member.schema.default = None; // Connect's readers take it for what is null
        }
        if matches!(sent, Sent::Key | Sent::Perhaps) {
            asked.push((member.name.clone(), *slot));
        }
    }
    if !is_row {
        return Flow::Next(record);
    }
    if taken {
        return Flow::Refuse("the row has a column __unavailable, which the profile flat adds: rename the column");
    }
    row.put(UNAVAILABLE, listed(Content::Null));
    if asked.is_empty() { Flow::Next(record) } else { Flow::Ask(super::Ask::Unsent(asked), record) }
}

/// The record, once it is known which columns were not sent.
pub(super) fn answer(mut record: Record, asked: &[(String, Slot)], unsent: &[bool]) -> Result<Record, &'static str> {
    let Some(row) = record.value.as_mut() else { return Ok(record) };
    let names: Vec<&String> =
        asked.iter().zip(unsent).filter(|(_, unsent)| **unsent).map(|((name, _), _)| name).collect();
    for name in &names {
        if row.member(name).is_some_and(|column| !column.schema.optional) {
            return Err("a key column that was not sent: the replica identity lacks it");
        }
        row.change(name, |_, content| *content = Content::Null);
    }
    if !names.is_empty() {
        let names = names.into_iter().map(|name| (false, Value::String(name.clone()))).collect();
        row.put(UNAVAILABLE, listed(Content::Fixed(Value::List(names))));
    }
    Ok(record)
}

fn listed(content: Content) -> Node {
    Node { schema: Schema::array(Schema::new(Kind::String)).optional(), content }
}
