//! `bytea` in hex format (PostgreSQL manual, "Binary Data Types").

const BAD: u8 = 0xFF;

const DIGIT: [u8; 256] = {
    let mut table = [BAD; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        table[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// Append the bytes of `\x…` to `out`; None, and nothing appended, when the text is anything else.
#[must_use]
pub fn unhex(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let digits = text.strip_prefix(b"\\x")?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let start = out.len();
    if pairs(digits, out).is_none() {
        out.truncate(start);
        return None;
    }
    Some(())
}

/// Append the bytes of pairs of hex digits; None, and anything appended, when one is not.
#[must_use]
#[inline]
pub fn pairs(digits: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut bad = 0;
    out.extend(digits.chunks_exact(2).map(|pair| {
        let (high, low) = (DIGIT[usize::from(pair[0])], DIGIT[usize::from(pair[1])]);
        bad |= high | low;
        high << 4 | low & 0xF
    }));
    (bad & 0xF0 == 0).then_some(())
}

/// Append `\x…` of `bytes` to `out`.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\x");
    digits(bytes, out);
}

/// Append two hex digits a byte, lower case, to `out`.
pub fn digits(bytes: &[u8], out: &mut Vec<u8>) {
    const LOWER: &[u8; 16] = b"0123456789abcdef";
    out.extend(bytes.iter().flat_map(|byte| [LOWER[usize::from(byte >> 4)], LOWER[usize::from(byte & 0xF)]]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_other_text_is_refused() {
        let every: Vec<u8> = (0..=255).collect();
        let (mut text, mut back) = (Vec::new(), Vec::new());
        hex(&every, &mut text);
        assert_eq!(unhex(&text, &mut back), Some(()));
        assert_eq!(back, every);
        assert_eq!(unhex(b"\\x0A", &mut back), Some(()));
        assert_eq!(back.pop(), Some(10));
        for bad in [&b""[..], b"\\x0", b"\\xg0", b"0a", b"\\000"] {
            assert_eq!(unhex(bad, &mut back), None);
        }
        assert_eq!(back, every);
    }
}
