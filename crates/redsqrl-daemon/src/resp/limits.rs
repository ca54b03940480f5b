//! Every bound of the Redis-protocol face, in one place; what clients hold together is bounded by the
//! [`Budget`](crate::budget::Budget).

use std::time::Duration;

/// What one request may be. Lengths in bytes. A request over a bound is a
/// [`ProtocolError`](super::ProtocolError), after which the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest single argument.
    pub bulk_bytes_max: usize,
    /// Most arguments of one request, its name included.
    pub args_max: usize,
    /// Longest request as it stands on the wire, headers included.
    pub request_bytes_max: usize,
    /// Longest inline command, its line end not counted.
    pub inline_bytes_max: usize,
    /// Most commands handed out by one call of `parse_batch`.
    pub batch_commands_max: usize,
}

/// Room beyond the payload for what travels with it in one argument.
const BULK_SLACK_BYTES: usize = 64 * 1024;

/// What a client that has not proved who it is may send, the values Redis uses.
const UNAUTHENTICATED_ARGS_MAX: usize = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Limits::for_payload(16 * 1024 * 1024)
    }
}

impl Limits {
    /// Limits for a node whose items are at most `payload_bytes_max` long: one argument holds a
    /// payload and some slack, one request holds four of them.
    #[must_use]
    pub fn for_payload(payload_bytes_max: usize) -> Self {
        Limits {
            bulk_bytes_max: payload_bytes_max.saturating_add(BULK_SLACK_BYTES),
            args_max: 1024 * 1024,
            request_bytes_max: payload_bytes_max
                .saturating_add(BULK_SLACK_BYTES)
                .saturating_mul(4),
            inline_bytes_max: 64 * 1024,
            batch_commands_max: 1024,
        }
    }

    /// The same limits for a client that has not authenticated yet on a node that asks for a
    /// password: enough for HELLO and AUTH, and no memory worth attacking.
    #[must_use]
    pub fn unauthenticated(self) -> Self {
        let bulk = self.bulk_bytes_max.min(UNAUTHENTICATED_BULK_BYTES_MAX);
        let args = self.args_max.min(UNAUTHENTICATED_ARGS_MAX);
        Limits {
            bulk_bytes_max: bulk,
            args_max: args,
            request_bytes_max: self.request_bytes_max.min(bulk.saturating_mul(args)),
            inline_bytes_max: self.inline_bytes_max.min(bulk),
            batch_commands_max: self.batch_commands_max,
        }
    }
}

/// What the in-memory streams may hold. Bytes are counted with the overhead of entries, so they
/// bound memory, not only content. Over a bound XADD is refused; nothing is dropped unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Most streams, empty ones included.
    pub streams_max: usize,
    /// Most entries of one stream.
    pub entries_max: usize,
    /// Most bytes of one stream.
    pub stream_bytes_max: usize,
    /// Most bytes of all streams together.
    pub total_bytes_max: usize,
}

/// Bytes of one stream, at least.
const STREAM_BYTES_MIN: usize = 128 * 1024 * 1024;

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits::for_payload(16 * 1024 * 1024)
    }
}

impl StreamLimits {
    /// Limits for a node whose items are at most `payload_bytes_max` long: an answer with such an
    /// item must fit beside an older one, or peers would never get it.
    #[must_use]
    pub fn for_payload(payload_bytes_max: usize) -> Self {
        let stream_bytes_max = payload_bytes_max.saturating_mul(4).max(STREAM_BYTES_MIN);
        StreamLimits {
            streams_max: 1024,
            entries_max: 1_000_000,
            stream_bytes_max,
            total_bytes_max: stream_bytes_max.saturating_mul(2),
        }
    }
}

/// What the server grants all clients together, and one client at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// What one request may be.
    pub request: Limits,
    /// Most connections at once; one more is told so and closed.
    pub clients_max: usize,
    /// A client that is silent for so long is closed; `None`: never. A client that waits in XREAD
    /// BLOCK is not silent.
    pub idle_max: Option<Duration>,
    /// How long a client may take to authenticate, on a node that asks for a password.
    pub login_max: Duration,
    /// A client that takes no byte of its replies for so long, or sends none of a long request, is
    /// closed; so is one that takes or sends next to nothing, see [`Pace`](crate::pace::Pace).
    pub stall_max: Duration,
    /// Most SCANs under way; the one that began first is forgotten.
    pub cursors_max: usize,
    /// A SCAN that is not continued for so long is forgotten.
    pub cursor_age_max: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            request: Limits::default(),
            clients_max: 10_000,
            idle_max: None,
            login_max: Duration::from_secs(30),
            stall_max: Duration::from_secs(60),
            cursors_max: 10_000,
            cursor_age_max: Duration::from_secs(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_hold_several_of_the_largest_items() {
        const MIB: usize = 1024 * 1024;
        let usual = StreamLimits::default();
        assert_eq!(usual.stream_bytes_max, 128 * MIB);
        assert_eq!(usual.total_bytes_max, 256 * MIB);
        let large = StreamLimits::for_payload(512 * MIB);
        assert_eq!(large.stream_bytes_max, 2048 * MIB);
        assert_eq!(large.total_bytes_max, 4096 * MIB);
    }
}
