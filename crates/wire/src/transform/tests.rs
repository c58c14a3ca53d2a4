//! Tests of the transforms, on parts in memory and on disk alike.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Mask, Method, Rename, Select, Selection, cut, only, without};
use crate::batch::sample::{Null, Row, Unchanged, Value, batch, rows, t, table, texts};
use crate::batch::{Batch, OldImage, Part, SnapshotMark};
use crate::error::Error;
use crate::table::Table;

fn users() -> Arc<Table> {
    table("users", &[("name", "varchar(20)"), ("id!", "int4"), ("age!", "int4"), ("note", "text")], &[1])
}

fn changes(users: &Arc<Table>) -> Vec<Row> {
    let items = table("items", &[("id", "int4")], &[0]);
    vec![
        Row::insert(users, texts(&["Zoë", "1", "30", "secret"])),
        Row::insert(&items, texts(&["9"])),
        Row::update(
            users,
            Some((OldImage::Key, vec![Null, t("1"), Null, Null])),
            vec![t("Bo"), t("2"), t("31"), Unchanged],
        ),
        Row::delete(users, OldImage::Full, vec![Null, t("2"), t("31"), t("secret")]),
        Row::truncate(&items),
    ]
}

fn both(test: impl Fn(&dyn Fn(&[Row]) -> Batch)) {
    test(&|rows| batch(rows, 2, false));
    test(&|rows| batch(rows, 2, true));
}

fn names(batch: &Batch) -> Vec<String> {
    rows(batch).iter().map(|row| format!("{}{}", row.op.letter(), row.table.name)).collect()
}

fn globs(list: &[&str]) -> Vec<String> {
    list.iter().map(|glob| (*glob).to_owned()).collect()
}

fn column_names(table: &Table) -> Vec<&str> {
    table.columns.iter().map(|column| column.name.as_str()).collect()
}

/// A row image, when there is one.
type Image = Option<Vec<Value>>;

fn images(batch: &Batch, name: &str) -> Vec<(Image, Image)> {
    let of = |row: Row| (row.table.name == name).then(|| (row.old.map(|(_, old)| old), row.new));
    rows(batch).into_iter().filter_map(of).collect()
}

#[test]
fn select_keeps_tables_and_ops() {
    both(|make| {
        let whole = make(&changes(&users()));
        let select = |selection: Selection| names(&Select::new(selection).unwrap().apply(&whole).unwrap());
        assert_eq!(select(Selection::default()), ["cusers", "citems", "uusers", "dusers", "titems"]);
        let tables = Some(globs(&["public.i*"]));
        assert_eq!(select(Selection { tables: tables.clone(), ..Selection::default() }), ["citems", "titems"]);
        let exclude_tables = globs(&["*.items"]);
        assert_eq!(select(Selection { exclude_tables, ..Selection::default() }), ["cusers", "uusers", "dusers"]);
        assert_eq!(select(Selection { tables, ops: Some("t".into()), ..Selection::default() }), ["titems"]);
    });
    assert!(matches!(Select::new(Selection { ops: Some("x".into()), ..Selection::default() }), Err(Error::Usage(_))));
}

#[test]
fn select_keeps_key_columns_whatever_is_asked() {
    both(|make| {
        let whole = make(&changes(&users()));
        let exclude_columns = globs(&["public.users.[!n]*"]);
        let select = Select::new(Selection { exclude_columns, ..Selection::default() }).unwrap();
        let kept = select.apply(&whole).unwrap();
        assert_eq!(column_names(&kept.tables()[0]), ["name", "id", "note"]);
        assert_eq!(kept.tables()[0].key, [1]);
        let expected = [
            (None, Some(texts(&["Zoë", "1", "secret"]))),
            (Some(vec![Null, t("1"), Null]), Some(vec![t("Bo"), t("2"), Unchanged])),
            (Some(vec![Null, t("2"), t("secret")]), None),
        ];
        assert_eq!(images(&kept, "users"), expected);
        let columns = Some(globs(&["*.note"]));
        let select = Select::new(Selection { columns, ..Selection::default() }).unwrap();
        let kept = select.apply(&whole).unwrap();
        assert_eq!(column_names(&kept.tables()[0]), ["id", "note"]);
        assert_eq!(kept.tables()[0].key, [0]);
    });
}

#[test]
fn a_table_version_becomes_one_new_version() {
    let users = users();
    let rename = Rename::new(vec![("public.users".into(), "crm.people".into())]).unwrap();
    let twice = [0, 1].map(|_| rename.apply(&batch(&changes(&users), 2, false)).unwrap().tables());
    assert_eq!(twice[0][0].version, twice[1][0].version);
    let kept = rename.apply(&batch(&changes(&users), 2, false)).unwrap();
    assert_eq!(kept.tables()[1].name, "items", "another table stays itself");
}

