//! What Debezium writes in place of a value that it does not have: an unchanged TOAST value, or a column of an old row
//! that its key only was sent of.

use crate::encode::debezium::name_based;
use crate::encode::json;

/// All forms of the placeholder for an unchanged value, by the types that have one.
#[derive(Debug)]
pub(super) struct Placeholders {
    forms: Vec<Vec<u8>>,
}

/// What the reader itself puts in place of a value that a row lists as not sent: no writer spells underscores so.
pub(super) const LISTED: &[u8] = br#""\u005f\u005funavailable""#;

impl Placeholders {
    /// The forms of `unavailable.value.placeholder`, which need not be text.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let placeholder = String::from_utf8_lossy(bytes);
        let quoted = |text: &str| {
            let mut out = Vec::new();
            json::text(text, &mut out);
            out
        };
        let encoded = |base64: fn(&[u8], &mut Vec<u8>)| {
            let mut out = vec![b'"'];
            base64(bytes, &mut out);
            out.push(b'"');
            out
        };
        let (base64, base64_url) = (encoded(json::base64), encoded(json::base64_url));
        let list = |element: &[u8]| [b"[", element, b"]"].concat();
        let numbers = |suffix: &str| {
            // Signed, as Java has them.
            let numbers: Vec<String> = bytes.iter().map(|byte| format!("{}{suffix}", *byte as i8)).collect();
            numbers.join(",").into_bytes()
        };
        let plain = quoted(&placeholder);
        let map = [b"{", &plain[..], b":", &plain[..], b"}"].concat();
        let hstore = quoted(&String::from_utf8_lossy(&map));
        let uuid = quoted(&name_based(bytes));
        let variable = [b"{\"scale\":0,\"value\":", &base64[..], b"}"].concat();
        let scalars = [plain, base64, base64_url, hstore, uuid, variable, map];
        let mut forms: Vec<Vec<u8>> = scalars.iter().map(|form| list(form)).collect();
        forms.extend(scalars);
        forms.push(list(&numbers("")));
        forms.push(list(&numbers(".0")));
        forms.retain(|_| !placeholder.is_empty());
        forms.push(LISTED.to_vec());
        Self { forms }
    }

    /// Length of the placeholder that `json` begins with.
    #[inline]
    pub(super) fn at(&self, json: &[u8]) -> Option<usize> {
        let second = *json.get(1)?;
        let fits = |form: &&Vec<u8>| form[1] == second && json.starts_with(form);
        self.forms.iter().find(fits).map(Vec::len)
    }
}

/// Whether a value is what Debezium writes for a column that cannot be null and was not sent.
pub(super) fn is_zero(json: &[u8]) -> bool {
    match json {
        b"0" | b"0.0" | b"false" | b"\"\"" | b"[]" | b"{}" | b"\"{}\"" | b"\"AA==\"" | b"\"0\"" => true,
        b"{\"scale\":0,\"value\":\"AA==\"}" | b"\"00:00:00Z\"" | b"\"PT0S\"" | b"\"P0Y0M0DT0H0M0S\"" => true,
        _ => {
            json.starts_with(b"\"1970-01-01")
                || json.starts_with(b"{\"x\":0.0,\"y\":0.0,")
                || (json.starts_with(b"\"0.0") && json[4..json.len() - 1].iter().all(|digit| *digit == b'0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_placeholder_is_known() {
        let placeholders = Placeholders::new(b"__debezium_unavailable_value");
        for json in [
            r#""__debezium_unavailable_value""#,
            r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#,
            r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#,
            r#"["__debezium_unavailable_value"]"#,
            r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#,
            r#"{"scale":0,"value":"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="}"#,
        ] {
            assert_eq!(placeholders.at(json.as_bytes()), Some(json.len()), "{json}");
        }
        let numbers: Vec<String> = b"__debezium_unavailable_value".iter().map(u8::to_string).collect();
        let list = format!("[{}]", numbers.join(","));
        assert_eq!(placeholders.at(list.as_bytes()), Some(list.len()));
        for json in [r#""__debezium_unavailable_valu""#, r#""another""#, "[]", "\"\"", ""] {
            assert_eq!(placeholders.at(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_a_placeholder_too() {
        let placeholders = Placeholders::new(&[0x61, 0xfb, 0xff]);
        assert_eq!(placeholders.at(b"[97,251,255]"), None);
        for json in ["\"a\u{fffd}\u{fffd}\"", r#""Yfv/""#, r#""Yfv_""#, "[97,-5,-1]", "[97.0,-5.0,-1.0]"] {
            assert_eq!(placeholders.at(json.as_bytes()), Some(json.len()), "{json}");
        }
    }

    #[test]
    fn zeros_are_known() {
        for json in ["0", "\"AA==\"", "\"0.00\"", "\"1970-01-01T00:00:00Z\"", "{\"x\":0.0,\"y\":0.0,\"wkb\":\"A\"}"] {
            assert!(is_zero(json.as_bytes()), "{json}");
        }
        for json in ["1", "\"0.01\"", "\"a\"", "true", "\"0.0x\""] {
            assert!(!is_zero(json.as_bytes()), "{json}");
        }
    }
}
