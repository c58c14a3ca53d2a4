//! Rows that say what happened to them, as `ExtractNewRecordState` makes them of events: `__op`, and `__deleted` where a
//! delete leaves the row. Of what it may add only what a change has a place for is known here; all else is columns.

use super::placeholder::{LISTED, is_zero};
use super::scan::Scanner;
use super::source::letter;
use crate::batch::Op;
use crate::error::Result;

/// Members that are no columns of a row that has one of the first two; the last one only where it is the list.
const MEMBERS: [&str; 5] = ["__op", "__deleted", "__lsn", "__ts_ms", LIST];
/// Which columns were not sent.
const LIST: &str = "__unavailable";

/// What such a row says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flat {
    op: Option<Op>,
    deleted: Option<bool>,
    pub(super) lsn: Option<i64>,
    pub(super) ts_ms: Option<i64>,
    list: List,
    /// Whether the list stands behind what says what happened, as no column does.
    added: bool,
}

/// What stands where the list would.
#[derive(Clone, Copy, Debug, Default)]
enum List {
    /// Nothing that it might be.
    #[default]
    Other,
    Null,
    /// A list, which begins here.
    At(usize),
}

/// A row without what it says of itself.
#[derive(Debug)]
pub(super) struct Told {
    /// An object of columns, with a placeholder for each that was not sent.
    pub(super) row: Vec<u8>,
    /// The members that are not in it.
    pub(super) gone: &'static [&'static str],
    /// Whether it says that all of it was sent.
    pub(super) whole: bool,
}

impl Flat {
    /// Look at a member of an object, whose value is at `at`.
    #[inline]
    pub(super) fn see(&mut self, name: &[u8], raw: &[u8], at: usize) {
        match name {
            b"__op" => self.op = letter(raw).filter(|op| matches!(op, Op::Create | Op::Read | Op::Update | Op::Delete)),
            b"__deleted" => {
                self.deleted = match raw {
                    b"\"true\"" | b"true" => Some(true),
                    b"\"false\"" | b"false" => Some(false),
                    _ => None,
                };
            }
            b"__lsn" => self.lsn = crate::value::number::integer(raw),
            b"__ts_ms" => self.ts_ms = crate::value::number::integer(raw),
            b"__unavailable" => {
                self.list = match raw.first() {
                    Some(b'n') => List::Null,
                    Some(b'[') => List::At(at),
                    _ => List::Other,
                };
                self.added = self.op.is_some() || self.deleted.is_some();
            }
            _ => {}
        }
    }

    /// What happened, when the row says it; `otherwise` where it only says that it is still there.
    pub(super) fn op(&self, otherwise: Op) -> Option<Op> {
        match (self.deleted, self.op) {
            (Some(true), _) => Some(Op::Delete),
            (_, Some(op)) => Some(op),
            (Some(false), None) => Some(otherwise),
            (None, None) => None,
        }
    }

    /// What the object at `at` of `value` says of itself, which [`Self::op`] knows to be such a row. A column of the list's
    /// name stays one: it stands before what a transform added, or holds something else than names of columns.
    pub(super) fn told(&self, value: &[u8], at: usize) -> Result<Told> {
        let members = members(value, at)?;
        let listed = match self.list {
            List::Null if self.added => Some(Vec::new()),
            List::At(list) if self.added => names(value, list)?.filter(|names| {
                names.iter().all(|name| members.iter().any(|(member, _)| member == name && *name != LIST.as_bytes()))
            }),
            _ => None,
        };
        let gone = &MEMBERS[..MEMBERS.len() - usize::from(listed.is_none())];
        let whole = listed.as_ref().is_some_and(Vec::is_empty);
        Ok(Told { row: without(&members, gone, &listed.unwrap_or_default()), gone, whole })
    }

    /// The same of a row that does not say what happened: all its members are columns, but those that its last one lists,
    /// and that hold nothing, were not sent. None where there is no such list.
    pub(super) fn unmarked(&self, value: &[u8], at: usize) -> Result<Option<Told>> {
        let List::At(list) = self.list else { return Ok(None) };
        let members = members(value, at)?;
        let Some(names) = names(value, list)?.filter(|names| !names.is_empty()) else { return Ok(None) };
        let Some(((last, _), columns)) = members.split_last() else { return Ok(None) };
        let empty =
            |name: &&[u8]| columns.iter().any(|(member, cell)| member == name && (*cell == b"null" || is_zero(cell)));
        if *last != LIST.as_bytes() || !names.iter().all(empty) {
            return Ok(None);
        }
        Ok(Some(Told { row: without(&members, &[], &names), gone: &[], whole: false }))
    }
}

/// The members of the object at `at`: names and values as they stand there.
fn members(value: &[u8], at: usize) -> Result<Vec<(&[u8], &[u8])>> {
    let mut scanner = Scanner::new(value, at);
    scanner.open(b'{')?;
    let (mut members, mut first) = (Vec::new(), true);
    while let Some(name) = scanner.member(&mut first)? {
        members.push((name.raw, scanner.skip()?));
    }
    Ok(members)
}

/// An object of these members but those that are `gone`, with a placeholder for those that are `listed`.
fn without(members: &[(&[u8], &[u8])], gone: &[&str], listed: &[&[u8]]) -> Vec<u8> {
    let mut row = vec![b'{'];
    for (name, cell) in members.iter().filter(|(name, _)| !gone.iter().any(|gone| gone.as_bytes() == *name)) {
        row.extend_from_slice(if row.len() > 1 { b",\"" } else { b"\"" });
        row.extend_from_slice(name);
        row.extend_from_slice(b"\":");
        row.extend_from_slice(if listed.contains(name) { LISTED } else { cell });
    }
    row.push(b'}');
    row
}

/// The texts of a list, as they stand there: whoever wrote it spelled the names of members alike. None where there are
/// other things in it.
fn names(value: &[u8], at: usize) -> Result<Option<Vec<&[u8]>>> {
    let mut scanner = Scanner::new(value, at);
    let (mut names, mut first) = (Vec::new(), true);
    scanner.open(b'[')?;
    while scanner.element(&mut first)? {
        if scanner.peek()? != b'"' {
            return Ok(None);
        }
        names.push(scanner.string()?.raw);
    }
    Ok(Some(names))
}
