//! What one node can ask of another.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sync_engine::cdc::codec::Fields;
use sync_engine::cdc::stream_id::StreamId;

use crate::config::{ConfigError, PeerConfig};

/// An entry of a peer's change stream, not decoded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place.
    pub id: StreamId,
    /// Its fields, in order.
    pub fields: Fields,
}

/// The end of a peer's change stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamState {
    /// The newest entry; without fields when it is too large to be read. `None`: the stream is empty or absent.
    pub newest: Option<Entry>,
}

impl StreamState {
    /// Id of the newest entry; [`StreamId::MIN`] when there is none.
    pub fn last_id(&self) -> StreamId {
        self.newest.as_ref().map_or(StreamId::MIN, |entry| entry.id)
    }
}

/// A peer did not do what it was asked, or did not say so. Never shows a password.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No connection, a broken one, or an error reply.
    #[error("{op}: {source}")]
    Unavailable {
        /// What was being done.
        op: &'static str,
        /// Why it failed.
        source: sync_engine::error::Source,
    },
    /// It took too long.
    #[error("{op}: no answer within {} ms", .limit.as_millis())]
    Silent {
        /// What was being done.
        op: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// It began to say more than is read at once. The connection is another one from now on.
    #[error("{op}: the reply is larger than {limit} bytes")]
    TooLarge {
        /// What was being done.
        op: &'static str,
        /// Most bytes of a reply.
        limit: usize,
        /// The id of the first entry of the reply, when it was one of entries.
        first: Option<StreamId>,
    },
    /// It said something that makes no sense.
    #[error("{op}: {what}")]
    Nonsense {
        /// What was being done.
        op: &'static str,
        /// What is wrong with the answer.
        what: &'static str,
    },
}

/// One peer, reached over whatever carries it.
///
/// Contract: each method may be dropped at any await; nothing is lost by it. A connection that failed is made anew by the
/// next call. `tail` never holds up the other methods.
#[async_trait]
pub trait Remote: Send + Sync {
    /// The entries of the change stream after `after`, oldest first: at most `count`. Waits up to `block` for the first one;
    /// empty when none came.
    ///
    /// # Errors
    /// [`RemoteError::TooLarge`] when the entries are too many bytes together: fewer may fit. Of one alone that is too large
    /// the id is said, so that it can be stepped over.
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError>;

    /// The end of the change stream.
    async fn stream_state(&self) -> Result<StreamState, RemoteError>;

    /// The root of the tree that the peer has published last; `None`: never.
    async fn root(&self) -> Result<Option<String>, RemoteError>;

    /// Asks a question, and gives the answer's bytes.
    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError>;

    /// Whether it answers at all.
    async fn ping(&self) -> Result<(), RemoteError>;
}

/// Makes [`Remote`]s.
pub trait Dialler: Send + Sync {
    /// The peer with these settings. Does not connect.
    ///
    /// # Errors
    /// A URL that cannot be one.
    fn remote(&self, peer: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError>;
}
