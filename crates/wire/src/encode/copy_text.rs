//! The text format of COPY … FROM STDIN (PostgreSQL manual, "COPY", "Text Format"), cells as the server sent them.

use crate::batch::{Cell, Op, Segment, Tuple};
use crate::error::{Error, Result};
use crate::table::Table;

/// What a row is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Indexes of the columns, in the order to write them.
    columns: Vec<usize>,
    /// What ends a row: the constants and the line feed.
    ending: Vec<u8>,
    /// Whether a row begins with its op and its set of unsent columns.
    staged: bool,
}

impl Plan {
    /// Rows of these columns of `table`, followed by constants.
    ///
    /// # Errors
    /// [`Error::Usage`] for a column that the table does not have.
    pub fn new(table: &Table, columns: &[String], constants: &[String], staged: bool) -> Result<Self> {
        let find = |name: &String| table.column(name).ok_or_else(|| Error::Usage(format!("{table} has no {name}")));
        let columns = columns.iter().map(find).collect::<Result<Vec<_>>>()?;
        let mut ending = Vec::new();
        for constant in constants {
            ending.push(b'\t');
            escape(constant.as_bytes(), &mut ending);
        }
        ending.push(b'\n');
        Ok(Self { columns, ending, staged })
    }
}

/// The rows of one segment and table version.
#[derive(Debug, Default)]
pub struct CopyText {
    /// The rows, complete.
    pub bytes: Vec<u8>,
    /// How many rows are inserts (or snapshot rows), updates, deletes.
    pub counts: [usize; 3],
    /// The sets of columns that an update did not send, as indexes in the table. A staged row names its set by its place
    /// here; the first is empty.
    pub unsent: Vec<Vec<usize>>,
}

impl CopyText {
    /// Write the rows of `table` in `segment`: the new image, of a delete the old one.
    ///
    /// # Errors
    /// [`Error::Usage`] for a cell that was not sent when rows are not staged, or for more than 32,767 sets of such.
    pub fn encode(segment: &Segment, table: &Table, plan: &Plan) -> Result<Self> {
        let mut out = Self { unsent: vec![Vec::new()], ..Self::default() };
        let Some(wanted) = segment.tables().iter().position(|known| known.version == table.version) else {
            return Ok(out);
        };
        out.bytes.reserve(segment.nbytes() + segment.nbytes() / 8);
        let mut cells: Vec<Cell<'_>> = Vec::with_capacity(table.columns.len());
        let mut unsent = Vec::new();
        for row in segment.rows().filter(|row| usize::from(row.entry().table) == wanted) {
            let (place, image) = match row.op() {
                Op::Create | Op::Read => (0, row.after()),
                Op::Update => (1, row.after()),
                Op::Delete => (2, row.before()),
                Op::Truncate | Op::Message => continue,
            };
            let Some(image) = image else { continue };
            out.counts[place] += 1;
            read(image, &mut cells, &mut unsent);
            if plan.staged {
                let set = out.set_of(&unsent)?;
                out.bytes.push(b"cud"[place]);
                out.bytes.push(b'\t');
                out.bytes.extend_from_slice(set.to_string().as_bytes());
                out.bytes.push(b'\t');
            } else if !unsent.is_empty() {
                return Err(Error::Usage(format!("a row of {table} is not complete")));
            }
            for (index, column) in plan.columns.iter().enumerate() {
                if index > 0 {
                    out.bytes.push(b'\t');
                }
                match cells.get(*column) {
                    Some(Cell::Text(text)) => escape(text, &mut out.bytes),
                    _ => out.bytes.extend_from_slice(b"\\N"),
                }
            }
            out.bytes.extend_from_slice(&plan.ending);
        }
        Ok(out)
    }

    /// The place of a set of unsent columns.
    fn set_of(&mut self, unsent: &[usize]) -> Result<i16> {
        let known = self.unsent.iter().position(|set| set == unsent);
        let place = known.unwrap_or_else(|| {
            self.unsent.push(unsent.to_vec());
            self.unsent.len() - 1
        });
        i16::try_from(place).map_err(|_| Error::Usage("too many sets of columns that were not sent".into()))
    }
}

fn read<'a>(image: Tuple<'a>, cells: &mut Vec<Cell<'a>>, unsent: &mut Vec<usize>) {
    cells.clear();
    unsent.clear();
    for (index, cell) in image.cells().enumerate() {
        if cell == Cell::Unchanged {
            unsent.push(index);
        }
        cells.push(cell);
    }
}

/// Append a cell; what has a meaning in the format is written behind a backslash.
fn escape(cell: &[u8], out: &mut Vec<u8>) {
    let special = |byte: u8| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r');
    // Looked at as a whole first, without an early end: that is vectorised, and most cells are clean.
    if !cell.iter().fold(false, |found, byte| found | special(*byte)) {
        out.extend_from_slice(cell);
        return;
    }
    for byte in cell {
        let letter = match byte {
            b'\\' => b'\\',
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            other => {
                out.push(*other);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::OldImage;
    use crate::batch::sample::{Null, Row, Unchanged, segment, t, table};

    fn encoded(changes: &[Row], staged: bool) -> Result<CopyText> {
        let table = &changes[0].table;
        let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let plan = Plan::new(table, &names, &["ten\tant".to_owned()], staged)?;
        CopyText::encode(&segment(changes, 0), table, &plan)
    }

    #[test]
    fn cells_are_escaped_and_constants_follow() {
        let table = table("orders", &[("id", "int8"), ("note", "text")], &[0]);
        let changes =
            [Row::insert(&table, vec![t("1"), t("a\tb\\N\r\n\u{1}")]), Row::insert(&table, vec![t("2"), Null])];
        let out = encoded(&changes, false).unwrap();
        assert_eq!(out.bytes, b"1\ta\\tb\\\\N\\r\\n\x01\tten\\tant\n2\t\\N\tten\\tant\n");
        assert_eq!(out.counts, [2, 0, 0]);
    }

    #[test]
    fn staged_rows_say_what_they_are_and_what_was_not_sent() {
        let table = table("orders", &[("id", "int8"), ("note", "text")], &[0]);
        let changes = [
            Row { op: Op::Update, table: table.clone(), old: None, new: Some(vec![t("1"), Unchanged]) },
            Row { op: Op::Delete, table: table.clone(), old: Some((OldImage::Key, vec![t("2"), Null])), new: None },
        ];
        let out = encoded(&changes, true).unwrap();
        assert_eq!(out.bytes, b"u\t1\t1\t\\N\tten\\tant\nd\t0\t2\t\\N\tten\\tant\n");
        assert_eq!((out.counts, out.unsent), ([0, 1, 1], vec![vec![], vec![1]]));
        assert!(encoded(&changes, false).is_err());
    }
}
