//! Rows for COPY … FROM STDIN, cells as the server sent them: in binary where every column has a form that can be made
//! from its text, else as text.

mod binary;
mod numeric;
mod text;

use self::binary::{Binary, Kind};
use self::text::Text;
use crate::batch::{Cell, Op, Segment, Tuple};
use crate::error::{Error, Result};
use crate::table::Table;

/// What a row is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Indexes of the columns, in the order to write them.
    columns: Vec<usize>,
    text: Text,
    /// None when a column or a constant has no binary form here.
    binary: Option<Binary>,
    /// Whether a row begins with its op and its set of unsent columns.
    staged: bool,
}

impl Plan {
    /// Rows of these columns of `table`, followed by constants. `receivers` are the functions of the target that read
    /// the binary form of each (`pg_type.typreceive`); one that is not known here makes all rows text.
    ///
    /// # Errors
    /// [`Error::Usage`] for a column that the table does not have.
    pub fn new(
        table: &Table,
        columns: &[String],
        constants: &[String],
        receivers: &[String],
        staged: bool,
    ) -> Result<Self> {
        let find = |name: &String| table.column(name).ok_or_else(|| Error::Usage(format!("{table} has no {name}")));
        let columns = columns.iter().map(find).collect::<Result<Vec<_>>>()?;
        let kinds: Option<Vec<Kind>> = receivers.iter().map(|name| Kind::read_by(name)).collect();
        let binary = kinds.and_then(|kinds| Binary::new(kinds, columns.len(), constants, staged));
        Ok(Self { columns, text: Text::new(constants), binary, staged })
    }
}

/// The rows of one segment and table version.
#[derive(Debug, Default)]
pub struct CopyRows {
    /// The rows, complete; in binary without the header and the trailer of the file.
    pub bytes: Vec<u8>,
    /// Whether they are binary.
    pub binary: bool,
    /// How many rows are inserts (or snapshot rows), updates, deletes.
    pub counts: [usize; 3],
    /// The sets of columns that an update did not send, as indexes in the table. A staged row names its set by its place
    /// here; the first is empty.
    pub unsent: Vec<Vec<usize>>,
}

/// How a row is written.
trait Format {
    /// Begin a row, in a staged one with its op and its set.
    fn begin(&self, staged: Option<(u8, i16)>, out: &mut Vec<u8>);
    /// Append the cell of a place in the row; None when the format cannot say it.
    fn cell(&self, place: usize, cell: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()>;
    /// End the row with the constants.
    fn end(&self, out: &mut Vec<u8>);
}

impl CopyRows {
    /// Write the rows of `table` in `segment`: the new image, of a delete the old one. A segment with a cell whose text
    /// is not as a server writes it is text as a whole, for the target's own parser to judge.
    ///
    /// # Errors
    /// [`Error::Usage`] for a cell that was not sent when rows are not staged, or for more than 32,767 sets of such.
    pub fn encode(segment: &Segment, table: &Table, plan: &Plan) -> Result<Self> {
        let Some(wanted) = segment.tables().iter().position(|known| known.version == table.version) else {
            return Ok(Self { unsent: vec![Vec::new()], ..Self::default() });
        };
        if let Some(binary) = &plan.binary
            && let Some(rows) = Self::write(segment, table, wanted, plan, binary)?
        {
            return Ok(Self { binary: true, ..rows });
        }
        let rows = Self::write(segment, table, wanted, plan, &plan.text)?;
        rows.ok_or_else(|| Error::Usage(format!("a row of {table} is not text")))
    }

    /// None when the format cannot say a cell.
    fn write<F: Format>(
        segment: &Segment,
        table: &Table,
        wanted: usize,
        plan: &Plan,
        format: &F,
    ) -> Result<Option<Self>> {
        let mut out = Self { unsent: vec![Vec::new()], ..Self::default() };
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
            let staged = if plan.staged { Some((b"cud"[place], out.set_of(&unsent)?)) } else { None };
            if staged.is_none() && !unsent.is_empty() {
                return Err(Error::Usage(format!("a row of {table} is not complete")));
            }
            format.begin(staged, &mut out.bytes);
            for (place, column) in plan.columns.iter().enumerate() {
                let text = match cells.get(*column) {
                    Some(Cell::Text(text)) => Some(*text),
                    _ => None,
                };
                if format.cell(place, text, &mut out.bytes).is_none() {
                    return Ok(None);
                }
            }
            format.end(&mut out.bytes);
        }
        Ok(Some(out))
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

#[cfg(test)]
mod tests;
