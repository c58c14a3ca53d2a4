//! Random transactions, interleaved as a server may send them, against a model that keeps them in plain lists; and
//! random bytes, against nothing but the promise that they do no harm.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use support::*;
use tailrace_wire::chunk::Chunk;
use tailrace_wire::copy;
use tailrace_wire::pgoutput::{Decoder, Settings};
use tailrace_wire::table::Table;

/// What happens next at the server.
#[derive(Clone, Debug)]
enum Act {
    /// A plain transaction; a take happens after so many of its rows.
    Plain {
        rows: Vec<u8>,
        take: usize,
    },
    /// A block of a streamed transaction: rows by (savepoint, table).
    Block {
        stream: u8,
        rows: Vec<(u8, u8)>,
    },
    Rollback {
        stream: u8,
        savepoint: u8,
    },
    End {
        stream: u8,
        commit: bool,
    },
    Logical,
    Keepalive,
    Take,
    /// ALTER TABLE; it waits for open transactions, as the server's lock does.
    Alter(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let table = || 0..2u8;
    prop_oneof![
        3 => (vec(table(), 0..8), 0..10usize).prop_map(|(rows, take)| Act::Plain { rows, take }),
        5 => (0..3u8, vec((0..3u8, table()), 0..8)).prop_map(|(stream, rows)| Act::Block { stream, rows }),
        2 => (0..3u8, 1..3u8).prop_map(|(stream, savepoint)| Act::Rollback { stream, savepoint }),
        2 => (0..3u8, prop::bool::weighted(0.7)).prop_map(|(stream, commit)| Act::End { stream, commit }),
        1 => Just(Act::Logical),
        1 => Just(Act::Keepalive),
        2 => Just(Act::Take),
        1 => table().prop_map(Act::Alter),
    ]
}

#[derive(Default)]
struct Streamed {
    xid: u32,
    /// Transaction id of each savepoint, as long as it was not rolled back.
    savepoints: BTreeMap<u8, u32>,
    announced: BTreeSet<u8>,
    rows: Vec<(u32, String)>,
}

/// A server and, beside it, what its client should see.
struct Server {
    decoder: Decoder,
    pending: Vec<Vec<u8>>,
    chunk_messages: usize,
    lsn: u64,
    xid: u32,
    columns: [usize; 2],
    announced: BTreeSet<u8>,
    streams: BTreeMap<u8, Streamed>,
    expected: Vec<String>,
    expected_end: Option<String>,
}

impl Server {
    fn new(settings: Settings, chunk_messages: usize) -> Self {
        Self {
            decoder: Decoder::new(settings),
            pending: Vec::new(),
            chunk_messages,
            lsn: 0x1000,
            xid: 100,
            columns: [1, 3],
            announced: BTreeSet::new(),
            streams: BTreeMap::new(),
            expected: Vec::new(),
            expected_end: None,
        }
    }

    fn send(&mut self, message: Vec<u8>) {
        self.pending.push(message);
        if self.pending.len() >= self.chunk_messages {
            self.flush();
        }
    }

    fn flush(&mut self) {
        feed(&mut self.decoder, &std::mem::take(&mut self.pending)).unwrap();
    }

    fn lsn(&mut self) -> u64 {
        self.lsn += 16;
        self.lsn
    }

    fn xid(&mut self) -> u32 {
        self.xid += 1;
        self.xid
    }

    fn announce(&mut self, xid: Option<u32>, table: u8) {
        let columns: Vec<String> = (0..self.columns[usize::from(table)]).map(|index| format!("c{index}")).collect();
        let message = relation(xid, u32::from(table), &format!("t{table}"), &columns.join(","));
        self.send(message);
    }

    /// The cells of a new row, and the line that it should become.
    fn row(&mut self, table: u8) -> (String, String) {
        let lsn = self.lsn();
        let cells = vec![lsn.to_string(); self.columns[usize::from(table)]].join(",");
        let line = format!("c t{table} - -> {cells}");
        (cells, line)
    }

