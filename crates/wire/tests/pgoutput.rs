//! The pgoutput decoder, message by message.

mod support;

use std::sync::Arc;

use support::*;
use tailrace_wire::batch::{Batch, OldImage, Part};
use tailrace_wire::chunk::Chunk;
use tailrace_wire::error::Error;
use tailrace_wire::pgoutput::{Decoder, Settings};
use tailrace_wire::position::Position;
use tailrace_wire::table::Table;

const T: u32 = 16_384;

fn must(settings: Settings, messages: &[Vec<u8>]) -> Batch {
    decode(settings, messages).unwrap().unwrap()
}

fn refused(messages: &[Vec<u8>]) -> String {
    decode(settings(), messages).unwrap_err().to_string()
}

fn describe_all(decoder: &mut Decoder, messages: &[Vec<u8>]) {
    feed(decoder, messages).unwrap();
}

#[test]
fn i7_a_plain_transaction_becomes_rows_with_positions() {
    let batch = must(
        settings(),
        &[
            begin(0x100, 7),
            relation(None, T, "t", "+id,v"),
            insert(None, 0x90, T, "1,a"),
            xlog(0x98, Bytes::kind(b'U').u32(T).tuple(b'N', "1,~")),
            xlog(0x9c, Bytes::kind(b'D').u32(T).tuple(b'K', "1,~")),
            commit(0x100),
        ],
    );
    let expected = [
        format!("{} c t - -> 1,a", at(0x100, 0)),
        format!("{} u t - -> 1,~", at(0x100, 1)),
        format!("{} d t 1,~ -> -", at(0x100, 2)),
    ];
    assert_eq!(lines(&batch), expected);
    assert_eq!(batch.ends()[0].text, at(0x100, 2));
    let segment = batch.parts()[0].load().unwrap();
    let row = segment.row(1);
    assert_eq!((row.txn().xid, row.txn().at_us, row.entry().lsn), (7, CLOCK_UNIX, 0x98));
    assert_eq!(segment.row(2).entry().old_image, OldImage::Key);
    assert_eq!(batch.tables().len(), 1);
}

#[test]
fn an_unchanged_cell_is_filled_from_the_old_image() {
    let old_full = xlog(1, Bytes::kind(b'U').u32(T).tuple(b'O', "1,a,~").tuple(b'N', "1,?,b"));
    let old_key = xlog(1, Bytes::kind(b'U').u32(T).tuple(b'K', "1,~,~").tuple(b'N', "?,?,b"));
    let none = xlog(1, Bytes::kind(b'U').u32(T).tuple(b'N', "1,?,b"));
    let head = [begin(0x100, 7), relation(None, T, "t", "+id,v,w")];
    let messages: Vec<_> = head.into_iter().chain([old_full, old_key, none, commit(0x100)]).collect();
    let batch = must(settings(), &messages);
    assert_eq!(changes(&batch), ["u t 1,a,~ -> 1,a,b", "u t 1,~,~ -> 1,?,b", "u t - -> 1,?,b"]);
    let segment = batch.parts()[0].load().unwrap();
    let images: Vec<_> = segment.rows().map(|row| row.entry().old_image).collect();
    assert_eq!(images, [OldImage::Full, OldImage::Key, OldImage::None]);
}

#[test]
fn truncate_gives_one_change_a_table_with_its_flags() {
    let messages = [
        begin(0x100, 7),
        relation(None, T, "a", "+id"),
        relation(None, T + 1, "b", "+id"),
        truncate(None, 1, 3, &[T, T + 1]),
        commit(0x100),
    ];
    assert_eq!(changes(&must(settings(), &messages)), ["t a - -> - flags 3", "t b - -> - flags 3"]);
}

#[test]
fn origin_and_types_are_understood() {
    let user_type = xlog(0, Bytes::kind(b'Y').u32(99).text("public").text("mood"));
    let batch = must(
        settings(),
        &[
            begin(0x100, 7),
            origin("upstream", 0x55),
            user_type,
            relation(None, T, "t", "+id"),
            insert(None, 1, T, "1"),
            commit(0x100),
        ],
    );
    let segment = batch.parts()[0].load().unwrap();
    assert_eq!(segment.txns()[0].origin, Some((Arc::from("upstream"), 0x55)));
}

