//! How replication is doing.

use std::collections::BTreeMap;

use sync_engine::Origin;

use super::EngineState;
use super::peer::PeerReport;

/// The state of the engine and of each peer.
#[derive(Clone, Debug)]
pub struct ReplicationHealth {
    /// Where the engine is in its life.
    pub state: EngineState,
    /// Each peer, by its id.
    pub peers: Vec<PeerReport>,
    /// Writes from the future that wait, by the node that stamped them: its clock is wrong, or ours.
    pub quarantined: BTreeMap<Origin, usize>,
    /// Largest lag that the settings allow, in milliseconds.
    pub lag_ms_max: u64,
}

impl ReplicationHealth {
    /// Whether the engine runs, every peer answers and none lags too far behind.
    pub fn is_healthy(&self) -> bool {
        let is_well = |peer: &PeerReport| peer.is_connected && peer.lag_ms <= self.lag_ms_max;
        self.state == EngineState::Running
            && self.quarantined.is_empty()
            && self.peers.iter().all(is_well)
    }
}
