//! Numbers of as many bytes as they need, seven bits a byte, the lowest first: as Avro and Protobuf have them.

/// Write `value` into `bytes`; returns how many of them it takes.
pub fn write(mut value: u64, bytes: &mut [u8; 10]) -> usize {
    let mut length = 0;
    while value >= 0x80 {
        bytes[length] = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    bytes[length] = value as u8;
    length + 1
}

/// Append `value`.
#[inline]
pub fn push(value: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let length = write(value, &mut bytes);
    out.extend_from_slice(&bytes[..length]);
}

/// Write `value` at `start`, where one byte was left free for it.
pub fn fill(value: u64, start: usize, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let length = write(value, &mut bytes);
    out[start] = bytes[0];
    if length > 1 {
        out.splice(start + 1..start + 1, bytes[1..length].iter().copied());
    }
}

/// Small magnitudes of either sign become small numbers.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}
