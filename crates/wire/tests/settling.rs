//! Tables of streamed transactions that the catalog shows only when these have ended.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use support::*;
use tailrace_wire::batch::{Batch, Part, RowRef};
use tailrace_wire::chunk::Chunk;
use tailrace_wire::pgoutput::{Decoder, Relation, Settings};
use tailrace_wire::position::Position;
use tailrace_wire::table::{Column, Table};

const T: u32 = 16_384;

fn table(relation: &Relation, native: &str) -> Arc<Table> {
    let made = strict_table_of(relation, &relation.nullable);
    let columns = made.columns.iter().map(|column| Column { native: native.into(), ..column.clone() }).collect();
    Table::new(made.schema.clone(), made.name.clone(), columns, made.key.clone())
}

/// Feed messages; whatever is asked for is described for now, or for good. Returns what was.
fn follow(decoder: &mut Decoder, messages: &[Vec<u8>], settled: bool) -> Vec<Relation> {
    let chunk: Chunk = messages.iter().map(Vec::as_slice).collect();
    let (mut asked, mut next) = (Vec::new(), decoder.feed(Some(Arc::new(chunk))).unwrap());
    while let Some(relation) = next {
        match settled {
            true => decoder.describe(relation.oid, &table(&relation, "settled")),
            false => decoder.describe_for_now(relation.oid, &table(&relation, "for now")),
        }
        .unwrap();
        asked.push(relation);
        next = decoder.feed(None).unwrap();
    }
    asked
}

fn columns(asked: &[Relation]) -> Vec<usize> {
    asked.iter().map(|relation| relation.columns.len()).collect()
}

/// What the tables of the rows were described as, wherever these lie.
fn natives(batch: &Batch) -> BTreeSet<String> {
    let segments = batch.parts().iter().map(|part| part.load().unwrap());
    let of = |row: RowRef<'_>| row.table().unwrap().columns[0].native.to_string();
    segments.flat_map(|segment| segment.rows().map(of).collect::<Vec<_>>()).collect()
}

fn settled() -> BTreeSet<String> {
    ["settled".to_owned()].into()
}

/// Blocks of a transaction that adds a column between its rows. The server announces a table anew in each.
fn block(rows: u32) -> Vec<Vec<u8>> {
    let long = "v".repeat(100);
    let announced = relation(Some(9), T, "t", "+id");
    let mut messages = vec![stream_start(9, true), announced.clone()];
    messages.extend((0..rows / 2).map(|row| insert(Some(9), 1, T, &row.to_string())));
    messages.extend([stream_stop(), stream_start(9, false), announced]);
    messages.extend((rows / 2..rows).map(|row| insert(Some(9), 1, T, &row.to_string())));
    messages.push(relation(Some(9), T, "t", "+id,v"));
    messages.extend((0..rows).map(|row| insert(Some(9), 1, T, &format!("{row},{long}"))));
    messages.push(stream_stop());
    messages
}

#[test]
fn rows_are_of_the_tables_that_were_described_at_the_end() {
    let small = Settings { segment_bytes: 4_096, transaction_bytes_max: 16_384, ..settings() };
    for settings in [settings(), small] {
        let mut decoder = Decoder::new(settings);
        assert_eq!(columns(&follow(&mut decoder, &block(500), false)), [1, 2]);
        assert!(decoder.take().is_none());
        assert_eq!(columns(&follow(&mut decoder, &[stream_commit(9, 0x100)], true)), [1, 2]);
        let batch = decoder.take().unwrap();
        let tables = batch.tables();
        assert_eq!(tables.iter().map(|table| table.columns.len()).collect::<Vec<_>>(), [1, 2]);
        assert!(tables.iter().flat_map(|table| &table.columns).all(|column| column.native == "settled"));
        let positions = lines(&batch).into_iter().map(|line| line.split(' ').next().unwrap().to_owned());
        assert!(positions.eq((0..1_000).map(|row| at(0x100, row))));
        let later = [begin(0x200, 10), insert(None, 1, T, "x,y"), commit(0x200)];
        assert!(follow(&mut decoder, &later, true).is_empty());
        assert!(Arc::ptr_eq(&decoder.take().unwrap().tables()[0], &tables[1]));
    }
}

#[test]
fn a_spilled_row_is_of_the_table_that_was_described_at_the_end() {
    let mut decoder = Decoder::new(Settings { segment_bytes: 4_096, transaction_bytes_max: 16_384, ..settings() });
    follow(&mut decoder, &block(500), false);
    follow(&mut decoder, &[stream_commit(9, 0x100)], true);
    let batch = decoder.take().unwrap();
    let spilled: Vec<_> = batch.parts().iter().filter(|part| matches!(part, Part::Spilled(_))).collect();
    assert!(!spilled.is_empty());
    for part in spilled {
        let segment = part.load().unwrap();
        assert!(segment.rows().all(|row| row.table().unwrap().columns[0].native == "settled"));
    }
}

