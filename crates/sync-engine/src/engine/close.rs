//! Stopping without losing anything.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::{EngineState, SyncEngine};
use crate::env::timeout;
use crate::error::{StorageError, Tier};
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::l3::ArchiveStore;
use crate::limits::SHUTDOWN_PATIENCE;

/// How a shutdown went.
#[derive(Debug, Default)]
pub struct ShutdownReport {
    /// Acknowledged writes that are in no tier: only without a write-ahead log, when a tier was down to the end.
    pub unstored: usize,
    /// Writes that wait in the write-ahead log for the next start.
    pub logged: u64,
    /// What went wrong, in the order in which it did.
    pub errors: Vec<StorageError>,
}

impl SyncEngine {
    /// Stores everything, closes the tiers and ends the background work. Verbs fail from here on. A second call, or one
    /// on an engine that never started, does nothing.
    pub async fn shutdown(&self) -> ShutdownReport {
        let _one = self.lifecycle.lock().await;
        if self.state() == EngineState::ShuttingDown {
            // An earlier caller went away; what it began goes on.
            self.run().await;
        }
        let running = self.state().is_ready();
        let Some(core) = self.core.get().filter(|_| running) else {
            self.state.send_replace(EngineState::Stopped);
            return ShutdownReport::default();
        };
        self.state.send_replace(EngineState::ShuttingDown);
        let (closing, state) = (core.clone(), self.state.clone());
        let close = async move {
            let report = closing.close().await;
            state.send_replace(EngineState::Stopped);
            report
        };
        core.to_the_end("shutdown", close).await.unwrap_or_default()
    }
}

impl Core {
    async fn close(self: &Arc<Self>) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        // Writers that were let in before the state changed finish first.
        self.budget.close(&*self.env, SHUTDOWN_PATIENCE).await;
        if let Err(error) = self.store_the_rest().await {
            report.errors.push(error);
        }
        self.publish_the_rest().await;
        self.stop.send_replace(true);
        let left = self.l1.dirty_len();
        match self.wal.is_durable() {
            true => report.logged = self.outstanding.lock().len(),
            false => report.unstored = left,
        }
        if let Err(error) = self.wal.close().await {
            report.errors.push(error.into());
        }
        if let Err(error) = self.close_archive(left == 0).await {
            report.errors.push(error);
        }
        for error in &report.errors {
            tracing::error!(%error, "shutting down");
        }
        report
    }

    /// Tries until everything is stored, or patience ends.
    async fn store_the_rest(self: &Arc<Self>) -> Result<(), StorageError> {
        let until = self.env.monotonic() + SHUTDOWN_PATIENCE;
        loop {
            let left = until.saturating_sub(self.env.monotonic());
            let Err(error) = timeout(&*self.env, left, self.flush_until_clean())
                .await
                .unwrap_or_else(|elapsed| {
                    Err(StorageError::unavailable(Tier::Archive, "store", elapsed))
                })
            else {
                return Ok(());
            };
            // The log keeps it: no reason to hold up the shutdown.
            if self.wal.is_durable() || self.env.monotonic() >= until {
                return Err(error);
            }
            self.env.sleep(Duration::from_millis(200)).await;
            self.upkeep(0).await;
        }
    }

    /// Flushes until nothing is dirty of what is dirty now; gives the first failure of a tier.
    pub(super) async fn flush_until_clean(self: &Arc<Self>) -> Result<(), StorageError> {
        let health = self.health();
        if !health.has_archive && !crate::l2::CacheStore::is_configured(&self.cache) {
            return Ok(());
        }
        let mut rounds = self.flushed.subscribe();
        let mut waiting = self.dirty_writes();
        self.retry_all_refused();
        loop {
            self.unpark();
            rounds.borrow_and_update();
            let keys = self.queue.take();
            if !keys.is_empty() {
                let core = self.clone();
                let flush = async move { core.flush(keys).await };
                let flushed = self.to_the_end("flush", flush).await;
                let failed = flushed.ok_or_else(|| Self::ended("flush"))?.error;
                // A cache that is down holds up only what it alone keeps.
                if let Some(error) = failed.filter(|_| !self.parked.lock().is_empty()) {
                    return Err(error);
                }
                // What others write meanwhile is not waited for: they need not ever pause.
                if self.are_flushed(&mut waiting).await {
                    return Ok(());
                }
                continue;
            }
            if self.l1.dirty_len() == 0 {
                return Ok(());
            }
            self.check_all_refused(&waiting)?;
            // What is left is in the hands of another flush.
            let wait = Duration::from_millis(100);
            futures_util::future::select(std::pin::pin!(rounds.changed()), self.env.sleep(wait))
                .await;
        }
    }

    fn dirty_writes(&self) -> Vec<(Key, Stamp)> {
        let dirty = self.l1.prefix_dirty("").into_iter();
        dirty
            .map(|entry| (entry.stored.key().clone(), entry.stored.stamp()))
            .collect()
    }

    /// Whether nothing is due of these writes any more; takes out those of which this is so.
    async fn are_flushed(&self, writes: &mut Vec<(Key, Stamp)>) -> bool {
        let is_dirty = |key: &Key| self.l1.peek(key).is_some_and(|e| !e.due.is_empty());
        writes.retain(|(key, _)| is_dirty(key));
        self.forget_overtaken(writes).await;
        writes.is_empty()
    }

    async fn publish_the_rest(self: &Arc<Self>) {
        let all = async { while let Ok(true) = self.publisher.publish_some(self).await {} };
        // What is not published stays in the log, or is found by the peers' cold path.
        timeout(&*self.env, Duration::from_secs(5), all).await.ok();
    }

    async fn close_archive(&self, all_stored: bool) -> Result<(), StorageError> {
        let noted = match self.archive.is_configured() {
            true => self.note_the_stop(all_stored).await,
            false => Ok(()),
        };
        // Also when that failed: nobody else must be kept out of the files.
        self.archive.close().await?;
        noted
    }

    async fn note_the_stop(&self, all_stored: bool) -> Result<(), StorageError> {
        self.persist_generation(all_stored && self.stale.len() == 0)
            .await?;
        self.save_filter().await?;
        Ok(self.archive.raise_clock_bound(self.clock.last()).await?)
    }
}
