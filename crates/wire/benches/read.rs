//! How fast Debezium JSON is read back, on one core: `cargo bench -p tailrace-wire --bench read`.

mod orders;

use std::time::{Duration, Instant};

use orders::orders;
use tailrace_wire::encode::Encoded;
use tailrace_wire::encode::debezium::{Encoder, Profile};
use tailrace_wire::position::Phase;
use tailrace_wire::read::{Plain, Reader, Record, Settings};

/// Connect's schemas of the columns, in their order.
const COLUMNS: [(&str, &str); 12] = [
    ("id", r#""type":"int64""#),
    ("customer_id", r#""type":"int32""#),
    (
        "amount",
        r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}"#,
    ),
    ("note", r#""type":"string""#),
    ("status", r#""type":"string""#),
    ("paid", r#""type":"boolean""#),
    ("created_at", r#""type":"string","name":"io.debezium.time.ZonedTimestamp","version":1"#),
    ("due", r#""type":"int32","name":"io.debezium.time.Date","version":1"#),
    ("token", r#""type":"string","name":"io.debezium.data.Uuid","version":1"#),
    ("attributes", r#""type":"string","name":"io.debezium.data.Json","version":1"#),
    ("comment", r#""type":"string""#),
    ("weight", r#""type":"double""#),
];

/// The schema of an event, without those of its source block.
fn schema() -> String {
    let columns = COLUMNS.map(|(name, schema)| format!(r#"{{{schema},"optional":true,"field":"{name}"}}"#)).join(",");
    let image = |field: &str| {
        format!(
            r#"{{"type":"struct","fields":[{columns}],"optional":true,"name":"shop.public.orders.Value","field":"{field}"}}"#
        )
    };
    format!(
        r#"{{"type":"struct","fields":[{},{}],"name":"shop.public.orders.Envelope"}}"#,
        image("before"),
        image("after")
    )
}

fn main() {
    let segment = orders(Phase::Row);
    let mut out = Encoded::default();
    Encoder::new(Profile::new("shop")).encode(&segment, 0, 1_795_381_029_667_159_366, &mut out).expect("orders");
    let bare: Vec<(Vec<u8>, Vec<u8>)> = out
        .records()
        .iter()
        .map(|record| (out.key(record).unwrap_or_default().to_vec(), out.value(record).unwrap_or_default().to_vec()))
        .collect();
    let schema = schema();
    let wrapped = bare.iter().map(|(key, value)| {
        let value = [b"{\"schema\":", schema.as_bytes(), b",\"payload\":", value, b"}"].concat();
        (key.clone(), value)
    });
    let wrapped: Vec<_> = wrapped.take(2_000).collect();
    for (name, records) in [("without schemas", &bare), ("with schemas", &wrapped)] {
        let mut best = f64::MAX;
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let start = Instant::now();
            let mut reader = reader();
            for (offset, (key, value)) in records.iter().enumerate() {
                let record = Record { key: Some(key), value: Some(value), timestamp_ms: 0, offset: offset as i64 };
                reader.feed(record).expect("what was written can be read");
            }
            drop(reader.take());
            best = best.min(start.elapsed().as_secs_f64());
        }
        let bytes = records.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() as f64;
        let count = records.len() as f64;
        println!(
            "{name}: {:.0} MB/s of input, {:.0} ns a change of {:.0} bytes",
            bytes / best / 1e6,
            best / count * 1e9,
            bytes / count
        );
    }
}

fn reader() -> Reader {
    Reader::new(Settings {
        lineage: "kafka/c/t/0".into(),
        topic: "shop.public.orders".into(),
        partition: 0,
        plain: Plain::Append,
        unavailable: "__debezium_unavailable_value".into(),
        hex: false,
        truncates: true,
        segment_bytes: 1 << 20,
    })
}
