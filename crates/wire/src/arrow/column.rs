//! One column of text cells to one Arrow array.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, ListArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::Field;

use super::types;
use crate::error::{Error, Result};
use crate::table::Type;
use crate::value::array::{self, NotAList};
use crate::value::bytea;
use crate::value::number::{self, Decimal};
use crate::value::time::{self, Extended};

/// A cell that its Arrow type cannot hold.
pub(super) struct Bad {
    /// Row within the column.
    pub row: usize,
    /// Why; never the value.
    pub reason: &'static str,
}

type Cells<'a> = [Option<&'a [u8]>];

const UNREADABLE: &str = "value does not fit the Arrow type";

/// Encode a column; cells that do not fit are added to `bad` and are null in the result.
///
/// # Errors
/// [`Error::Limit`] when a column of a segment has more than 2 GB.
pub(super) fn encode(kind: &Type, cells: &Cells<'_>, bad: &mut Vec<Bad>) -> Result<ArrayRef> {
    Ok(match kind {
        Type::Bool => boolean(cells, bad),
        Type::Int2 => integer::<Int16Type>(cells, bad),
        Type::Int4 => integer::<Int32Type>(cells, bad),
        Type::Int8 => integer::<Int64Type>(cells, bad),
        Type::Oid => integer::<UInt32Type>(cells, bad),
        Type::Float4 => Arc::new(primitive::<Float32Type>(cells, bad, float)),
        Type::Float8 => Arc::new(primitive::<Float64Type>(cells, bad, float)),
        Type::Bytea => binary(cells, bad)?,
        Type::Date => {
            Arc::new(primitive::<Date32Type>(cells, bad, |text| extreme(time::date(text), i32::MAX, -i32::MAX)))
        }
        Type::Time(_) => Arc::new(primitive::<Time64MicrosecondType>(cells, bad, |text| readable(time::time(text)))),
        Type::Timestamp(_) => Arc::new(moment(cells, bad, time::timestamp)),
        Type::TimestampTz(_) => Arc::new(moment(cells, bad, time::timestamptz).with_timezone("UTC")),
        Type::Interval => interval(cells, bad)?,
        Type::Array(element) if !matches!(**element, Type::Array(_)) => list(element, cells, bad)?,
        _ => match types::decimal(kind) {
            Some((precision, scale)) => decimal(precision, scale, cells, bad)?,
            None => text(cells, bad)?,
        },
    })
}

type Parsed<T> = std::result::Result<T, &'static str>;

fn readable<T>(value: Option<T>) -> Parsed<T> {
    value.ok_or(UNREADABLE)
}

#[inline]
fn primitive<T: ArrowPrimitiveType>(
    cells: &Cells<'_>,
    bad: &mut Vec<Bad>,
    parse: impl Fn(&[u8]) -> Parsed<T::Native>,
) -> PrimitiveArray<T> {
    let mut nulls = NullBufferBuilder::new(cells.len());
    let mut values: Vec<T::Native> = Vec::with_capacity(cells.len());
    for (row, cell) in cells.iter().enumerate() {
        let value = match cell.map(&parse) {
            Some(Ok(value)) => Some(value),
            Some(Err(reason)) => {
                bad.push(Bad { row, reason });
                None
            }
            None => None,
        };
        nulls.append(value.is_some());
        values.push(value.unwrap_or_default());
    }
    PrimitiveArray::new(ScalarBuffer::from(values), nulls.finish())
}

fn integer<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(cells: &Cells<'_>, bad: &mut Vec<Bad>) -> ArrayRef {
    let parse = |text: &[u8]| readable(number::integer(text).and_then(|value| T::Native::try_from(value).ok()));
    Arc::new(primitive::<T>(cells, bad, parse))
}

/// `NaN`, `Infinity` and `-Infinity` are read too.
fn float<T: std::str::FromStr>(text: &[u8]) -> Parsed<T> {
    readable(std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()))
}

