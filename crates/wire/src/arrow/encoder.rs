//! Segments to record batches, column by column.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::{TimestampMicrosecondType, UInt64Type};
use arrow_array::{ArrayRef, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::column::{self, Bad};
use super::types;
use crate::batch::{Cell, Op, Segment};
use crate::error::{Error, Result};
use crate::table::Table;

/// Names of the columns that follow the table's own.
pub const META: [&str; 5] = ["_op", "_position", "_committed_at", "_index", "_unchanged"];

/// Encodes the changes of one table version.
#[derive(Debug)]
pub struct Encoder {
    table: Arc<Table>,
    schema: SchemaRef,
}

impl Encoder {
    /// Plan the columns.
    #[must_use]
    pub fn new(table: &Arc<Table>) -> Self {
        let data = table.columns.iter().map(|column| Field::new(&column.name, types::of(&column.kind), true));
        let kinds = [
            DataType::Utf8,
            DataType::Utf8,
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::UInt64,
            DataType::List(Arc::new(name_field())),
        ];
        let meta = META.iter().zip(kinds).map(|(name, kind)| Field::new(*name, kind, *name == "_unchanged"));
        let fields: Vec<Field> = data.chain(meta).collect();
        Self { table: Arc::clone(table), schema: Arc::new(Schema::new(fields)) }
    }

    /// The table's columns, all nullable (a delete may hold only the key), then [`META`].
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The changes of this table version; None when the segment has none. `first_index` is the index of the segment's
    /// first change in the batch. A delete shows its old image, a TRUNCATE only nulls.
    ///
    /// # Errors
    /// [`Error::Reject`] with every change that holds a value which its Arrow type cannot, by its index in the batch.
    pub fn encode(&self, segment: &Segment, first_index: usize) -> Result<Option<RecordBatch>> {
        let Some(grid) = Grid::of(segment, &self.table) else { return Ok(None) };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        let mut reasons = BTreeMap::new();
        let mut bad = Vec::new();
        for (index, column) in self.table.columns.iter().enumerate() {
            columns.push(column::encode(&column.kind, grid.column(index), &mut bad)?);
            for Bad { row, reason } in bad.drain(..) {
                let reason = || format!("column {} ({}): {reason}", column.name, column.kind);
                reasons.entry(first_index + grid.rows[row]).or_insert_with(reason);
            }
        }
        if !reasons.is_empty() {
            return Err(Error::Reject(reasons.into_iter().collect()));
        }
        columns.extend(self.meta(segment, &grid, first_index)?);
        let options = RecordBatchOptions::new().with_row_count(Some(grid.rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map(Some)
            .map_err(|error| Error::Usage(format!("{}: {error}", self.table)))
    }

    fn meta(&self, segment: &Segment, grid: &Grid<'_>, first_index: usize) -> Result<[ArrayRef; 5]> {
        let rows = || grid.rows.iter().map(|row| segment.row(*row));
        let ops = column::text_of(grid.rows.len(), rows(), |row, out| out.push(row.op() as u8))?;
        let positions = column::text_of(grid.rows.len() * 57, rows(), |row, out| row.position().write(out))?;
        let times: PrimitiveArray<TimestampMicrosecondType> =
            PrimitiveArray::from_iter_values(rows().map(|row| row.txn().at_us));
        let indexes: PrimitiveArray<UInt64Type> =
            PrimitiveArray::from_iter_values(grid.rows.iter().map(|row| (first_index + row) as u64));
        Ok([ops, positions, Arc::new(times.with_timezone("UTC")), Arc::new(indexes), Arc::new(self.unchanged(grid))])
    }

    fn unchanged(&self, grid: &Grid<'_>) -> ListArray {
        if grid.unchanged.is_empty() {
            return ListArray::new_null(Arc::new(name_field()), grid.rows.len());
        }
        let mut lists = ListBuilder::new(StringBuilder::new()).with_field(name_field());
        let mut cells = grid.unchanged.iter().peekable();
        for row in 0..grid.rows.len() {
            let mut any = false;
            while let Some((_, column)) = cells.next_if(|(of, _)| *of == row) {
                lists.values().append_value(&self.table.columns[*column].name);
                any = true;
            }
            lists.append(any);
        }
        lists.finish()
    }
}

fn name_field() -> Field {
    Field::new("item", DataType::Utf8, true)
}

/// The cells of one table's rows, column after column.
struct Grid<'a> {
    /// Indexes within the segment.
    rows: Vec<usize>,
    cells: Vec<Option<&'a [u8]>>,
    /// Row of the grid and column of each unchanged cell, in order.
    unchanged: Vec<(usize, usize)>,
}

impl<'a> Grid<'a> {
    fn of(segment: &'a Segment, table: &Table) -> Option<Self> {
        let wanted = segment.tables().iter().position(|known| known.version == table.version)?;
        let rows: Vec<usize> = segment
            .rows()
            .enumerate()
            .filter_map(|(index, row)| (usize::from(row.entry().table) == wanted).then_some(index))
            .collect();
        let mut grid = Self { cells: vec![None; rows.len() * table.columns.len()], rows, unchanged: Vec::new() };
        for (row, index) in grid.rows.iter().enumerate() {
            let change = segment.row(*index);
            let image = if change.op() == Op::Delete { change.before() } else { change.after() };
            let Some(image) = image else { continue };
            for (column, cell) in image.cells().take(table.columns.len()).enumerate() {
                match cell {
                    Cell::Text(text) => grid.cells[column * grid.rows.len() + row] = Some(text),
                    Cell::Null => (),
                    Cell::Unchanged => grid.unchanged.push((row, column)),
                }
            }
        }
        (!grid.rows.is_empty()).then_some(grid)
    }

    fn column(&self, index: usize) -> &[Option<&'a [u8]>] {
        &self.cells[index * self.rows.len()..(index + 1) * self.rows.len()]
    }
}
