//! The buffer that a JSON encoder fills: JSON Lines, and where in it the parts of each record lie.

use super::json;

/// Where one record lies in [`Encoded::bytes`]. A line is
/// `{"topic":"TOPIC","key":KEY,"value":VALUE,"headers":[["NAME",VALUE],…],"partition":N}`; without headers, and without a
/// partition, there is no such member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Start of the line.
    pub line: usize,
    /// Bytes of the topic's name (it never needs escapes).
    pub topic_len: u32,
    /// Bytes of the key's JSON; `null` when there is none.
    pub key_len: u32,
    /// Bytes of the value's JSON; `null` for a tombstone.
    pub value_len: u32,
    /// First of its headers in the buffer's list of headers.
    pub header: u32,
    /// Number of headers.
    pub headers: u32,
    /// Index of the change that it belongs to, in the batch.
    pub change: usize,
    /// The partition that it must go to; None leaves that to Kafka's partitioner.
    pub partition: Option<u32>,
}

/// Where a header's name and value lie, relative to the start of the record's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    name: u32,
    name_len: u32,
    value: u32,
    value_len: u32,
}

const TOPIC: &[u8] = b"{\"topic\":\"";
const KEY: &[u8] = b"\",\"key\":";
const VALUE: &[u8] = b",\"value\":";
const NULL: &[u8] = b"null";

/// Append how a line of this topic begins, up to its key. The name must not need escapes.
pub(super) fn opening(topic: &str) -> Vec<u8> {
    [TOPIC, topic.as_bytes(), KEY].concat()
}

/// A line in the making: opened, then its key, value and headers appended in this order, then closed.
#[derive(Debug)]
pub(super) struct Line {
    start: usize,
    key: usize,
    value: usize,
    end: usize,
    header: usize,
    partition: Option<u32>,
}

/// The records of one segment: as JSON Lines, or, when keys or values are bytes, one after the other without any lines.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// JSON Lines, complete, if it [`Self::has_lines`].
    pub bytes: Vec<u8>,
    records: Vec<Record>,
    headers: Vec<Header>,
    bare: bool,
}

impl Encoded {
    /// Forget all records, keep the memory; then take records with or without `lines` of JSON.
    pub fn restart(&mut self, lines: bool) {
        self.clear();
        self.bare = !lines;
    }

    /// Whether the buffer as a whole is JSON Lines.
    #[must_use]
    pub fn has_lines(&self) -> bool {
        !self.bare
    }

    /// Forget all records, keep the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.headers.clear();
    }

    /// All records in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A record's topic.
    #[must_use]
    pub fn topic(&self, record: &Record) -> &[u8] {
        self.slice(record.line + TOPIC.len(), record.topic_len)
    }

    /// A record's key; None when it has none.
    #[must_use]
    pub fn key(&self, record: &Record) -> Option<&[u8]> {
        let start = record.line + TOPIC.len() + record.topic_len as usize + KEY.len();
        Some(self.slice(start, record.key_len)).filter(|key| *key != NULL)
    }

    /// A record's value; None for a tombstone.
    #[must_use]
    pub fn value(&self, record: &Record) -> Option<&[u8]> {
        let before = TOPIC.len() + record.topic_len as usize + KEY.len() + record.key_len as usize + VALUE.len();
        Some(self.slice(record.line + before, record.value_len)).filter(|value| *value != NULL)
    }

    /// A record's headers: name, and value as JSON.
    pub fn headers(&self, record: &Record) -> impl Iterator<Item = (&[u8], &[u8])> {
        let first = record.header as usize;
        let headers = self.headers.get(first..first + record.headers as usize).unwrap_or_default();
        let line = record.line;
        headers.iter().map(move |header| {
            let name = self.slice(line + header.name as usize, header.name_len);
            (name, self.slice(line + header.value as usize, header.value_len))
        })
    }

    /// Begin a line with what [`opening`] made.
    #[inline]
    pub(super) fn open(&mut self, opening: &[u8]) -> Line {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(opening);
        Line { start, key: self.bytes.len(), value: 0, end: 0, header: self.headers.len(), partition: None }
    }

    /// The key was appended; the value comes next.
    #[inline]
    pub(super) fn end_key(&mut self, line: &mut Line) {
        self.bytes.extend_from_slice(VALUE);
        line.value = self.bytes.len();
    }

    /// The value was appended; headers come next.
    #[inline]
    pub(super) fn end_value(&mut self, line: &mut Line) {
        line.end = self.bytes.len();
    }

    /// Append a header, its value as JSON; the name must not need escapes.
    pub(super) fn header(&mut self, line: &Line, name: &str, value: &[u8]) {
        self.bytes.extend_from_slice(if self.headers.len() == line.header { b",\"headers\":[" } else { b"," });
        self.bytes.extend_from_slice(b"[\"");
        let name_start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\",");
        let value_start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.bytes.push(b']');
        let offset = |at: usize| u32::try_from(at - line.start).unwrap_or(u32::MAX);
        let (name_len, value_len) = (name.len() as u32, u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.headers.push(Header { name: offset(name_start), name_len, value: offset(value_start), value_len });
    }

    /// Say which partition the record must go to; after its headers.
    pub(super) fn partition(&mut self, line: &mut Line, partition: Option<u32>) {
        line.partition = partition;
    }

    /// End the line and record where its parts lie; false, and no record, when it is longer than 4 GB.
    #[inline]
    pub(super) fn close(&mut self, line: &Line, change: usize) -> bool {
        let headers = self.headers.len() - line.header;
        if headers > 0 {
            self.bytes.push(b']');
        }
        if let Some(partition) = line.partition {
            self.bytes.extend_from_slice(b",\"partition\":");
            json::integer(partition, &mut self.bytes);
        }
        self.bytes.extend_from_slice(b"}\n");
        if u32::try_from(self.bytes.len() - line.start).is_err() {
            return false;
        }
        self.records.push(Record {
            line: line.start,
            topic_len: (line.key - line.start - TOPIC.len() - KEY.len()) as u32,
            key_len: (line.value - line.key - VALUE.len()) as u32,
            value_len: (line.end - line.value) as u32,
            header: line.header as u32,
            headers: headers as u32,
            change,
            partition: line.partition,
        });
        true
    }

    /// Where the buffer stands, to come back to.
    pub(super) fn mark(&self) -> [usize; 3] {
        [self.bytes.len(), self.records.len(), self.headers.len()]
    }

    /// Forget what came after a mark.
    pub(super) fn rewind(&mut self, mark: [usize; 3]) {
        self.bytes.truncate(mark[0]);
        self.records.truncate(mark[1]);
        self.headers.truncate(mark[2]);
    }

    fn slice(&self, start: usize, length: u32) -> &[u8] {
        self.bytes.get(start..start + length as usize).unwrap_or_default()
    }
}