#[test]
fn messages_outside_of_transactions_are_complete_at_once() {
    let mut decoder = Decoder::new(settings());
    let block = [stream_start(9, true), relation(Some(9), T, "t", "+id"), insert(Some(9), 1, T, "1"), stream_stop()];
    describe_all(&mut decoder, &block);
    describe_all(&mut decoder, &[logical(None, 0x200, false, "p", "now")]);
    let batch = decoder.take().unwrap();
    let position = "0000000000000200.1.000000000000/00000001/0000000000000200";
    assert_eq!(lines(&batch), [format!("{position} m p=now flags 0")]);
    assert_eq!(batch.ends()[0].text, position);
    describe_all(&mut decoder, &[stream_commit(9, 0x200)]);
    assert_eq!(lines(&decoder.take().unwrap()), [format!("{} c t - -> 1", at(0x200, 0))]);
}

#[test]
fn i6_what_the_saved_position_covers_is_dropped_whole() {
    let messages = |decoder: &mut Decoder| {
        let all = [
            logical(None, 0x100, false, "p", "old"),
            begin(0x100, 7),
            relation(None, T, "t", "+id"),
            insert(None, 1, T, "1"),
            logical(None, 0x100, true, "p", "in"),
            commit(0x100),
            logical(None, 0x108, false, "p", "new"),
            begin(0x108, 8),
            insert(None, 1, T, "2"),
            commit(0x108),
        ];
        describe_all(decoder, &all);
        decoder.take().map_or(Vec::new(), |batch| changes(&batch))
    };
    let after = |text: &str| {
        let start_after = Some(Position::parse(text).unwrap());
        messages(&mut Decoder::new(Settings { start_after, ..settings() }))
    };
    assert_eq!(messages(&mut Decoder::new(settings())).len(), 5);
    assert_eq!(after(&at(0x100, 0)), ["m p=new flags 0", "c t - -> 2"]);
    assert_eq!(after("0000000000000100.1.000000000000/00000001/0000000000000100").len(), 4);
    assert_eq!(after("0000000000000108.1.000000000000/00000001/0000000000000108"), ["c t - -> 2"]);
    assert_eq!(after(&at(0x108, 0)), [""; 0]);
}

#[test]
fn streamed_blocks_interleave_and_aborted_subtransactions_vanish() {
    let batch = must(
        settings(),
        &[
            stream_start(10, true),
            relation(Some(10), T, "t", "+id"),
            insert(Some(10), 1, T, "1"),
            insert(Some(11), 2, T, "2"),
            stream_stop(),
            stream_start(20, true),
            relation(Some(20), T, "t", "+id"),
            insert(Some(20), 3, T, "3"),
            stream_stop(),
            begin(0x80, 30),
            relation(None, T, "t", "+id"),
            insert(None, 4, T, "0"),
            commit(0x80),
            stream_start(10, false),
            insert(Some(12), 5, T, "4"),
            insert(Some(10), 6, T, "5"),
            logical(Some(10), 0, true, "p", "in"),
            truncate(Some(12), 7, 0, &[T]),
            stream_stop(),
            stream_abort(10, 11),
            stream_commit(20, 0x100),
            stream_commit(10, 0x200),
        ],
    );
    let expected = [
        format!("{} c t - -> 0", at(0x80, 0)),
        format!("{} c t - -> 3", at(0x100, 0)),
        format!("{} c t - -> 1", at(0x200, 0)),
        format!("{} c t - -> 4", at(0x200, 1)),
        format!("{} c t - -> 5", at(0x200, 2)),
        format!("{} m p=in flags 4", at(0x200, 3)),
        format!("{} t t - -> -", at(0x200, 4)),
    ];
    assert_eq!(lines(&batch), expected);
    let last = batch.parts().last().unwrap().load().unwrap();
    assert!(last.rows().all(|row| row.txn().xid == 10));
    assert_eq!(batch.tables().len(), 1);
}

#[test]
fn an_aborted_transaction_leaves_nothing_not_even_its_tables() {
    let mut decoder = Decoder::new(settings());
    describe_all(&mut decoder, &[begin(0x80, 3), relation(None, T, "t", "+id"), commit(0x80)]);
    let altered = [stream_start(9, true), relation(Some(9), T, "t", "+id,v"), insert(Some(9), 1, T, "1,x")];
    describe_all(&mut decoder, &altered);
    assert!(decoder.open_nbytes() > 0);
    describe_all(&mut decoder, &[stream_stop(), stream_abort(9, 9)]);
    assert_eq!(decoder.open_nbytes(), 0);
    describe_all(&mut decoder, &[begin(0x90, 4), insert(None, 1, T, "1"), commit(0x90)]);
    let batch = decoder.take().unwrap();
    assert_eq!(changes(&batch), ["c t - -> 1"]);
    assert_eq!(batch.tables()[0].columns.len(), 1);
}

