//! The 12-column orders table that benchmarks share: plausible values, never the same twice.

use std::sync::Arc;

use tailrace_wire::batch::{ABSENT, Cell, Entry, OldImage, Op, Origin, Segment, SegmentBuilder, SnapshotFlag, Txn};
use tailrace_wire::position::Phase;
use tailrace_wire::table::{Column, Note, Table, Type};

const COLUMNS: [(&str, &str); 12] = [
    ("id", "int8"),
    ("customer_id", "int4"),
    ("amount", "numeric(12,2)"),
    ("note", "text"),
    ("status", "varchar(16)"),
    ("paid", "bool"),
    ("created_at", "timestamptz"),
    ("due", "date"),
    ("token", "uuid"),
    ("attributes", "jsonb"),
    ("comment", "text"),
    ("weight", "float8"),
];
/// Rows of [`orders`]: about the 1 MB that a segment has in a pipeline.
pub const ROWS: u64 = 3_500;
const ROWS_PER_TRANSACTION: u64 = 1_000;

/// One segment of inserts, or of snapshot rows.
pub fn orders(phase: Phase) -> Segment {
    let column = |(name, kind): (&str, &str)| Column {
        name: name.into(),
        kind: Type::parse(kind).expect("a portable type"),
        native: kind.into(),
        nullable: name != "id",
        labels: vec![],
        note: Note::default(),
    };
    let table = Table::new("public".into(), "orders".into(), COLUMNS.map(column).into(), vec![0]);
    let origin =
        Origin { connector: "postgresql".into(), database: "shop".into(), lineage: "postgres/1/shop/s".into() };
    let mut builder = SegmentBuilder::new(Arc::new(origin));
    let index = builder.table(&table).expect("one table");
    for row in 0..ROWS {
        if row % ROWS_PER_TRANSACTION == 0 {
            let lsn = 0x1_0000_0000 + row * 200;
            let xid = 1_000 + u32::try_from(row).unwrap_or(0);
            let txn = Txn { xid, phase, lsn, end: lsn + 48, timeline: 1, at_us: 1_795_381_029_428_448, origin: None };
            builder.txn(txn).expect("few transactions");
        }
        let cells = cells(row);
        let cells = cells.iter().map(|text| text.as_ref().map_or(Cell::Null, |text| Cell::Text(text.as_bytes())));
        let new = builder.tuple(cells).expect("a small tuple");
        builder.push(Entry {
            op: if phase == Phase::Row { Op::Create } else { Op::Read },
            snapshot: if phase == Phase::Row { SnapshotFlag::Not } else { SnapshotFlag::Middle },
            old_image: OldImage::None,
            flags: 0,
            table: index,
            txn: u32::try_from(row / ROWS_PER_TRANSACTION).unwrap_or(0),
            old: ABSENT,
            new,
            ordinal: row,
            lsn: 0x1_0000_0000 + row * 190,
        });
    }
    builder.seal()
}

fn cells(row: u64) -> [Option<String>; 12] {
    let mixed = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let day = 1 + row % 28;
    let time = format!("{:02}:{:02}:{:02}.{:06}", row % 24, mixed % 60, row % 60, mixed % 1_000_000);
    let token = format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{mixed:012x}", row, mixed >> 48, row % 4096, mixed % 4096);
    [
        Some((1_000_000 + row).to_string()),
        Some((mixed % 100_000).to_string()),
        Some(format!("{}.{:02}", mixed % 10_000, row % 100)),
        Some(format!("Order {row} for customer {}, to be delivered before noon", mixed % 1000)),
        Some(["new", "paid", "shipped", "returned"][(row % 4) as usize].into()),
        Some(["t", "f"][(row % 2) as usize].into()),
        Some(format!("2026-{:02}-{day:02} {time}+00", 1 + row % 12)),
        Some(format!("2026-{:02}-{day:02}", 1 + row % 12)),
        Some(token[..36].into()),
        Some(format!(
            "{{\"gift\": {}, \"tags\": [\"a{}\", \"b\"], \"source\": \"web\"}}",
            row.is_multiple_of(2),
            row % 10
        )),
        (!row.is_multiple_of(3)).then(|| "leave at the door".into()),
        Some(format!("{}", mixed as f64 / 1e15)),
    ]
}