#[test]
fn rename_changes_names_only() {
    both(|make| {
        let whole = make(&changes(&users()));
        let pairs = [("public.users", "crm.people"), ("public.users.note", "remark")];
        let rename = Rename::new(pairs.map(|(old, new)| (old.into(), new.into())).to_vec()).unwrap();
        let renamed = rename.apply(&whole).unwrap();
        assert_eq!(renamed.tables()[0].to_string(), "crm.people");
        assert_eq!(column_names(&renamed.tables()[0]), ["name", "id", "age", "remark"]);
        assert_eq!(images(&renamed, "people"), images(&whole, "users"));
    });
}

#[test]
fn rename_refuses_names_that_collide() {
    for (old, new) in [("public.items", "public.users"), ("public.users.note", "id"), ("public.users", "people")] {
        let rename = Rename::new(vec![(old.into(), new.into())]).unwrap();
        let refused = rename.apply(&batch(&changes(&users()), 2, false));
        assert!(matches!(refused, Err(Error::Usage(_))), "{old}");
    }
}

#[test]
fn redact_hides_every_image() {
    both(|make| {
        let whole = make(&changes(&users()));
        let mask = Mask::new(globs(&["*.note", "public.users.age", "*.name"]), Method::Redact).unwrap();
        let masked = mask.apply(&whole).unwrap();
        let expected = [
            (None, Some(vec![Null, t("1"), t(""), Null])),
            (Some(vec![Null, t("1"), Null, Null]), Some(vec![Null, t("2"), t(""), Unchanged])),
            (Some(vec![Null, t("2"), t(""), Null]), None),
        ];
        assert_eq!(images(&masked, "users"), expected);
        let kinds: Vec<String> = masked.tables()[0].columns.iter().map(|column| column.kind.to_string()).collect();
        assert_eq!(kinds, ["varchar(20)", "int4", "text", "text"], "a column that must hold empty text is text");
    });
}

#[test]
fn hash_is_hmac_sha_256_and_covers_the_key() {
    both(|make| {
        let whole = make(&changes(&users()));
        let mask = Mask::new(globs(&["*.id", "*.note"]), Method::Hash(b"pepper".to_vec())).unwrap();
        let masked = images(&mask.apply(&whole).unwrap(), "users");
        // printf 1 | openssl dgst -sha256 -hmac pepper
        let one = t("13c71d08eed0daa49c1292d5877aad4b1cbc4707a5c631693fe684ebb7b91ebd");
        let id = |image: &Image| image.clone().unwrap()[1].clone();
        assert_eq!(id(&masked[0].1), one);
        assert_eq!(id(&masked[1].0), one, "the old key of a key change");
        assert_eq!(id(&masked[1].1), id(&masked[2].0), "the same row before and after");
        assert_eq!(masked[1].1.clone().unwrap()[3], Unchanged);
        assert_eq!(masked[2].0.clone().unwrap()[0], Null);
    });
    assert!(matches!(Mask::new(globs(&["*"]), Method::Hash(vec![])), Err(Error::Usage(_))));
}

#[test]
fn what_older_rows_have_in_a_masked_column_is_masked_too() {
    let mut columns = users().columns.clone();
    for index in [0, 2, 3] {
        columns[index].note.backfill = Some("1".into());
    }
    let users = Table::new("public".into(), "users".into(), columns, vec![1]);
    let told = |method| {
        let masked = Mask::new(globs(&["*.age", "*.note"]), method).unwrap().apply(&batch(&changes(&users), 2, false));
        masked.unwrap().tables()[0].columns.iter().map(|column| column.note.backfill.clone()).collect::<Vec<_>>()
    };
    let (plain, hash) = (Some("1".to_owned()), told(Method::Hash(b"pepper".to_vec()))[3].clone());
    assert_eq!(told(Method::Redact), [plain.clone(), None, Some(String::new()), None]);
    assert_eq!(told(Method::Truncate(0)), [plain.clone(), None, Some(String::new()), Some(String::new())]);
    assert_eq!(hash.as_deref(), Some("13c71d08eed0daa49c1292d5877aad4b1cbc4707a5c631693fe684ebb7b91ebd"));
}