    fn done(&mut self, lsn: u64, rows: Vec<String>) {
        let last = rows.len().saturating_sub(1) as u64;
        let numbered = rows.into_iter().zip(0..).map(|(row, ordinal)| format!("{} {row}", at(lsn, ordinal)));
        self.expected.extend(numbered);
        self.expected_end = Some(at(lsn, last));
    }

    fn take(&mut self) {
        self.flush();
        let ready = self.decoder.ready_nbytes();
        let batch = self.decoder.take();
        assert_eq!(batch.as_ref().map(|batch| batch.ends()[0].text.clone()), self.expected_end.take());
        let got = batch.as_ref().map_or(Vec::new(), lines);
        assert_eq!(got, std::mem::take(&mut self.expected));
        assert!(batch.as_ref().is_none_or(|batch| batch.nbytes() == ready));
        let shared = |part: &tailrace_wire::batch::Part| {
            let names: BTreeSet<String> = part.tables().iter().map(|table| table.to_string()).collect();
            names.len() == part.tables().len()
        };
        assert!(batch.is_none_or(|batch| batch.parts().iter().all(shared)), "two versions in a segment");
    }

    fn plain(&mut self, tables: &[u8], take: usize) {
        let (lsn, xid) = (self.lsn(), self.xid());
        self.send(begin(lsn, xid));
        let mut rows = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            if self.announced.insert(*table) {
                self.announce(None, *table);
            }
            let (cells, line) = self.row(*table);
            self.send(insert(None, 1, u32::from(*table), &cells));
            rows.push(line);
            if index == take {
                self.take();
            }
        }
        self.send(commit(lsn));
        self.done(lsn, rows);
    }

    fn block(&mut self, stream: u8, rows: &[(u8, u8)]) {
        let fresh = self.xid();
        let first = !self.streams.contains_key(&stream);
        let mut state = self.streams.remove(&stream).unwrap_or(Streamed { xid: fresh, ..Streamed::default() });
        let xid = state.xid;
        self.send(stream_start(xid, first));
        for (savepoint, table) in rows {
            let sub = match savepoint {
                0 => xid,
                _ => *state.savepoints.entry(*savepoint).or_insert_with(|| self.xid()),
            };
            if state.announced.insert(*table) {
                self.announce(Some(sub), *table);
            }
            let (cells, line) = self.row(*table);
            self.send(insert(Some(sub), 1, u32::from(*table), &cells));
            state.rows.push((sub, line));
        }
        self.send(stream_stop());
        self.streams.insert(stream, state);
    }

    fn end(&mut self, stream: u8, commits: bool) {
        let Some(state) = self.streams.remove(&stream) else { return };
        let lsn = self.lsn();
        if commits {
            self.send(stream_commit(state.xid, lsn));
            self.announced.extend(state.announced);
            self.done(lsn, state.rows.into_iter().map(|(_, line)| line).collect());
        } else {
            self.send(stream_abort(state.xid, state.xid));
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Plain { rows, take } => self.plain(rows, *take),
            Act::Block { stream, rows } => self.block(*stream, rows),
            Act::Rollback { stream, savepoint } => {
                let Some(state) = self.streams.get_mut(stream) else { return };
                let Some(sub) = state.savepoints.remove(savepoint) else { return };
                state.rows.retain(|(xid, _)| *xid != sub);
                let message = stream_abort(state.xid, sub);
                self.send(message);
            }
            Act::End { stream, commit } => self.end(*stream, *commit),
            Act::Logical => {
                let lsn = self.lsn();
                self.send(logical(None, lsn, false, "p", "c"));
                let position = format!("{lsn:016X}.1.000000000000/00000001/{lsn:016X}");
                self.expected.push(format!("{position} m p=c flags 0"));
                self.expected_end = Some(position);
            }
            Act::Keepalive => {
                let lsn = self.lsn();
                self.send(keepalive(lsn, 0));
                self.flush();
                assert_eq!(self.decoder.idle_lsn(), self.expected_end.is_none().then_some(lsn));
            }
            Act::Take => self.take(),
            Act::Alter(table) => {
                if self.streams.is_empty() {
                    self.columns[usize::from(*table)] = 4 - self.columns[usize::from(*table)];
                    self.announced.remove(table);
                }
            }
        }
    }
}

