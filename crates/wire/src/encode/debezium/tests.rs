//! Whole events, as the real engine wrote them for the same rows.

use std::sync::Arc;

use super::*;
use crate::batch::{ABSENT, Cell, Entry, FLAG_TRANSACTIONAL, NO_TABLE, Origin, SegmentBuilder, SnapshotFlag, Txn};
use crate::position::Phase;
use crate::table::{Column, Note, Type};

const NOW_NS: i64 = 1_795_381_029_667_159_366;

fn table(columns: &[(&str, &str, bool)]) -> Arc<Table> {
    let column = |(name, kind, nullable): &(&str, &str, bool)| Column {
        name: (*name).into(),
        kind: Type::parse(kind).unwrap(),
        native: (*kind).into(),
        nullable: *nullable,
        labels: vec![],
        note: Note::default(),
    };
    Table::new("public".into(), "a".into(), columns.iter().map(column).collect(), vec![0])
}

fn builder(phase: Phase) -> SegmentBuilder {
    let origin = Origin { connector: "postgresql".into(), database: "shop".into(), lineage: "l".into() };
    let mut builder = SegmentBuilder::new(Arc::new(origin));
    let at_us = 1_795_381_029_428_448;
    builder.txn(Txn { xid: 761, phase, lsn: 28_295_000, end: 28_295_088, timeline: 1, at_us, origin: None }).unwrap();
    builder
}

fn entry(op: Op) -> Entry {
    let (snapshot, old_image) = (SnapshotFlag::Not, OldImage::None);
    let (table, txn, lsn, ordinal) = (0, 0, 28_294_896, 0);
    Entry { op, snapshot, old_image, flags: 0, table, txn, old: ABSENT, new: ABSENT, ordinal, lsn }
}

fn encode(builder: &mut SegmentBuilder, profile: Profile) -> Result<Vec<String>> {
    let mut out = Encoded::default();
    Encoder::new(profile).encode(&builder.seal(), 7, NOW_NS, &mut out)?;
    for record in out.records() {
        let end = out.bytes[record.line..].iter().position(|byte| *byte == b'\n').unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let line = text(&out.bytes[record.line..record.line + end]);
        let part = |part: Option<&[u8]>| part.map_or("null".into(), text);
        let headers: Vec<String> =
            out.headers(record).map(|(name, value)| format!("[\"{}\",{}]", text(name), text(value))).collect();
        let headers = if headers.is_empty() { String::new() } else { format!(",\"headers\":[{}]", headers.join(",")) };
        let topic = text(out.topic(record));
        let (key, value) = (part(out.key(record)), part(out.value(record)));
        assert_eq!(line, format!("{{\"topic\":\"{topic}\",\"key\":{key},\"value\":{value}{headers}}}"));
        assert_eq!(record.change, 7);
    }
    Ok(String::from_utf8(out.bytes).unwrap().lines().map(str::to_owned).collect())
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.as_bytes())
}

const SOURCE: &str = r#""source":{"version":"3.6.3.Final","connector":"postgresql","name":"shop","ts_ms":1795381029428,"snapshot":"false","db":"shop","sequence":"[\"28295000\",\"28294896\"]","ts_us":1795381029428448,"ts_ns":1795381029428448000,"schema":"public","table":"a","txId":761,"lsn":28294896,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null"#;
const TIMES: &str = r#""ts_ms":1795381029667,"ts_us":1795381029667159,"ts_ns":1795381029667159366"#;

