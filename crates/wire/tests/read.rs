//! Reading change events back: what the encoder wrote comes back as it was, and no bytes make the reader panic.

use proptest::prelude::*;
use tailrace_wire::batch::{Batch, Cell, OldImage, Op, Segment, SnapshotFlag};
use tailrace_wire::encode::connect::{Kind, Schema};
use tailrace_wire::encode::json_schema::{Options, write_schema};
use tailrace_wire::read::{Plain, Reader, Record, SchemaKind, Settings};

fn reader(plain: Plain) -> Reader {
    Reader::new(Settings {
        lineage: "kafka/c/t/0".into(),
        topic: "shop.public.orders".into(),
        partition: 0,
        plain,
        unavailable: "__debezium_unavailable_value".into(),
        hex: false,
        truncates: true,
        segment_bytes: 4096,
    })
}

fn record<'a>(key: Option<&'a str>, value: Option<&'a str>, offset: i64) -> Record<'a> {
    Record { key: key.map(str::as_bytes), value: value.map(str::as_bytes), timestamp_ms: 1_700_000_000_000, offset }
}

fn event(op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"connector":"postgresql","db":"shop","ts_us":7,"snapshot":"false","schema":"public","table":"orders","txId":5,"lsn":9}},"op":"{op}","ts_ms":1}}"#
    )
}

/// Every change as its op, table version and cells.
fn told(batch: &Batch) -> Vec<(char, Vec<String>)> {
    let cell = |cell: Cell<'_>| match cell {
        Cell::Null => "null".to_owned(),
        Cell::Unchanged => "unchanged".to_owned(),
        Cell::Text(text) => String::from_utf8_lossy(text).into_owned(),
    };
    let mut told = Vec::new();
    for part in batch.parts() {
        for row in part.load().unwrap().rows() {
            let image = row.after().or_else(|| row.before());
            told.push((row.op().letter(), image.map_or_else(Vec::new, |image| image.cells().map(cell).collect())));
        }
    }
    told
}

fn read(plain: Plain, records: &[(Option<&str>, Option<&str>)]) -> Batch {
    let mut reader = reader(plain);
    for (offset, (key, value)) in records.iter().enumerate() {
        reader.feed(record(*key, *value, offset as i64)).unwrap();
    }
    reader.take().unwrap()
}

fn segment(batch: &Batch) -> std::sync::Arc<Segment> {
    batch.parts()[0].load().unwrap()
}

