//! Any bytes as COPY rows: no panic, and no more memory than the input justifies (I8, I10).
//!
//! `cargo run --release --bin copy FOLDER` here goes on until it finds something. An input is the number of columns,
//! then lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailrace_wire::chunk::Chunk;
use tailrace_wire::copy::{Rows, Settings};
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
        lineage: "l".into(),
        database: "db".into(),
        table: Table::new("s".into(), "t".into(), (0..columns).map(column).collect(), Vec::new()),
        attempt: "a".into(),
        lsn: 1,
        timeline: 1,
        xid: 1,
        at_us: 1,
        first_ordinal: 0,
        first_table: true,
        segment_bytes: 256,
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((columns, data)) = data.split_first() else { return };
    let columns = usize::from(columns % 8);
    let mut rows = Rows::new(settings(columns));
    let lines: Chunk = data.split_inclusive(|byte| *byte == b'\n').collect();
    if rows.feed(&lines).is_err() {
        return;
    }
    let Ok(batch) = rows.finish(true) else { return };
    assert_eq!(batch.len(), lines.len());
    assert!(batch.nbytes() <= 8 * data.len() + 64);
    for part in batch.parts() {
        let segment = part.load().expect("a segment in memory");
        assert!(segment.rows().all(|row| row.after().is_some_and(|tuple| tuple.cells().count() == columns)));
    }
});