#[test]
fn a_null_that_was_seen_is_possible_in_the_last_description() {
    let mut decoder = Decoder::new(settings());
    let announced = relation(Some(9), T, "t", "+id,v,w");
    let rows = [insert(Some(9), 1, T, "1,a,b"), insert(Some(9), 1, T, "2,a,~")];
    let messages = [&[stream_start(9, true), announced][..], &rows, &[stream_stop()]].concat();
    follow(&mut decoder, &messages, false);
    let [last] = &follow(&mut decoder, &[stream_commit(9, 0x100)], true)[..] else { panic!("asked once") };
    assert_eq!(last.nullable, [2]);
    let batch = decoder.take().unwrap();
    assert_eq!(changes(&batch), ["c t - -> 1,a,b", "c t - -> 2,a,~"]);
    assert_eq!(natives(&batch), settled());
}

#[test]
fn a_null_in_a_wide_row_makes_no_other_column_possible() {
    let mut decoder = Decoder::new(settings());
    let wide = (0..70).map(|column| if column == 67 { "+id".to_owned() } else { format!("c{column}") });
    let announced = relation(Some(9), T, "t", &wide.collect::<Vec<_>>().join(","));
    let cells =
        |null: usize| (0..70).map(|column| if column == null { "~" } else { "a" }).collect::<Vec<_>>().join(",");
    let rows = [66, 69, 3].map(|null| insert(Some(9), 1, T, &cells(null)));
    let messages = [&[stream_start(9, true), announced][..], &rows, &[stream_stop()]].concat();
    follow(&mut decoder, &messages, false);
    let [last] = &follow(&mut decoder, &[stream_commit(9, 0x100)], true)[..] else { panic!("asked once") };
    assert_eq!(last.nullable, [3, 66, 69]);
}

#[test]
fn rows_before_and_behind_nulls_are_of_the_table_that_was_described_at_the_end() {
    let small = Settings { segment_bytes: 4_096, transaction_bytes_max: 16_384, ..settings() };
    let announced = |columns| relation(Some(9), T, "t", columns);
    let rows = |cells: &str| (0..500).map(|row| insert(Some(9), 1, T, &format!("{row},{cells}"))).collect::<Vec<_>>();
    for settings in [settings(), small] {
        for (shown_within, superseded) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut decoder = Decoder::new(settings.clone());
            let start = [&[stream_start(9, true), announced("+id,v,w")][..], &rows("a,b"), &rows("a,~")].concat();
            assert_eq!(follow(&mut decoder, &start, false).len(), 2);
            // The transaction may have committed by now, so that the catalog shows what it has made.
            let asked = follow(&mut decoder, &rows("~,~"), shown_within);
            assert_eq!(asked.into_iter().map(|relation| relation.nullable).collect::<Vec<_>>(), [[1, 2]]);
            let mut rest = vec![stream_stop()];
            if superseded {
                let another = [announced("+id,v,w,x"), insert(Some(9), 1, T, "500,a,b,c")];
                rest.splice(..0, another);
            }
            assert_eq!(follow(&mut decoder, &rest, false).len(), usize::from(superseded));
            let last = follow(&mut decoder, &[stream_commit(9, 0x100)], true);
            assert_eq!(columns(&last), if superseded { vec![3, 4] } else { vec![3] });
            assert_eq!(last[0].nullable, [1, 2]);
            let batch = decoder.take().unwrap();
            assert_eq!(lines(&batch).len(), 1_500 + usize::from(superseded));
            assert_eq!(natives(&batch), settled());
            assert_eq!(batch.tables().len(), last.len());
        }
    }
}

#[test]
fn what_is_rolled_back_or_was_delivered_is_not_described_again() {
    let mut decoder = Decoder::new(settings());
    follow(&mut decoder, &block(1), false);
    assert!(follow(&mut decoder, &[stream_abort(9, 9)], true).is_empty());
    let again = [begin(0x100, 10), relation(None, T, "t", "+id,v"), insert(None, 1, T, "1,a"), commit(0x100)];
    assert_eq!(columns(&follow(&mut decoder, &again, true)), [2], "what did not come about is not remembered");
    assert_eq!(decoder.take().unwrap().tables()[0].columns[0].native, "settled");

    let start_after = Some(Position::parse(&at(0x100, 0)).unwrap());
    let mut decoder = Decoder::new(Settings { start_after, ..settings() });
    follow(&mut decoder, &block(1), false);
    assert!(follow(&mut decoder, &[stream_commit(9, 0x100)], true).is_empty());
    assert!(decoder.take().is_none());
    let later = [begin(0x200, 10), insert(None, 1, T, "1,a"), commit(0x200)];
    assert_eq!(columns(&follow(&mut decoder, &later, true)), [2], "what was for now is not for others");
    assert_eq!(natives(&decoder.take().unwrap()), settled());
}
