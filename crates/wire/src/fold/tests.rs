//! The fold against a table that applies every change by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::latest;
use crate::batch::sample::{Null, Row, Unchanged, Value, batch, rows, segment_of, t, table, texts};
use crate::batch::{Batch, OldImage, Op, Part};
use crate::table::Table;

type Image = Vec<Value>;

/// What a sink's tables hold: rows by key, or a log where there is no key.
#[derive(Clone, Debug, Default, PartialEq)]
struct Target {
    rows: BTreeMap<(String, Vec<String>), Image>,
    log: Vec<(String, char, Option<Image>)>,
}

fn key(table: &Table, image: &Image) -> (String, Vec<String>) {
    (table.name.clone(), table.key.iter().map(|column| format!("{:?}", image[usize::from(*column)])).collect())
}

fn merge(over: &Image, under: Option<&Image>) -> Image {
    let cell = |(column, cell): (usize, &Value)| match cell {
        Unchanged => under.map_or(Unchanged, |under| under[column].clone()),
        _ => cell.clone(),
    };
    over.iter().enumerate().map(cell).collect()
}

impl Target {
    fn apply(&mut self, Row { op, table, old, new }: &Row) {
        if table.key.is_empty() {
            return self.log.push((table.name.clone(), op.letter(), new.clone()));
        }
        match op {
            Op::Truncate => self.rows.retain(|(name, _), _| *name != table.name),
            Op::Delete => {
                self.rows.remove(&key(table, &old.as_ref().unwrap().1));
            }
            _ => {
                let new = new.as_ref().unwrap();
                let old = old.as_ref().map(|(_, old)| key(table, old));
                let under = self.rows.remove(&old.unwrap_or_else(|| key(table, new)));
                assert!(*op != Op::Create || under.is_none(), "op c on a row that exists");
                self.rows.insert(key(table, new), merge(new, under.as_ref()));
            }
        }
    }

    fn apply_all(&self, changes: &[Row]) -> Self {
        let mut target = self.clone();
        changes.iter().for_each(|change| target.apply(change));
        target
    }
}

/// What a user did to a table with a key; numbers choose rows.
#[derive(Clone, Debug)]
enum Act {
    Insert(u8),
    Update { row: u8, cells: [Option<u8>; 2] },
    Rekey { row: u8, to: u8, keep: bool },
    Delete(u8),
    Truncate,
    Log(u8),
}

fn act() -> impl Strategy<Value = (bool, Act)> {
    let cells = || [proptest::option::of(0..9_u8), proptest::option::of(0..9_u8)];
    let act = prop_oneof![
        4 => (0..8_u8).prop_map(Act::Insert),
        8 => (0..8_u8, cells()).prop_map(|(row, cells)| Act::Update { row, cells }),
        1 => (0..8_u8, 0..8_u8, any::<bool>()).prop_map(|(row, to, keep)| Act::Rekey { row, to, keep }),
        3 => (0..8_u8).prop_map(Act::Delete),
        1 => Just(Act::Truncate),
        1 => (0..8_u8).prop_map(Act::Log),
    ];
    (any::<bool>(), act)
}

/// A server's tables: turns acts into the changes that it would send. The key is two columns, out of order.
struct Server {
    tables: [Arc<Table>; 2],
    log: Arc<Table>,
    full: bool,
    rows: BTreeMap<(bool, u8), Image>,
    sent: Vec<Row>,
}

impl Server {
    fn new(full: bool) -> Self {
        let columns = [("a", "text"), ("k2", "int4"), ("b", "text"), ("k1", "text")];
        let tables = ["left", "right"].map(|name| table(name, &columns, &[3, 1]));
        let row = |id: u8| vec![t("old"), t(&id.to_string()), Null, t(&format!("k{id}"))];
        let rows = [false, true].into_iter().flat_map(|side| (0..3).map(move |id| ((side, id), row(id)))).collect();
        Self { tables, log: table("log", &[("v", "text")], &[]), full, rows, sent: Vec::new() }
    }

    fn before(&self, image: &Image) -> (OldImage, Image) {
        if self.full {
            return (OldImage::Full, image.clone());
        }
        let cell = |(column, cell): (usize, &Value)| if column % 2 == 1 { cell.clone() } else { Null };
        (OldImage::Key, image.iter().enumerate().map(cell).collect())
    }

