//! An archive whose answers come late: what is done there is not known here yet.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sync_engine::item::{Leaf, Stored};
use sync_engine::l3::{
    ArchiveError, ArchiveStore, KeyRange, MetaKey, Opened, Planner, RowAction,
    memory::MemoryArchive,
};
use sync_engine::merkle::node::NodeRow;
use sync_engine::{HlcTime, Key, Stamp};

use super::hold::Hold;

/// A [`MemoryArchive`] that waits before and after each commit.
pub struct SlowArchive {
    pub inner: Arc<MemoryArchive>,
    pub before: Duration,
    pub after: Duration,
    /// Who is about to commit, who has committed, who has read rows, and who has listed tombstones.
    pub before_commit: Hold,
    pub after_commit: Hold,
    pub after_read: Hold,
    pub after_listing: Hold,
}

impl SlowArchive {
    pub fn new(before_ms: u64, after_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(MemoryArchive::new()),
            before: Duration::from_millis(before_ms),
            after: Duration::from_millis(after_ms),
            before_commit: Hold::default(),
            after_commit: Hold::default(),
            after_read: Hold::default(),
            after_listing: Hold::default(),
        })
    }
}

#[async_trait]
impl ArchiveStore for SlowArchive {
    async fn open(&self) -> Result<Opened, ArchiveError> {
        self.inner.open().await
    }
    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        self.before_commit.pass().await;
        tokio::time::sleep(self.before).await;
        let written = self.inner.commit(records, plan).await;
        tokio::time::sleep(self.after).await;
        self.after_commit.pass().await;
        written
    }
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError> {
        let found = self.inner.get_many(keys).await;
        self.after_read.pass().await;
        found
    }
    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError> {
        self.inner.leaves_of(keys).await
    }
    async fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, ArchiveError> {
        self.inner.scan(range, limit, bytes_max).await
    }
    async fn scan_leaves(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        self.inner.scan_leaves(range, limit).await
    }
    async fn count_live(&self, range: &KeyRange, now_ms: i64) -> Result<u64, ArchiveError> {
        let count = self.inner.count_live(range, now_ms).await;
        tokio::time::sleep(self.before.min(Duration::from_millis(3))).await;
        count
    }
    async fn expired(&self, now_ms: i64, limit: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        self.inner.expired(now_ms, limit).await
    }
    async fn tombstones(
        &self,
        until: HlcTime,
        after: Option<&(Key, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError> {
        let found = self.inner.tombstones(until, after, limit).await;
        self.after_listing.pass().await;
        found
    }
    async fn load_tree(&self) -> Result<(Vec<NodeRow>, u64), ArchiveError> {
        self.inner.load_tree().await
    }
    async fn rebuild_tree(&self) -> Result<(), ArchiveError> {
        self.inner.rebuild_tree().await
    }
    async fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError> {
        self.inner.meta(key).await
    }
    async fn set_meta(&self, key: MetaKey, value: Vec<u8>) -> Result<(), ArchiveError> {
        self.inner.set_meta(key, value).await
    }
    async fn raise_clock_bound(&self, bound: HlcTime) -> Result<(), ArchiveError> {
        self.inner.raise_clock_bound(bound).await
    }
    async fn ping(&self) -> Result<(), ArchiveError> {
        self.inner.ping().await
    }
    fn is_configured(&self) -> bool {
        true
    }
    fn is_exclusive(&self) -> bool {
        true
    }
    async fn close(&self) -> Result<(), ArchiveError> {
        self.inner.close().await
    }
}
