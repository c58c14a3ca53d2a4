//! Hashes of values as Java computes them, what `PartitionRouting` chooses a partition by. Never
//! hashes a struct or a map, whose hash in Java depends on objects of Kafka Connect.

use crate::encode::connect::{Kind, Schema, Value};

/// How the fields of a record become a partition (`partition.hash.function`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    /// `Object.hashCode`.
    #[default]
    Java,
    /// Debezium's variant of MurmurHash3: of texts their UTF-8 bytes, of all else Java's hash.
    Murmur,
}

impl HashFunction {
    /// The hash of a value; None when it is a struct or a map.
    #[must_use]
    pub fn hash(self, schema: &Schema, value: &Value) -> Option<i32> {
        match (self, value) {
            (Self::Java, value) => java(schema, value),
            (Self::Murmur, Value::String(text)) => Some(murmur(text.as_bytes())),
            (Self::Murmur, value) => Some(murmur(&java(schema, value)?.to_le_bytes())),
        }
    }
}

/// The partition, of `count`, for fields with these hashes.
#[must_use]
pub fn partition(hashes: impl IntoIterator<Item = i32>, count: u32) -> u32 {
    let sum = hashes.into_iter().fold(0_i32, i32::wrapping_add) & i32::MAX;
    let sum = if sum == i32::MAX { 0 } else { sum };
    sum.unsigned_abs() % count.max(1)
}

/// `Object.hashCode`
fn java(schema: &Schema, value: &Value) -> Option<i32> {
    let bits = |bits: u64| (bits ^ bits >> 32) as i32;
    Some(match (value, &schema.kind) {
        (Value::Null, _) => 0,
        (Value::Boolean(value), _) => {
            if *value {
                1231
            } else {
                1237
            }
        }
        (Value::Integer(value), _) if schema.name.as_deref().is_some_and(|name| name.starts_with(CONNECT)) => {
            // A `java.util.Date`; days are the only ones that are no milliseconds yet.
            let unit = if schema.name.as_deref() == Some(CONNECT_DATE) { 86_400_000 } else { 1 };
            bits(value.wrapping_mul(unit).cast_unsigned())
        }
        (Value::Integer(value), Kind::Int64) => bits(value.cast_unsigned()),
        (Value::Integer(value), _) => *value as i32,
        (Value::Single(value), _) => value.to_bits().cast_signed(),
        (Value::Double(value), _) => bits(value.to_bits()),
        (Value::String(text), _) => {
            text.encode_utf16().fold(0, |hash, unit| times_31(hash).wrapping_add(i32::from(unit)))
        }
        (Value::Bytes(bytes), _) if schema.name.as_deref() == Some(CONNECT_DECIMAL) => {
            let scale = schema.parameters.iter().find(|(name, _)| name == "scale")?.1.parse().ok()?;
            times_31(integer(bytes)).wrapping_add(scale)
        }
        (Value::Bytes(bytes), _) => {
            let bytes = bytes.iter().rev();
            bytes.fold(1, |hash, byte| times_31(hash).wrapping_add(i32::from(byte.cast_signed())))
        }
        (Value::List(values), Kind::Array(element)) => {
            values.iter().try_fold(1, |hash, (_, value)| Some(times_31(hash).wrapping_add(java(element, value)?)))?
        }
        _ => return None,
    })
}

/// Connect's own meanings.
const CONNECT: &str = "org.apache.kafka.connect.data.";
const CONNECT_DATE: &str = "org.apache.kafka.connect.data.Date";
const CONNECT_DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

fn times_31(hash: i32) -> i32 {
    hash.wrapping_mul(31)
}

/// `BigInteger.hashCode` of a two's complement number.
fn integer(bytes: &[u8]) -> i32 {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let mut magnitude = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let digits = magnitude.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &magnitude[first..]);
    let (head, words) = digits.as_rchunks::<4>();
    let head = head.iter().fold(0_i32, |word, byte| word << 8 | i32::from(*byte));
    let words = words.iter().map(|word| i32::from_be_bytes(*word));
    let hash = words.fold(head, |hash, word| times_31(hash).wrapping_add(word));
    if negative { hash.wrapping_neg() } else { hash }
}

const SEED: u64 = 9001;

/// The state of Debezium's MurmurHash3, which changes its constants from block to block.
struct Murmur {
    h1: u64,
    h2: u64,
    c1: u64,
    c2: u64,
}

impl Murmur {
    fn mix(&mut self, k1: u64, k2: u64) {
        let k1 = k1.wrapping_mul(self.c1).rotate_left(23).wrapping_mul(self.c2);
        self.h1 = (self.h1 ^ k1).wrapping_add(self.h2);
        self.h2 = self.h2.rotate_left(41);
        let k2 = k2.wrapping_mul(self.c2).rotate_left(23).wrapping_mul(self.c1);
        self.h2 = (self.h2 ^ k2).wrapping_add(self.h1);
        self.h1 = self.h1.wrapping_mul(3).wrapping_add(0x52dc_e729);
        self.h2 = self.h2.wrapping_mul(3).wrapping_add(0x3849_5ab5);
        self.c1 = self.c1.wrapping_mul(5).wrapping_add(0x7b7d_159c);
        self.c2 = self.c2.wrapping_mul(5).wrapping_add(0x6bce_6396);
    }
}

