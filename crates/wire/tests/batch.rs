//! Segments: building, splitting, spilling to disk and back.

use std::path::PathBuf;
use std::sync::Arc;

use tailrace_wire::batch::{
    ABSENT, Batch, Cell, Entry, OldImage, Op, Origin, Part, Segment, SegmentBuilder, Settlement, SnapshotFlag,
    SpillFile, SpillQuota, Txn,
};
use tailrace_wire::error::Error;
use tailrace_wire::position::Phase;
use tailrace_wire::table::{Column, Note, Table, Type};

fn builder() -> SegmentBuilder {
    let origin = Origin { connector: "postgresql".into(), database: "db".into(), lineage: "l".into() };
    SegmentBuilder::new(Arc::new(origin))
}

fn table(name: &str) -> Arc<Table> {
    let column = Column {
        name: "v".into(),
        kind: Type::Text,
        native: "text".into(),
        nullable: true,
        labels: Vec::new(),
        note: Note::default(),
    };
    Table::new("public".into(), name.into(), vec![column], Vec::new())
}

fn txn(xid: u32) -> Txn {
    Txn { xid, phase: Phase::Row, lsn: 0x10, end: 0x18, timeline: 1, at_us: 5, origin: None }
}

fn add(builder: &mut SegmentBuilder, table: &Arc<Table>, txn: u32, text: &str) {
    let table = builder.table(table).unwrap();
    let new = builder.tuple([Cell::Text(text.as_bytes())].into_iter()).unwrap();
    let (op, snapshot, old_image) = (Op::Create, SnapshotFlag::Not, OldImage::None);
    builder.push(Entry { op, snapshot, old_image, flags: 0, table, txn, old: ABSENT, new, ordinal: 7, lsn: 9 });
}

/// `xid table text ordinal` of every row.
fn rows(segment: &Segment) -> Vec<String> {
    let row = |row: tailrace_wire::batch::RowRef<'_>| {
        let Some(Cell::Text(text)) = row.after().and_then(|tuple| tuple.cell(0)) else { return "?".to_owned() };
        let name = row.table().map_or("-", |table| table.name.as_str());
        format!("{} {name} {} {}", row.txn().xid, String::from_utf8_lossy(text), row.entry().ordinal)
    };
    segment.rows().map(row).collect()
}

#[test]
fn a_split_keeps_both_sides_whole() {
    let (a, b, c) = (table("a"), table("b"), table("c"));
    let mut builder = builder();
    let first = builder.txn(txn(1)).unwrap();
    add(&mut builder, &a, first, "one");
    add(&mut builder, &b, first, "two");
    let mark = builder.mark();
    let second = builder.txn(txn(2)).unwrap();
    add(&mut builder, &c, second, "three");
    add(&mut builder, &b, second, "four");
    assert!(builder.weight_since(mark) < builder.weight());
    let before = builder.split(mark);
    assert_eq!(rows(&before), ["1 a one 7", "1 b two 7"]);
    assert_eq!(rows(builder.segment()), ["2 c three 7", "2 b four 7"]);
    let names = |segment: &Segment| segment.tables().iter().map(|table| table.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&before), names(builder.segment())),
        (vec!["a".into(), "b".into()], vec!["b".into(), "c".into()])
    );
    let third = builder.txn(txn(3)).unwrap();
    add(&mut builder, &a, third, "five");
    assert_eq!(rows(&builder.seal()).len(), 3);
    assert!(builder.is_empty() && builder.weight() == 0);
}

#[test]
fn i5_a_segment_takes_one_version_of_a_table() {
    let mut builder = builder();
    let (old, new) = (table("t"), table("t"));
    assert_eq!((builder.table(&old), builder.table(&new), builder.table(&old)), (Some(0), None, Some(0)));
}

#[test]
fn i8_spilled_rows_come_back_settled_and_their_disk_is_freed() {
    let quota = SpillQuota::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), 1 << 20);
    let file = SpillFile::create(&quota).unwrap();
    let (kept, dropped) = (table("kept"), table("dropped"));
    let mut builder = builder();
    let (top, sub) = (builder.txn(txn(1)).unwrap(), builder.txn(txn(2)).unwrap());
    for (name, txn, text) in [(&dropped, sub, "no"), (&kept, top, "one"), (&kept, sub, "no"), (&kept, top, "two")] {
        add(&mut builder, name, txn, text);
    }
    let open = file.append(builder.seal()).unwrap();
    let settlement = Settlement { txn: Txn { lsn: 0x99, ..txn(1) }, aborted: [2].into_iter().collect() };
    let spilled = open.settle(&Arc::new(settlement), 40);
    assert_eq!((spilled.len(), spilled.tables().len()), (2, 1));
    let segment = spilled.load().unwrap();
    assert_eq!(rows(&segment), ["1 kept one 40", "1 kept two 41"]);
    assert_eq!((segment.row(0).txn().lsn, segment.row(0).entry().lsn, segment.tables().len()), (0x99, 9, 1));
    assert!(quota.used() > 0);
    let batch = Batch::new(vec![Part::Spilled(Arc::new(spilled))], Vec::new(), None);
    drop(file);
    assert!(quota.used() > 0 && batch.resident() == 0 && batch.len() == 2);
    drop(batch);
    assert_eq!(quota.used(), 0);
}

#[test]
fn i8_a_spill_beyond_the_quota_is_refused() {
    let quota = SpillQuota::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), 60);
    let file = SpillFile::create(&quota).unwrap();
    let mut builder = builder();
    let index = builder.txn(txn(1)).unwrap();
    add(&mut builder, &table("t"), index, "x");
    let small = builder.seal();
    assert!(file.append(small).is_ok());
    let index = builder.txn(txn(1)).unwrap();
    add(&mut builder, &table("t"), index, "x");
    let used = quota.used();
    assert!(matches!(file.append(builder.seal()), Err(Error::Limit(_))));
    assert_eq!(quota.used(), used);
}

#[test]
fn settling_in_memory_is_settling_on_disk() {
    let quota = SpillQuota::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), 1 << 20);
    let build = || {
        let mut builder = builder();
        let indexes = [1, 2, 3].map(|xid| builder.txn(txn(xid)).unwrap());
        let tables = ["a", "b", "c", "d"].map(table);
        for round in 0..20 {
            add(&mut builder, &tables[round % 4], indexes[round % 3], &round.to_string());
        }
        builder.seal()
    };
    let settlement = Arc::new(Settlement { txn: txn(1), aborted: [2].into_iter().collect() });
    let mut memory = build();
    assert_eq!(memory.settle(&settlement, 5), 5 + memory.len() as u64);
    let disk = SpillFile::create(&quota).unwrap().append(build()).unwrap().settle(&settlement, 5).load().unwrap();
    assert_eq!(rows(&memory), rows(&disk));
}
