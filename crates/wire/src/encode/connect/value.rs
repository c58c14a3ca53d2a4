//! A value on its own: defaults, and what stands for a cell that was not sent.

use super::format::{Field, Format, Written};

/// A value of Connect's data model. Two are equal as Java's `equals` has it: a NaN is equal to itself.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer of any width.
    Integer(i64),
    /// A number of 32 bits.
    Single(f32),
    /// A number of 64 bits.
    Double(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The members of a struct, in order.
    Struct(Vec<(Field, Value)>),
    /// A list; whether its values may be null stands with each.
    List(Vec<(bool, Value)>),
    /// The entries of a map, and whether its keys are text.
    Map(bool, Vec<(Value, Value)>),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(left), Self::Boolean(right)) => left == right,
            (Self::Integer(left), Self::Integer(right)) => left == right,
            (Self::Single(left), Self::Single(right)) => left.to_bits() == right.to_bits(),
            (Self::Double(left), Self::Double(right)) => left.to_bits() == right.to_bits(),
            (Self::String(left), Self::String(right)) => left == right,
            (Self::Bytes(left), Self::Bytes(right)) => left == right,
            (Self::Struct(left), Self::Struct(right)) => left == right,
            (Self::List(left), Self::List(right)) => left == right,
            (Self::Map(left, entries), Self::Map(right, others)) => left == right && entries == others,
            _ => false,
        }
    }
}

impl Value {
    /// Write it.
    pub fn write<F: Format>(&self, out: &mut F) {
        match self {
            Self::Null => out.null(),
            Self::Boolean(value) => out.boolean(*value),
            Self::Integer(value) => out.integer(*value),
            Self::Single(value) => out.single(*value),
            Self::Double(value) => out.double(*value),
            Self::String(text) => {
                let written = out.string(text.as_bytes());
                debug_assert!(written.is_ok());
            }
            Self::Bytes(bytes) => out.bytes(bytes),
            Self::Struct(members) => {
                out.begin_struct();
                for (field, value) in members {
                    out.field(field);
                    value.write(out);
                }
                out.end_struct();
            }
            Self::List(values) => {
                out.begin_list();
                for (at, (optional, value)) in values.iter().enumerate() {
                    out.element(at == 0, *optional);
                    value.write(out);
                }
                out.end_list(values.len());
            }
            Self::Map(named, entries) => {
                out.begin_map(*named);
                for (at, (key, value)) in entries.iter().enumerate() {
                    out.key(at == 0);
                    key.write(out);
                    out.entry(true);
                    value.write(out);
                }
                out.end_map(entries.len());
            }
        }
    }
}

/// A format that keeps what is written as a [`Value`].
#[derive(Debug, Default)]
pub struct Recorder {
    open: Vec<Open>,
    done: Option<Value>,
}

/// A struct, list or map that has not ended.
#[derive(Debug)]
enum Open {
    Struct(Vec<(Field, Value)>, Option<Field>),
    List(Vec<(bool, Value)>, bool),
    Map(bool, Vec<(Value, Value)>, Option<Value>),
}

impl Recorder {
    /// What was written; None before a first value is complete.
    #[must_use]
    pub fn finish(self) -> Option<Value> {
        self.done
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.done = Some(value),
            Some(Open::Struct(members, field)) => members.extend(field.take().map(|field| (field, value))),
            Some(Open::List(values, optional)) => values.push((*optional, value)),
            Some(Open::Map(_, entries, key)) => match key.take() {
                Some(key) => entries.push((key, value)),
                None => *key = Some(value),
            },
        }
    }

    fn close(&mut self) {
        let value = match self.open.pop() {
            Some(Open::Struct(members, _)) => Value::Struct(members),
            Some(Open::List(values, _)) => Value::List(values),
            Some(Open::Map(named, entries, _)) => Value::Map(named, entries),
            None => return,
        };
        self.put(value);
    }
}

impl Format for Recorder {
    fn nests(&self) -> bool {
        false
    }

    fn null(&mut self) {
        self.put(Value::Null);
    }

    fn boolean(&mut self, value: bool) {
        self.put(Value::Boolean(value));
    }

    fn integer(&mut self, value: i64) {
        self.put(Value::Integer(value));
    }

    fn single(&mut self, value: f32) {
        self.put(Value::Single(value));
    }

    fn double(&mut self, value: f64) {
        self.put(Value::Double(value));
    }

    fn string(&mut self, text: &[u8]) -> Written {
        self.put(Value::String(std::str::from_utf8(text).map_err(|_| "not UTF-8")?.to_owned()));
        Ok(())
    }

    fn compose(&mut self, compose: impl FnOnce(&mut Vec<u8>) -> Written) -> Written {
        let mut text = Vec::new();
        compose(&mut text)?;
        self.string(&text)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.put(Value::Bytes(bytes.to_vec()));
    }

    fn begin_struct(&mut self) {
        self.open.push(Open::Struct(Vec::new(), None));
    }

    fn field(&mut self, field: &Field) {
        if let Some(Open::Struct(_, next)) = self.open.last_mut() {
            *next = Some(field.clone());
        }
    }

    fn end_struct(&mut self) {
        self.close();
    }

    fn begin_list(&mut self) {
        self.open.push(Open::List(Vec::new(), true));
    }

    fn element(&mut self, _: bool, optional: bool) {
        if let Some(Open::List(_, next)) = self.open.last_mut() {
            *next = optional;
        }
    }

    fn end_list(&mut self, _: usize) {
        self.close();
    }

    fn begin_map(&mut self, named: bool) {
        self.open.push(Open::Map(named, Vec::new(), None));
    }

    fn key(&mut self, _: bool) {}

    fn entry(&mut self, _: bool) {}

    fn end_map(&mut self, _: usize) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_as_javas_are() {
        for (left, right) in [(f64::NAN, f64::NAN), (0.5, 0.5), (f64::INFINITY, f64::INFINITY)] {
            assert_eq!(Value::Double(left), Value::Double(right));
            assert_eq!(Value::List(vec![(true, Value::Double(left))]), Value::List(vec![(true, Value::Double(right))]));
        }
        assert_eq!(Value::Single(f32::NAN), Value::Single(f32::NAN));
        assert_ne!(Value::Double(0.0), Value::Double(-0.0));
        assert_ne!(Value::Double(1.0), Value::Integer(1));
    }
}