/// `MurmurHash3` of Debezium, seed 9001, upper half of 64 bits.
fn murmur(bytes: &[u8]) -> i32 {
    let mut state = Murmur {
        h1: 0x9368_e53c_2f6a_f274 ^ SEED,
        h2: 0x586d_cd20_8f7c_d3fd ^ SEED,
        c1: 0x87c3_7b91_1142_53d5,
        c2: 0x4cf5_ad43_2745_937f,
    };
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let [low, high] = [0, 8].map(|at| block[at..at + 8].iter().rev().fold(0, |k, byte| k << 8 | u64::from(*byte)));
        state.mix(low, high);
    }
    if !tail.is_empty() {
        // The bytes of the tail are signed in Java: a negative one flips all bits above it.
        let half = |bytes: &[u8]| {
            let shifted = bytes.iter().enumerate().map(|(at, byte)| i64::from(byte.cast_signed()) << (8 * at));
            shifted.fold(0, |k, byte| k ^ byte).cast_unsigned()
        };
        let (low, high) = tail.split_at(tail.len().min(8));
        state.mix(half(low), half(high));
    }
    let length = bytes.len() as u64;
    let h2 = state.h2 ^ length;
    let h1 = state.h1.wrapping_add(h2);
    let h2 = h2.wrapping_add(h1);
    (finish(h1).wrapping_add(finish(h2)) >> 32) as i32
}

fn finish(mut k: u64) -> u64 {
    k = (k ^ k >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    k = (k ^ k >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ k >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(scale: &str) -> Schema {
        Schema::named(Kind::Bytes, CONNECT_DECIMAL).with("scale", scale)
    }

    fn list(element: Kind, values: &[Value]) -> (Schema, Value) {
        let values = values.iter().map(|value| (true, value.clone())).collect();
        (Schema::array(Schema::new(element)), Value::List(values))
    }

    #[test]
    fn values_hash_as_in_java() {
        let plain = |kind| Schema::new(kind);
        for ((schema, value), hash) in [
            ((plain(Kind::Int32), Value::Integer(-7)), -7),
            ((plain(Kind::Int64), Value::Integer(4_294_967_296)), 1),
            ((plain(Kind::Int64), Value::Integer(-1)), 0),
            ((plain(Kind::Boolean), Value::Boolean(true)), 1231),
            ((plain(Kind::Float64), Value::Double(1.5)), 1_073_217_536),
            ((plain(Kind::Float32), Value::Single(1.5)), 1_069_547_520),
            ((plain(Kind::String), Value::String("hello".into())), 99_162_322),
            ((plain(Kind::String), Value::String("😀".into())), 1_772_899),
            ((plain(Kind::Bytes), Value::Bytes(vec![1, 2])), 1024),
            ((decimal("2"), Value::Bytes(vec![125])), 3877),
            ((decimal("2"), Value::Bytes(vec![131])), -3873),
            ((decimal("0"), Value::Bytes(vec![1, 0, 0, 0, 0])), 961),
            (list(Kind::Int32, &[Value::Integer(1), Value::Null, Value::Integer(2)]), 30_754),
            (list(Kind::String, &[Value::String("a,\"b".into()), Value::String("c".into())]), 90_929_113),
        ] {
            assert_eq!(HashFunction::Java.hash(&schema, &value), Some(hash), "{value:?}");
        }
        assert_eq!(
            HashFunction::Java.hash(&Schema::structure([("a", plain(Kind::Int32))]), &Value::Struct(vec![])),
            None
        );
    }

    #[test]
    fn murmur_is_debeziums() {
        let text = |text: &str| (Schema::new(Kind::String), Value::String(text.into()));
        let integer = |value| (Schema::new(Kind::Int32), Value::Integer(value));
        for ((schema, value), hash) in [
            (text(""), 89_125_410),
            (text("kafka"), -546_919_679),
            (text("giberish123456789"), 325_615_080),
            (text("0123456789abcdef"), 26_898_387),
            (text("0123456789abcdefé"), 2_032_921_044),
            (text("日本語😀 text of more than sixteen bytes"), -1_356_317_556),
            (integer(1), -1_931_162_451),
            (integer(-1), 171_705_313),
            (integer(123_456_789), 1_798_169_500),
            ((Schema::new(Kind::Int64), Value::Integer(4_294_967_296)), -1_931_162_451),
            ((Schema::new(Kind::Boolean), Value::Boolean(true)), -1_891_831_265),
            ((Schema::new(Kind::Float64), Value::Double(1.5)), -1_122_085_266),
            ((decimal("2"), Value::Bytes(vec![125])), 1_194_424_118),
        ] {
            assert_eq!(HashFunction::Murmur.hash(&schema, &value), Some(hash), "{value:?}");
        }
    }

    #[test]
    fn partitions_are_never_negative() {
        assert_eq!(partition([i32::MIN, -1], 7), 0);
        assert_eq!(partition([5, 6], 7), 4);
    }
}