    fn perform(&mut self, side: bool, act: &Act) {
        let table = Arc::clone(&self.tables[usize::from(side)]);
        let full = |server: &Self, image: &Image| server.full.then(|| server.before(image));
        match *act {
            Act::Insert(id) if !self.rows.contains_key(&(side, id)) => {
                let image = vec![t(&format!("new{id}")), t(&id.to_string()), t("b"), t(&format!("k{id}"))];
                self.rows.insert((side, id), image.clone());
                self.sent.push(Row::insert(&table, image));
            }
            Act::Update { row, cells } => {
                let Some(now) = self.rows.get(&(side, row)).cloned() else { return };
                let (mut next, mut sent) = (now.clone(), now.clone());
                for (column, cell) in [0, 2].into_iter().zip(cells) {
                    let text = cell.map(|digit| t(&digit.to_string()));
                    sent[column] = text.clone().unwrap_or(Unchanged);
                    next[column] = text.unwrap_or_else(|| now[column].clone());
                }
                self.sent.push(Row::update(&table, full(self, &now), sent));
                self.rows.insert((side, row), next);
            }
            Act::Rekey { row, to, keep } if !self.rows.contains_key(&(side, to)) => {
                let Some(now) = self.rows.remove(&(side, row)) else { return };
                let mut next = now.clone();
                (next[1], next[3]) = (t(&to.to_string()), t(&format!("k{to}")));
                let mut sent = next.clone();
                sent[0] = if keep { Unchanged } else { sent[0].clone() };
                self.sent.push(Row::update(&table, Some(self.before(&now)), sent));
                self.rows.insert((side, to), next);
            }
            Act::Delete(id) => {
                let Some(now) = self.rows.remove(&(side, id)) else { return };
                self.sent.push(Row::delete(
                    &table,
                    if self.full { OldImage::Full } else { OldImage::Key },
                    self.before(&now).1,
                ));
            }
            Act::Truncate => {
                self.rows.retain(|(of, _), _| *of != side);
                self.sent.push(Row::truncate(&table));
            }
            Act::Log(id) => self.sent.push(Row::insert(&self.log, vec![t(&id.to_string())])),
            _ => (),
        }
    }

    fn target(&self) -> Target {
        let row =
            |((side, _), image): (&(bool, u8), &Image)| (key(&self.tables[usize::from(*side)], image), image.clone());
        Target { rows: self.rows.iter().map(row).collect(), log: Vec::new() }
    }
}

/// Distinct keys of one table, one barrier, or rows of one keyless table.
fn check_shape(folded: &Batch) {
    for part in folded.parts() {
        let segment = part.load().unwrap();
        assert_eq!((segment.len(), segment.tables().len()), (part.len(), 1));
        let changes: Vec<Row> = segment.rows().map(Row::of).collect();
        let positions: Vec<String> = segment.rows().map(|row| row.position().to_string()).collect();
        assert!(positions.is_sorted());
        let image = |row: &Row| row.new.clone().or_else(|| row.old.clone().map(|(_, old)| old));
        let keys: BTreeSet<_> = changes.iter().filter_map(|row| Some(key(&row.table, &image(row)?))).collect();
        let keyless = segment.tables()[0].key.is_empty();
        assert!(keyless || changes.len() == 1 || keys.len() == changes.len());
        assert!(changes.len() == 1 || changes.iter().all(|row| row.op != Op::Truncate));
        assert!(keyless || changes.len() == 1 || changes.iter().all(|row| row.op == Op::Delete || row.old.is_none()));
    }
}

proptest! {
    #[test]
    fn folded_changes_leave_the_same_rows(
        acts in vec(act(), 0..60), full: bool, spilled: bool, split: bool, size in 1..20_usize,
    ) {
        let mut server = Server::new(full);
        let start = server.target();
        acts.iter().for_each(|(side, act)| server.perform(*side, act));
        let whole = batch(&server.sent, size, spilled);
        let folded = latest(&whole, split).unwrap();
        check_shape(&folded);
        prop_assert!(folded.len() <= whole.len() * (1 + usize::from(split)));
        let target = start.apply_all(&rows(&folded));
        prop_assert_eq!(&target, &start.apply_all(&server.sent));
        prop_assert_eq!(target.rows, server.target().rows);
    }
}

fn orders() -> Arc<Table> {
    table("orders", &[("id", "int4"), ("state", "text"), ("note", "text")], &[0])
}

fn fold(changes: &[Row]) -> Vec<(char, Option<Image>)> {
    let folded = latest(&batch(changes, 100, false), false).unwrap();
    rows(&folded).into_iter().map(|row| (row.op.letter(), row.new)).collect()
}

