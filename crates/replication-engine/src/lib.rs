//! replication-engine: keeps the nodes of a mesh equal.
//!
//! Two paths. **Hot**: the change stream of each peer is followed, for low latency. **Cold**: trees are compared now and
//! then, and whatever the hot path missed is fetched. On both, the side that is behind pulls; nobody pushes, and nothing is
//! ever deleted because a peer lacks it.
//!
//! It is *not* a consensus protocol: each node accepts writes alone, and the greatest stamp wins everywhere.
//!
//! The modules are declared in the order in which a change travels.
#![deny(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods
)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)
)]

/// Every hard limit.
pub mod limits;

/// What can go wrong.
pub mod error;

/// Settings.
pub mod config;

/// 8. The other nodes: who they are, how they are reached, whether they answer.
pub mod peer;

/// 9. The hot path: follow a peer's change stream.
pub mod tail;

/// 10. Take or leave: the local store, and writes from the future.
pub mod apply;

/// 11. The cold path: compare, and fetch what is newer.
pub mod repair;

/// The answering side: where peers' questions come in.
pub mod mailbox;

/// The engine: one set of tasks for each peer.
pub mod engine;

pub use apply::SyncEngineRef;
pub use config::{ConfigError, PeerConfig, ReplicationConfig};
pub use engine::{EngineState, PeerReport, ReplicationEngine};
pub use error::ReplicationError;
