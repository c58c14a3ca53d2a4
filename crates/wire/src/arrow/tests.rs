//! Tests of the way to Arrow and back.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, DictionaryArray, Float64Array, Int64Array, LargeStringArray, NullArray,
    RecordBatch, StringArray, StringViewArray, TimestampNanosecondArray, UInt64Array,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Encoder, META, arrow_name, arrow_type, duckdb_type, with_arrow};
use crate::batch::sample::{Null, Row, Unchanged, Value, batch, rows, segment, t, table, texts};
use crate::batch::{Batch, OldImage};
use crate::error::Error;
use crate::table::Table;

fn encode(table: &Arc<Table>, rows: &[Row]) -> RecordBatch {
    Encoder::new(table).encode(&segment(rows, 0), 100).unwrap().unwrap()
}

fn one(kind: &str, cells: &[&str]) -> Result<RecordBatch, Error> {
    let table = table("t", &[("v", kind)], &[]);
    let rows: Vec<Row> = cells.iter().map(|text| Row::insert(&table, texts(&[text]))).collect();
    Encoder::new(&table).encode(&segment(&rows, 0), 0).map(Option::unwrap)
}

fn refused(kind: &str, cells: &[&str]) -> Vec<usize> {
    match one(kind, cells) {
        Err(Error::Reject(reasons)) => reasons.iter().map(|(index, _)| *index).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_have_their_types() {
    let v = |kind: &str, cells: &[&str]| Arc::clone(one(kind, cells).unwrap().column(0));
    assert_eq!(v("int2", &["-32768"]).as_primitive::<Int16Type>().value(0), i16::MIN);
    assert_eq!(v("int4", &["2147483647"]).as_primitive::<Int32Type>().value(0), i32::MAX);
    assert_eq!(v("int8", &["-9223372036854775808"]).as_primitive::<Int64Type>().value(0), i64::MIN);
    assert_eq!(v("oid", &["4294967295"]).as_primitive::<UInt32Type>().value(0), u32::MAX);
    assert!(v("float8", &["NaN"]).as_primitive::<Float64Type>().value(0).is_nan());
    assert_eq!(
        v("float8", &["-Infinity", "1e+20"]).as_primitive::<Float64Type>().values()[..],
        [f64::NEG_INFINITY, 1e20]
    );
    assert_eq!(v("numeric(12,2)", &["-1.50"]).as_primitive::<Decimal128Type>().value(0), -150);
    assert_eq!(v("numeric", &["1.50000"]).as_string::<i32>().value(0), "1.50000");
    assert_eq!(v("bytea", &["\\x00ff"]).as_binary::<i32>().value(0), [0, 255]);
    assert_eq!(v("date", &["0044-03-15 BC"]).as_primitive::<Date32Type>().value(0), -735_160);
    assert_eq!(v("time", &["24:00:00"]).as_primitive::<Time64MicrosecondType>().value(0), 86_400_000_000);
    let moments = v("timestamptz", &["1970-01-01 00:00:01.5+00"]);
    assert_eq!(moments.as_primitive::<TimestampMicrosecondType>().value(0), 1_500_000);
    assert_eq!(v("interval", &["1 mon -3 days +04:05:06"]).as_string::<i32>().value(0), "1 mon -3 days 04:05:06");
    assert!(v("bool", &["t"]).as_boolean().value(0));
    let lists = v("int4[]", &["{1,NULL}", "{}", "[0:0]={3}"]);
    assert_eq!(lists.as_list::<i32>().value_offsets(), [0, 2, 2, 3]);
    let items = lists.as_list::<i32>().values().as_primitive::<Int32Type>().iter().collect::<Vec<_>>();
    assert_eq!(items, [Some(1), None, Some(3)]);
}

#[test]
fn infinities_are_those_of_duckdb() {
    let dates = one("date", &["infinity", "-infinity"]).unwrap();
    assert_eq!(dates.column(0).as_primitive::<Date32Type>().values()[..], [i32::MAX, -i32::MAX]);
    let moments = one("timestamp", &["infinity", "-infinity"]).unwrap();
    assert_eq!(moments.column(0).as_primitive::<TimestampMicrosecondType>().values()[..], [i64::MAX, -i64::MAX]);
}

#[test]
fn values_that_do_not_fit_are_rejected_by_index_without_showing_them() {
    assert_eq!(refused("numeric(12,2)", &["1.00", "NaN", "2.00", "99999999999.00"]), [1, 3]);
    assert_eq!(refused("timestamp", &["294276-12-31 23:59:59"]), [0]);
    assert_eq!(refused("interval", &["infinity", "1 day"]), [0]);
    assert_eq!(refused("int4[]", &["{1}", "{{1},{2}}", "{x}", "{1,2,y}"]), [1, 2, 3]);
    assert_eq!(refused("int2", &["32768"]), [0]);
    assert_eq!(refused("bool", &["maybe"]), [0]);
    let Err(Error::Reject(reasons)) = one("numeric(5,2)", &["NaN"]) else { panic!() };
    assert_eq!(reasons[0].1, "column v (numeric(5,2)): NaN and infinity have no decimal");
}

#[test]
fn text_that_is_not_utf8_is_rejected() {
    let table = table("t", &[("v", "text")], &[]);
    let mut builder = crate::batch::sample::builder();
    let rows = [Row::insert(&table, texts(&["ok"])), Row::insert(&table, texts(&["??"]))];
    let good = segment(&rows, 0);
    let txn = builder.txn(good.txns()[0].clone()).unwrap();
    builder.copy(&good, 0, txn).unwrap();
    builder.copy(&good, 1, txn).unwrap();
    let end = builder.arena().len();
    builder.arena()[end - 1] = 0xFF;
    let Err(Error::Reject(reasons)) = Encoder::new(&table).encode(&builder.seal(), 5) else { panic!() };
    assert_eq!(reasons, [(6, "column v (text): text is not UTF-8".to_owned())]);
}

#[test]
fn each_change_says_what_it_is() {
    let table = table("t", &[("id", "int4"), ("a", "text"), ("b", "text")], &[0]);
    let other = table_named("other");
    let rows = [
        Row::insert(&table, vec![t("1"), t("x"), Null]),
        Row::insert(&other, texts(&["9"])),
        Row::update(&table, None, vec![t("1"), Unchanged, Unchanged]),
        Row::delete(&table, OldImage::Key, vec![t("1"), Null, Null]),
        Row::truncate(&table),
    ];
    let batch = encode(&table, &rows);
    let names: Vec<&str> = batch.schema_ref().fields()[3..].iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, META);
    let strings = |index: usize| batch.column(index).as_string::<i32>().iter().map(Option::unwrap).collect::<Vec<_>>();
    assert_eq!(strings(3), ["c", "u", "d", "t"]);
    assert_eq!(strings(4)[1], "0000000000000010.2.000000000002/00000001/0000000000000018");
    assert_eq!(
        batch.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
        [Some(1), Some(1), Some(1), None]
    );
    assert_eq!(batch.column(6).as_primitive::<UInt64Type>().values()[..], [100, 102, 103, 104]);
    let unchanged = batch.column(7).as_list::<i32>();
    assert_eq!((0..4).map(|row| unchanged.is_valid(row)).collect::<Vec<_>>(), [false, true, false, false]);
    assert_eq!(unchanged.value(1).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b"]);
    assert!(Encoder::new(&table_named("none")).encode(&segment(&rows, 0), 0).unwrap().is_none());
}

fn table_named(name: &str) -> Arc<Table> {
    table(name, &[("id", "int4")], &[0])
}

#[test]
fn a_table_without_columns_has_rows() {
    let table = table("t", &[], &[]);
    assert_eq!(encode(&table, &[Row::insert(&table, vec![]), Row::insert(&table, vec![])]).num_rows(), 2);
}

#[test]
fn every_type_is_in_the_table() {
    let of = |kind: &str| {
        let table = table("t", &[("v", kind)], &[]);
        (arrow_name(&table.columns[0]), duckdb_type(&table.columns[0]), arrow_type(&table.columns[0]))
    };
    assert_eq!(of("numeric(38,0)").1, "DECIMAL(38,0)");
    for text in ["numeric", "numeric(39,2)", "numeric(5,-2)", "numeric(2,4)", "money", "enum", "int4range", "other"] {
        assert_eq!((of(text).0.as_str(), of(text).1.as_str()), ("string", "VARCHAR"), "{text}");
    }
    assert_eq!(
        (of("numeric(12,2)[]").0, of("numeric(12,2)[]").1),
        ("list<item: decimal128(12, 2)>".into(), "DECIMAL(12,2)[]".into())
    );
    assert_eq!(of("uuid").1, "UUID");
}

fn orders() -> Arc<Table> {
    table("orders", &[("id", "int4"), ("state", "text"), ("note", "text")], &[0])
}

fn order_changes(orders: &Arc<Table>) -> Vec<Row> {
    vec![
        Row::insert(orders, texts(&["1", "new", "a"])),
        Row::insert(&table_named("other"), texts(&["9"])),
        Row::update(orders, None, vec![t("1"), t("paid"), Unchanged]),
        Row::delete(orders, OldImage::Key, vec![t("1"), Null, Null]),
        Row::truncate(orders),
    ]
}

/// What `Batch.arrow` gives, a record batch a segment.
fn stream(batch: &Batch, table: &Arc<Table>) -> Vec<RecordBatch> {
    let mut first = 0;
    let mut found = Vec::new();
    for part in batch.parts() {
        found.extend(Encoder::new(table).encode(&part.load().unwrap(), first).unwrap());
        first += part.len();
    }
    found
}

/// A row image, when there is one.
type Image = Option<Vec<Value>>;

fn images(batch: &Batch) -> Vec<(char, Image, Image)> {
    rows(batch).into_iter().map(|row| (row.op.letter(), row.old.map(|(_, old)| old), row.new)).collect()
}

fn replaced(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let columns = rows.schema_ref().fields().iter().zip(rows.columns());
    RecordBatch::try_from_iter(
        columns.map(|(field, old)| {
            (field.name(), if field.name() == name { Arc::clone(&column) } else { Arc::clone(old) })
        }),
    )
    .unwrap()
}

#[test]
fn rows_that_come_back_as_they_went_change_nothing() {
    let orders = orders();
    for (size, spilled) in [(10, false), (2, true)] {
        let whole = batch(&order_changes(&orders), size, spilled);
        let mut rows = stream(&whole, &orders);
        rows.reverse();
        assert_eq!(images(&with_arrow(&whole, &orders, &rows).unwrap()), images(&whole));
    }
}

#[test]
fn rows_are_matched_by_index_and_missing_ones_dropped() {
    let orders = orders();
    let whole = batch(&order_changes(&orders), 10, false);
    let rows = stream(&whole, &orders).remove(0);
    let shout = Arc::new(StringArray::from(vec!["NEW", "PAID", "GONE", ""])) as ArrayRef;
    let rows = replaced(&rows, "state", shout).slice(1, 2);
    let rows = rows.project(&[1, 6]).unwrap();
    let changed = with_arrow(&whole, &orders, &[rows.slice(1, 1), rows.slice(0, 1)]).unwrap();
    let expected = [
        ('c', None, Some(texts(&["9"]))),
        ('u', None, Some(vec![t("1"), t("PAID"), Unchanged])),
        ('d', Some(vec![t("1"), Null, Null]), None),
    ];
    assert_eq!(images(&changed), expected);
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let orders = orders();
    let whole = batch(&order_changes(&orders), 10, false);
    let rows = stream(&whole, &orders).remove(0);
    let refused = |rows: &[RecordBatch]| match with_arrow(&whole, &orders, rows) {
        Err(Error::Usage(message)) => message,
        other => panic!("{other:?}"),
    };
    let big = Arc::new(Int64Array::from(vec![1 << 40; 4])) as ArrayRef;
    assert_eq!(refused(&[replaced(&rows, "id", big)]), "public.orders.id: a value does not fit int4");
    let real = Arc::new(Float64Array::from(vec![1.5; 4])) as ArrayRef;
    assert_eq!(refused(&[replaced(&rows, "id", real)]), "public.orders.id: Arrow type Float64 does not fit int4");
    assert_eq!(refused(&[rows.clone(), rows.clone()]), "public.orders: _index 0 comes twice");
    let wrong = Arc::new(UInt64Array::from(vec![0, 1, 2, 3])) as ArrayRef;
    assert_eq!(refused(&[replaced(&rows, "_index", wrong)]), "_index 1: not a change of public.orders in this batch");
    assert!(refused(&[rows.project(&[0, 1]).unwrap()]).contains("_index"));
    let renamed = RecordBatch::try_from_iter([("total", Arc::clone(rows.column(0)))]).unwrap();
    assert!(refused(&[renamed]).contains("total"));
}

#[test]
fn every_type_survives_the_way_to_arrow_and_back() {
    let cells = [
        ("bool", "t"),
        ("int2", "-32768"),
        ("int8", "9223372036854775807"),
        ("oid", "4294967295"),
        ("float4", "1.1"),
        ("float8", "-0.0001"),
        ("float8", "NaN"),
        ("float8", "-Infinity"),
        ("numeric(12,2)", "-0.05"),
        ("numeric", "1.500"),
        ("bytea", "\\x00ff"),
        ("date", "0044-03-15 BC"),
        ("date", "infinity"),
        ("time", "23:59:59.5"),
        ("timestamp", "2026-11-22 12:34:56.000001"),
        ("timestamp", "-infinity"),
        ("timestamptz", "0001-12-31 00:00:00+00 BC"),
        ("interval", "1 year -3 days"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("jsonb", "{\"a\": 1}"),
        ("int4[]", "{1,NULL,3}"),
        ("text[]", "{\"a b\",\"\",\"NULL\",NULL,x}"),
        ("timestamp[]", "{\"2026-11-22 12:34:56\"}"),
    ];
    for (kind, text) in cells {
        let table = table("t", &[("v", kind)], &[]);
        let whole = batch(&[Row::insert(&table, texts(&[text])), Row::insert(&table, vec![Null])], 10, false);
        let back = with_arrow(&whole, &table, &stream(&whole, &table)).unwrap();
        assert_eq!(images(&back), images(&whole), "{kind}");
    }
}

#[test]
fn other_spellings_of_a_type_are_taken_back() {
    let back = |kind: &str, column: ArrayRef| {
        let table = table("t", &[("v", kind)], &[]);
        let whole = batch(&[Row::insert(&table, vec![Null])], 10, false);
        let index = Arc::new(UInt64Array::from(vec![0])) as ArrayRef;
        let rows = RecordBatch::try_from_iter([("v", column), ("_index", index)]).unwrap();
        match with_arrow(&whole, &table, &[rows]) {
            Ok(batch) => rows_of(&batch),
            Err(error) => error.to_string(),
        }
    };
    fn rows_of(batch: &Batch) -> String {
        match &rows(batch)[0].new.as_ref().unwrap()[0] {
            Value::Text(text) => text.clone(),
            other => format!("{other:?}"),
        }
    }
    assert_eq!(back("int4", Arc::new(Int64Array::from(vec![7]))), "7");
    assert_eq!(back("text", Arc::new(LargeStringArray::from(vec!["x"]))), "x");
    assert_eq!(back("text", Arc::new(StringViewArray::from(vec!["x"]))), "x");
    assert_eq!(back("text", Arc::new(vec!["x"].into_iter().collect::<DictionaryArray<Int32Type>>())), "x");
    assert_eq!(back("timestamp", Arc::new(TimestampNanosecondArray::from(vec![1_999]))), "1970-01-01 00:00:00.000001");
    let decimal = |scale| Decimal128Array::from(vec![150]).with_precision_and_scale(38, scale).unwrap();
    assert_eq!(back("numeric(12,2)", Arc::new(decimal(1))), "15.00");
    assert_eq!(back("numeric(12,2)", Arc::new(decimal(3))), "0.15");
    assert!(back("numeric(12,2)", Arc::new(decimal(4))).contains("does not fit"));
    assert_eq!(back("int4", Arc::new(NullArray::new(1))), "Null");
    assert!(
        back("timestamptz", Arc::new(TimestampNanosecondArray::from(vec![0]))).contains("does not fit timestamptz")
    );
}

const KINDS: [&str; 10] =
    ["int4", "numeric(12,2)", "timestamptz", "date", "interval", "bytea", "bool", "float4", "text[]", "int8[]"];

fn cell() -> impl Strategy<Value = Value> {
    proptest::option::of("[-+0-9.: {},a-z\\\\\"]{0,12}").prop_map(|text| text.map_or(Null, Value::Text))
}

proptest! {
    #[test]
    fn any_text_is_encoded_or_rejected_without_panic(rows in vec(vec(cell(), KINDS.len()), 0..6)) {
        let table = table("t", &KINDS.map(|kind| (kind, kind)), &[]);
        let rows: Vec<Row> = rows.into_iter().map(|cells| Row::insert(&table, cells)).collect();
        if let Ok(Some(batch)) = Encoder::new(&table).encode(&segment(&rows, 0), 0) {
            prop_assert_eq!(batch.num_rows(), rows.len());
        }
    }
}