#[test]
fn a_table_altered_in_an_aborted_subtransaction_is_not_among_the_tables() {
    for transaction_bytes_max in [1, 1 << 20] {
        let settings = Settings { transaction_bytes_max, ..settings() };
        let batch = must(
            settings,
            &[
                stream_start(9, true),
                relation(Some(10), T, "t", "+id,v"),
                insert(Some(10), 1, T, "1,x"),
                relation(Some(9), T + 1, "u", "+id"),
                insert(Some(9), 1, T + 1, "2"),
                insert(Some(10), 1, T, "3,x"),
                stream_stop(),
                stream_abort(9, 10),
                stream_commit(9, 0x100),
            ],
        );
        assert_eq!(lines(&batch), [format!("{} c u - -> 2", at(0x100, 0))]);
        assert_eq!(batch.tables().iter().map(ToString::to_string).collect::<Vec<_>>(), ["public.u"]);
    }
}

#[test]
fn an_abort_of_a_transaction_that_was_never_streamed_is_ignored() {
    let parallel = xlog(0, Bytes::kind(b'A').u32(5).u32(6).u64(1).u64(2));
    let off = Settings { streaming: false, ..settings() };
    assert!(decode(off, &[stream_abort(5, 5), stream_abort(5, 6), parallel]).unwrap().is_none());
}

#[test]
fn i5_a_changed_relation_begins_a_segment_within_the_transaction() {
    let mut decoder = Decoder::new(settings());
    let head = [begin(0x100, 7), relation(None, T, "t", "+id"), insert(None, 1, T, "1")];
    describe_all(&mut decoder, &head);
    let chunk: Chunk =
        [relation(None, T, "t", "+id,v"), insert(None, 1, T, "2,x"), commit(0x100)].iter().map(Vec::as_slice).collect();
    let changed = decoder.feed(Some(Arc::new(chunk))).unwrap().unwrap();
    assert_eq!((changed.oid, changed.columns.len(), changed.columns[0].key), (T, 2, true));
    assert!(matches!(decoder.feed(None), Err(Error::Usage(_))));
    assert!(matches!(decoder.describe(T + 1, &table_of(&changed)), Err(Error::Usage(_))));
    let other = Table::new("public".into(), "t".into(), Vec::new(), Vec::new());
    assert!(matches!(decoder.describe(T, &other), Err(Error::Usage(_))));
    decoder.describe(T, &table_of(&changed)).unwrap();
    assert_eq!(decoder.feed(None).unwrap(), None);
    let batch = decoder.take().unwrap();
    let expected = [format!("{} c t - -> 1", at(0x100, 0)), format!("{} c t - -> 2,x", at(0x100, 1))];
    assert_eq!(lines(&batch), expected);
    assert_eq!(batch.parts().len(), 2);
    assert!(batch.parts().iter().all(|part| part.tables().len() == 1));
}

#[test]
fn the_same_relation_again_keeps_the_version() {
    let mut decoder = Decoder::new(settings());
    let one = [begin(0x100, 7), relation(None, T, "t", "+id"), insert(None, 1, T, "1"), commit(0x100)];
    describe_all(&mut decoder, &one);
    let chunk: Chunk = [begin(0x200, 8), relation(None, T, "t", "+id"), insert(None, 1, T, "2"), commit(0x200)]
        .iter()
        .map(Vec::as_slice)
        .collect();
    assert_eq!(decoder.feed(Some(Arc::new(chunk))).unwrap(), None);
    let batch = decoder.take().unwrap();
    assert_eq!((batch.parts().len(), batch.tables().len(), batch.len()), (1, 1, 2));
}

