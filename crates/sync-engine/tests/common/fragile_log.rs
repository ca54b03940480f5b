//! A log that fails on command, as one whose disk refused to sync, or keeps a write waiting for the disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use sync_engine::Stored;
use sync_engine::wal::{Appending, Wal, WalError, WalPos};

use super::hold::Hold;

/// Takes every write and keeps nothing, until it is broken.
#[derive(Default)]
pub struct FragileLog {
    next: AtomicU64,
    is_broken: AtomicBool,
    /// Who is placed, and not logged.
    pub before_sync: Hold,
}

impl FragileLog {
    /// From now on every write fails.
    pub fn break_for_good(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Wal for FragileLog {
    async fn append(&self, mut records: Box<dyn Appending>) -> Result<WalPos, WalError> {
        if let Some(cause) = self.failure() {
            return Err(WalError::Poisoned(cause));
        }
        records.placed();
        self.before_sync.pass().await;
        if let Some(cause) = self.failure() {
            return Err(WalError::Poisoned(cause));
        }
        let count = records.records().len() as u64;
        let first = self.next.fetch_add(count, Ordering::SeqCst);
        records.logged(first);
        Ok(first)
    }
    fn free_below(&self, _: WalPos) {}
    async fn read_from(&self, _: WalPos, _: usize) -> Result<Vec<(WalPos, Stored)>, WalError> {
        Ok(Vec::new())
    }
    fn bounds(&self) -> (WalPos, WalPos) {
        let next = self.next.load(Ordering::SeqCst);
        (next, next)
    }
    fn is_durable(&self) -> bool {
        true
    }
    fn failure(&self) -> Option<String> {
        let is_broken = self.is_broken.load(Ordering::SeqCst);
        is_broken.then(|| "the disk did not sync".into())
    }
    async fn close(&self) -> Result<(), WalError> {
        Ok(())
    }
}
