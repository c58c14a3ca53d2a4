//! Any bytes as replication messages: no panic, and no more memory than the input justifies (I8, I10).
//!
//! `cargo run --release --bin pgoutput FOLDER` here goes on until it finds something. An input is a byte that
//! chooses the limits, then messages with a 16-bit length in front of each; `python -m tests.wire.capture FOLDER` makes a
//! first corpus of real ones.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tailrace_wire::chunk::Chunk;
use tailrace_wire::pgoutput::{Decoder, Relation, Settings};
use tailrace_wire::table::{Column, Note, Table, Type};

fn table_of(relation: &Relation) -> Arc<Table> {
    let column = |(index, name): (usize, &String)| Column {
        name: name.clone(),
        kind: Type::Text,
        native: "text".into(),
        nullable: relation.nullable.contains(&index),
        labels: Vec::new(),
        note: Note::default(),
    };
    let columns = relation.columns.iter().map(|known| &known.name).enumerate().map(column).collect();
    Table::new(relation.schema.clone(), relation.name.clone(), columns, Vec::new())
}

fn messages(mut data: &[u8]) -> Chunk {
    let mut chunk = Chunk::default();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        chunk.push(message);
        data = rest;
    }
    chunk
}

fuzz_target!(|data: &[u8]| {
    let Some((limits, data)) = data.split_first() else { return };
    let mut decoder = Decoder::new(Settings {
        lineage: "l".into(),
        database: "db".into(),
        timeline: 1,
        start_after: None,
        streaming: limits & 1 == 0,
        segment_bytes: if limits & 2 == 0 { 1 << 20 } else { 64 },
        transaction_bytes_max: if limits & 4 == 0 { 1 << 20 } else { 256 },
        spill_bytes_max: 1 << 20,
        spill_dir: std::env::temp_dir(),
    });
    let mut result = decoder.feed(Some(Arc::new(messages(data))));
    while let Ok(Some(relation)) = &result {
        decoder.describe(relation.oid, &table_of(relation)).expect("the relation's own columns fit");
        result = decoder.feed(None);
    }
    assert!(decoder.open_nbytes() + decoder.ready_nbytes() <= 64 * data.len() + 1_024);
    let Some(batch) = decoder.take() else { return };
    for part in batch.parts() {
        let segment = part.load().expect("a spill file that was just written");
        assert_eq!(segment.len(), part.len());
        for row in segment.rows() {
            let cells = |tuple: Option<tailrace_wire::batch::Tuple<'_>>| tuple.map_or(0, |tuple| tuple.cells().count());
            let columns = row.table().map_or(0, |table| table.columns.len());
            assert!([0, columns].contains(&cells(row.before())) && [0, columns].contains(&cells(row.after())));
        }
    }
});
