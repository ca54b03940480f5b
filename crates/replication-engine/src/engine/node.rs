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
        let (writes, furthest) = (early.len(), early.iter().map(Stored::stamp).max());
        let mut quarantine = self.early.lock();
        let kept = early
            .into_iter()
            .filter(|stored| quarantine.push(stored.clone()));
        let kept = kept.count();
        if let Some(furthest) = furthest {
            let origin = furthest.origin.node();
            tracing::warn!(peer, writes, kept, %origin, %furthest, "writes from the future: the clock of their origin is wrong, or ours");
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
