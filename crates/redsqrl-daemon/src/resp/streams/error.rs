//! Why a stream command is refused.

/// Displayed as the whole error reply, code first, as Redis words it where Redis has the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// XADD with an id that is not above the last one.
    #[error("ERR The ID specified in XADD is equal or smaller than the target stream top item")]
    IdNotAbove,
    /// XADD with the id 0-0.
    #[error("ERR The ID specified in XADD must be greater than 0-0")]
    IdZero,
    /// XADD with an id whose time is further ahead than any clock of a peer.
    #[error("ERR The ID specified in XADD is too far in the future")]
    IdFromFuture,
    /// XADD to a stream that has used the last id.
    #[error("ERR The stream has exhausted the last possible ID, unable to add more items")]
    IdsExhausted,
    /// XINFO on a key without a stream.
    #[error("ERR no such key")]
    NoSuchKey,
    /// A write to a stream that is served from elsewhere.
    #[error("ERR this stream is read only")]
    ReadOnly,
    /// `streams_max` streams exist.
    #[error("OOM no more than {streams_max} streams are kept")]
    TooManyStreams {
        /// The limit.
        streams_max: usize,
    },
    /// The stream holds `entries_max` entries.
    #[error("OOM the stream is full ({entries_max} entries), trim it")]
    TooManyEntries {
        /// The limit.
        entries_max: usize,
    },
    /// The stream would pass `stream_bytes_max`.
    #[error("OOM the stream is full ({bytes_max} bytes), trim it")]
    StreamFull {
        /// The limit.
        bytes_max: usize,
    },
    /// All streams together would pass `total_bytes_max`.
    #[error("OOM the streams of this node are full ({bytes_max} bytes)")]
    StoreFull {
        /// The limit.
        bytes_max: usize,
    },
}
