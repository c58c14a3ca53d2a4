//! Whole protocol messages, one after another in one buffer: what a socket reader hands to a decoder.

/// Messages in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Chunk {
    /// No messages, with room for about `nbytes` of them.
    #[must_use]
    pub fn with_capacity(nbytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(nbytes), ends: Vec::new() }
    }

    /// Append one message.
    pub fn push(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    /// Number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all messages.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.bytes.len()
    }

    /// One message; None beyond the last.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    /// All messages.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'a> FromIterator<&'a [u8]> for Chunk {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(messages: T) -> Self {
        let mut chunk = Self::default();
        messages.into_iter().for_each(|message| chunk.push(message));
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_went_in() {
        let messages = [&b"one"[..], b"", b"three"];
        let chunk: Chunk = messages.into_iter().collect();
        assert_eq!((chunk.len(), chunk.nbytes()), (3, 8));
        assert_eq!(chunk.iter().collect::<Vec<_>>(), messages);
        assert_eq!(chunk.get(3), None);
        assert!(Chunk::default().is_empty());
    }
}