#[test]
fn a_key_that_the_flags_do_not_tell_is_asked_for_again() {
    for (identity, columns, asks) in [
        (b'f', "+id,+v", true),
        (b'n', "id,v", true),
        (b'd', "id,v", true),
        (b'd', "+id,v", false),
        (b'i', "+id,v", false),
    ] {
        let mut decoder = Decoder::new(settings());
        let announced = identified(identity, None, T, "t", columns);
        describe_all(&mut decoder, &[begin(0x100, 7), announced.clone(), insert(None, 1, T, "1,a"), commit(0x100)]);
        let again = [begin(0x200, 8), announced, insert(None, 1, T, "1,b"), commit(0x200)];
        let chunk: Chunk = again.iter().map(Vec::as_slice).collect();
        let asked = decoder.feed(Some(Arc::new(chunk))).unwrap();
        assert_eq!(asked.is_some(), asks, "{} {columns}", char::from(identity));
        let Some(relation) = asked else { continue };
        let columns = table_of(&relation).columns.clone();
        decoder.describe(T, &Table::new(relation.schema, relation.name, columns, vec![1])).unwrap();
        assert_eq!(decoder.feed(None).unwrap(), None);
        let batch = decoder.take().unwrap();
        assert_eq!((batch.tables().len(), batch.tables()[1].key.as_slice()), (2, &[1][..]));
    }
}

#[test]
fn an_older_relation_does_not_come_back_with_its_commit() {
    let batch = must(
        settings(),
        &[
            stream_start(9, true),
            relation(Some(9), T, "t", "+id,v"),
            insert(Some(9), 1, T, "1,a"),
            stream_stop(),
            begin(0x100, 7),
            relation(None, T, "t", "+id,w"),
            insert(None, 1, T, "2,b"),
            commit(0x100),
            stream_commit(9, 0x200),
            begin(0x300, 8),
            insert(None, 1, T, "3,c"),
            commit(0x300),
        ],
    );
    let named: Vec<_> = batch.parts().iter().map(|part| part.tables()[0].columns[1].name.as_str()).collect();
    assert_eq!(changes(&batch), ["c t - -> 2,b", "c t - -> 1,a", "c t - -> 3,c"]);
    assert_eq!(named, ["w", "v", "w"]);
}

#[test]
fn a_batch_never_cuts_a_transaction() {
    let mut decoder = Decoder::new(settings());
    let one = [begin(0x100, 7), relation(None, T, "t", "+id"), insert(None, 1, T, "1"), commit(0x100)];
    describe_all(&mut decoder, &one);
    describe_all(&mut decoder, &[begin(0x200, 8), insert(None, 1, T, "2")]);
    let ready = decoder.ready_nbytes();
    let batch = decoder.take().unwrap();
    assert_eq!((batch.len(), batch.nbytes()), (1, ready));
    assert_eq!(batch.ends()[0].text, at(0x100, 0));
    assert!(decoder.take().is_none() && decoder.open_nbytes() > 0 && decoder.ready_nbytes() == 0);
    describe_all(&mut decoder, &[insert(None, 1, T, "3"), commit(0x200)]);
    assert_eq!(
        lines(&decoder.take().unwrap()),
        [format!("{} c t - -> 2", at(0x200, 0)), format!("{} c t - -> 3", at(0x200, 1))]
    );
}

#[test]
fn i8_large_transactions_spill_and_come_back_whole() {
    let settings = Settings { segment_bytes: 4_096, transaction_bytes_max: 16_384, ..settings() };
    let mut decoder = Decoder::new(settings);
    let rows = 5_000;
    describe_all(
        &mut decoder,
        &[begin(0x10, 6), relation(None, T, "t", "+id,v"), insert(None, 1, T, "x,0"), commit(0x10)],
    );
    describe_all(&mut decoder, &[begin(0x100, 7)]);
    for row in 0..rows {
        describe_all(&mut decoder, &[insert(None, 1, T, &format!("{row},{}", "v".repeat(100)))]);
    }
    assert!(decoder.open_nbytes() > rows * 100);
    describe_all(&mut decoder, &[commit(0x100), begin(0x200, 8), insert(None, 1, T, "y,0"), commit(0x200)]);
    let batch = decoder.take().unwrap();
    assert_eq!(batch.len(), rows + 2);
    assert!(batch.resident() < 64 << 10, "{} bytes resident", batch.resident());
    assert!(batch.parts().iter().any(|part| matches!(part, Part::Spilled(_))));
    let positions: Vec<String> = lines(&batch).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    let inner = (0..rows as u64).map(|row| at(0x100, row));
    assert!(positions.into_iter().eq([at(0x10, 0)].into_iter().chain(inner).chain([at(0x200, 0)])));
    assert_eq!(decoder.open_nbytes(), 0);
}

