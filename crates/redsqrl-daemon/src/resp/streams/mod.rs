//! Streams in memory, with the rules of Redis: what peers read and write on a node that has
//! no Redis.
//!
//! It is a plain state machine: the clock comes in as `now_ms`, nobody waits here
//! ([`stream_wait`](super::stream_wait) does), nothing survives a restart.
//!
//! The rule: it never holds more than its [`StreamLimits`](super::StreamLimits); an XADD over a limit is refused and
//! changes nothing.

mod error;
mod id;
mod source;
mod store;
mod stream;
#[cfg(test)]
mod tests;

pub mod stream_reply;

use bytes::Bytes;

pub use error::StreamError;
pub use id::{AddId, BoundError, ReadFrom, Side, parse_bound};
pub use source::{Entry, Fields, Run, StreamInfo, StreamSource};
pub use store::StreamStore;
pub use stream::{Cut, Keep, Stream, Trim, entry_bytes};
pub use sync_engine::cdc::memory::Span;
pub use sync_engine::cdc::stream_id::{InvalidStreamId, StreamId};

/// What XADD asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub key: Bytes,
    /// What to do if there is no such stream.
    pub missing: IfMissing,
    /// What to cut off the old end afterwards.
    pub trim: Option<Trim>,
    /// The id wanted.
    pub id: AddId,
    /// At least one field and value.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// What XADD does without a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// Begin one.
    Create,
    /// Add nothing (`NOMKSTREAM`).
    Skip,
}

/// What XREAD asks for, without the waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Most entries of each stream; `None`: all.
    pub count: Option<usize>,
    /// The streams and where to begin on each.
    pub streams: Vec<(Bytes, ReadFrom)>,
}

/// Keys and the entries read from each; streams without news are left out.
pub type ReadResult = Vec<(Bytes, Run)>;
