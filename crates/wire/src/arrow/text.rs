//! Arrow values as the server would print them.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, GenericListArray, OffsetSizeTrait};
use arrow_schema::{DataType, TimeUnit};

use super::types;
use crate::table::Type;
use crate::value::{array, bytea, number, time};

/// Appends the text of one row's value; None when the column's type cannot hold it. Never called for a null.
pub(super) type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Option<()> + 'a>;

/// How to print the values of an array for a column; None when the types do not fit.
///
/// Wider integers, other sizes of text and of time units, dictionaries of text and decimals of another scale are taken, since
/// libraries change these on the way.
pub(super) fn writer<'a>(array: &'a dyn Array, kind: &'a Type) -> Option<Write<'a>> {
    if let (DataType::Dictionary(..), Some(dictionary)) = (array.data_type(), array.as_any_dictionary_opt()) {
        let keys = dictionary.normalized_keys();
        let write = writer(dictionary.values().as_ref(), kind)?;
        return Some(Box::new(move |row, out| write(keys[row], out)));
    }
    match kind {
        Type::Bool => {
            let values = array.as_boolean_opt()?;
            Some(always(move |row, out| out.push(if values.value(row) { b't' } else { b'f' })))
        }
        Type::Int2 => integer(array, i64::from(i16::MIN)..=i64::from(i16::MAX)),
        Type::Int4 => integer(array, i64::from(i32::MIN)..=i64::from(i32::MAX)),
        Type::Int8 => integer(array, i64::MIN..=i64::MAX),
        Type::Oid => integer(array, 0..=i64::from(u32::MAX)),
        Type::Float4 | Type::Float8 => float(array),
        Type::Numeric(_) if matches!(array.data_type(), DataType::Decimal128(..)) => decimal(array, kind),
        Type::Bytea => binary(array),
        Type::Date => {
            let values = array.as_primitive_opt::<Date32Type>()?;
            Some(always(move |row, out| {
                let days = values.value(row);
                if !infinite(i64::from(days), i64::from(i32::MAX), out) {
                    time::write_date(days, out);
                }
            }))
        }
        Type::Time(_) => clock(array),
        Type::Timestamp(_) => moment(array, false),
        Type::TimestampTz(_) => moment(array, true),
        Type::Array(element) if !matches!(**element, Type::Array(_)) => list(array, element),
        _ if types::decimal(kind).is_none() => text(array),
        _ => None,
    }
}

/// A writer for values that always fit.
fn always<'a>(write: impl Fn(usize, &mut Vec<u8>) + 'a) -> Write<'a> {
    Box::new(move |row, out| {
        write(row, out);
        Some(())
    })
}

fn integer(array: &dyn Array, range: std::ops::RangeInclusive<i64>) -> Option<Write<'_>> {
    fn read<'a, T>(array: &'a dyn Array) -> Option<Box<dyn Fn(usize) -> Option<i64> + 'a>>
    where
        T: ArrowPrimitiveType<Native: TryInto<i64>>,
    {
        let values = array.as_primitive_opt::<T>()?;
        Some(Box::new(move |row| values.value(row).try_into().ok()))
    }
    let read = match array.data_type() {
        DataType::Int8 => read::<Int8Type>(array),
        DataType::Int16 => read::<Int16Type>(array),
        DataType::Int32 => read::<Int32Type>(array),
        DataType::Int64 => read::<Int64Type>(array),
        DataType::UInt8 => read::<UInt8Type>(array),
        DataType::UInt16 => read::<UInt16Type>(array),
        DataType::UInt32 => read::<UInt32Type>(array),
        DataType::UInt64 => read::<UInt64Type>(array),
        _ => None,
    }?;
    Some(Box::new(move |row, out| {
        let value = read(row).filter(|value| range.contains(value))?;
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        Some(())
    }))
}

fn float(array: &dyn Array) -> Option<Write<'_>> {
    if let Some(values) = array.as_primitive_opt::<Float32Type>() {
        return Some(always(move |row, out| {
            let value = values.value(row);
            write_float(f64::from(value), || format!("{value}"), || format!("{value:e}"), out);
        }));
    }
    let values = array.as_primitive_opt::<Float64Type>()?;
    Some(always(move |row, out| {
        let value = values.value(row);
        write_float(value, || format!("{value}"), || format!("{value:e}"), out);
    }))
}

/// Plain digits in the middle of the range, an exponent outside.
fn write_float(value: f64, plain: impl Fn() -> String, exponent: impl Fn() -> String, out: &mut Vec<u8>) {
    let size = value.abs();
    let text = if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if size == 0.0 || (1e-4..1e15).contains(&size) {
        plain()
    } else {
        exponent()
    };
    out.extend_from_slice(text.as_bytes());
}

fn decimal<'a>(array: &'a dyn Array, kind: &Type) -> Option<Write<'a>> {
    let values = array.as_primitive_opt::<Decimal128Type>()?;
    let has = usize::try_from(values.scale()).ok()?;
    let Some((precision, scale)) = types::decimal(kind) else {
        return Some(always(move |row, out| number::write_decimal(values.value(row), has, out)));
    };
    let (wants, limit) = (usize::from(scale), 10_i128.pow(u32::from(precision)));
    let up = 10_i128.pow(u32::try_from(wants.saturating_sub(has)).ok()?);
    let down = 10_i128.checked_pow(u32::try_from(has.saturating_sub(wants)).ok()?)?;
    Some(Box::new(move |row, out| {
        let value = values.value(row);
        let scaled = (value % down == 0).then_some(value / down)?.checked_mul(up)?;
        (-limit < scaled && scaled < limit).then(|| number::write_decimal(scaled, wants, out))
    }))
}

