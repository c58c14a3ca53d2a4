//! What is written for COPY, in both formats.

use super::*;
use crate::batch::OldImage;
use crate::batch::sample::{Null, Row, Unchanged, segment, t, table};

fn encoded(changes: &[Row], constants: &[&str], receivers: &[&str], staged: bool) -> Result<CopyRows> {
    let table = &changes[0].table;
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let plan = Plan::new(table, &names, &owned(constants), &owned(receivers), staged)?;
    CopyRows::encode(&segment(changes, 0), table, &plan)
}

fn changes() -> [Row; 2] {
    let table = table("orders", &[("id", "int8"), ("note", "text")], &[0]);
    [
        Row { op: Op::Update, table: table.clone(), old: None, new: Some(vec![t("1"), Unchanged]) },
        Row { op: Op::Delete, table: table.clone(), old: Some((OldImage::Key, vec![t("2"), Null])), new: None },
    ]
}

#[test]
fn cells_are_escaped_and_constants_follow() {
    let table = table("orders", &[("id", "int8"), ("note", "text")], &[0]);
    let changes = [Row::insert(&table, vec![t("1"), t("a\tb\\N\r\n\u{1}")]), Row::insert(&table, vec![t("2"), Null])];
    let out = encoded(&changes, &["ten\tant"], &[], false).unwrap();
    assert_eq!(out.bytes, b"1\ta\\tb\\\\N\\r\\n\x01\tten\\tant\n2\t\\N\tten\\tant\n");
    assert_eq!((out.counts, out.binary), ([2, 0, 0], false));
    let out = encoded(&changes, &["ten\tant"], &["int8recv", "textrecv", "varcharrecv"], false).unwrap();
    let mut expected = b"\0\x03\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0\x08a\tb\\N\r\n\x01\0\0\0\x07ten\tant".to_vec();
    expected.extend(b"\0\x03\0\0\0\x08\0\0\0\0\0\0\0\x02\xff\xff\xff\xff\0\0\0\x07ten\tant");
    assert_eq!(out.bytes, expected);
    assert_eq!((out.counts, out.binary), ([2, 0, 0], true));
}

#[test]
fn staged_rows_say_what_they_are_and_what_was_not_sent() {
    let out = encoded(&changes(), &[], &[], true).unwrap();
    assert_eq!(out.bytes, b"u\t1\t1\t\\N\nd\t0\t2\t\\N\n");
    assert_eq!((out.counts, out.unsent), ([0, 1, 1], vec![vec![], vec![1]]));
    let out = encoded(&changes(), &[], &["int4recv", "textrecv"], true).unwrap();
    let begin =
        |op: u8, set: u8| [b"\0\x04\0\0\0\x01", &[op][..], b"\0\0\0\x02\0", &[set], b"\0\0\0\x04\0\0\0"].concat();
    let expected = [&begin(b'u', 1)[..], b"\x01\xff\xff\xff\xff", &begin(b'd', 0), b"\x02\xff\xff\xff\xff"].concat();
    assert_eq!(out.bytes, expected);
    assert_eq!((out.counts, out.unsent, out.binary), ([0, 1, 1], vec![vec![], vec![1]], true));
    assert!(encoded(&changes(), &[], &["int4recv", "textrecv"], false).is_err());
}

#[test]
fn what_has_no_binary_form_makes_all_rows_text() {
    let table = table("t", &[("a", "int8"), ("b", "text")], &[0]);
    let sent = |a: &str| [Row::insert(&table, vec![t("1"), t("x")]), Row::insert(&table, vec![t(a), t("x")])];
    for (a, constants, receivers) in [
        ("2", &[][..], &["int8recv", "tsvectorrecv"][..]),
        ("2", &[], &["int8recv"]),
        ("2", &["x"], &["int8recv", "textrecv"]),
        ("2", &["x"], &["int8recv", "textrecv", "int4recv"]),
        ("2.5", &[], &["int8recv", "textrecv"]),
        ("9223372036854775808", &[], &["int8recv", "textrecv"]),
    ] {
        let out = encoded(&sent(a), constants, receivers, false).unwrap();
        assert!(!out.binary, "{a} {constants:?} {receivers:?}");
        assert_eq!(out.counts, [2, 0, 0]);
        assert!(out.bytes.starts_with(b"1\tx"));
    }
}
