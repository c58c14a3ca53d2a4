//! Any text as a schema of a registry, and any bytes framed with it: no panic, and no more memory than the input
//! justifies (I8, I10).
//!
//! `cargo run --release --bin framed FOLDER` here goes on until it finds something. The first byte says of which
//! kind the schema is, a line of it follows, and lines of values; a `.proto` text may import what every reader of
//! protobuf knows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tailrace_wire::read::{Plain, Reader, Record, SchemaKind, Settings};

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let Some(Ok(text)) = lines.next().map(std::str::from_utf8) else { return };
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
    let kind = [SchemaKind::Avro, SchemaKind::Json, SchemaKind::Protobuf][usize::from(kind % 3)];
    if reader.add_schema(1, kind, text, &[]).is_err() {
        return;
    }
    for (offset, line) in lines.enumerate() {
        let value = [b"\0\0\0\0\x01", line].concat();
        let _ = reader.feed(Record { key: None, value: Some(&value), timestamp_ms: 0, offset: offset as i64 });
    }
    let _ = reader.take();
});
