//! The engine's life.

use std::fmt;

/// Where an engine is in its life. It moves forward only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineState {
    /// Made, not started.
    Created,
    /// Opening its tiers.
    Connecting,
    /// Taking back what the write-ahead log holds.
    DrainingWal,
    /// Making sure that what Redis holds may be believed.
    SyncingRedis,
    /// Loading the Merkle tree and the filter.
    WarmingUp,
    /// All there; background work is about to begin.
    Ready,
    /// Serving, with background work going on.
    Running,
    /// Writing out what is left.
    ShuttingDown,
    /// Ended; it cannot be started again.
    Stopped,
}

impl EngineState {
    /// Whether verbs are served.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready | Self::Running)
    }
}

impl fmt::Display for EngineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Connecting => "connecting",
            Self::DrainingWal => "draining its write-ahead log",
            Self::SyncingRedis => "syncing Redis",
            Self::WarmingUp => "warming up",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::ShuttingDown => "shutting down",
            Self::Stopped => "stopped",
        })
    }
}