fn limits() -> impl Strategy<Value = (usize, usize)> {
    (prop::sample::select(vec![1, 100, 1_000, 1 << 20]), prop::sample::select(vec![1, 300, 2_000, 1 << 20]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_gives_the_rows_of_the_commits_in_their_order(
        acts in vec(act(), 1..60),
        (segment_bytes, transaction_bytes_max) in limits(),
        chunk_messages in 1..20usize,
    ) {
        let settings = Settings { segment_bytes, transaction_bytes_max, ..settings() };
        let mut server = Server::new(settings, chunk_messages);
        for act in &acts {
            server.act(act);
        }
        for stream in 0..3 {
            server.end(stream, true);
        }
        server.take();
        prop_assert_eq!(server.decoder.open_nbytes(), 0);
    }
}

/// A conversation with every kind of message.
fn conversation() -> Vec<Vec<u8>> {
    let update = Bytes::kind(b'U').u32(1).tuple(b'O', "1,old,~").tuple(b'N', "1,?,new");
    let delete = Bytes::kind(b'D').u32(1).tuple(b'K', "1,~,~");
    vec![
        keepalive(1, 1),
        begin(0x100, 7),
        origin("upstream", 3),
        xlog(0, Bytes::kind(b'Y').u32(99).text("public").text("mood")),
        relation(None, 1, "t", "+id,v,w"),
        insert(None, 1, 1, "1,a,~"),
        xlog(2, update),
        xlog(3, delete),
        truncate(None, 4, 1, &[1]),
        logical(None, 5, true, "p", "content"),
        commit(0x100),
        logical(None, 0x110, false, "p", "content"),
        stream_start(9, true),
        relation(Some(9), 1, "t", "+id,v,w"),
        insert(Some(9), 1, 1, "1,a,~"),
        insert(Some(10), 1, 1, "2,b,~"),
        stream_stop(),
        stream_abort(9, 10),
        stream_start(9, false),
        truncate(Some(9), 4, 1, &[1]),
        stream_stop(),
        stream_commit(9, 0x200),
    ]
}

#[derive(Clone, Debug)]
enum Damage {
    Byte { message: usize, at: usize, value: u8 },
    Cut { message: usize, at: usize },
    Grow { message: usize, bytes: Vec<u8> },
    Move { from: usize, to: usize },
    Drop(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let message = || 0..22usize;
    prop_oneof![
        6 => (message(), 25..80usize, any::<u8>()).prop_map(|(message, at, value)| Damage::Byte { message, at, value }),
        2 => (message(), 0..80usize).prop_map(|(message, at)| Damage::Cut { message, at }),
        1 => (message(), vec(any::<u8>(), 1..20)).prop_map(|(message, bytes)| Damage::Grow { message, bytes }),
        1 => (message(), message()).prop_map(|(from, to)| Damage::Move { from, to }),
        1 => message().prop_map(Damage::Drop),
    ]
}

fn hurt(messages: &mut Vec<Vec<u8>>, damage: &Damage) {
    let count = messages.len().max(1);
    match damage {
        Damage::Byte { message, at, value } => {
            if let Some(byte) = messages.get_mut(message % count).and_then(|message| message.get_mut(*at)) {
                *byte = *value;
            }
        }
        Damage::Cut { message, at } => messages[message % count].truncate(*at),
        Damage::Grow { message, bytes } => messages[message % count].extend(bytes),
        Damage::Move { from, to } => messages.swap(from % count, to % count),
        Damage::Drop(message) => {
            messages.remove(message % count);
        }
    }
}

/// Feed whatever it is; what comes out may not be much larger than what went in.
fn survive(messages: &[Vec<u8>], transaction_bytes_max: usize) {
    let mut decoder = Decoder::new(Settings { transaction_bytes_max, ..settings() });
    let result = feed(&mut decoder, messages);
    let nbytes: usize = messages.iter().map(Vec::len).sum();
    assert!(decoder.open_nbytes() + decoder.ready_nbytes() <= 16 * nbytes + 1_024, "{result:?}");
    if let Some(batch) = decoder.take() {
        lines(&batch);
    }
    let _ = (decoder.idle_lsn(), decoder.received_lsn());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i10_a_damaged_conversation_does_no_harm(wounds in vec(damage(), 1..6), limit in prop::sample::select(vec![1, 1 << 20])) {
        let mut messages = conversation();
        for damage in &wounds {
            hurt(&mut messages, damage);
        }
        survive(&messages, limit);
    }

    #[test]
    fn i10_arbitrary_payloads_do_no_harm(payloads in vec((prop::sample::select(b"BCORYIUDTMSEcAbPKrp?".to_vec()), vec(any::<u8>(), 0..60)), 0..8)) {
        let messages: Vec<_> = payloads.into_iter().map(|(kind, bytes)| {
            let mut payload = Bytes::kind(kind);
            payload.0.extend(bytes);
            xlog(1, payload)
        }).collect();
        survive(&messages, 1 << 20);
    }

    #[test]
    fn i10_arbitrary_bytes_do_no_harm(messages in vec(vec(any::<u8>(), 0..100), 0..5)) {
        survive(&messages, 1 << 20);
    }

    #[test]
    fn copy_rows_come_back_as_they_were_escaped(rows in vec(vec(prop::option::of(vec(any::<u8>(), 0..12)), 3), 0..20), segment_bytes in 1..500usize) {
        let mut decoder = copy::Rows::new(copy_settings(segment_bytes));
        let messages: Vec<Vec<u8>> = rows.iter().map(|row| escape(row)).collect();
        decoder.feed(&messages.iter().map(Vec::as_slice).collect()).unwrap();
        let batch = decoder.finish(true).unwrap();
        let segments: Vec<_> = batch.parts().iter().map(|part| part.load().unwrap()).collect();
        let got: Vec<Vec<Option<Vec<u8>>>> = segments.iter().flat_map(|segment| segment.rows().map(|row| {
            row.after().unwrap().cells().map(|cell| match cell {
                tailrace_wire::batch::Cell::Text(text) => Some(text.to_vec()),
                _ => None,
            }).collect()
        }).collect::<Vec<_>>()).collect();
        prop_assert_eq!(got, rows);
    }

    #[test]
    fn i10_arbitrary_copy_rows_do_no_harm(rows in vec(vec(prop::sample::select(b"a\t\t\\\\N\nx017".to_vec()), 0..20), 0..5)) {
        let mut decoder = copy::Rows::new(copy_settings(1 << 20));
        let lines: Chunk = rows.iter().map(Vec::as_slice).collect();
        if decoder.feed(&lines).is_ok() {
            let _ = decoder.finish(true);
        }
    }
}

fn copy_settings(segment_bytes: usize) -> copy::Settings {
    let column = |index: usize| tailrace_wire::table::Column {
        name: format!("c{index}"),
        kind: tailrace_wire::table::Type::Text,
        native: "text".into(),
        nullable: true,
        labels: Vec::new(),
        note: tailrace_wire::table::Note::default(),
    };
    copy::Settings {
        lineage: "l".into(),
        database: "db".into(),
        table: Table::new("public".into(), "t".into(), (0..3).map(column).collect(), Vec::new()),
        attempt: "a".into(),
        lsn: 1,
        timeline: 1,
        xid: 1,
        at_us: 1,
        first_ordinal: 0,
        first_table: true,
        segment_bytes,
    }
}

/// As `CopyAttributeOutText` of the server writes it.
fn escape(row: &[Option<Vec<u8>>]) -> Vec<u8> {
    let cell = |cell: &Option<Vec<u8>>| match cell {
        None => b"\\N".to_vec(),
        Some(text) => text
            .iter()
            .flat_map(|byte| match byte {
                b'\\' => b"\\\\".to_vec(),
                8 => b"\\b".to_vec(),
                12 => b"\\f".to_vec(),
                b'\n' => b"\\n".to_vec(),
                b'\r' => b"\\r".to_vec(),
                b'\t' => b"\\t".to_vec(),
                11 => b"\\v".to_vec(),
                other => vec![*other],
            })
            .collect(),
    };
    let mut line = row.iter().map(cell).collect::<Vec<_>>().join(&b'\t');
    line.push(b'\n');
    line
}