#[test]
fn i8_the_disk_for_spilling_is_limited() {
    let settings =
        Settings { segment_bytes: 1_024, transaction_bytes_max: 1_024, spill_bytes_max: 10_000, ..settings() };
    let mut decoder = Decoder::new(settings);
    describe_all(&mut decoder, &[begin(0x100, 7), relation(None, T, "t", "+id")]);
    let failed = (0..1_000).find_map(|row| feed(&mut decoder, &[insert(None, 1, T, &row.to_string())]).err());
    assert!(failed.unwrap().to_string().contains("spill_bytes_max = 10000"));
    assert!(matches!(feed(&mut decoder, &[keepalive(1, 0)]), Err(Error::Usage(_))));
}

#[test]
fn empty_transactions_are_progress() {
    let mut decoder = Decoder::new(settings());
    describe_all(&mut decoder, &[begin(0x100, 7), commit(0x100), begin(0x200, 8), commit(0x200)]);
    let batch = decoder.take().unwrap();
    assert_eq!((batch.len(), batch.ends()[0].text.as_str()), (0, at(0x200, 0).as_str()));
    assert!(decoder.take().is_none());
}

#[test]
fn a_keepalive_is_progress_only_when_nothing_lies_before_it() {
    let mut decoder = Decoder::new(settings());
    assert_eq!((decoder.idle_lsn(), decoder.received_lsn(), decoder.take_reply_requested()), (None, 0, false));
    describe_all(&mut decoder, &[keepalive(0x50, 1)]);
    assert_eq!((decoder.idle_lsn(), decoder.received_lsn()), (Some(0x50), 0x50));
    assert!(decoder.take_reply_requested() && !decoder.take_reply_requested());
    describe_all(&mut decoder, &[begin(0x100, 7), relation(None, T, "t", "+id"), keepalive(0x60, 0)]);
    assert_eq!(decoder.idle_lsn(), None, "a transaction is open");
    describe_all(&mut decoder, &[insert(None, 0x90, T, "1"), commit(0x100)]);
    assert_eq!((decoder.idle_lsn(), decoder.received_lsn()), (None, 0x100), "rows wait to be taken");
    assert!(decoder.take().is_some());
    assert_eq!(decoder.idle_lsn(), None, "the keepalive lies before what was taken");
    describe_all(&mut decoder, &[stream_start(9, true), keepalive(0x200, 0), stream_stop()]);
    assert_eq!(decoder.idle_lsn(), Some(0x200), "a streamed transaction commits later");
}

#[test]
fn i10_what_is_not_understood_is_an_error_that_names_message_and_offset() {
    let head = || vec![begin(0x100, 7), relation(None, T, "t", "+id,v")];
    let after_head = |message: Vec<u8>| refused(&head().into_iter().chain([message]).collect::<Vec<_>>());
    assert_eq!(refused(&[vec![b'z']]), "unknown replication message 0x7a at byte 0");
    assert_eq!(refused(&[vec![]]), "message ends early at byte 0");
    assert_eq!(refused(&[xlog(1, Bytes::kind(b'Z'))]), "pgoutput message 'Z': unknown pgoutput message at byte 26");
    assert!(refused(&[xlog(1, Bytes::kind(b'P'))]).contains("two-phase"));
    assert_eq!(refused(&[commit(1)]), "pgoutput Commit: no transaction is open at byte 26");
    assert!(after_head(commit(0x101)).contains("commit of another transaction"));
    assert!(after_head(begin(1, 1)).contains("another transaction is open"));
    assert!(after_head(stream_start(1, true)).contains("another transaction is open"));
    assert!(after_head(insert(None, 1, 5, "1,2")).contains("relation 5 was not announced"));
    assert!(after_head(insert(None, 1, T, "1")).contains("public.t: tuple of 1 cells where the table has 2 columns"));
    assert!(after_head(logical(None, 1, false, "p", "c")).contains("another transaction is open"));
    let binary = Bytes::kind(b'I').u32(T).u8(b'N').u16(2).u8(b'n').u8(b'b').u32(0);
    assert!(after_head(xlog(1, binary)).contains("unknown cell kind 0x62 at byte 34"));
    let tag = Bytes::kind(b'D').u32(T).tuple(b'N', "1,2");
    assert!(after_head(xlog(1, tag)).contains("unexpected tuple 0x4e"));
    let mut longer = insert(None, 1, T, "1,2");
    longer.push(0);
    assert!(after_head(longer).contains("1 more bytes"));
    let truncated = xlog(1, Bytes::kind(b'T').u32(u32::MAX).u8(0));
    assert!(after_head(truncated).contains("do not fit"));
    assert!(refused(&[stream_start(1, false)]).contains("did not begin"));
    assert!(refused(&[stream_start(1, true), stream_stop(), stream_start(1, true)]).contains("begins twice"));
    assert!(refused(&[stream_commit(1, 1)]).contains("is not being streamed"));
    assert!(refused(&[stream_stop()]).contains("no streamed block is open"));
    assert!(refused(&[origin("o", 1)]).contains("no transaction is open"));
    let off = Settings { streaming: false, ..settings() };
    assert!(decode(off, &[stream_start(1, true)]).unwrap_err().to_string().contains("not asked for"));
}

