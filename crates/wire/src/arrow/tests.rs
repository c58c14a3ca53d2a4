//! Tests of the way to Arrow and back.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Encoder, META, arrow_name, arrow_type, duckdb_type};
use crate::batch::OldImage;
use crate::batch::sample::{Null, Row, Unchanged, Value, segment, t, table, texts};
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
