//! What all peers' tasks share.

use std::sync::Arc;

use parking_lot::Mutex;
use sync_engine::engine::Relay;
use sync_engine::env::SharedEnv;
use sync_engine::item::Stored;

use super::metrics::EngineMetrics;
use crate::apply::{Quarantine, SyncEngineRef};
use crate::mailbox::Mailbox;
use crate::peer::Dialler;
use crate::tail::CursorStore;

/// This node.
pub(super) struct Node {
    pub(super) store: Arc<dyn SyncEngineRef>,
    pub(super) env: SharedEnv,
    pub(super) dialler: Arc<dyn Dialler>,
    pub(super) cursors: Arc<dyn CursorStore>,
    pub(super) mailbox: Arc<dyn Mailbox>,
    pub(super) relay: Relay,
    pub(super) early: Mutex<Quarantine>,
    /// Who fills this node: one peer at a time, or the same items would come several times.
    pub(super) fill_turn: tokio::sync::Mutex<()>,
    pub(super) metrics: EngineMetrics,
}

impl Node {
    /// Keeps writes from the future.
    pub(super) fn quarantine(&self, peer: &str, early: Vec<Stored>) {
        if early.is_empty() {
            return;
        }
        let mut quarantine = self.early.lock();
        for stored in early {
            let stamp = stored.stamp();
            let is_kept = quarantine.push(stored);
            tracing::warn!(peer, origin = %stamp.origin.node(), ahead_to_ms = stamp.time.ms(), is_kept, "a write from the future: that node's clock is wrong, or ours");
        }
        self.metrics.quarantined.set(quarantine.len() as f64);
    }

    /// Tries again what is no longer from the future.
    pub(super) async fn release_due(&self) {
        let due = {
            let mut quarantine = self.early.lock();
            let due = quarantine.due(self.env.now_ms());
            self.metrics.quarantined.set(quarantine.len() as f64);
            due
        };
        if due.is_empty() {
            return;
        }
        match self.store.apply(due.clone(), self.relay).await {
            Ok(applied) => self.quarantine("quarantine", applied.early),
            Err(error) => {
                tracing::warn!(%error, "writes out of the quarantine could not be applied yet");
                self.quarantine("quarantine", due);
            }
        }
    }
}