#[test]
fn i9_errors_hold_no_values() {
    let secret = "s3cr3t";
    let mut message = insert(None, 1, T, &format!("{secret},{secret},{secret}"));
    let error = refused(&[begin(1, 1), relation(None, T, "t", "+id,v"), message.clone()]);
    assert!(!error.contains(secret));
    message.truncate(60);
    assert!(!refused(&[begin(1, 1), relation(None, T, "t", "+id,v,w"), message]).contains(secret));
}

#[test]
fn what_was_complete_before_an_error_can_be_taken() {
    let mut decoder = Decoder::new(settings());
    let messages = [begin(0x100, 7), relation(None, T, "t", "+id"), insert(None, 1, T, "1"), commit(0x100), vec![0]];
    assert!(feed(&mut decoder, &messages).is_err());
    assert_eq!(decoder.take().unwrap().len(), 1);
}

fn handed_over(lsn: u64, messages: &[Vec<u8>]) -> Result<Vec<String>, Error> {
    let mut decoder = Decoder::new(settings());
    decoder.hand_over(7, lsn);
    feed(&mut decoder, messages)?;
    Ok(decoder.take().map_or(Vec::new(), |batch| changes(&batch)))
}

#[test]
fn what_another_reader_had_of_the_first_transaction_is_dropped() {
    let update = |lsn, old: &str| {
        let message = Bytes::kind(b'U').u32(T);
        let message = if old.is_empty() { message } else { message.tuple(b'K', old) };
        xlog(lsn, message.tuple(b'N', "9"))
    };
    let messages = [
        begin(0x100, 7),
        relation(None, T, "t", "+id"),
        insert(None, 0x10, T, "1"),
        truncate(None, 0x18, 0, &[T]),
        logical(None, 0x19, true, "p", "x"),
        insert(None, 0x20, T, "2"),
        insert(None, 0x20, T, "3"),
        update(0x30, "1"),
        update(0x40, ""),
        xlog(0x50, Bytes::kind(b'D').u32(T).tuple(b'K', "9")),
        insert(None, 0x60, T, "4"),
        commit(0x100),
        begin(0x200, 7),
        insert(None, 0x10, T, "5"),
        commit(0x200),
    ];
    let all = handed_over(0x01, &messages).unwrap();
    assert_eq!(all.len(), 10);
    let rest = |lsn, from: usize| {
        let left = handed_over(lsn, &messages).unwrap();
        assert_eq!(left, all[from..], "after {lsn:#x}");
    };
    rest(0x10, 1);
    rest(0x18, 1); // a Truncate may make several events
    rest(0x19, 3);
    rest(0x20, 4); // of the rows of one record only the first was delivered for certain
    rest(0x30, 5); // so does an update that may have changed the key
    rest(0x40, 7);
    rest(0x50, 7); // and a deletion has a tombstone
    rest(0x60, 9);
    rest(0x99, 9);
}

#[test]
fn what_was_handed_over_may_have_been_streamed() {
    let messages = [
        stream_start(7, true),
        relation(Some(7), T, "t", "+id"),
        insert(Some(7), 0x10, T, "1"),
        insert(Some(8), 0x20, T, "2"),
        stream_stop(),
        stream_start(7, false),
        insert(Some(8), 0x30, T, "3"),
        stream_stop(),
        stream_commit(7, 0x100),
    ];
    assert_eq!(handed_over(0x20, &messages).unwrap(), ["c t - -> 3"]);
    let early = [&messages[..5], &[begin(0x80, 6), commit(0x80)], &messages[5..]].concat();
    let error = handed_over(0x20, &early).unwrap_err().to_string();
    assert!(error.contains("transaction 6 comes before 7, which was handed over in part"), "{error}");
    assert_eq!(handed_over(0x08, &early).unwrap().len(), 3);
}

