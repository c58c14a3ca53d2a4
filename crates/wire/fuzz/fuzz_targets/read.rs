//! Any bytes as keys and values of records: no panic, and no more memory than the input justifies (I8, I10).
//!
//! `cargo run --release --bin read FOLDER` here goes on until it finds something. An input is lines, keys and
//! values by turns.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailrace_wire::read::{Plain, Reader, Record, Settings};

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(Settings {
        lineage: "l".into(),
        topic: "a.b.c".into(),
        partition: 0,
        plain: Plain::Upsert,
        unavailable: "u".into(),
        hex: false,
        truncates: true,
        segment_bytes: 256,
    });
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    for (offset, pair) in lines.chunks(2).enumerate() {
        let key = pair.first().copied().filter(|key| !key.is_empty());
        let value = pair.get(1).copied().filter(|value| !value.is_empty());
        let _ = reader.feed(Record { key, value, timestamp_ms: 0, offset: offset as i64 });
    }
    let Some(batch) = reader.take() else { return };
    assert!(batch.len() <= lines.len());
    for part in batch.parts() {
        let segment = part.load().expect("a segment in memory");
        for row in segment.rows() {
            let columns = row.table().map_or(2, |table| table.columns.len());
            assert!([row.before(), row.after()].into_iter().flatten().all(|tuple| tuple.cells().count() == columns));
        }
    }
});