#[test]
fn an_insert_is_one_record() {
    let mut builder = builder(Phase::Row);
    builder.table(&table(&[("id", "int4", false), ("t", "text", true)])).unwrap();
    let new = builder.tuple([text("3"), text("x\n")].into_iter()).unwrap();
    builder.push(Entry { new, ..entry(Op::Create) });
    let lines = encode(&mut builder, Profile::new("shop")).unwrap();
    let value = format!(r#"{{"before":null,"after":{{"id":3,"t":"x\n"}},{SOURCE},"op":"c",{TIMES}}}"#);
    assert_eq!(lines, [format!(r#"{{"topic":"shop.public.a","key":{{"id":3}},"value":{value}}}"#)]);
}

#[test]
fn a_changed_key_is_a_delete_a_tombstone_and_a_create() {
    let mut builder = builder(Phase::Row);
    let columns = [("id", "int4", false), ("n", "int4", false), ("t", "text", true), ("big", "text", true)];
    builder.table(&table(&columns)).unwrap();
    let old = builder.tuple([text("3"), Cell::Null, Cell::Null, Cell::Null].into_iter()).unwrap();
    let new = builder.tuple([text("4"), text("5"), text("y"), Cell::Unchanged].into_iter()).unwrap();
    builder.push(Entry { old, new, old_image: OldImage::Key, ..entry(Op::Update) });
    let lines = encode(&mut builder, Profile::new("shop")).unwrap();
    let deleted =
        format!(r#"{{"before":{{"id":3,"n":0,"t":null,"big":null}},"after":null,{SOURCE},"op":"d",{TIMES}}}"#);
    let after = r#"{"id":4,"n":5,"t":"y","big":"__debezium_unavailable_value"}"#;
    let created = format!(r#"{{"before":null,"after":{after},{SOURCE},"op":"c",{TIMES}}}"#);
    let record = |key: u8, value: &str, header: &str| {
        format!(r#"{{"topic":"shop.public.a","key":{{"id":{key}}},"value":{value},"headers":[{header}]}}"#)
    };
    let new_key = r#"["__debezium.newkey",{"id":4}]"#;
    let create = record(4, &created, r#"["__debezium.oldkey",{"id":3}]"#);
    assert_eq!(lines, [record(3, &deleted, new_key), record(3, "null", new_key), create]);
}

#[test]
fn a_full_old_row_fills_unchanged_cells_of_the_new_one() {
    let mut builder = builder(Phase::Row);
    builder.table(&table(&[("id", "int4", false), ("big", "text", true)])).unwrap();
    let old = builder.tuple([text("3"), text("long")].into_iter()).unwrap();
    let new = builder.tuple([text("3"), Cell::Unchanged].into_iter()).unwrap();
    builder.push(Entry { old, new, old_image: OldImage::Full, ..entry(Op::Update) });
    let lines = encode(&mut builder, Profile::new("shop")).unwrap();
    let row = r#"{"id":3,"big":"long"}"#;
    let value = format!(r#"{{"before":{row},"after":{row},{SOURCE},"op":"u",{TIMES}}}"#);
    assert_eq!(lines, [format!(r#"{{"topic":"shop.public.a","key":{{"id":3}},"value":{value}}}"#)]);
}

#[test]
fn tombstones_context_headers_and_skipped_operations_are_the_profiles() {
    let mut builder = builder(Phase::Row);
    builder.table(&table(&[("id", "int4", false)])).unwrap();
    let row = builder.tuple([text("3")].into_iter()).unwrap();
    builder.push(Entry { old: row, old_image: OldImage::Key, ..entry(Op::Delete) });
    builder.push(Entry { new: row, ..entry(Op::Create) });
    builder.push(entry(Op::Truncate));
    let mut profile = Profile::new("shop");
    profile.tombstones_on_delete = false;
    profile.extended_headers = true;
    profile.run_id = "run".into();
    profile.skipped = OpSet::parse("c,t").unwrap();
    let lines = encode(&mut builder, profile).unwrap();
    assert_eq!(lines.len(), 1);
    let headers = concat!(
        r#","headers":[["__debezium.context.connectorLogicalName","shop"],["__debezium.context.taskId","0"],"#,
        r#"["__debezium.context.connectorName","postgresql"],["__debezium.context.runId","run"]]}"#
    );
    assert!(lines[0].ends_with(headers), "{}", lines[0]);
}

#[test]
fn a_message_has_its_own_topic_and_envelope() {
    let mut builder = builder(Phase::Row);
    let new = builder.tuple([text("pre\"fix"), text("cont\"ent")].into_iter()).unwrap();
    builder.push(Entry { new, table: NO_TABLE, flags: FLAG_TRANSACTIONAL, ..entry(Op::Message) });
    let lines = encode(&mut builder, Profile::new("shop")).unwrap();
    let source = SOURCE.replace(r#""schema":"public","table":"a""#, r#""schema":"","table":"""#);
    let message = r#""message":{"prefix":"pre\"fix","content":"Y29udCJlbnQ="}"#;
    let value = format!(r#"{{"op":"m","ts_ms":1795381029667,{source},{message}}}"#);
    assert_eq!(lines, [format!(r#"{{"topic":"shop.message","key":{{"prefix":"pre\"fix"}},"value":{value}}}"#)]);
}

#[test]
fn i9_what_cannot_be_encoded_is_rejected_by_index_and_column_without_its_value() {
    let mut builder = builder(Phase::Row);
    builder.table(&table(&[("id", "int4", false), ("n", "numeric(5,2)", false)])).unwrap();
    for number in ["1.00", "NaN", "secret"] {
        let new = builder.tuple([text("3"), text(number)].into_iter()).unwrap();
        builder.push(Entry { new, ..entry(Op::Create) });
    }
    let error = encode(&mut builder, Profile::new("shop")).unwrap_err();
    let Error::Reject(reasons) = error else { panic!("{error:?}") };
    assert_eq!(reasons.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [8, 9]);
    assert!(reasons[0].1.starts_with("public.a, column \"n\" (numeric(5,2)): NaN or infinity"), "{reasons:?}");
    assert!(!reasons[1].1.contains("secret"));
}

#[test]
fn snapshot_rows_carry_their_marker_and_no_last_commit() {
    let mut builder = builder(Phase::Snapshot);
    builder.table(&table(&[("id", "int4", false)])).unwrap();
    let new = builder.tuple([text("3")].into_iter()).unwrap();
    builder.push(Entry { new, snapshot: SnapshotFlag::LastInTable, ..entry(Op::Read) });
    let lines = encode(&mut builder, Profile::new("shop")).unwrap();
    let sequence = r#""snapshot":"last_in_data_collection","db":"shop","sequence":"[null,\"28295000\"]""#;
    assert!(lines[0].contains(sequence), "{}", lines[0]);
}

#[test]
fn an_event_in_any_format_has_the_members_of_its_own_in_json() {
    for (phase, snapshot, schemas) in [
        (Phase::Row, SnapshotFlag::Not, false),
        (Phase::Snapshot, SnapshotFlag::First, false),
        (Phase::Row, SnapshotFlag::Not, true),
    ] {
        let mut builder = builder(phase);
        builder.table(&table(&[("id", "int4", false), ("t", "text", true)])).unwrap();
        let old = builder.tuple([text("3"), text("long")].into_iter()).unwrap();
        let new = builder.tuple([text("3"), Cell::Unchanged].into_iter()).unwrap();
        builder.push(Entry { old, new, snapshot, old_image: OldImage::Full, ..entry(Op::Update) });
        let segment = builder.seal();
        let mut out = Encoded::default();
        let profile = Profile { schemas, ..Profile::new("shop") };
        Encoder::new(profile.clone()).encode(&segment, 0, NOW_NS, &mut out).unwrap();
        let row = segment.rows().next().unwrap();
        let plan = Plan::new(row.table().unwrap(), &profile);
        let images = [row.before(), row.after()];
        let event = Event { row: &row, op: Op::Update, images, profile: &profile, now_ns: NOW_NS, block: None };
        let mut json = Vec::new();
        event.write(&plan, &segment, &mut Scratch::default(), &mut Json::new(&mut json, !schemas)).unwrap();
        let [_, head] = &plan.heads;
        let end = if schemas { "}" } else { "" };
        let whole = [&head[..], &json, end.as_bytes()].concat();
        assert_eq!(out.value(&out.records()[0]), Some(&whole[..]));
    }
}

#[test]
fn a_schema_stands_before_every_key_and_value_but_not_before_none() {
    let mut builder = builder(Phase::Row);
    builder.table(&table(&[("id", "int4", false), ("n", "numeric(5,2)", true)])).unwrap();
    let row = builder.tuple([text("3"), text("1.00")].into_iter()).unwrap();
    builder.push(Entry { old: row, old_image: OldImage::Key, ..entry(Op::Delete) });
    let lines = encode(&mut builder, Profile { schemas: true, ..Profile::new("shop") }).unwrap();
    let key = concat!(
        r#""key":{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"#,
        r#""optional":false,"name":"shop.public.a.Key"},"payload":{"id":3}},"value":"#
    );
    let decimal = concat!(
        r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"#,
        r#""parameters":{"scale":"2","connect.decimal.precision":"5"},"field":"n"}],"optional":true,"#,
        r#""name":"shop.public.a.Value","field":"before"}"#
    );
    assert!(lines[0].contains(key) && lines[0].contains(decimal), "{}", lines[0]);
    assert!(
        lines[0]
            .contains(r#""optional":false,"name":"shop.public.a.Envelope","version":2},"payload":{"before":{"id":3"#)
    );
    assert!(lines[1].contains(key) && lines[1].ends_with(r#""value":null}"#), "{}", lines[1]);
}

proptest::proptest! {
    #[test]
    fn any_cells_are_encoded_or_rejected_without_panic(cells: Vec<Vec<u8>>, kind in 0_usize..KINDS.len()) {
        let mut builder = builder(Phase::Row);
        builder.table(&table(&[("id", "int4", false), ("c", KINDS[kind], true)])).unwrap();
        for cell in &cells {
            let new = builder.tuple([text("3"), Cell::Text(cell)].into_iter()).unwrap();
            builder.push(Entry { new, ..entry(Op::Create) });
        }
        let mut out = Encoded::default();
        if Encoder::new(Profile::new("shop")).encode(&builder.seal(), 0, NOW_NS, &mut out).is_ok() {
            proptest::prop_assert!(std::str::from_utf8(&out.bytes).is_ok());
        }
    }
}

const KINDS: [&str; 22] = [
    "bool",
    "int8",
    "float8",
    "numeric",
    "numeric(5,2)",
    "numeric(5,-2)",
    "money",
    "text",
    "bytea",
    "bit(3)",
    "point",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz(3)",
    "interval",
    "hstore",
    "text[]",
    "hstore[]",
    "date[]",
    "float4",
];

#[test]
fn a_plan_is_made_once_a_table_version() {
    let mut encoder = Encoder::new(Profile::new("shop"));
    let (first, second) = (table(&[("id", "int4", false)]), table(&[("id", "int4", false)]));
    assert_ne!(first.version, second.version);
    let plan = encoder.plan(&first);
    assert!(Arc::ptr_eq(&plan, &encoder.plan(&first)));
    assert!(!Arc::ptr_eq(&plan, &encoder.plan(&second)));
}
