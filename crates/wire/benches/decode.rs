//! How fast the decoders are by themselves: `cargo bench -p tailrace-wire --bench decode`.
//!
//! Prints processor time, so that a busy machine disturbs little. Rows are those of a 12-column orders table; what is
//! decoded is taken and dropped after every 4 MB, as a pipeline does.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tailrace_wire::chunk::Chunk;
use tailrace_wire::pgoutput::{Decoder, Settings};
use tailrace_wire::table::{Column, Note, Table, Type};
use tailrace_wire::{copy, position};

const COLUMNS: usize = 12;
const ROWS: usize = 200_000;
const ROUNDS: u32 = 20;

fn cells(row: usize) -> [String; COLUMNS] {
    [
        row.to_string(),
        (row % 5_000).to_string(),
        format!("customer {}", row % 997),
        "shipped".into(),
        format!("{}.{:02}", row % 1_000, row % 100),
        "EUR".into(),
        (row % 9).to_string(),
        "t".into(),
        "2026-01-02 03:04:05.678901+00".into(),
        "2026-01-03 03:04:05.678901+00".into(),
        format!("note of order {row}, which has some length"),
        String::new(),
    ]
}

fn table() -> Arc<Table> {
    let column = |index: usize| Column {
        name: format!("c{index}"),
        kind: Type::Text,
        native: "text".into(),
        nullable: true,
        labels: Vec::new(),
        note: Note::default(),
    };
    Table::new("public".into(), "orders".into(), (0..COLUMNS).map(column).collect(), vec![0])
}

fn xlog(payload: &[u8]) -> Vec<u8> {
    let header = [0; 24];
    [b"w", &header[..], payload].concat()
}

fn relation() -> Vec<u8> {
    let mut payload = b"R\0\0\x40\0public\0orders\0d\0\x0c".to_vec();
    for index in 0..COLUMNS {
        payload.push(u8::from(index == 0));
        payload.extend(format!("c{index}\0").bytes());
        payload.extend([0, 0, 0, 25, 255, 255, 255, 255]);
    }
    xlog(&payload)
}

fn tuple(tag: u8, row: usize) -> Vec<u8> {
    let mut tuple = vec![tag, 0, COLUMNS as u8];
    for cell in cells(row) {
        if cell.is_empty() {
            tuple.push(b'n');
        } else {
            tuple.push(b't');
            tuple.extend((cell.len() as u32).to_be_bytes());
            tuple.extend(cell.bytes());
        }
    }
    tuple
}

/// Messages in chunks of 4 MB.
#[derive(Default)]
struct Chunks(Vec<Chunk>);

impl Chunks {
    fn push(&mut self, message: &[u8]) {
        if self.0.last().is_none_or(|chunk| chunk.nbytes() > 4 << 20) {
            self.0.push(Chunk::default());
        }
        self.0.last_mut().into_iter().for_each(|chunk| chunk.push(message));
    }

    fn nbytes(&self) -> usize {
        self.0.iter().map(Chunk::nbytes).sum()
    }
}

/// Transactions of `size` rows; every row has the kinds' images.
fn stream(size: usize, kind: u8, tags: &[u8]) -> Chunks {
    let mut chunk = Chunks::default();
    for start in (0..ROWS).step_by(size) {
        let lsn = (start as u64 + 1) << 12;
        chunk.push(&xlog(&[b"B", &lsn.to_be_bytes()[..], &[0; 12]].concat()));
        if start == 0 {
            chunk.push(&relation());
        }
        for row in start..start + size {
            let images: Vec<u8> = tags.iter().flat_map(|tag| tuple(*tag, row)).collect();
            chunk.push(&xlog(&[&[kind, 0, 0, 0x40, 0], &images[..]].concat()));
        }
        chunk.push(&xlog(&[b"C\0", &lsn.to_be_bytes()[..], &(lsn + 8).to_be_bytes(), &[0; 8]].concat()));
    }
    chunk
}

fn settings() -> Settings {
    Settings {
        lineage: "postgres/1/db/slot".into(),
        database: "db".into(),
        timeline: 1,
        start_after: position::Position::parse("0000000000000001.2.000000000000/00000001/0000000000000001").ok(),
        streaming: true,
        segment_bytes: 4 << 20,
        transaction_bytes_max: 64 << 20,
        spill_bytes_max: 1 << 40,
        spill_dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
    }
}

/// Processor time of this thread, where the kernel tells it.
fn now() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = spent.and_then(|text| text.split(' ').next()?.parse().ok());
    spent.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn report(name: &str, nbytes: usize, mut run: impl FnMut() -> usize) {
    assert_eq!(run(), ROWS);
    let start = now();
    for _ in 0..ROUNDS {
        run();
    }
    let mean = (now() - start) / ROUNDS;
    let (ns, mbps) = (mean.as_nanos() / ROWS as u128, nbytes as f64 / 1e6 / mean.as_secs_f64());
    println!("{name:<36} {ns:>6} ns/row {mbps:>8.0} MB/s");
}

fn bench_stream(name: &str, chunks: Chunks) {
    let nbytes = chunks.nbytes();
    let chunks: Vec<Arc<Chunk>> = chunks.0.into_iter().map(Arc::new).collect();
    let table = table();
    report(name, nbytes, || {
        let mut decoder = Decoder::new(settings());
        let mut rows = 0;
        for chunk in &chunks {
            let mut unknown = decoder.feed(Some(Arc::clone(chunk))).expect("a sound stream");
            while let Some(relation) = unknown {
                decoder.describe(relation.oid, &table).expect("the relation's columns");
                unknown = decoder.feed(None).expect("a sound stream");
            }
            rows += decoder.take().map_or(0, |batch| batch.len());
        }
        rows
    });
}

fn bench_copy() {
    let mut chunks = Chunks::default();
    for row in 0..ROWS {
        let cells = cells(row).map(|cell| if cell.is_empty() { "\\N".to_owned() } else { cell });
        chunks.push(format!("{}\n", cells.join("\t")).as_bytes());
    }
    let table = table();
    report("copy", chunks.nbytes(), || {
        let mut rows = copy::Rows::new(copy::Settings {
            lineage: "l".into(),
            database: "db".into(),
            table: Arc::clone(&table),
            attempt: "a".into(),
            lsn: 1,
            timeline: 1,
            xid: 1,
            at_us: 1,
            first_ordinal: 0,
            first_table: true,
            segment_bytes: 4 << 20,
        });
        let mut count = 0;
        for chunk in &chunks.0 {
            rows.feed(chunk).expect("sound rows");
            count += rows.take().map_or(0, |batch| batch.len());
        }
        count + rows.finish(true).map_or(0, |batch| batch.len())
    });
}

fn main() {
    bench_stream("insert, transactions of 1", stream(1, b'I', b"N"));
    bench_stream("insert, transactions of 1,000", stream(1_000, b'I', b"N"));
    bench_stream("insert, one transaction", stream(ROWS, b'I', b"N"));
    bench_stream("update with a full old image", stream(1_000, b'U', b"ON"));
    bench_stream("delete by key", stream(1_000, b'D', b"K"));
    bench_copy();
}
