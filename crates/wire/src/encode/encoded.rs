//! The buffer that a JSON encoder fills: JSON Lines, and where in it the parts of each record lie.

/// Where one record lies in [`Encoded::bytes`]. A line is
/// `{"topic":"TOPIC","key":KEY,"value":VALUE,"headers":[["NAME",VALUE],…]}`; without headers there is no such member.
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

/// The records of one segment.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// JSON Lines, complete.
    pub bytes: Vec<u8>,
    records: Vec<Record>,
    headers: Vec<Header>,
}

impl Encoded {
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

    fn slice(&self, start: usize, length: u32) -> &[u8] {
        self.bytes.get(start..start + length as usize).unwrap_or_default()
    }
}
