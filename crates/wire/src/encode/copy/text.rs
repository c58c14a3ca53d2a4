//! The text format (PostgreSQL manual, "COPY", "Text Format").

use super::Format;

/// Rows as lines.
#[derive(Clone, Debug)]
pub struct Text {
    /// What ends a row: the constants and the line feed.
    ending: Vec<u8>,
}

impl Text {
    pub fn new(constants: &[String]) -> Self {
        let mut ending = Vec::new();
        for constant in constants {
            ending.push(b'\t');
            escape(constant.as_bytes(), &mut ending);
        }
        ending.push(b'\n');
        Self { ending }
    }
}

impl Format for Text {
    #[inline]
    fn begin(&self, staged: Option<(u8, i16)>, out: &mut Vec<u8>) {
        if let Some((op, set)) = staged {
            out.push(op);
            out.push(b'\t');
            out.extend_from_slice(itoa::Buffer::new().format(set).as_bytes());
            out.push(b'\t');
        }
    }

    #[inline]
    fn cell(&self, place: usize, cell: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
        if place > 0 {
            out.push(b'\t');
        }
        match cell {
            Some(text) => escape(text, out),
            None => out.extend_from_slice(b"\\N"),
        }
        Some(())
    }

    #[inline]
    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.ending);
    }
}

/// Append a cell; what has a meaning in the format is written behind a backslash.
fn escape(cell: &[u8], out: &mut Vec<u8>) {
    let special = |byte: u8| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r');
    // Looked at as a whole first, without an early end: that is vectorised, and most cells are clean.
    if !cell.iter().fold(false, |found, byte| found | special(*byte)) {
        out.extend_from_slice(cell);
        return;
    }
    for byte in cell {
        let letter = match byte {
            b'\\' => b'\\',
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            other => {
                out.push(*other);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}
