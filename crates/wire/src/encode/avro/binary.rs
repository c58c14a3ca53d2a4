//! Avro's binary encoding of typed values. Never knows a schema: members, elements and entries say whether they are
//! unions with null, and in which order.

use crate::encode::connect::{Field, Format, Written};
use crate::encode::varint;

/// What a value is one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Union {
    /// Of nothing: its schema is its type.
    #[default]
    None,
    /// `["null", T]`
    NullFirst,
    /// `[T, "null"]`: what has a default, which a union's first branch must hold.
    NullLast,
}

/// Appends Avro's binary encoding to a buffer.
#[derive(Debug)]
pub struct Avro<'a> {
    out: &'a mut Vec<u8>,
    union: Union,
    /// Where the lists and maps that are open begin.
    open: Vec<usize>,
    broken: bool,
}

impl<'a> Avro<'a> {
    /// Append to `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, union: Union::None, open: Vec::new(), broken: false }
    }

    /// The same for a value that may be null by its schema, if it is `optional`.
    #[inline]
    #[must_use]
    pub fn of(self, optional: bool) -> Self {
        Self { union: if optional { Union::NullFirst } else { Union::None }, ..self }
    }

    /// The end of a value.
    ///
    /// # Errors
    /// When a null stands where the schema has no place for one; what was written is of no use then.
    #[inline]
    pub fn finish(self) -> Written {
        self.sound()
    }

    /// Say which branch of the union comes, if the value is one's.
    #[inline]
    fn branch(&mut self) {
        match std::mem::take(&mut self.union) {
            Union::None => {}
            Union::NullFirst => self.out.push(2),
            Union::NullLast => self.out.push(0),
        }
    }

    /// Write `count` before what was written since `start`, where one byte was left free for it.
    fn count(&mut self, start: usize, count: usize) {
        varint::fill(varint::zigzag(i64::try_from(count).unwrap_or(i64::MAX)), start, self.out);
    }

    /// Begin a list or a map: one block, as Java's encoder writes it.
    fn begin_block(&mut self) {
        self.branch();
        self.open.push(self.out.len());
        self.out.push(0);
    }

    fn end_block(&mut self, count: usize) {
        let Some(start) = self.open.pop() else { return };
        if count > 0 {
            self.count(start, count);
            self.out.push(0);
        }
    }
}

impl Format for Avro<'_> {
    fn nests(&self) -> bool {
        false
    }

    #[inline]
    fn sound(&self) -> Written {
        if self.broken { Err("null where the schema allows none") } else { Ok(()) }
    }

    #[inline]
    fn null(&mut self) {
        match std::mem::take(&mut self.union) {
            Union::None => self.broken = true,
            Union::NullFirst => self.out.push(0),
            Union::NullLast => self.out.push(2),
        }
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        self.branch();
        self.out.push(u8::from(value));
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        self.branch();
        varint::push(varint::zigzag(value), self.out);
    }

    #[inline]
    fn single(&mut self, value: f32) {
        self.branch();
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    fn double(&mut self, value: f64) {
        self.branch();
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    fn string(&mut self, text: &[u8]) -> Written {
        std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
        self.bytes(text);
        Ok(())
    }

    fn compose(&mut self, compose: impl FnOnce(&mut Vec<u8>) -> Written) -> Written {
        self.branch();
        let start = self.out.len();
        self.out.push(0);
        compose(self.out)?;
        self.count(start, self.out.len() - start - 1);
        Ok(())
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.integer(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    fn begin_struct(&mut self) {
        self.branch();
    }

    #[inline]
    fn field(&mut self, field: &Field) {
        self.union = match (field.optional, field.defaulted) {
            (false, _) => Union::None,
            (true, false) => Union::NullFirst,
            (true, true) => Union::NullLast,
        };
    }

    #[inline]
    fn end_struct(&mut self) {}

    fn begin_list(&mut self) {
        self.begin_block();
    }

    #[inline]
    fn element(&mut self, _: bool, optional: bool) {
        self.union = if optional { Union::NullFirst } else { Union::None };
    }

    fn end_list(&mut self, count: usize) {
        self.end_block(count);
    }

    fn begin_map(&mut self, _: bool) {
        self.begin_block();
    }

    fn key(&mut self, _: bool) {
        self.union = Union::None;
    }

    fn entry(&mut self, optional: bool) {
        self.element(false, optional);
    }

    fn end_map(&mut self, count: usize) {
        self.end_block(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::connect::Value;

    fn written(value: &Value) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        let mut avro = Avro::new(&mut out);
        value.write(&mut avro);
        avro.finish().map(|()| out)
    }

    #[test]
    fn primitives_are_those_of_the_specification() {
        for (value, bytes) in [(0, vec![0]), (-1, vec![1]), (1, vec![2]), (-64, vec![0x7f]), (64, vec![0x80, 1])] {
            assert_eq!(written(&Value::Integer(value)), Ok(bytes));
        }
        assert_eq!(written(&Value::Integer(i64::MIN)), Ok([vec![0xff; 9], vec![1]].concat()));
        assert_eq!(written(&Value::String("foo".into())), Ok(b"\x06foo".to_vec()));
        assert_eq!(written(&Value::Boolean(true)), Ok(vec![1]));
        assert_eq!(written(&Value::Single(1.5)), Ok(1.5_f32.to_le_bytes().to_vec()));
    }

    #[test]
    fn members_say_which_union_they_are() {
        let member = |optional, default, value| {
            let field = Field::new(0, "a", optional);
            written(&Value::Struct(vec![(if default { field.with_default() } else { field }, value)]))
        };
        assert_eq!(member(true, false, Value::Null), Ok(vec![0]));
        assert_eq!(member(true, false, Value::Boolean(true)), Ok(vec![2, 1]));
        assert_eq!(member(true, true, Value::Null), Ok(vec![2]));
        assert_eq!(member(true, true, Value::Boolean(true)), Ok(vec![0, 1]));
        assert_eq!(member(false, true, Value::Boolean(true)), Ok(vec![1]));
        assert!(member(false, false, Value::Null).is_err());
    }

    #[test]
    fn lists_and_maps_are_one_block_each() {
        let list = |count: usize| Value::List(vec![(true, Value::Null); count]);
        assert_eq!(written(&list(0)), Ok(vec![0]));
        assert_eq!(written(&list(2)), Ok(vec![4, 0, 0, 0]));
        assert_eq!(written(&list(100)), Ok([vec![0xc8, 1], vec![0; 101]].concat()));
        let map = Value::Map(true, vec![(Value::String("k".into()), Value::Integer(3))]);
        assert_eq!(written(&map), Ok(vec![2, 2, b'k', 2, 6, 0]));
        let nested = Value::List(vec![(false, Value::List(vec![(false, Value::Integer(1))]))]);
        assert_eq!(written(&nested), Ok(vec![2, 2, 2, 0, 0]));
    }

    #[test]
    fn composed_text_has_its_length_before_it() {
        for length in [0, 1, 63, 64, 9000] {
            let (mut out, text) = (vec![b'x'], vec![b'a'; length]);
            let mut avro = Avro::new(&mut out);
            avro.element(true, true);
            avro.compose(|out| {
                out.extend_from_slice(&text);
                Ok(())
            })
            .unwrap();
            let mut same = vec![b'x', 2];
            Avro::new(&mut same).string(&text).unwrap();
            assert_eq!(out, same);
        }
    }
}
