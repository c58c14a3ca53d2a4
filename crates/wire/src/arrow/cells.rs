//! Record batches back into cells: what `map_arrow` returns.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;

use super::META;
use super::text::{self, Write};
use crate::batch::{ABSENT, Batch, Cell, OldImage, Op, Part, RowRef, Segment, SegmentBuilder, Tuple};
use crate::error::{Error, Result};
use crate::table::Table;

/// Replace the cells of the changes of `table` by `rows`, matched by `_index`; changes of `table` without a row are dropped.
///
/// The rows hold what [`super::Encoder`] gives: the old image of a delete, the new one of everything else; old images of updates
/// stay as they are. A column that the rows lack keeps its cells, a null in place of an unchanged cell leaves it unchanged,
/// and what a key-only image does not have stays out of it. The result is in memory.
///
/// # Errors
/// [`Error::Usage`] for a column that the table does not have, a type or value that does not fit, or an `_index` that
/// is not a change of the table or comes twice.
pub fn with_arrow(batch: &Batch, table: &Arc<Table>, rows: &[RecordBatch]) -> Result<Batch> {
    let sources = rows.iter().map(|rows| Source::new(table, rows)).collect::<Result<Vec<_>>>()?;
    let places = places(table, rows)?;
    let mut places = places.into_iter().peekable();
    let mut parts = Vec::with_capacity(batch.parts().len());
    let mut first = 0;
    for part in batch.parts() {
        let ours = part.tables().iter().any(|known| known.version == table.version);
        let mut next = |index: usize| places.next_if(|place| place.index == (first + index) as u64);
        parts.push(if ours {
            Part::Memory(Arc::new(replace(&*part.load()?, table, &sources, &mut next)?))
        } else {
            part.clone()
        });
        first += part.len();
    }
    match places.next() {
        None => Ok(batch.with_parts(parts)),
        Some(place) => Err(Error::Usage(format!("_index {}: not a change of {table} in this batch", place.index))),
    }
}

/// Where the row of a change lies.
#[derive(Clone, Copy)]
struct Place {
    index: u64,
    source: usize,
    row: usize,
}

/// All rows by the index of their change, in order.
fn places(table: &Table, rows: &[RecordBatch]) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for (source, rows) in rows.iter().enumerate() {
        let bad = || Error::Usage(format!("{table}: the rows need their column _index, of type uint64 without nulls"));
        let column = rows.column_by_name("_index").filter(|column| column.null_count() == 0).ok_or_else(bad)?;
        let index = |row: usize| match column.data_type() {
            DataType::UInt64 => Some(column.as_primitive::<UInt64Type>().value(row)),
            DataType::Int64 => u64::try_from(column.as_primitive::<Int64Type>().value(row)).ok(),
            _ => None,
        };
        for row in 0..rows.num_rows() {
            places.push(Place { index: index(row).ok_or_else(bad)?, source, row });
        }
    }
    places.sort_unstable_by_key(|place| place.index);
    match places.windows(2).find(|pair| pair[0].index == pair[1].index) {
        None => Ok(places),
        Some(pair) => Err(Error::Usage(format!("{table}: _index {} comes twice", pair[0].index))),
    }
}

/// One record batch: for each column of the table where it is null and how to print it; None where the rows lack the column.
struct Source<'a> {
    columns: Vec<Option<(Option<NullBuffer>, Write<'a>)>>,
}

impl<'a> Source<'a> {
    fn new(table: &'a Table, rows: &'a RecordBatch) -> Result<Self> {
        let mut columns: Vec<_> = table.columns.iter().map(|_| None).collect();
        for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            let name = field.name();
            let Some(index) = table.column(name) else {
                if META.contains(&name.as_str()) {
                    continue;
                }
                return Err(Error::Usage(format!("{table} has no column {name:?}: with_arrow changes values only")));
            };
            let kind = &table.columns[index].kind;
            let write: Write<'a> = match array.data_type() {
                DataType::Null => Box::new(|_, _| Some(())),
                other => text::writer(array.as_ref(), kind)
                    .ok_or_else(|| Error::Usage(format!("{table}.{name}: Arrow type {other} does not fit {kind}")))?,
            };
            columns[index] = Some((array.logical_nulls(), write));
        }
        Ok(Self { columns })
    }

    /// Print a row.
    fn print(&self, table: &Table, row: usize, printed: &mut Printed) -> Result<()> {
        let Printed { texts, spans } = printed;
        texts.clear();
        spans.clear();
        for (values, column) in self.columns.iter().zip(&table.columns) {
            let start = texts.len();
            spans.push(match values {
                None => Span::Keep,
                Some((nulls, _)) if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) => Span::Null,
                Some((_, write)) => {
                    let misfit =
                        || Error::Usage(format!("{table}.{}: a value does not fit {}", column.name, column.kind));
                    write(row, texts).ok_or_else(misfit)?;
                    Span::Text(start, texts.len())
                }
            });
        }
        Ok(())
    }
}

/// A row in the making: texts, and what takes the place of each cell.
#[derive(Default)]
struct Printed {
    texts: Vec<u8>,
    spans: Vec<Span>,
}

/// What takes the place of a cell.
#[derive(Clone, Copy)]
enum Span {
    Keep,
    Null,
    Text(usize, usize),
}

fn replace(
    segment: &Segment,
    table: &Arc<Table>,
    sources: &[Source<'_>],
    next: &mut impl FnMut(usize) -> Option<Place>,
) -> Result<Segment> {
    let mut builder = SegmentBuilder::new(Arc::clone(segment.origin()));
    let mut printed = Printed::default();
    for (index, row) in segment.rows().enumerate() {
        let ours = row.table().is_some_and(|known| known.version == table.version);
        match if ours { next(index) } else { None } {
            Some(Place { source, row: at, .. }) => {
                sources[source].print(table, at, &mut printed)?;
                write(&mut builder, row, &printed)?;
            }
            None if ours => (),
            None => {
                let txn = builder.txn_of(row)?;
                builder.copy(segment, index, txn)?;
            }
        }
    }
    Ok(builder.seal())
}

fn write(builder: &mut SegmentBuilder, row: RowRef<'_>, printed: &Printed) -> Result<()> {
    let mut entry = *row.entry();
    if let Some(table) = row.table() {
        let index = builder.table(table);
        entry.table = index.ok_or_else(|| Error::Usage(format!("two versions of {table} in one segment")))?;
    }
    entry.txn = builder.txn_of(row)?;
    let deleted = row.op() == Op::Delete;
    let sparse = deleted && entry.old_image == OldImage::Key;
    let mut image = |tuple: Option<Tuple<'_>>, replaced: bool| match tuple {
        None => Ok(ABSENT),
        Some(tuple) if !replaced => builder.copy_tuple(tuple.raw()),
        Some(tuple) => builder.tuple(tuple.cells().zip(&printed.spans).map(|(cell, span)| match (span, cell) {
            (Span::Keep, cell) | (Span::Null, cell @ Cell::Unchanged) => cell,
            (_, Cell::Null) if sparse => Cell::Null,
            (Span::Null, _) => Cell::Null,
            (Span::Text(start, end), _) => Cell::Text(&printed.texts[*start..*end]),
        })),
    };
    entry.old = image(row.before(), deleted)?;
    entry.new = image(row.after(), true)?;
    builder.push(entry);
    Ok(())
}