#[test]
fn truncate_counts_characters() {
    let whole = batch(&changes(&users()), 2, false);
    let mask = Mask::new(globs(&["*.name", "*.age"]), Method::Truncate(2)).unwrap();
    let masked = mask.apply(&whole).unwrap();
    assert_eq!(images(&masked, "users")[0].1.clone().unwrap()[0], t("Zo"));
    let mask = Mask::new(globs(&["*.name"]), Method::Truncate(3)).unwrap();
    assert_eq!(images(&mask.apply(&whole).unwrap(), "users")[0].1.clone().unwrap()[0], t("Zoë"));
    assert_eq!(masked.tables()[0].columns[2].kind.to_string(), "text", "a cut number is text");
}

#[test]
fn keys_are_neither_redacted_nor_truncated() {
    for method in [Method::Redact, Method::Truncate(1)] {
        let mask = Mask::new(globs(&["public.users.id"]), method).unwrap();
        let Err(Error::Usage(message)) = mask.apply(&batch(&changes(&users()), 2, false)) else { panic!() };
        assert!(message.contains("public.users.id"), "{message}");
    }
}

#[test]
fn a_snapshot_mark_follows_its_table() {
    let users = users();
    let mark = SnapshotMark { attempt: "a".into(), table: Some(Arc::clone(&users)), begin: true, end: false };
    let marked = Batch::new(batch(&changes(&users), 9, false).parts().to_vec(), Vec::new(), Some(mark));
    let rename = Rename::new(vec![("public.users".into(), "crm.people".into())]).unwrap();
    let renamed = rename.apply(&marked).unwrap();
    assert!(renamed.snapshot().is_some_and(|mark| mark.table.as_ref() == renamed.tables().first() && mark.begin));
    let select = Select::new(Selection { exclude_tables: globs(&["*.users"]), ..Selection::default() }).unwrap();
    let dropped = select.apply(&marked).unwrap();
    assert!(dropped.snapshot().is_some_and(|mark| mark.table.is_none() && mark.begin), "still part of the snapshot");
}

#[test]
fn parts_on_disk_stay_there_through_any_chain() {
    let users = users();
    let whole = batch(&changes(&users), 2, true);
    let mask = Mask::new(globs(&["*.note"]), Method::Redact).unwrap();
    let rename = Rename::new(vec![("public.users".into(), "crm.people".into())]).unwrap();
    let select = Select::new(Selection { tables: Some(globs(&["crm.*"])), ..Selection::default() }).unwrap();
    let chained = select.apply(&rename.apply(&mask.apply(&whole).unwrap()).unwrap()).unwrap();
    let chained = without(&chained, &[1]).unwrap();
    assert_eq!((chained.resident(), names(&chained)), (0, globs(&["cpeople", "dpeople"])));
    assert!(chained.parts().iter().all(|part| matches!(part, Part::Derived(_))));
}

proptest! {
    #[test]
    fn picked_changes_are_those_named(len in 1..30_usize, size in 1..8_usize, indexes in vec(0..40_usize, 0..20), spilled: bool) {
        let table = table("t", &[("id", "int4")], &[0]);
        let changes: Vec<Row> = (0..len).map(|id| Row::insert(&table, vec![t(&id.to_string())])).collect();
        let whole = batch(&changes, size, spilled);
        let named: BTreeSet<usize> = indexes.iter().copied().collect();
        let ids = |batch: &Batch| {
            let id = |row: Row| match &row.new.unwrap()[0] { Value::Text(text) => text.parse::<usize>().unwrap(), _ => 0 };
            rows(batch).into_iter().map(id).collect::<Vec<_>>()
        };
        let (kept, rest) = (only(&whole, &indexes).unwrap(), without(&whole, &indexes).unwrap());
        prop_assert_eq!(kept.len() + rest.len(), len);
        prop_assert_eq!(ids(&kept), named.iter().copied().filter(|id| *id < len).collect::<Vec<_>>());
        prop_assert_eq!(ids(&rest), (0..len).filter(|id| !named.contains(id)).collect::<Vec<_>>());
        let position = |batch: &Batch| {
            let texts = |part: &Part| part.load().unwrap().rows().map(|row| row.position().ordinal).collect::<Vec<_>>();
            batch.parts().iter().flat_map(texts).collect::<Vec<_>>()
        };
        prop_assert_eq!(position(&kept), ids(&kept).into_iter().map(|id| id as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_transaction_is_one_piece_however_many_segments_it_has() {
    both(|make| {
        let users = users();
        let rows_of_it = changes(&users);
        let whole = make(&rows_of_it);
        let cuts = cut(&whole, 1).unwrap();
        assert_eq!(cuts.len(), 1);
        assert_eq!(names(&cuts[0].make(&whole).unwrap()), names(&whole));
        let sizes = whole.parts().iter().map(|part| part.load().unwrap().rows().map(|row| row.nbytes()).sum::<usize>());
        assert_eq!(sizes.sum::<usize>(), whole.nbytes());
    });
}
