//! Rows that say what happened to them, as `ExtractNewRecordState` makes them of events: `__op`, and `__deleted` where a
//! delete leaves the row. Of what it may add only what a change has a place for is known here; all else is columns.

use super::placeholder::LISTED;
use super::scan::Scanner;
use super::source::letter;
use crate::batch::Op;
use crate::error::Result;

/// Members that are no columns of a row that has one of the first two.
pub(super) const MEMBERS: [&str; 5] = ["__op", "__deleted", "__lsn", "__ts_ms", "__unavailable"];

/// What such a row says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flat {
    op: Option<Op>,
    deleted: Option<bool>,
    pub(super) lsn: Option<i64>,
    pub(super) ts_ms: Option<i64>,
    /// Where the list of columns that were not sent begins.
    unavailable: Option<usize>,
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
            b"__unavailable" => self.unavailable = raw.starts_with(b"[").then_some(at),
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

    /// The object at `at` of `value` without the members that are no columns, and with a placeholder for each column
    /// that was not sent.
    pub(super) fn row(&self, value: &[u8], at: usize) -> Result<Vec<u8>> {
        let unsent = self.unavailable.map_or_else(|| Ok(Vec::new()), |at| names(&mut Scanner::new(value, at)))?;
        let mut scanner = Scanner::new(value, at);
        let mut row = Vec::with_capacity(value.len() - at);
        row.push(b'{');
        scanner.open(b'{')?;
        let mut first = true;
        while let Some(name) = scanner.member(&mut first)? {
            let cell = scanner.skip()?;
            if MEMBERS.iter().any(|member| member.as_bytes() == name.raw) {
                continue;
            }
            row.extend_from_slice(if row.len() > 1 { b",\"" } else { b"\"" });
            row.extend_from_slice(name.raw);
            row.extend_from_slice(b"\":");
            row.extend_from_slice(if unsent.contains(&name.raw) { LISTED } else { cell });
        }
        row.push(b'}');
        Ok(row)
    }
}

/// The texts of a list, as they stand there: whoever wrote it spelled the names of members alike.
fn names<'a>(scanner: &mut Scanner<'a>) -> Result<Vec<&'a [u8]>> {
    let (mut names, mut first) = (Vec::new(), true);
    scanner.open(b'[')?;
    while scanner.element(&mut first)? {
        names.push(scanner.string()?.raw);
    }
    Ok(names)
}
