//! The archive behind a circuit breaker.

use std::sync::Arc;

use async_trait::async_trait;

use super::gate::Gate;
use super::{CircuitConfig, CircuitState};
use crate::env::SharedEnv;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::l3::{ArchiveError, ArchiveStore, KeyRange, MetaKey, Opened, Planner, RowAction};
use crate::merkle::node::NodeRow;

/// An [`ArchiveStore`] that is not asked while it is down.
pub struct GuardedArchive {
    inner: Arc<dyn ArchiveStore>,
    gate: Gate,
}

impl GuardedArchive {
    /// Guards `inner`.
    pub fn new(inner: Arc<dyn ArchiveStore>, config: CircuitConfig, env: SharedEnv) -> Self {
        Self {
            inner,
            gate: Gate::new(config, env),
        }
    }

    /// The breaker's state.
    pub fn circuit(&self) -> CircuitState {
        self.gate.circuit()
    }

    async fn call<T>(
        &self,
        op: &'static str,
        work: impl Future<Output = Result<T, ArchiveError>>,
    ) -> Result<T, ArchiveError> {
        let refused = |open| ArchiveError::Unavailable {
            op,
            source: Box::new(open),
        };
        // Damage, a stale tree or a closed file are answers: waiting would not help.
        let is_outage = |error: &ArchiveError| matches!(error, ArchiveError::Unavailable { .. });
        self.gate.call(work, refused, is_outage).await
    }
}

#[async_trait]
impl ArchiveStore for GuardedArchive {
    async fn open(&self) -> Result<Opened, ArchiveError> {
        // Whoever opens has its own patience, and wants the reason.
        self.inner.open().await
    }

    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        self.call("commit", self.inner.commit(records, plan)).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError> {
        self.call("get", self.inner.get_many(keys)).await
    }

    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError> {
        self.call("leaves", self.inner.leaves_of(keys)).await
    }

    async fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, ArchiveError> {
        self.call("scan", self.inner.scan(range, limit, bytes_max))
            .await
    }

    async fn scan_leaves(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        self.call("scan leaves", self.inner.scan_leaves(range, limit))
            .await
    }

    async fn count_live(&self, range: &KeyRange, now_ms: i64) -> Result<u64, ArchiveError> {
        self.call("count", self.inner.count_live(range, now_ms))
            .await
    }

    async fn expired(&self, now_ms: i64, limit: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        self.call("list expired", self.inner.expired(now_ms, limit))
            .await
    }

    async fn tombstones(
        &self,
        until: HlcTime,
        after: Option<&(Key, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError> {
        let tombstones = self.inner.tombstones(until, after, limit);
        self.call("list tombstones", tombstones).await
    }

    async fn load_tree(&self) -> Result<(Vec<NodeRow>, u64), ArchiveError> {
        self.call("load tree", self.inner.load_tree()).await
    }

    async fn rebuild_tree(&self) -> Result<(), ArchiveError> {
        self.call("rebuild the tree", self.inner.rebuild_tree())
            .await
    }

    async fn tree_seq(&self) -> Result<u64, ArchiveError> {
        self.call("read the tree's number", self.inner.tree_seq())
            .await
    }

    async fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError> {
        self.call("read meta", self.inner.meta(key)).await
    }

    async fn set_meta(&self, key: MetaKey, value: Vec<u8>) -> Result<(), ArchiveError> {
        self.call("write meta", self.inner.set_meta(key, value))
            .await
    }

    async fn raise_clock_bound(&self, bound: HlcTime) -> Result<(), ArchiveError> {
        self.call("raise clock bound", self.inner.raise_clock_bound(bound))
            .await
    }

    async fn ping(&self) -> Result<(), ArchiveError> {
        self.call("ping", self.inner.ping()).await
    }

    fn payload_bytes_max(&self) -> usize {
        self.inner.payload_bytes_max()
    }

    fn is_configured(&self) -> bool {
        self.inner.is_configured()
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    async fn close(&self) -> Result<(), ArchiveError> {
        self.inner.close().await
    }
}