#[test]
fn another_first_transaction_than_the_one_that_was_handed_over_is_whole() {
    let messages = [
        begin(0x80, 6),
        relation(None, T, "t", "+id"),
        insert(None, 0x10, T, "1"),
        commit(0x80),
        begin(0x100, 7),
        insert(None, 0x10, T, "2"),
        commit(0x100),
    ];
    assert_eq!(handed_over(0x60, &messages).unwrap(), ["c t - -> 1", "c t - -> 2"]);
}

#[test]
fn a_null_where_none_was_possible_describes_the_table_again() {
    let mut decoder = Decoder::new(settings());
    let (update, full) = (
        xlog(3, Bytes::kind(b'U').u32(T).tuple(b'O', "2,~,y").tuple(b'N', "2,x,y")),
        xlog(4, Bytes::kind(b'D').u32(T).tuple(b'K', "1,~,~")),
    );
    let messages = [
        begin(0x100, 7),
        relation(None, T, "t", "+id,v,w"),
        insert(None, 1, T, "1,x,y"),
        full,
        update,
        insert(None, 5, T, "3,~,y"),
        relation(None, T, "t", "+id,v,w"),
        insert(None, 6, T, "4,~,~"),
        commit(0x100),
    ];
    let chunk: Chunk = messages.iter().map(Vec::as_slice).collect();
    let mut asked = decoder.feed(Some(Arc::new(chunk))).unwrap();
    let mut nullable = Vec::new();
    while let Some(relation) = asked {
        nullable.push(relation.nullable.clone());
        if let [_, ..] = relation.nullable[..] {
            // The catalog may be ahead of the row: what it says does not make the null go away.
            assert!(matches!(decoder.describe(T, &strict_table_of(&relation, &[])), Err(Error::Usage(_))));
        }
        decoder.describe(T, &strict_table_of(&relation, &relation.nullable)).unwrap();
        asked = decoder.feed(None).unwrap();
    }
    assert_eq!(nullable, [vec![], vec![1], vec![1, 2]]);
    let batch = decoder.take().unwrap();
    let expected = ["c t - -> 1,x,y", "d t 1,~,~ -> -", "u t 2,~,y -> 2,x,y", "c t - -> 3,~,y", "c t - -> 4,~,~"];
    assert_eq!(changes(&batch), expected);
    let segments: Vec<_> = batch.parts().iter().map(|part| part.load().unwrap()).collect();
    let tables: Vec<_> = segments.iter().map(|segment| segment.rows().next().unwrap().table().unwrap()).collect();
    let possible = |table: &Arc<Table>| table.columns.iter().map(|column| column.nullable).collect::<Vec<_>>();
    assert_eq!(
        tables.iter().map(|table| possible(table)).collect::<Vec<_>>(),
        [[false, false, false], [false, true, false], [false, true, true]]
    );
}

#[test]
fn a_null_behind_the_sixty_fourth_column_is_seen() {
    let columns = 70;
    let names: Vec<String> = (0..columns).map(|index| format!("c{index}")).collect();
    let cells = |null: usize| (0..columns).map(|i| if i == null { "~" } else { "x" }).collect::<Vec<_>>().join(",");
    let mut decoder = Decoder::new(settings());
    let (head, first, second) =
        (relation(None, T, "t", &names.join(",")), insert(None, 1, T, &cells(65)), insert(None, 2, T, &cells(69)));
    let chunk: Chunk = [begin(0x100, 7), head, first, second, commit(0x100)].iter().map(Vec::as_slice).collect();
    let relation = decoder.feed(Some(Arc::new(chunk))).unwrap().unwrap();
    decoder.describe(T, &strict_table_of(&relation, &[65])).unwrap();
    let again = decoder.feed(None).unwrap().unwrap();
    assert_eq!(again.nullable, [65, 69]);
    decoder.describe(T, &strict_table_of(&again, &again.nullable)).unwrap();
    assert_eq!(decoder.feed(None).unwrap(), None);
    assert_eq!(decoder.take().unwrap().parts().len(), 2);
}
