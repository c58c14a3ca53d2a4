//! A transaction far above the limits, in a process of its own, so that the kernel's high-water mark tells the truth.

mod support;

use std::sync::Arc;

use support::*;
use tailrace_wire::chunk::Chunk;
use tailrace_wire::pgoutput::{Decoder, Settings};

const CHUNKS: usize = 100;
const CHUNK_ROWS: usize = 5_000;
const ROWS: usize = CHUNKS * CHUNK_ROWS;
const MIB: usize = 1 << 20;

/// The most memory that this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn rows(xid: impl Fn(usize) -> Option<u32>) -> Arc<Chunk> {
    let value = format!("1,{}", "v".repeat(200));
    let messages: Vec<_> = (0..CHUNK_ROWS).map(|row| insert(xid(row), 1, 1, &value)).collect();
    Arc::new(messages.iter().map(Vec::as_slice).collect())
}

/// Decode the chunk over and over within a transaction, then read every row back.
fn run(chunk: &Arc<Chunk>, before: &[Vec<u8>], around: (&[Vec<u8>], &[Vec<u8>]), after: &[Vec<u8>]) {
    let limits = Settings { segment_bytes: MIB, transaction_bytes_max: 8 * MIB, ..settings() };
    let mut decoder = Decoder::new(limits);
    feed(&mut decoder, before).unwrap();
    for _ in 0..CHUNKS {
        feed(&mut decoder, around.0).unwrap();
        assert!(decoder.feed(Some(Arc::clone(chunk))).unwrap().is_none());
        feed(&mut decoder, around.1).unwrap();
    }
    feed(&mut decoder, after).unwrap();
    let batch = decoder.take().unwrap();
    assert!(batch.len() >= ROWS && batch.nbytes() > 90 * MIB && batch.resident() < 10 * MIB);
    assert_eq!(batch.parts().iter().map(|part| part.load().unwrap().rows().len()).sum::<usize>(), batch.len());
}

#[test]
fn i8_memory_does_not_grow_with_a_transaction() {
    let first = || insert(None, 1, 1, "0,first");
    let plain = rows(|_| None);
    let subtransactions = rows(|row| Some(10 + row as u32 % 3_000));
    let start = peak();
    run(&plain, &[begin(0x100, 7), relation(None, 1, "t", "+id,v"), first()], (&[], &[]), &[commit(0x100)]);
    let announced =
        [begin(0x50, 7), relation(None, 1, "t", "+id,v"), first(), commit(0x50), stream_start(9, true), stream_stop()];
    let around = ([stream_start(9, false)], [stream_stop()]);
    run(&subtransactions, &announced, (&around.0, &around.1), &[stream_commit(9, 0x100)]);
    let grown = peak() - start;
    assert!(grown < 40 * MIB, "{} MiB", grown / MIB);
}
