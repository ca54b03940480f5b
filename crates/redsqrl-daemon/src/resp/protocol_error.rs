//! What is wrong with bytes that are not a request.

/// The bytes received are not the protocol. Displayed as Redis words it, to be sent behind
/// `-ERR `; then the connection is closed, since nobody knows where the next request begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// `*` is not followed by a number, or by one over `args_max`.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// `$` is not followed by a number from 0 to `bulk_bytes_max`.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// An argument begins with another byte than `$`.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0).escape_default())]
    ExpectedBulk(u8),
    /// An argument is not followed by CR LF.
    #[error("Protocol error: expected CRLF after a bulk string")]
    MissingLineEnd,
    /// No line end within `inline_bytes_max`.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// An inline command opens a quote and does not close it, or something follows a closing one.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The request would be longer than `request_bytes_max`.
    #[error("Protocol error: request is longer than {bytes_max} bytes")]
    TooBigRequest {
        /// The limit it would pass.
        bytes_max: usize,
    },
}