#[test]
fn the_grammar_of_images_that_an_operation_does_not_show_is_checked() {
    let row = r#"{"id":1}"#;
    let bad = r#"{"id":,}"#;
    for value in [event("c", bad, row), event("d", row, bad), event("c", row, bad), event("x", bad, row)] {
        assert!(reader(Plain::Append).feed(record(None, Some(&value), 0)).is_err(), "{value}");
    }
    let twice = event("c", "null", row).replacen('{', r#"{"after":{]},"#, 1);
    assert!(reader(Plain::Append).feed(record(None, Some(&twice), 0)).is_err());
    assert!(reader(Plain::Append).feed(record(None, Some(&event("c", row, row)), 0)).is_ok());
}

#[test]
fn a_key_that_is_no_text_is_refused_where_its_form_is_known() {
    let schema = r#"{"type":"struct","optional":false,"fields":[{"type":"string","optional":false,"field":"id"}]}"#;
    for (head, tail) in
        [("{\"id\":\"".to_owned(), "\"}"), (format!("{{\"schema\":{schema},\"payload\":{{\"id\":\""), "\"}}")]
    {
        let key = |id: &[u8]| [head.as_bytes(), id, tail.as_bytes()].concat();
        let mut reader = reader(Plain::Upsert);
        for (offset, (id, fits)) in
            [(&b"a"[..], true), (b"caf\xe9", false), (b"caf\xc3\xa9", true)].into_iter().enumerate()
        {
            let (key, offset) = (key(id), offset as i64);
            let read = reader.feed(Record { key: Some(&key), value: Some(b"{\"n\":1}"), timestamp_ms: 0, offset });
            assert_eq!(read.is_ok(), fits, "{read:?}");
        }
        assert_eq!(reader.take().unwrap().len(), 2);
    }
}

#[test]
fn a_time_that_no_calendar_has_is_the_last_or_the_first_one() {
    let late = event("c", "null", r#"{"id":1}"#).replace("\"ts_us\":7", "\"ts_us\":9000000000000000000");
    let plain = r#"{"id":1}"#;
    for (value, timestamp_ms, at_us) in [
        (late.as_str(), 0, 253_402_300_799_999_999),
        (plain, 1_700_000_000_000_000, 253_402_300_799_999_999),
        (plain, i64::MAX, 253_402_300_799_999_999),
        (plain, i64::MIN, -62_135_596_800_000_000),
        (plain, 1_700_000_000_000, 1_700_000_000_000_000),
    ] {
        let mut reader = reader(Plain::Append);
        reader.feed(Record { timestamp_ms, ..record(None, Some(value), 0) }).unwrap();
        assert_eq!(segment(&reader.take().unwrap()).row(0).txn().at_us, at_us);
    }
}

#[test]
fn i7_positions_are_offsets_and_a_batch_ends_at_the_last_record() {
    let (create, delete) = (event("c", "null", r#"{"id":1,"t":"a"}"#), event("d", r#"{"id":1,"t":null}"#, "null"));
    let key = Some(r#"{"id":1}"#);
    let batch = read(Plain::Append, &[(key, Some(&create)), (key, Some(&delete)), (key, None)]);
    assert_eq!(batch.len(), 2);
    assert_eq!(batch.ends()[0].text, "00000000000000000002");
    let segment = segment(&batch);
    assert_eq!(segment.row(1).position().to_string(), "00000000000000000001");
    assert_eq!(segment.row(1).entry().old_image, OldImage::Key);
    assert_eq!((segment.row(0).txn().xid, segment.row(0).txn().at_us, segment.row(0).entry().lsn), (5, 7, 9));
    assert_eq!(segment.row(0).entry().snapshot, SnapshotFlag::Not);
}

#[test]
fn a_tombstone_without_its_delete_is_a_delete() {
    let create = event("c", "null", r#"{"id":1,"t":"a"}"#);
    let batch = read(Plain::Append, &[(Some(r#"{"id":1}"#), Some(&create)), (Some(r#"{"id":2}"#), None)]);
    assert_eq!(told(&batch)[1], ('d', vec!["2".into(), "null".into()]));
    let keyed = Some(
        r#"{"schema":{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"}],"name":"shop.inventory.things.Key"},"payload":{"id":2}}"#,
    );
    let batch = read(Plain::Append, &[(keyed, None)]);
    assert_eq!(batch.tables()[0].to_string(), "inventory.things");
    assert_eq!(told(&batch), [('d', vec!["2".into()])]);
    let mut reader = reader(Plain::Append);
    assert!(reader.feed(record(None, None, 0)).is_err());
}

fn tables(batch: &Batch) -> Vec<String> {
    let segments: Vec<_> = batch.parts().iter().map(|part| part.load().unwrap()).collect();
    segments
        .iter()
        .flat_map(|segment| segment.rows().map(|row| format!("{} {}", row.op().letter(), row.table().unwrap())))
        .collect()
}

fn insert(table: &str) -> String {
    event("c", "null", r#"{"id":1}"#).replace("orders", table)
}

fn routed(name: &str) -> String {
    format!(r#"{{"__dbz__physicalTableIdentifier":"{name}","id":1}}"#)
}

#[test]
fn a_tombstone_in_a_topic_of_several_tables_is_of_the_one_that_its_key_names() {
    let (first, second) = (insert("first"), insert("second"));
    let keys = ["first", "second", "third"].map(|table| routed(&format!("shop.public.{table}")));
    let mut reader = reader(Plain::Append);
    reader.feed(record(Some(&keys[2]), None, 0)).unwrap();
    reader.feed(record(Some(&keys[0]), Some(&first), 1)).unwrap();
    reader.feed(record(Some(&keys[1]), Some(&second), 2)).unwrap();
    reader.feed(record(Some(&keys[0]), None, 3)).unwrap();
    assert_eq!(
        tables(&reader.take().unwrap()),
        ["d public.third", "c public.first", "c public.second", "d public.first"]
    );
    let key = Some(r#"{"id":1}"#);
    reader.feed(record(key, Some(&first), 4)).unwrap();
    reader.feed(record(key, Some(&second), 5)).unwrap();
    let refused = reader.feed(record(key, None, 6)).unwrap_err();
    assert!(refused.to_string().contains("nothing tells whose row is gone"), "{refused}");
    let delete = event("d", r#"{"id":1}"#, "null").replace("orders", "first");
    reader.feed(record(key, Some(&delete), 6)).unwrap();
    reader.feed(record(key, None, 7)).unwrap();
    assert_eq!(told(&reader.take().unwrap()).len(), 3);
}

#[test]
fn a_key_names_the_table_whose_rows_came_under_it() {
    let (spaced, other) = (insert("my table"), insert("other"));
    let (topic, replaced) = (routed("shop.public.my_table"), routed("other-s"));
    let mut reader = reader(Plain::Append);
    reader.feed(record(Some(&topic), Some(&spaced), 0)).unwrap();
    reader.feed(record(Some(&topic), None, 1)).unwrap();
    reader.feed(record(Some(&replaced), Some(&other), 2)).unwrap();
    reader.feed(record(Some(&topic), None, 3)).unwrap();
    reader.feed(record(Some(&replaced), None, 4)).unwrap();
    assert_eq!(
        tables(&reader.take().unwrap()),
        ["c public.my table", "d public.my table", "c public.other", "d public.my table", "d public.other"]
    );
    for name in ["shop.public.your_table", "your_table"] {
        let refused = reader.feed(record(Some(&routed(name)), None, 5)).unwrap_err();
        assert!(refused.to_string().contains("the table that its key names is of no row"), "{refused}");
    }
    reader.feed(record(Some(&replaced), Some(&spaced), 5)).unwrap();
    let refused = reader.feed(record(Some(&replaced), None, 6)).unwrap_err();
    assert!(refused.to_string().contains("several tables"), "{refused}");
}

#[test]
fn rows_that_do_not_say_their_table_are_of_the_topics_whatever_their_keys_name() {
    let batch = read(
        Plain::Upsert,
        &[
            (Some(&routed("shop.public.orders_1")), Some(r#"{"n":1}"#)),
            (Some(&routed("shop.public.orders_1")), None),
            (Some(&routed("shop.public.orders_2")), None),
        ],
    );
    assert_eq!(tables(&batch), ["u public.orders", "d public.orders", "d public.orders"]);
}

#[test]
fn columns_without_a_schema_follow_the_values() {
    let events = [
        event("c", "null", r#"{"id":1,"n":null,"x":1}"#),
        event("c", "null", r#"{"id":2,"n":"a","x":1.5}"#),
        event("c", "null", r#"{"id":18446744073709551616,"n":{"b":[1]},"x":2}"#),
        event("c", "null", r#"{"id":3,"x":2}"#),
        event("c", "null", r#"{"x":2, "id" : 4}"#),
    ];
    let key = Some(r#"{"id":1}"#);
    let batch = read(Plain::Append, &events.iter().map(|event| (key, Some(event.as_str()))).collect::<Vec<_>>());
    let kinds: Vec<String> = batch
        .tables()
        .iter()
        .map(|table| table.columns.iter().map(|c| format!("{} {}", c.name, c.kind)).collect::<Vec<_>>().join(", "))
        .collect();
    assert_eq!(
        kinds,
        [
            "id int8, n text, x int8",
            "id int8, n text, x float8",
            "id numeric, n json, x float8",
            "id numeric, x float8",
        ]
    );
    assert_eq!(told(&batch)[4], ('c', vec!["4".into(), "2".into()]));
    assert_eq!(told(&batch)[2].1[1], r#"{"b":[1]}"#);
}

/// Every table version that a reader has made so far, each once.
fn versions(batches: &[Batch]) -> usize {
    let tables = batches.iter().flat_map(Batch::parts).flat_map(|part| part.load().unwrap().tables().to_vec());
    tables.map(|table| std::sync::Arc::as_ptr(&table)).collect::<std::collections::HashSet<_>>().len()
}

#[test]
fn writers_that_take_turns_make_no_version_more() {
    let mut reader = reader(Plain::Append);
    let mut batches = Vec::new();
    for offset in 0..500 {
        let after = if offset % 2 == 0 { r#"{"id":1}"# } else { r#"{"id":2,"note":"n"}"# };
        reader.feed(record(Some(r#"{"id":1}"#), Some(&event("c", "null", after)), offset)).unwrap();
        batches.extend(reader.take());
    }
    assert_eq!(versions(&batches), 2);
    let rows: Vec<_> = batches.iter().flat_map(told).map(|(_, cells)| cells.join(",")).collect();
    assert_eq!(rows, ["1", "2,n"].repeat(250));
}

#[test]
fn whoever_writes_whatever_columns_and_types_the_versions_come_to_an_end() {
    let mut reader = reader(Plain::Append);
    let (mut batches, mut chance, mut early) = (Vec::new(), 7_u64, 0);
    let mut one_of = |count: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % count
    };
    for offset in 0..4_000 {
        let values = ["1", "1.5", "\"s\"", "true", "[]", "null"];
        let mut after = "{\"id\":1".to_owned();
        for name in ["a", "b"] {
            if one_of(2) == 0 {
                after += &format!(",\"{name}\":{}", values[usize::try_from(one_of(6)).unwrap()]);
            }
        }
        reader.feed(record(None, Some(&event("c", "null", &(after + "}"))), offset)).unwrap();
        batches.extend(reader.take());
        if offset == 1_000 {
            early = versions(&batches);
        }
    }
    assert_eq!(versions(&batches), early);
}

#[test]
fn few_bytes_do_not_become_a_cell_or_a_row_without_end() {
    let decimals = |scale: u32, count: usize| {
        let items = format!(
            r#"{{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{{"scale":"{scale}"}}}}"#
        );
        let fields = format!(r#"[{{"type":"array","items":{items},"optional":false,"field":"d"}}]"#);
        let list = vec!["\"AQ==\""; count].join(",");
        let value = format!(
            r#"{{"schema":{{"type":"struct","fields":{fields},"optional":false,"name":"v"}},"payload":{{"d":[{list}]}}}}"#
        );
        let mut reader = reader(Plain::Append);
        let read = reader.feed(record(None, Some(&value), 0)).map_err(|error| error.to_string());
        read.map(|()| reader.take().unwrap().nbytes())
    };
    assert!(decimals(16_383, 3).unwrap() > 3 * 16_383);
    assert!(decimals(131_072, 1).unwrap_err().contains("not a decimal as Connect writes it"));
    assert!(decimals(16_383, 5_000).unwrap_err().contains("much larger than its bytes"));
}

#[test]
fn plain_values_are_rows() {
    let records = [(Some("k1"), Some(r#"{"a":1}"#)), (Some("k2"), Some(r#"{"b":true}"#)), (Some("k1"), None)];
    let batch = read(Plain::Upsert, &records);
    assert_eq!(
        told(&batch),
        [
            ('u', vec!["k1".into(), "1".into()]),
            ('u', vec!["k2".into(), "null".into(), "t".into()]),
            ('d', vec!["k1".into(), "null".into(), "null".into()]),
        ]
    );
    let table = &batch.tables()[1];
    assert_eq!((table.to_string().as_str(), table.key.as_slice()), ("public.orders", &[0][..]));
    let ops: Vec<Op> = read(Plain::Append, &[(None, Some("[1]")), (None, Some("2"))]).ops().unwrap();
    assert_eq!(ops, [Op::Create]);
}

#[test]
fn what_is_not_understood_is_named_and_what_was_before_it_is_kept() {
    let mut reader = reader(Plain::Append);
    reader.feed(record(None, Some("{\"a\":1}"), 16)).unwrap();
    let deep = "[".repeat(100_000);
    for bad in ["", "{", "{\"a\":1}x", "nope", "{\"before\":null,\"after\":null,\"op\":\"c\"}", &deep] {
        let error = reader.feed(record(None, Some(bad), 17)).unwrap_err().to_string();
        assert!(error.starts_with("topic shop.public.orders, partition 0, offset 17: "), "{error}");
    }
    let error = reader.feed(Record { value: Some(b"\xff\xfe"), ..record(None, None, 18) }).unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
    let batch = reader.take().unwrap();
    assert_eq!((batch.len(), batch.ends()[0].text.as_str()), (1, "00000000000000000016"));
    assert!(reader.take().is_none());
}

#[test]
fn a_value_that_contradicts_its_schema_is_refused() {
    let value = |id: &str| {
        format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","fields":[{{"type":"int32","field":"id"}}],"field":"after"}}]}},"payload":{{"before":null,"after":{{"id":{id}}},"op":"c"}}}}"#
        )
    };
    let mut reader = reader(Plain::Append);
    reader.feed(record(None, Some(&value("1")), 0)).unwrap();
    for bad in ["\"x\"", "1.5", "[1]", "1,\"other\":2"] {
        assert!(reader.feed(record(None, Some(&value(bad)), 1)).is_err(), "{bad}");
    }
    assert_eq!(reader.take().unwrap().tables()[0].columns[0].kind.to_string(), "int4");
}

/// The text of an envelope's JSON Schema, around rows with a list and a map in them.
fn json_schema() -> String {
    let map = Schema::new(Kind::Map(Box::new((Schema::new(Kind::Int16), Schema::new(Kind::Float64)))));
    let decimal = Schema::named(Kind::Bytes, "org.apache.kafka.connect.data.Decimal").with("scale", "2");
    let row = Schema::structure([
        ("id", Schema::new(Kind::Int32)),
        ("n", decimal.optional()),
        ("l", Schema::array(Schema::new(Kind::String)).optional()),
        ("m", map),
    ]);
    let members = [
        ("before", row.clone().optional()),
        ("after", row.optional()),
        ("op", Schema::new(Kind::String)),
        ("ts_ms", Schema::new(Kind::Int64).optional()),
    ];
    let mut text = Vec::new();
    write_schema(&Schema::structure(members), Options::default(), &mut text);
    String::from_utf8(text).unwrap()
}

const FRAMED: &[u8] = b"\0\0\0\0\x07{\"before\":null,\"after\":{\"id\":1,\"n\":\"bg==\",\"l\":[\"a\"],\"m\":[{\"key\":2,\"value\":0.5}]},\"op\":\"c\",\"ts_ms\":1}";

#[test]
fn a_json_schema_of_connects_gives_the_types() {
    let mut reader = reader(Plain::Append);
    let framed = Record { key: None, value: Some(FRAMED), timestamp_ms: 0, offset: 0 };
    assert_eq!(reader.unknown(&framed).collect::<Vec<_>>(), [7]);
    reader.add_schema(7, SchemaKind::Json, &json_schema(), &[]).unwrap();
    reader.feed(framed).unwrap();
    let batch = reader.take().unwrap();
    let kinds: Vec<String> = batch.tables()[0].columns.iter().map(|c| format!("{} {}", c.name, c.kind)).collect();
    assert_eq!(kinds, ["id int4", "n numeric", "l text[]", "m json"]);
    let cells = ["1", "1.10", "{a}", "[[2,0.5]]"].map(str::to_owned).to_vec();
    assert_eq!(told(&batch), [('c', cells)]);
}

proptest! {
    #[test]
    fn any_schema_and_any_framed_bytes_are_read_without_panic(avro: bool, text: String, value: Vec<u8>) {
        let mut reader = reader(Plain::Append);
        let kind = if avro { SchemaKind::Avro } else { SchemaKind::Json };
        let framed = [&FRAMED[..5], &value].concat();
        let known = reader.add_schema(7, kind, &text, &[]).is_ok();
        let read = reader.feed(Record { key: None, value: Some(&framed), timestamp_ms: 0, offset: 1 });
        prop_assert!(known || read.is_err());
    }

    #[test]
    fn a_broken_schema_or_a_broken_framed_value_is_read_without_panic(
        at in 0_usize..2000, byte in 32_u8..127, cut in 0_usize..2000, place in 5_usize..100, other: u8
    ) {
        let whole = json_schema().into_bytes();
        let mut text = whole.clone();
        let index = at % text.len();
        text[index] = byte;
        text.truncate(text.len() - if cut < 1000 { 0 } else { cut % text.len() });
        let mut framed = FRAMED.to_vec();
        let index = 5 + place % (framed.len() - 5);
        framed[index] = other;
        let record = |value| Record { key: Some(value), value: Some(value), timestamp_ms: 0, offset: 1 };
        for (text, value) in [(&text, FRAMED), (&whole, &framed), (&text, &framed)] {
            let mut reader = reader(Plain::Append);
            let _ = reader.add_schema(7, SchemaKind::Json, std::str::from_utf8(text).unwrap(), &[]);
            let _ = reader.feed(record(value));
            let batch = reader.take();
            prop_assert!(batch.is_none_or(|batch| batch.len() <= 1));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(records: Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>) {
        let mut reader = reader(Plain::Upsert);
        for (offset, (key, value)) in records.iter().enumerate() {
            let (key, value) = (key.as_deref(), value.as_deref());
            let _ = reader.feed(Record { key, value, timestamp_ms: 0, offset: offset as i64 });
        }
        let _ = reader.take();
    }

    #[test]
    fn a_broken_event_is_read_without_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let before = event("u", r#"{"id":1,"t":"a","l":[1,2]}"#, r#"{"id":1,"t":"\u00e9","l":null}"#);
        let mut bytes = before.into_bytes();
        let place = at % bytes.len();
        bytes[place] = byte;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let mut reader = reader(Plain::Append);
        let key = Some(&br#"{"id":1}"#[..]);
        let _ = reader.feed(Record { key, value: Some(&bytes), timestamp_ms: 0, offset: 1 });
        let whole = event("c", "null", r#"{"id":2,"t":"b","l":[]}"#);
        reader.feed(record(Some(r#"{"id":2}"#), Some(&whole), 2)).unwrap();
        prop_assert_eq!(told(&reader.take().unwrap()).pop().map(|(op, _)| op), Some('c'));
    }
}

#[test]
fn a_key_that_the_value_leaves_out_is_the_records_key() {
    for (plain, op) in [(Plain::Append, 'c'), (Plain::Upsert, 'u')] {
        let batch = read(
            plain,
            &[
                (Some(r#"{"id":1}"#), Some(r#"{"id":1,"a":5}"#)),
                (Some(r#"{"id":2}"#), Some(r#"{"a":6}"#)),
                (Some(r#"{"id":"x"}"#), Some(r#"{"a":7}"#)),
                (Some(r#"{"id":2}"#), None),
            ],
        );
        let cells: Vec<Vec<String>> = told(&batch).into_iter().map(|(_, cells)| cells).collect();
        assert_eq!(cells, [["1", "5"], ["2", "6"], ["\"x\"", "7"], ["2", "null"]], "{op}");
        assert_eq!(told(&batch)[1].0, op);
    }
}

#[test]
fn ends_of_transactions_and_heartbeats_are_no_rows() {
    let end = r#"{"status":"END","id":"5:9","event_count":1,"data_collections":[{"data_collection":"public.orders","event_count":1}],"ts_ms":1}"#;
    let begin = r#"{"status":"BEGIN","id":"5:9","event_count":null,"data_collections":null,"ts_ms":1}"#;
    let wrapped = format!(r#"{{"payload":{end}}}"#);
    let batch = read(
        Plain::Append,
        &[
            (Some(r#"{"id":"5:9"}"#), Some(begin)),
            (Some(r#"{"payload":{"id":"5:9"}}"#), Some(&wrapped)),
            (Some(r#"{"serverName":"shop"}"#), Some(r#"{"ts_ms":1}"#)),
        ],
    );
    assert_eq!(batch.len(), 0);
    let rows = [
        (Some(r#"{"id":"5:9"}"#), end.replace("END", "DONE")),
        (Some(r#"{"id":"5:9"}"#), end.replace("ts_ms", "at_ms")),
        (None, end.to_owned()),
        (Some(r#"{"serverName":"shop"}"#), r#"{"ts_ms":"1"}"#.to_owned()),
        (Some(r#"{"name":"shop"}"#), r#"{"ts_ms":1}"#.to_owned()),
    ];
    for (key, value) in &rows {
        assert_eq!(read(Plain::Append, &[(*key, Some(value))]).len(), 1, "{value}");
    }
}

#[test]
fn what_may_be_the_end_of_a_transaction_or_a_delete_is_refused() {
    let settings = |topic: &str| Settings {
        lineage: "kafka/c/t/0".into(),
        topic: topic.into(),
        partition: 0,
        plain: Plain::Append,
        unavailable: "u".into(),
        hex: false,
        truncates: true,
        segment_bytes: 4096,
    };
    let (key, row) = (Some(r#"{"id":"5:9"}"#), r#"{"id":"5:9"}"#);
    let error = Reader::new(settings("shop.transaction")).feed(record(key, None, 0)).unwrap_err();
    assert!(error.to_string().contains("provide_transaction_metadata"), "{error}");
    let mut known = Reader::new(settings("shop.transaction"));
    for (offset, value) in [(0, Some(row)), (1, None)] {
        known.feed(record(key, value, offset)).unwrap();
    }
    assert_eq!(known.take().unwrap().len(), 2);
    let mut beats = Reader::new(settings("__debezium-heartbeat.shop"));
    beats.feed(record(Some(r#"{"serverName":"shop"}"#), None, 0)).unwrap();
    assert_eq!(beats.take().unwrap().len(), 0);
    let mut elsewhere = Reader::new(settings("shop.beats"));
    let error = elsewhere.feed(record(Some(r#"{"serverName":"shop"}"#), None, 0)).unwrap_err();
    assert!(error.to_string().contains("a heartbeat"), "{error}");
    elsewhere.feed(record(Some(r#"{"serverName":7}"#), None, 1)).unwrap();
    assert_eq!(elsewhere.take().unwrap().len(), 1);
}

#[test]
fn flat_rows_say_what_happened_to_them() {
    let key = Some(r#"{"id":1}"#);
    let (made, gone) = (
        r#"{"id":1,"n":2,"__deleted":"false","__op":"r","__lsn":17,"__ts_ms":3}"#,
        r#"{"id":1,"n":2,"__deleted":"true","__op":"d","__lsn":18,"__ts_ms":4}"#,
    );
    let batch = read(Plain::Append, &[(key, Some(made)), (key, Some(gone)), (key, None)]);
    assert_eq!(told(&batch), [('r', vec!["1".to_owned(), "2".into()]), ('d', vec!["1".into(), "2".into()])]);
    let segment = segment(&batch);
    assert_eq!((segment.row(0).txn().at_us, segment.row(0).txn().end), (3000, 17));
    let schema = r#"{"type":"struct","optional":false,"fields":[{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"field":"__deleted"}]}"#;
    let typed = |deleted: &str| format!(r#"{{"schema":{schema},"payload":{{"id":1,"__deleted":"{deleted}"}}}}"#);
    let batch = read(Plain::Upsert, &[(key, Some(&typed("false"))), (key, Some(&typed("true")))]);
    assert_eq!(told(&batch), [('u', vec!["1".to_owned()]), ('d', vec!["1".into()])]);
}

#[test]
fn a_column_of_the_name_of_the_list_is_no_list() {
    let key = Some(r#"{"id":1}"#);
    let columns = |value: &str| {
        let batch = read(Plain::Append, &[(key, Some(value))]);
        let names: Vec<_> = segment(&batch).tables()[0].columns.iter().map(|column| column.name.clone()).collect();
        (names.join(","), told(&batch)[0].1.join(","))
    };
    let marked = |cell: &str, at_end: bool| {
        let own = format!(r#","__unavailable":{cell}"#);
        let (before, behind) = if at_end { ("", own.as_str()) } else { (own.as_str(), "") };
        columns(&format!(r#"{{"id":1,"n":null{before},"__deleted":"false","__op":"u"{behind}}}"#))
    };
    let kept = |cell: &str| ("id,n,__unavailable".to_owned(), format!("1,null,{cell}"));
    // Debezium's transform adds its fields behind the columns.
    assert_eq!(marked("null", false), kept("null"));
    assert_eq!(marked(r#"["n"]"#, false), kept(r#"["n"]"#));
    assert_eq!(marked("7", false), kept("7"));
    assert_eq!(marked("null", true), ("id,n".to_owned(), "1,null".into()));
    assert_eq!(marked("[]", true), ("id,n".to_owned(), "1,null".into()));
    assert_eq!(marked(r#"["n"]"#, true), ("id,n".to_owned(), "1,unchanged".into()));
    // What no column is called is no list of them.
    assert_eq!(marked(r#"["other"]"#, true), kept(r#"["other"]"#));
    assert_eq!(marked("[1]", true), kept("[1]"));
    assert_eq!(marked(r#""x""#, true), kept("x"));
}

#[test]
fn a_row_that_does_not_say_what_happened_may_list_what_was_not_sent() {
    let key = Some(r#"{"id":1}"#);
    let cells = |value: &str| told(&read(Plain::Upsert, &[(key, Some(value))]))[0].1.join(" ");
    assert_eq!(cells(r#"{"id":1,"n":null,"t":"","__unavailable":["n","t"]}"#), r#"1 unchanged unchanged ["n","t"]"#);
    for own in [
        r#"{"id":1,"n":2,"__unavailable":["n"]}"#,
        r#"{"id":1,"n":null,"__unavailable":["m"]}"#,
        r#"{"id":1,"__unavailable":["n"],"n":null}"#,
        r#"{"id":1,"n":null,"__unavailable":[1]}"#,
        r#"{"id":1,"n":null,"__unavailable":null}"#,
    ] {
        assert!(!cells(own).contains("unchanged"), "{own}");
    }
}

#[test]
fn data_of_a_cloud_event_are_read_with_its_headers() {
    let attributes = br#"{"specversion":"1.0","iodebeziumop":"u","iodebeziumconnector":"postgresql","iodebeziumschema":"sales","iodebeziumtable":"items","iodebeziumtxId":"5","iodebeziumtsus":"7"}"#;
    let row = r#"{"before":null,"after":{"id":1,"n":2}}"#;
    let schema = r#"{"type":"struct","optional":false,"fields":[{"type":"struct","optional":true,"field":"after","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"int16","optional":false,"field":"n"}]}]}"#;
    for value in [row.to_owned(), format!(r#"{{"schema":{schema},"payload":{{"after":{{"id":1,"n":2}}}}}}"#)] {
        let mut reader = reader(Plain::Append);
        reader.feed_data(record(Some(r#"{"id":1}"#), Some(&value), 0), attributes).unwrap();
        let batch = reader.take().unwrap();
        assert_eq!(told(&batch), [('u', vec!["1".to_owned(), "2".into()])]);
        let segment = segment(&batch);
        let row = segment.row(0);
        let table = row.table().unwrap();
        assert_eq!((table.schema.as_str(), table.name.as_str()), ("sales", "items"));
        assert_eq!((row.txn().xid, row.txn().at_us), (5, 7));
    }
    let mut reader = reader(Plain::Append);
    assert!(reader.feed_data(record(None, Some(r#"{"id":1}"#), 0), attributes).is_err());
    assert!(reader.feed_data(record(None, Some("7"), 1), attributes).is_err());
    reader.feed(record(None, Some(r#"{"id":1}"#), 2)).unwrap();
    assert_eq!(told(&reader.take().unwrap()), [('c', vec!["1".to_owned()])]);
}