/// Infinities as DuckDB has them: the largest value and its negative.
#[inline]
fn extreme<T>(value: Option<Extended<T>>, largest: T, smallest: T) -> Parsed<T> {
    match value {
        Some(Extended::Finite(value)) => Ok(value),
        Some(Extended::Infinity) => Ok(largest),
        Some(Extended::NegativeInfinity) => Ok(smallest),
        None => Err(UNREADABLE),
    }
}

#[inline]
fn moment(
    cells: &Cells<'_>,
    bad: &mut Vec<Bad>,
    parse: impl Fn(&[u8]) -> Option<Extended<i64>>,
) -> PrimitiveArray<TimestampMicrosecondType> {
    primitive(cells, bad, |text| extreme(parse(text), i64::MAX, -i64::MAX))
}

fn decimal(precision: u8, scale: u8, cells: &Cells<'_>, bad: &mut Vec<Bad>) -> Result<ArrayRef> {
    let limit = 10_i128.pow(u32::from(precision));
    let parse = |text: &[u8]| match number::decimal(text, scale) {
        Some(Decimal::Unscaled(value)) if -limit < value && value < limit => Ok(value),
        Some(Decimal::Special) => Err("NaN and infinity have no decimal"),
        _ => Err(UNREADABLE),
    };
    let array = primitive::<Decimal128Type>(cells, bad, parse);
    let array = array.with_precision_and_scale(precision, i8::try_from(scale).unwrap_or(i8::MAX));
    Ok(Arc::new(array.map_err(|error| Error::Usage(error.to_string()))?))
}

fn boolean(cells: &Cells<'_>, bad: &mut Vec<Bad>) -> ArrayRef {
    let mut nulls = NullBufferBuilder::new(cells.len());
    let mut values = BooleanBufferBuilder::new(cells.len());
    for (row, cell) in cells.iter().enumerate() {
        let value = cell.map(|text| matches!(text, b"t" | b"true"));
        if cell.is_some_and(|text| !matches!(text, b"t" | b"f" | b"true" | b"false")) {
            bad.push(Bad { row, reason: UNREADABLE });
        }
        nulls.append(value.is_some());
        values.append(value.unwrap_or_default());
    }
    Arc::new(BooleanArray::new(values.finish(), nulls.finish()))
}

