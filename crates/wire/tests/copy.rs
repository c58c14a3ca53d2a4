//! The decoder of COPY text rows.

mod support;

use support::changes;
use tailrace_wire::batch::{Batch, SnapshotFlag};
use tailrace_wire::chunk::Chunk;
use tailrace_wire::copy::{Rows, Settings};
use tailrace_wire::error::{Error, Result};
use tailrace_wire::table::{Column, Note, Table, Type};

fn settings(columns: usize) -> Settings {
    let column = |index: usize| Column {
        name: format!("c{index}"),
        kind: Type::Text,
        native: "text".into(),
        nullable: true,
        labels: Vec::new(),
        note: Note::default(),
    };
    Settings {
        lineage: "postgres/1/db/slot".into(),
        database: "db".into(),
        table: Table::new("public".into(), "t".into(), (0..columns).map(column).collect(), Vec::new()),
        attempt: "a1".into(),
        lsn: 0x100,
        timeline: 1,
        xid: 9,
        at_us: 5,
        first_ordinal: 40,
        first_table: true,
        segment_bytes: 1 << 20,
    }
}

fn decode(columns: usize, rows: &[&[u8]]) -> Result<Batch> {
    let mut decoder = Rows::new(settings(columns));
    decoder.feed(&rows.iter().copied().collect::<Chunk>())?;
    decoder.finish(true)
}

fn flags(batch: &Batch) -> Vec<SnapshotFlag> {
    let segments = batch.parts().iter().map(|part| part.load().unwrap());
    segments.flat_map(|segment| segment.rows().map(|row| row.entry().snapshot).collect::<Vec<_>>()).collect()
}

#[test]
fn text_cells_are_unescaped() {
    let batch =
        decode(3, &[b"1\t\\N\t\n", b"a\\tb\\nc\\\\\t\\101\\x42\\x\\q\t\\b\\f\\r\\v\n", b"\\\\N\t\\7777\t\\xfff\n"]);
    let batch = batch.unwrap();
    assert_eq!(changes(&batch)[..2], ["r t - -> 1,~,", "r t - -> a\tb\nc\\,ABxq,\u{8}\u{c}\r\u{b}"]);
    let segment = batch.parts()[0].load().unwrap();
    let cells: Vec<_> = segment.row(2).after().unwrap().cells().collect();
    use tailrace_wire::batch::Cell::Text;
    assert_eq!(cells, [Text(b"\\N"), Text(b"\xff7"), Text(b"\xfff")]);
}

#[test]
fn rows_know_their_place_in_the_snapshot() {
    use SnapshotFlag::{First, FirstInTable, Last, LastInTable, Middle};
    let flags_of = |first_table: bool, last_table: bool, rows: usize| {
        let mut decoder = Rows::new(Settings { first_table, ..settings(1) });
        for _ in 0..rows {
            decoder.feed(&[&b"1\n"[..]].into_iter().collect()).unwrap();
        }
        flags(&decoder.finish(last_table).unwrap())
    };
    assert_eq!(flags_of(true, false, 3), [First, Middle, LastInTable]);
    assert_eq!(flags_of(false, true, 3), [FirstInTable, Middle, Last]);
    assert_eq!(flags_of(false, false, 1), [LastInTable]);
    assert_eq!(flags_of(true, false, 1), [First]);
    assert_eq!(flags_of(true, true, 1), [Last]);
    assert_eq!(flags_of(true, true, 0), []);
}

#[test]
fn batches_carry_positions_and_the_snapshot_mark() {
    let mut decoder = Rows::new(settings(1));
    assert!(decoder.take().is_none());
    decoder.feed(&Chunk::default()).unwrap();
    decoder.feed(&[&b"1\n"[..], b"2\n", b"3\n"].into_iter().collect()).unwrap();
    let first = decoder.take().unwrap();
    let last = decoder.finish(false).unwrap();
    let mark = |batch: &Batch| batch.snapshot().map(|mark| (mark.attempt.to_string(), mark.begin, mark.end)).unwrap();
    assert_eq!((changes(&first).len(), mark(&first)), (2, ("a1".into(), true, false)));
    assert_eq!((changes(&last), mark(&last)), (vec!["r t - -> 3".into()], ("a1".into(), false, true)));
    assert_eq!(first.ends()[0].text, "0000000000000100.0.000000000041/00000001/0000000000000100");
    assert_eq!(last.ends()[0].text, "0000000000000100.0.000000000042/00000001/0000000000000100");
    assert_eq!(decoder.next_ordinal(), 43);
    let row = first.parts()[0].load().unwrap();
    assert_eq!((row.row(0).txn().xid, row.row(0).txn().at_us, row.row(0).entry().lsn), (9, 5, 0x100));
    assert!(matches!(decoder.finish(false), Err(Error::Usage(_))));
    assert!(matches!(decoder.feed(&Chunk::default()), Err(Error::Usage(_))));
    assert_eq!(Batch::merge(vec![first, last]).len(), 1);
}

#[test]
fn an_empty_table_still_ends() {
    let batch = decode(1, &[]).unwrap();
    let mark = batch.snapshot().unwrap();
    assert!(batch.is_empty() && mark.begin && mark.end);
}

#[test]
fn segments_are_closed_at_their_size() {
    let mut decoder = Rows::new(Settings { segment_bytes: 500, ..settings(2) });
    let rows: Vec<String> = (0..100).map(|row| format!("{row}\tx\n")).collect();
    decoder.feed(&rows.iter().map(String::as_bytes).collect()).unwrap();
    let batch = decoder.finish(true).unwrap();
    assert!(batch.parts().len() > 5);
    assert!(changes(&batch).into_iter().eq((0..100).map(|row| format!("r t - -> {row},x"))));
}

#[test]
fn i10_rows_that_do_not_fit_are_errors() {
    let error = |columns, row: &[u8]| decode(columns, &[row]).unwrap_err().to_string();
    assert_eq!(error(2, b"1\n"), "COPY of public.t, row 0: 1 cells where the table has 2 columns at byte 1");
    assert_eq!(error(2, b"s\t2\t3\n"), "COPY of public.t, row 0: 3 cells where the table has 2 columns at byte 5");
    assert!(error(0, b"1\n").contains("1 cells where the table has 0 columns"));
    assert!(error(1, b"1").contains("without its line end"));
    assert!(error(1, b"").contains("without its line end"));
    assert!(error(1, b"1\n2\n").contains("within a row"));
    assert!(error(1, b"1\\\n").contains("backslash"));
    assert_eq!(decode(0, &[b"\n", b"\n"]).unwrap().len(), 2);
    assert_eq!(decode(2, &[b"\t\n"]).unwrap().len(), 1);
}