#[test]
fn unchanged_cells_are_filled_from_earlier_changes() {
    let orders = orders();
    let update = |state: &str| Row::update(&orders, None, vec![t("1"), t(state), Unchanged]);
    let created = Row::insert(&orders, texts(&["1", "new", "long"]));
    assert_eq!(fold(&[created, update("paid"), update("sent")]), [('c', Some(texts(&["1", "sent", "long"])))]);
    assert_eq!(fold(&[update("paid"), update("sent")]), [('u', Some(vec![t("1"), t("sent"), Unchanged]))]);
    let full =
        Row::update(&orders, Some((OldImage::Full, vec![t("1"), t("x"), Null])), vec![t("1"), t("y"), Unchanged]);
    assert_eq!(fold(&[full]), [('u', Some(vec![t("1"), t("y"), Null]))]);
}

#[test]
fn a_row_that_may_exist_is_an_update() {
    let orders = orders();
    let row = || texts(&["1", "new", "n"]);
    let gone = || Row::delete(&orders, OldImage::Key, vec![t("1"), Null, Null]);
    assert_eq!(fold(&[gone(), Row::insert(&orders, row())]), [('u', Some(row()))]);
    assert_eq!(fold(&[Row::insert(&orders, row()), gone()]), [('d', None)]);
    assert_eq!(fold(&[Row::insert(&orders, row()), gone(), Row::insert(&orders, row())]), [('c', Some(row()))]);
}

#[test]
fn changes_of_keys_fold_when_they_are_split() {
    let orders = orders();
    let moved = |from: &str, to: &str| {
        Row::update(&orders, Some((OldImage::Key, vec![t(from), Null, Null])), texts(&[to, "s", "n"]))
    };
    let split = |changes: &[Row]| -> Vec<(char, Option<Image>)> {
        let folded = latest(&batch(changes, 100, false), true).unwrap();
        assert_eq!(folded.parts().len(), 1);
        rows(&folded).into_iter().map(|row| (row.op.letter(), row.new)).collect()
    };
    assert_eq!(split(&[moved("1", "2")]), [('d', None), ('c', Some(texts(&["2", "s", "n"])))]);
    let mut chain = split(&[moved("2", "3"), moved("1", "2")]);
    chain.sort_unstable_by_key(|(op, _)| *op);
    assert_eq!(chain, [('c', Some(texts(&["3", "s", "n"]))), ('d', None), ('u', Some(texts(&["2", "s", "n"])))]);
}

#[test]
fn versions_of_a_table_are_not_folded_together() {
    let (old, new) = (orders(), orders());
    let changes = [Row::insert(&old, texts(&["1", "a", "b"])), Row::update(&new, None, texts(&["1", "c", "d"]))];
    let folded = latest(&batch(&changes, 1, false), false).unwrap();
    assert_eq!(
        folded.parts().iter().map(|part| part.tables()[0].version).collect::<Vec<_>>(),
        [old.version, new.version]
    );
}

#[test]
fn lineages_that_alternate_are_folded_each_by_itself() {
    let tables = [orders(), orders()];
    let parts = (0..20).map(|number: usize| {
        let table = &tables[number % 2];
        let cells = texts(&["1", &number.to_string(), "n"]);
        let row = if number < 2 { Row::insert(table, cells) } else { Row::update(table, None, cells) };
        Part::Memory(Arc::new(segment_of(&format!("kafka/c/t/{}", number % 2), &[row])))
    });
    let folded = latest(&Batch::new(parts.collect(), Vec::new(), None), false).unwrap();
    let lineages = folded.parts().iter().map(|part| part.load().unwrap().origin().lineage.clone());
    assert_eq!(lineages.collect::<Vec<_>>(), ["kafka/c/t/0", "kafka/c/t/1"]);
    let states = rows(&folded).into_iter().map(|row| (row.op.letter(), row.new));
    let last = |state| ('c', Some(texts(&["1", state, "n"])));
    assert_eq!(states.collect::<Vec<_>>(), [last("18"), last("19")]);
}

#[test]
fn a_spilled_batch_stays_on_disk_and_reads_in_any_order() {
    let orders = orders();
    let changes: Vec<Row> = (0..20)
        .flat_map(|id| [Row::insert(&orders, texts(&[&id.to_string(), "a", "b"])), Row::truncate(&orders)])
        .collect();
    let folded = latest(&batch(&changes, 7, true), false).unwrap();
    assert_eq!((folded.resident(), folded.len(), folded.parts().len()), (0, 40, 40));
    for part in folded.parts().iter().rev().chain(folded.parts()) {
        assert_eq!(part.load().unwrap().len(), 1);
    }
}
