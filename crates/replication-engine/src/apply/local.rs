//! What replication needs of the local store.

use std::sync::Arc;

use async_trait::async_trait;
use sync_engine::engine::{Applied, Relay};
use sync_engine::env::{RealEnv, SharedEnv};
use sync_engine::item::{Leaf, Stored};
use sync_engine::l3::KeyRange;
use sync_engine::merkle::node::Aggregate;
use sync_engine::merkle::{Detail, OurView, Sketch, Summary};
use sync_engine::{BackendUrl, BackpressureLevel, Key, StorageError, SyncEngine};

/// The local store, as replication sees it.
///
/// Contract: `apply` merges by stamps, is durable when it returns, and may be repeated; nothing else changes the store.
/// The reads see tombstones. An outage is an error, never an absence.
#[async_trait]
pub trait SyncEngineRef: Send + Sync + 'static {
    /// Merges writes of other nodes.
    async fn apply(&self, writes: Vec<Stored>, relay: Relay) -> Result<Applied, StorageError>;

    /// What is known of each key, in the order asked.
    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, StorageError>;

    /// The newest record of each key, in the order asked.
    async fn records_of(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, StorageError>;

    /// Records of a range in key order: at most `limit`, and about `bytes_max` bytes. Empty: there are no more.
    async fn scan_records(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, StorageError>;

    /// Count and sum of the whole set.
    async fn merkle_root(&self) -> Result<Aggregate, StorageError>;

    /// What a peer is told about a prefix.
    async fn merkle_summary(&self, prefix: &[u8], detail: Detail) -> Result<Summary, StorageError>;

    /// What this store holds where a peer's summary speaks.
    async fn merkle_our_view(&self, theirs: &Summary) -> Result<OurView, StorageError>;

    /// A sketch of the whole set, if the store has one. Who asks for it will want one again.
    async fn merkle_sketch(&self) -> Result<Option<Arc<Sketch>>, StorageError> {
        Ok(None)
    }

    /// Whether the store wants to be left alone for a moment.
    fn is_under_pressure(&self) -> bool;

    /// Largest payload that the store takes, in bytes.
    fn payload_bytes_max(&self) -> usize;

    /// Where time, chance and tasks come from.
    fn env(&self) -> SharedEnv;

    /// The node's id in stamps, when it was set; `local_node_id` must be the same.
    fn node_id(&self) -> Option<String> {
        None
    }

    /// The node's own Redis and its key prefix, where peers put their questions; `None`: it has none.
    fn own_redis(&self) -> Option<(BackendUrl, Option<String>)> {
        None
    }

    /// Whether anything can be stored at all; if not, peers are only looked after.
    fn is_storing(&self) -> bool {
        true
    }
}

#[async_trait]
impl SyncEngineRef for SyncEngine {
    async fn apply(&self, writes: Vec<Stored>, relay: Relay) -> Result<Applied, StorageError> {
        SyncEngine::apply(self, writes, relay).await
    }

    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, StorageError> {
        SyncEngine::leaves_of(self, keys).await
    }

    async fn records_of(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, StorageError> {
        SyncEngine::records_of(self, keys).await
    }

    async fn scan_records(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, StorageError> {
        SyncEngine::scan_records(self, range, limit, bytes_max).await
    }

    async fn merkle_root(&self) -> Result<Aggregate, StorageError> {
        self.merkle_aggregate()
    }

    async fn merkle_summary(&self, prefix: &[u8], detail: Detail) -> Result<Summary, StorageError> {
        SyncEngine::merkle_summary(self, prefix, detail).await
    }

    async fn merkle_our_view(&self, theirs: &Summary) -> Result<OurView, StorageError> {
        self.merkle_view(theirs).await
    }

    async fn merkle_sketch(&self) -> Result<Option<Arc<Sketch>>, StorageError> {
        SyncEngine::merkle_sketch(self)
    }

    fn is_under_pressure(&self) -> bool {
        self.pressure() >= BackpressureLevel::Throttle
    }

    fn payload_bytes_max(&self) -> usize {
        self.config().max_payload_bytes
    }

    fn env(&self) -> SharedEnv {
        SyncEngine::env(self)
    }

    fn node_id(&self) -> Option<String> {
        self.config().node_id.clone()
    }

    fn own_redis(&self) -> Option<(BackendUrl, Option<String>)> {
        let config = self.config();
        let url = config.redis_url.clone()?;
        Some((url, config.redis_prefix.clone()))
    }
}

/// No store: peers are looked after, nothing is followed or compared.
#[derive(Clone)]
pub struct AbsentStore {
    env: SharedEnv,
}

impl Default for AbsentStore {
    fn default() -> Self {
        Self {
            env: Arc::new(RealEnv::default()),
        }
    }
}

/// There is no store, so there is nothing to be asked.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the replication engine was made without a store")]
pub struct NoStore;

fn no_store<T>(op: &'static str) -> Result<T, StorageError> {
    let tier = sync_engine::Tier::Archive;
    Err(StorageError::unavailable(tier, op, NoStore))
}

#[async_trait]
impl SyncEngineRef for AbsentStore {
    async fn apply(&self, _: Vec<Stored>, _: Relay) -> Result<Applied, StorageError> {
        no_store("apply")
    }

    async fn leaves_of(&self, _: &[Key]) -> Result<Vec<Option<Leaf>>, StorageError> {
        no_store("leaves_of")
    }

    async fn records_of(&self, _: &[Key]) -> Result<Vec<Option<Stored>>, StorageError> {
        no_store("records_of")
    }

    async fn scan_records(
        &self,
        _: &KeyRange,
        _: usize,
        _: usize,
    ) -> Result<Vec<Stored>, StorageError> {
        no_store("scan_records")
    }

    async fn merkle_root(&self) -> Result<Aggregate, StorageError> {
        no_store("merkle_root")
    }

    async fn merkle_summary(&self, _: &[u8], _: Detail) -> Result<Summary, StorageError> {
        no_store("merkle_summary")
    }

    async fn merkle_our_view(&self, _: &Summary) -> Result<OurView, StorageError> {
        no_store("merkle_our_view")
    }

    fn is_under_pressure(&self) -> bool {
        false
    }

    fn payload_bytes_max(&self) -> usize {
        0
    }

    fn env(&self) -> SharedEnv {
        self.env.clone()
    }

    fn is_storing(&self) -> bool {
        false
    }
}
