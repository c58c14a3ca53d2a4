//! The parts of an event around its rows: source block, operation, times. Cut once for a transaction, copied for a row.

use super::plan::member;
use super::transaction::Block;
use crate::batch::{Op, Origin, RowRef, SnapshotFlag, Txn};
use crate::encode::connect::Json;
use crate::encode::json::integer;
use crate::position::Phase;

/// The release whose events these are.
pub(super) const VERSION: &str = "3.6.3.Final";

/// Bytes that the events of a segment, and of a transaction, have in common.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// `"source":{…,"name":…,"ts_ms":`
    head: Vec<u8>,
    /// `","db":…,"sequence":"[`
    database: Vec<u8>,
    /// `","ts_ms":…,"ts_us":…,"ts_ns":…}`
    tail: Vec<u8>,
    /// `,"ts_ms":…` as messages have it.
    message_time: Vec<u8>,
    txn: Option<u32>,
    /// `"source":{…,"snapshot":"`
    to_snapshot: Vec<u8>,
    /// `","db":…,"sequence":"[…,\"`
    to_lsn: Vec<u8>,
    /// `\"]","ts_us":…,"ts_ns":…`
    to_table: Vec<u8>,
    /// `,"txId":…,"lsn":`
    to_second_lsn: Vec<u8>,
    /// `,"xmin":null,…},"transaction":null`
    to_end: Vec<u8>,
}

impl Frame {
    /// Begin a segment.
    pub(super) fn begin(&mut self, name: &str, origin: &Origin, now_ns: i64) {
        self.txn = None;
        restart(&mut self.head, b"\"source\":{\"version\":\"");
        self.head.extend_from_slice(VERSION.as_bytes());
        member("\",\"connector\":", &origin.connector, &mut self.head);
        member(",\"name\":", name, &mut self.head);
        self.head.extend_from_slice(b",\"ts_ms\":");
        restart(&mut self.database, b"\"");
        member(",\"db\":", &origin.database, &mut self.database);
        self.database.extend_from_slice(b",\"sequence\":\"[");
        let [ms, us] = [now_ns.div_euclid(1_000_000), now_ns.div_euclid(1000)];
        restart(&mut self.message_time, b",\"ts_ms\":");
        integer(ms, &mut self.message_time);
        restart(&mut self.tail, b"\"");
        self.tail.extend_from_slice(&self.message_time);
        append(&mut self.tail, b",\"ts_us\":", us);
        append(&mut self.tail, b",\"ts_ns\":", now_ns);
        self.tail.push(b'}');
    }

    fn enter(&mut self, txn: &Txn, transactional: bool) {
        restart(&mut self.to_snapshot, &self.head);
        integer(txn.at_us.div_euclid(1000), &mut self.to_snapshot);
        self.to_snapshot.extend_from_slice(b",\"snapshot\":\"");
        restart(&mut self.to_lsn, &self.database);
        if txn.phase == Phase::Snapshot {
            self.to_lsn.extend_from_slice(b"null");
        } else {
            append(&mut self.to_lsn, b"\\\"", txn.lsn);
            self.to_lsn.extend_from_slice(b"\\\"");
        }
        self.to_lsn.extend_from_slice(b",\\\"");
        restart(&mut self.to_table, b"\\\"]\"");
        append(&mut self.to_table, b",\"ts_us\":", txn.at_us);
        append(&mut self.to_table, b",\"ts_ns\":", i128::from(txn.at_us) * 1000);
        restart(&mut self.to_second_lsn, b",\"txId\":");
        match txn.xid {
            xid if xid > 0 && transactional => integer(xid, &mut self.to_second_lsn),
            _ => self.to_second_lsn.extend_from_slice(b"null"),
        }
        self.to_second_lsn.extend_from_slice(b",\"lsn\":");
        restart(&mut self.to_end, b",\"xmin\":null,\"origin\":");
        match &txn.origin {
            Some((origin, lsn)) => {
                member("", origin, &mut self.to_end);
                append(&mut self.to_end, b",\"origin_lsn\":", *lsn);
            }
            None => self.to_end.extend_from_slice(b"null,\"origin_lsn\":null"),
        }
        self.to_end.extend_from_slice(b"},\"transaction\":");
    }

    /// Append `"source":{…},"transaction":…`; `table` is `,"schema":…,"table":…`.
    #[inline]
    pub(super) fn write_source(
        &mut self,
        row: &RowRef<'_>,
        table: &[u8],
        block: Option<Block>,
        transactional: bool,
        out: &mut Vec<u8>,
    ) {
        let entry = row.entry();
        if self.txn != Some(entry.txn) || !transactional {
            self.enter(row.txn(), transactional);
            self.txn = transactional.then_some(entry.txn);
        }
        let lsn = if row.txn().phase == Phase::Snapshot { row.txn().lsn } else { entry.lsn };
        let mut buffer = itoa::Buffer::new();
        let lsn = buffer.format(lsn).as_bytes();
        out.extend_from_slice(&self.to_snapshot);
        out.extend_from_slice(snapshot(entry.snapshot));
        out.extend_from_slice(&self.to_lsn);
        out.extend_from_slice(lsn);
        out.extend_from_slice(&self.to_table);
        out.extend_from_slice(table);
        out.extend_from_slice(&self.to_second_lsn);
        out.extend_from_slice(lsn);
        out.extend_from_slice(&self.to_end);
        match block {
            None => out.extend_from_slice(b"null"),
            Some(block) => block.write(&mut Json::new(out, true)),
        }
    }

    /// Append `,"op":"…","ts_ms":…,"ts_us":…,"ts_ns":…}`, the end of an event.
    #[inline]
    pub(super) fn write_end(&self, op: Op, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"op\":\"");
        out.push(op as u8);
        out.extend_from_slice(&self.tail);
    }

    /// `,"ts_ms":…`: when a message was processed.
    pub(super) fn message_time(&self) -> &[u8] {
        &self.message_time
    }
}

pub(super) fn snapshot(flag: SnapshotFlag) -> &'static [u8] {
    match flag {
        SnapshotFlag::Not => b"false",
        SnapshotFlag::First => b"first",
        SnapshotFlag::FirstInTable => b"first_in_data_collection",
        SnapshotFlag::Middle => b"true",
        SnapshotFlag::LastInTable => b"last_in_data_collection",
        SnapshotFlag::Last => b"last",
    }
}

fn restart(bytes: &mut Vec<u8>, with: &[u8]) {
    bytes.clear();
    bytes.extend_from_slice(with);
}

fn append(bytes: &mut Vec<u8>, name: &[u8], number: impl itoa::Integer) {
    bytes.extend_from_slice(name);
    integer(number, bytes);
}
