//! Base64 as Jackson and Connect write it (RFC 4648, section 4).

const BAD: u8 = 0xFF;

const VALUE: [u8; 256] = {
    let mut table = [BAD; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        table[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// Append the bytes of `text`; None when it is anything but complete base64 with its padding.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let digits = &text[..text.len() - padding];
    out.reserve(text.len() / 4 * 3);
    let mut bad = 0;
    let (fours, tail) = digits.as_chunks::<4>();
    for four in fours {
        let [a, b, c, d] = four.map(|byte| VALUE[usize::from(byte)]);
        bad |= a | b | c | d;
        out.extend_from_slice(&[a << 2 | b >> 4 & 3, b << 4 | c >> 2 & 15, c << 6 | d & 63]);
    }
    match *tail {
        [] => {}
        [a, b] => {
            let [a, b] = [a, b].map(|byte| VALUE[usize::from(byte)]);
            bad |= a | b;
            out.push(a << 2 | b >> 4 & 3);
        }
        [a, b, c] => {
            let [a, b, c] = [a, b, c].map(|byte| VALUE[usize::from(byte)]);
            bad |= a | b | c;
            out.extend_from_slice(&[a << 2 | b >> 4 & 3, b << 4 | c >> 2 & 15]);
        }
        _ => return None,
    }
    (bad & 0xC0 == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            let (mut text, mut back) = (Vec::new(), Vec::new());
            crate::encode::json::base64(&bytes, &mut text);
            proptest::prop_assert_eq!(decode(&text, &mut back), Some(()));
            proptest::prop_assert_eq!(back, bytes);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes, &mut Vec::new());
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["A", "AA", "AAA", "====", "A===", "AA=A", "AA-_", "AAA\u{e9}"] {
            assert_eq!(decode(text.as_bytes(), &mut Vec::new()), None, "{text}");
        }
    }
}
