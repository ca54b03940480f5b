//! What a reader of the stream gets, and what can be wrong with an entry.

use std::fmt;

use super::compress::DecompressError;
use crate::item::Stored;
use crate::item::hash::ContentHash;
use crate::item::key::InvalidKey;

/// The life of a stream, a random number born with it.
///
/// A reader that sees another epoch than before knows that it may have missed changes, and compares trees.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch that this random number begins after this one. Never the same one, which would hide the change.
    pub(super) fn next(self, random: u64) -> Self {
        Self(random.wrapping_add(u64::from(random == self.0)))
    }
}

/// 16 hex digits, as on the wire.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One entry of the stream: a write, and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeEvent {
    /// The write.
    pub stored: Stored,
    /// Which life of the stream it belongs to.
    pub epoch: Epoch,
    /// Its number within the epoch: 1, 2, 3 … A reader that misses a number has missed a change.
    pub seq: u64,
}

/// Why an entry is refused. Says which field, and shows no payload.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// A field that must be there is not.
    #[error("the entry has no {field}")]
    Missing {
        /// Which field; a member of `meta` as `meta.<name>`.
        field: &'static str,
    },
    /// A field holds what no writer puts there.
    #[error("the entry's {field} is malformed")]
    Malformed {
        /// Which field.
        field: &'static str,
    },
    /// A field is over its limit.
    #[error("the entry's {field} has {bytes} bytes, the limit is {limit}")]
    Oversize {
        /// Which field.
        field: &'static str,
        /// Its size; for a compressed payload the size it says to have.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Neither PUT nor DEL.
    #[error("the entry's op is {op:?}: expected PUT or DEL")]
    UnknownOp {
        /// Its beginning.
        op: String,
    },
    /// The key cannot be stored.
    #[error("the entry's key: {0}")]
    Key(#[source] InvalidKey),
    /// The payload could not be decompressed.
    #[error("the entry's data: {0}")]
    Decompress(#[source] DecompressError),
    /// The payload is not the one that the hash belongs to.
    #[error("the entry's data has the hash {actual}, its hash field says {expected}")]
    HashMismatch {
        /// The hash that came with the entry.
        expected: ContentHash,
        /// The hash of the payload that came.
        actual: ContentHash,
    },
}

impl EventError {
    /// The field that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Missing { field } | Self::Malformed { field } | Self::Oversize { field, .. } => {
                field
            }
            Self::UnknownOp { .. } => "op",
            Self::Key(_) => "key",
            Self::Decompress(_) => "data",
            Self::HashMismatch { .. } => "hash",
        }
    }
}
