//! What can go wrong.

use sync_engine::StorageError;

use crate::config::ConfigError;
use crate::peer::RemoteError;
use crate::repair::question::CodecError;
use crate::tail::cursors::CursorError;

/// Any failure of the engine's own verbs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicationError {
    /// The configuration cannot work.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The file of cursors cannot be used.
    #[error("cursors: {0}")]
    Cursors(#[from] CursorError),
    /// The call does not fit the engine's life.
    #[error("the replication engine is {state}: cannot {op}")]
    State {
        /// What was asked.
        op: &'static str,
        /// In which state it is.
        state: crate::engine::EngineState,
    },
    /// No such peer.
    #[error("no peer has the node id {0:?}")]
    UnknownPeer(String),
}

/// Why a comparison with a peer, or a fill from it, ended early.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The peer did not answer.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The local store could not do it.
    #[error("local store: {0}")]
    Store(#[from] StorageError),
    /// The peer's answer is none.
    #[error("the peer's answer: {0}")]
    Answer(#[from] CodecError),
    /// The peer's answer speaks of what was not asked.
    #[error("the peer's answer: {0}")]
    Walk(#[from] sync_engine::merkle::WalkError),
    /// The peer said that it cannot answer.
    #[error("the peer cannot answer: {0}")]
    Refused(crate::repair::question::Refusal),
    /// The peer answers, and nothing comes of it.
    #[error("the peer's answers make no progress")]
    NoProgress,
    /// A fill has met a page in which no key can be read that lies behind the last one. The trees are compared instead.
    #[error("the fill cannot go on: what the peer sent names no key behind {after:?}")]
    FillStuck {
        /// The last key that was dealt with; empty: there was none.
        after: String,
    },
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopped,
    /// The position of a fill could not be kept.
    #[error("cursors: {0}")]
    Cursors(#[from] CursorError),
}
