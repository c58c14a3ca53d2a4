//! How fast Debezium JSON is written, on one core: `cargo bench -p tailrace-wire --bench debezium`.

mod orders;

use std::time::{Duration, Instant};

use orders::{ROWS, orders};
use tailrace_wire::encode::Encoded;
use tailrace_wire::encode::debezium::{Encoder, Profile};
use tailrace_wire::position::Phase;

fn main() {
    for (name, phase) in [("stream", Phase::Row), ("snapshot", Phase::Snapshot)] {
        let segment = orders(phase);
        let mut encoder = Encoder::new(Profile::new("shop"));
        let mut out = Encoded::default();
        let mut best = f64::MAX;
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let start = Instant::now();
            encoder.encode(&segment, 0, 1_795_381_029_667_159_366, &mut out).expect("the orders can be encoded");
            best = best.min(start.elapsed().as_secs_f64());
        }
        let (bytes, rows) = (out.bytes.len() as f64, ROWS as f64);
        println!(
            "{name}: {:.0} MB/s of output, {:.0} ns a row of {:.0} bytes",
            bytes / best / 1e6,
            best / rows * 1e9,
            bytes / rows
        );
    }
}
