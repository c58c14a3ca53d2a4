//! How fast record batches are made and changes folded, on one core: `cargo bench -p tailrace-wire --bench arrow`.

mod orders;

use std::sync::Arc;
use std::time::{Duration, Instant};

use orders::{ROWS, orders};
use tailrace_wire::arrow::Encoder;
use tailrace_wire::batch::{Batch, Part};
use tailrace_wire::fold;
use tailrace_wire::position::Phase;
use tailrace_wire::transform::{Mask, Method, Select, Selection};

fn main() {
    let segment = Arc::new(orders(Phase::Row));
    let encoder = Encoder::new(&segment.tables()[0]);
    let batch = Batch::new(vec![Part::Memory(Arc::clone(&segment))], Vec::new(), None);
    let selection = Selection { exclude_columns: vec!["*.comment".into()], ..Selection::default() };
    let select = Select::new(selection).expect("a selection");
    let mask = Mask::new(vec!["*.note".into()], Method::Hash(b"pepper".to_vec())).expect("a mask");
    let bytes = segment.nbytes() as f64;
    measure("encode", bytes, || encoder.encode(&segment, 0).expect("the orders can be encoded").is_some());
    measure("fold", bytes, || !fold::latest(&batch, false).expect("the orders can be folded").is_empty());
    measure("select", bytes, || !select.apply(&batch).expect("the orders have columns").is_empty());
    measure("hash", bytes, || !mask.apply(&batch).expect("the orders can be masked").is_empty());
}

fn measure(name: &str, bytes: f64, work: impl Fn() -> bool) {
    let mut best = f64::MAX;
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        let start = Instant::now();
        assert!(work(), "{name} gave nothing");
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name}: {:.0} MB/s of cells, {:.0} ns a row", bytes / best / 1e6, best / ROWS as f64 * 1e9);
}
