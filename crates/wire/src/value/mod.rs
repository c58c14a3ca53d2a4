//! The server's text formats read by hand, shared by the encoders: numbers, times, bytes, arrays.
//!
//! Formats are those of a session with DateStyle ISO, IntervalStyle postgres, bytea_output hex. None of these functions
//! allocates for more than its result; malformed text is None, never a panic.

pub mod array;
pub mod bytea;
pub mod number;
pub mod time;
