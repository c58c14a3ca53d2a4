//! What can go wrong between bytes and batches. Messages never hold row values (I9).

use std::fmt;

use crate::encode::debezium::Unregistered;

/// A failure of decoding, spilling or encoding.
#[derive(Debug)]
pub enum Error {
    /// Bytes that are not understood: what was read, and at which offset of the message (I10).
    Malformed {
        /// What the decoder was reading.
        what: String,
        /// Offset of the first byte that does not fit, within the message.
        offset: usize,
    },
    /// A limit was met (I8): which one, and its value.
    Limit(String),
    /// The spill file could not be written or read.
    Io(std::io::Error),
    /// Values that an encoding cannot carry: index of the change in what was encoded, and the reason.
    Reject(Vec<(usize, String)>),
    /// Schemas that need the id of a registry before anything can be encoded.
    Unregistered(Vec<Unregistered>),
    /// A name that an encoding cannot carry: which, and why.
    Named(String),
    /// The caller broke the contract of a function.
    Usage(String),
}

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A [`Error::Malformed`] at `offset`.
    pub fn malformed(what: impl Into<String>, offset: usize) -> Self {
        Self::Malformed { what: what.into(), offset }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, offset } => write!(f, "{what} at byte {offset}"),
            Self::Limit(what) | Self::Usage(what) | Self::Named(what) => f.write_str(what),
            Self::Io(error) => write!(f, "spill file: {error}"),
            Self::Unregistered(schemas) => write!(f, "{} schema(s) have no id yet", schemas.len()),
            Self::Reject(reasons) => write!(f, "{} change(s) cannot be encoded", reasons.len()),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