fn text(array: &dyn Array) -> Option<Write<'_>> {
    Some(match array.data_type() {
        DataType::Utf8 => {
            let values = array.as_string_opt::<i32>()?;
            always(move |row, out| out.extend_from_slice(values.value(row).as_bytes()))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string_opt::<i64>()?;
            always(move |row, out| out.extend_from_slice(values.value(row).as_bytes()))
        }
        DataType::Utf8View => {
            let values = array.as_string_view_opt()?;
            always(move |row, out| out.extend_from_slice(values.value(row).as_bytes()))
        }
        _ => return None,
    })
}

fn binary(array: &dyn Array) -> Option<Write<'_>> {
    Some(match array.data_type() {
        DataType::Binary => {
            let values = array.as_binary_opt::<i32>()?;
            always(move |row, out| bytea::hex(values.value(row), out))
        }
        DataType::LargeBinary => {
            let values = array.as_binary_opt::<i64>()?;
            always(move |row, out| bytea::hex(values.value(row), out))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view_opt()?;
            always(move |row, out| bytea::hex(values.value(row), out))
        }
        _ => return None,
    })
}

/// Numbers of an array as microseconds; None where that overflows. Nanoseconds are cut.
fn micros<'a, T>(array: &'a dyn Array, up: i64, down: i64) -> Option<Box<dyn Fn(usize) -> Option<i64> + 'a>>
where
    T: ArrowPrimitiveType<Native: Into<i64>>,
{
    let values = array.as_primitive_opt::<T>()?;
    Some(Box::new(move |row| Some(values.value(row).into().div_euclid(down)).and_then(|value| value.checked_mul(up))))
}

fn clock(array: &dyn Array) -> Option<Write<'_>> {
    let read = match array.data_type() {
        DataType::Time32(TimeUnit::Second) => micros::<Time32SecondType>(array, 1_000_000, 1),
        DataType::Time32(_) => micros::<Time32MillisecondType>(array, 1_000, 1),
        DataType::Time64(TimeUnit::Microsecond) => micros::<Time64MicrosecondType>(array, 1, 1),
        DataType::Time64(_) => micros::<Time64NanosecondType>(array, 1, 1_000),
        _ => None,
    }?;
    Some(Box::new(move |row, out| {
        let value = read(row).filter(|value| (0..=86_400_000_000).contains(value))?;
        time::write_time(value, out);
        Some(())
    }))
}

fn moment(array: &dyn Array, zoned: bool) -> Option<Write<'_>> {
    let DataType::Timestamp(unit, zone) = array.data_type() else { return None };
    if zone.is_some() != zoned {
        return None;
    }
    let read = match unit {
        TimeUnit::Second => micros::<TimestampSecondType>(array, 1_000_000, 1),
        TimeUnit::Millisecond => micros::<TimestampMillisecondType>(array, 1_000, 1),
        TimeUnit::Microsecond => micros::<TimestampMicrosecondType>(array, 1, 1),
        TimeUnit::Nanosecond => micros::<TimestampNanosecondType>(array, 1, 1_000),
    }?;
    let zone: &[u8] = if zoned { b"+00" } else { b"" };
    Some(Box::new(move |row, out| {
        let value = read(row)?;
        if !infinite(value, i64::MAX, out) {
            time::write_timestamp(value, zone, out);
        }
        Some(())
    }))
}

/// Append the name of an infinity; returns whether the value stands for one.
fn infinite(value: i64, largest: i64, out: &mut Vec<u8>) -> bool {
    if value == largest {
        out.extend_from_slice(b"infinity");
    } else if value == -largest {
        out.extend_from_slice(b"-infinity");
    }
    value == largest || value == -largest
}

fn list<'a>(array: &'a dyn Array, element: &'a Type) -> Option<Write<'a>> {
    match array.data_type() {
        DataType::List(_) => elements(array.as_list_opt::<i32>()?, element),
        DataType::LargeList(_) => elements(array.as_list_opt::<i64>()?, element),
        _ => None,
    }
}

fn elements<'a, O: OffsetSizeTrait>(lists: &'a GenericListArray<O>, element: &'a Type) -> Option<Write<'a>> {
    let (values, offsets) = (lists.values(), lists.value_offsets());
    let write: Write<'a> = match values.data_type() {
        DataType::Null => always(|_, _| ()),
        _ => writer(values.as_ref(), element)?,
    };
    let nulls = values.logical_nulls();
    Some(Box::new(move |row, out| {
        let mut item = Vec::new();
        out.push(b'{');
        for index in offsets[row].as_usize()..offsets[row + 1].as_usize() {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            item.clear();
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(index)) {
                array::write_element(None, out);
            } else {
                write(index, &mut item)?;
                array::write_element(Some(&item), out);
            }
        }
        out.push(b'}');
        Some(())
    }))
}