/// Values of variable length in the making.
struct Bytes {
    values: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Bytes {
    fn new(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { values: Vec::with_capacity(bytes), offsets, nulls: NullBufferBuilder::new(rows) }
    }

    /// End a value whose bytes were appended.
    #[inline]
    fn end(&mut self, valid: bool) -> Result<()> {
        let end = i32::try_from(self.values.len())
            .map_err(|_| Error::Limit("a column of more than 2 GB in one segment does not fit Arrow".into()))?;
        self.offsets.push(end);
        self.nulls.append(valid);
        Ok(())
    }

    fn finish(mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        (OffsetBuffer::new(ScalarBuffer::from(self.offsets)), Buffer::from_vec(self.values), self.nulls.finish())
    }
}

fn bytes_of(cells: &Cells<'_>) -> usize {
    cells.iter().map(|cell| cell.map_or(0, <[u8]>::len)).sum()
}

fn text(cells: &Cells<'_>, bad: &mut Vec<Bad>) -> Result<ArrayRef> {
    let mut bytes = Bytes::new(cells.len(), bytes_of(cells));
    for cell in cells {
        bytes.values.extend_from_slice(cell.unwrap_or_default());
        bytes.end(cell.is_some())?;
    }
    let (offsets, values, nulls) = bytes.finish();
    // Checked in one piece, which is many times faster than row by row; the rows are asked only when that fails.
    Ok(Arc::new(StringArray::try_new(offsets, values, nulls).unwrap_or_else(|_| {
        let broken = |cell: &Option<&[u8]>| cell.is_some_and(|text| std::str::from_utf8(text).is_err());
        let rows = cells.iter().enumerate().filter(|(_, cell)| broken(cell));
        bad.extend(rows.map(|(row, _)| Bad { row, reason: "text is not UTF-8" }));
        StringArray::new_null(cells.len())
    })))
}

/// An interval as the server prints it but for plus signs, which DuckDB's cast does not read.
fn interval(cells: &Cells<'_>, bad: &mut Vec<Bad>) -> Result<ArrayRef> {
    let mut bytes = Bytes::new(cells.len(), bytes_of(cells));
    for (row, cell) in cells.iter().enumerate() {
        let valid = cell.is_some_and(|text| time::interval(text).is_some());
        match cell {
            Some(text) if valid => bytes.values.extend(text.iter().filter(|byte| **byte != b'+')),
            Some(_) => bad.push(Bad { row, reason: "an infinite interval has no counterpart" }),
            None => (),
        }
        bytes.end(valid)?;
    }
    let (offsets, values, nulls) = bytes.finish();
    let array = StringArray::try_new(offsets, values, nulls);
    Ok(Arc::new(array.map_err(|error| Error::Usage(error.to_string()))?))
}

fn binary(cells: &Cells<'_>, bad: &mut Vec<Bad>) -> Result<ArrayRef> {
    let mut bytes = Bytes::new(cells.len(), bytes_of(cells) / 2);
    for (row, cell) in cells.iter().enumerate() {
        let valid = cell.is_some_and(|text| bytea::unhex(text, &mut bytes.values).is_some());
        if cell.is_some() && !valid {
            bad.push(Bad { row, reason: "bytea is not in hex format" });
        }
        bytes.end(valid)?;
    }
    let (offsets, values, nulls) = bytes.finish();
    Ok(Arc::new(BinaryArray::new(offsets, values, nulls)))
}

fn list(element: &Type, cells: &Cells<'_>, bad: &mut Vec<Bad>) -> Result<ArrayRef> {
    let mut flat: Vec<u8> = Vec::with_capacity(bytes_of(cells));
    let mut spans: Vec<Option<(usize, usize)>> = Vec::new();
    let mut offsets: Vec<i32> = vec![0];
    let mut nulls = NullBufferBuilder::new(cells.len());
    let mut scratch = Vec::new();
    for (row, cell) in cells.iter().enumerate() {
        let start = spans.len();
        let read = cell.map(|text| {
            array::elements(text, &mut scratch, |element| {
                spans.push(element.map(|text| {
                    flat.extend_from_slice(text);
                    (flat.len() - text.len(), flat.len())
                }));
            })
        });
        if let Some(Err(reason)) = read {
            spans.truncate(start);
            let nested = reason == NotAList::Nested;
            bad.push(Bad { row, reason: if nested { "array of more than one dimension" } else { UNREADABLE } });
        }
        nulls.append(matches!(read, Some(Ok(_))));
        offsets.push(i32::try_from(spans.len()).map_err(|_| Error::Limit("more than 2³¹ array elements".into()))?);
    }
    let items: Vec<Option<&[u8]>> = spans.iter().map(|span| span.map(|(start, end)| &flat[start..end])).collect();
    let first = bad.len();
    let values = encode(element, &items, bad)?;
    for broken in &mut bad[first..] {
        // The row whose elements end beyond this one.
        broken.row = offsets.partition_point(|offset| usize::try_from(*offset).unwrap_or(0) <= broken.row) - 1;
    }
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = ListArray::try_new(field, offsets, values, nulls.finish());
    Ok(Arc::new(array.map_err(|error| Error::Usage(error.to_string()))?))
}

/// A text column that `write` appends to, value by value; never null, always ASCII.
pub(super) fn text_of<T>(
    bytes: usize,
    rows: impl ExactSizeIterator<Item = T>,
    write: impl Fn(T, &mut Vec<u8>),
) -> Result<ArrayRef> {
    let mut column = Bytes::new(rows.len(), bytes);
    for row in rows {
        write(row, &mut column.values);
        column.end(true)?;
    }
    let (offsets, values, _) = column.finish();
    let array = StringArray::try_new(offsets, values, None);
    Ok(Arc::new(array.map_err(|error| Error::Usage(error.to_string()))?))
}
