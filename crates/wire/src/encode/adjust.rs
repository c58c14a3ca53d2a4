//! Names that Avro does not take, and what Debezium makes of them.

use std::fmt::Write;

/// `schema.name.adjustment.mode` and `field.name.adjustment.mode`: what becomes of a name that Avro does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adjustment {
    /// Nothing.
    #[default]
    None,
    /// An underscore for each other character.
    Avro,
    /// `_u0020` and the like for each other character and for the underscore itself.
    AvroUnicode,
}

impl Adjustment {
    /// By the words that both options take.
    pub const WORDS: [(&str, Self); 3] =
        [("none", Self::None), ("avro", Self::Avro), ("avro_unicode", Self::AvroUnicode)];

    /// The name of a field.
    #[must_use]
    pub fn field(self, name: &str) -> String {
        self.adjusted(name, false)
    }

    /// The name of a schema, which may have dots.
    #[must_use]
    pub fn schema(self, name: &str) -> String {
        self.adjusted(name, true)
    }

    fn adjusted(self, name: &str, dots: bool) -> String {
        if self == Self::None {
            return name.into();
        }
        let unicode = self == Self::AvroUnicode;
        let mut out = String::new();
        for (at, unit) in name.encode_utf16().enumerate() {
            let byte = u8::try_from(unit).ok().filter(u8::is_ascii);
            let digit = byte.is_some_and(|byte| byte.is_ascii_digit());
            let sound = byte.is_some_and(|byte| {
                byte.is_ascii_alphabetic()
                    || (digit && at > 0)
                    || (byte == b'_' && !unicode)
                    || (byte == b'.' && dots && at > 0)
            });
            match byte {
                Some(byte) if sound => out.push(byte.into()),
                _ if unicode => push_unit(unit, &mut out),
                Some(byte) if digit => out.extend(['_', byte.into()]),
                _ => out.push('_'),
            }
        }
        out
    }
}

/// Append a UTF-16 unit as its number: as many hex digits as it has, but four below 256.
pub(super) fn push_unit(unit: u16, out: &mut String) {
    // A String takes every text.
    let _ = if unit <= 0xff { write!(out, "_u00{unit:x}") } else { write!(out, "_u{unit:x}") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_are_adjusted_as_debezium_does() {
        let names = ["co l", "1a", "a_b", "Üp", "x-y"];
        assert_eq!(names.map(|name| Adjustment::Avro.field(name)), ["co_l", "_1a", "a_b", "_p", "x_y"]);
        assert_eq!(
            names.map(|name| Adjustment::AvroUnicode.field(name)),
            ["co_u0020l", "_u0031a", "a_u005fb", "_u00dcp", "x_u002dy"]
        );
    }

    #[test]
    fn schema_names_are_adjusted_as_debezium_does() {
        assert_eq!(Adjustment::Avro.schema("1shop.a-b.Key"), "_1shop.a_b.Key");
        assert_eq!(Adjustment::AvroUnicode.schema("a_b-\t\u{161}.Key"), "a_u005fb_u002d_u009_u161.Key");
    }
}
