//! Background work at regular intervals. Each step is short, and one that fails is tried again at the next.

use std::sync::Arc;
use std::time::Duration;

use super::apply::Relay;
use super::core::Core;
use crate::batch::plan::{ArchiveWrite, Over};
use crate::batch::portions::Portions;
use crate::error::StorageError;
use crate::guard::CircuitState;
use crate::item::Leaf;
use crate::item::decide::Decision;
use crate::item::key::Key;
use crate::l1::L1;
use crate::l2::CacheStore;
use crate::l3::ArchiveStore;
use crate::limits::{REFUSED_ALONE_MAX, UNSWEPT_MAX};

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_millis(250);

/// Rounds between two pings of the tiers.
const PING_EVERY: u64 = 8;

/// Rounds between two looks at how full the cache is.
const RELIEVE_EVERY: u64 = 4;

/// How often the root is published though it has not changed: a Redis that is restarted from an old state shows an old root,
/// and a peer that still holds that very state would take it for proof that nothing is missing.
const ROOT_AGAIN: Duration = Duration::from_secs(5);

/// Expired items turned into tombstones at once.
const SWEEP_ITEMS: usize = 1_000;

/// A tombstone weighs less than half of this, whatever its key: that many at once fit half of the budget.
const SWEEP_BYTES_EACH: usize = 4096;

impl Core {
    /// Rounds until the engine stops.
    pub(super) async fn run_upkeep(self: Arc<Self>) {
        let mut round = 0u64;
        loop {
            self.env.sleep(INTERVAL).await;
            round = round.wrapping_add(1);
            self.upkeep(round).await;
        }
    }

    /// One round.
    pub(super) async fn upkeep(self: &Arc<Self>, round: u64) {
        if round.is_multiple_of(PING_EVERY) || self.archive.circuit() != CircuitState::Closed {
            self.ping().await;
        }
        if !self.archive_is_open() {
            Self::report("opening the archive", self.open_late().await);
        }
        let health = self.health();
        if health.cache || health.archive {
            self.unpark();
            self.retry_refused();
        }
        if health.cache {
            Self::report("repairing the cache", self.repair_cache().await.map(drop));
        }
        if health.cache && health.archive && round.is_multiple_of(RELIEVE_EVERY) {
            Self::report("making room in the cache", self.relieve_cache().await);
        }
        if health.archive {
            let followed = self.follow_other_engines().await;
            Self::report("following other engines", followed.map_err(Into::into));
            Self::report("removing expired items", self.sweep_expired().await);
            Self::report(
                "tending the Merkle tree",
                self.tend_tree_for_a_while().await,
            );
            let sketched = self.tend_sketch_for_a_while().await;
            Self::report("making a sketch", sketched.map_err(Into::into));
            Self::report("persisting the clock", self.persist_clock().await);
            Self::report(
                "persisting the cache's generation",
                self.keep_generation().await,
            );
        }
        self.update_gauges();
    }

    fn report(what: &'static str, result: Result<(), StorageError>) {
        if let Err(error) = result {
            tracing::warn!(%error, "{what} failed; it will be tried again");
        }
    }

    async fn ping(&self) {
        // The breakers take note of the answers; nothing else is to be done with them.
        let cache = self.cache.ping().await.map_err(StorageError::from);
        let archive = self.archive.ping().await.map_err(StorageError::from);
        for error in [cache.err(), archive.err()].into_iter().flatten() {
            tracing::debug!(%error, "a tier does not answer");
        }
    }

    async fn tend_tree_for_a_while(self: &Arc<Self>) -> Result<(), StorageError> {
        for _ in 0..16 {
            if !self.tend_tree().await? {
                break;
            }
        }
        Ok(())
    }

    /// Turns items past their end into tombstones, with the stamp that every node derives for them.
    pub(super) async fn sweep_expired(self: &Arc<Self>) -> Result<(), StorageError> {
        let items = SWEEP_ITEMS
            .min(self.budget.limit() / SWEEP_BYTES_EACH)
            .max(1);
        loop {
            let now = self.env.monotonic();
            let unswept = self.unswept.len_at(now);
            if unswept >= UNSWEPT_MAX {
                return Ok(());
            }
            let asked = items + unswept;
            let mut expired = self.archive.expired(self.now_ms(), asked).await?;
            let are_more = expired.len() == asked;
            self.unswept.sift(&mut expired, items);
            if expired.is_empty() {
                return Ok(());
            }
            let writes: Vec<ArchiveWrite> = expired.iter().map(expiry_of).collect();
            // With a cache, the tombstones pass through L1 on their way to it.
            let weight = writes.iter().map(|w| L1::weight_of(&w.stored)).sum();
            let room = self.budget.spare(weight, || self.l1.dirty_bytes());
            if room.is_none() && self.cache.is_configured() {
                return Ok(());
            }
            let portions = Portions::new(writes.len(), 0, REFUSED_ALONE_MAX);
            let mut overruled = Vec::new();
            // Every node does this for itself: nothing is published.
            let mut enter = |writes: &[ArchiveWrite], decisions: &[Decision]| {
                overruled.extend(self.enter_applied(writes, decisions, Relay::No));
            };
            let committed = self.commit_each_and(&writes, portions, &mut enter).await;
            self.unswept.note(&writes, &committed.fates, now);
            let taken = committed.fates.iter().filter(|fate| fate.taken().is_some());
            let taken = taken.count();
            self.metrics.expired.increment(taken as u64);
            // What could not be taken away would be found again at once.
            let full = are_more && taken > 0;
            self.overrule(overruled).await?;
            if let Some(error) = committed.error {
                return Err(error.into());
            }
            if !full {
                return Ok(());
            }
        }
    }

    async fn persist_clock(&self) -> Result<(), StorageError> {
        let last = self.clock.last();
        if *self.clock_persisted.lock() >= last {
            return Ok(());
        }
        self.archive.raise_clock_bound(last).await?;
        let mut persisted = self.clock_persisted.lock();
        *persisted = (*persisted).max(last);
        Ok(())
    }

    /// Publishes the tree's root whenever it has changed, and now and then all the same.
    pub(super) async fn run_roots(self: Arc<Self>) {
        if !self.config().merkle_calc_enabled {
            while let Err(error) = self.publisher.withdraw_root().await {
                tracing::debug!(%error, "an earlier root could not be withdrawn");
                self.env.sleep(Duration::from_secs(1)).await;
            }
            return;
        }
        let mut flushed = self.flushed.subscribe();
        let mut published = None;
        loop {
            let jitter = self.config().merkle_calc_jitter_ms;
            if jitter > 0 {
                self.env
                    .sleep(Duration::from_millis(self.env.random() % jitter))
                    .await;
            }
            let root = self.tree.read().root();
            if published != Some(root) {
                match self.publisher.publish_root(&root.hash().to_string()).await {
                    Ok(()) => published = Some(root),
                    Err(error) => {
                        tracing::debug!(%error, "the root could not be published");
                        self.env.sleep(Duration::from_secs(1)).await;
                        continue;
                    }
                }
            }
            tokio::select! {
                biased;
                changed = flushed.changed() => if changed.is_err() {
                    return;
                },
                () = self.env.sleep(ROOT_AGAIN) => published = None,
            }
        }
    }

    /// Takes in new settings as they come, if they are valid.
    pub(super) async fn run_reload(
        self: Arc<Self>,
        mut settings: tokio::sync::watch::Receiver<crate::config::SyncEngineConfig>,
    ) {
        while settings.changed().await.is_ok() {
            let config = settings.borrow_and_update().clone();
            let config = self.config().with_live_of(config);
            match config.validate() {
                Ok(()) => self.apply_config(config),
                Err(error) => {
                    tracing::error!(%error, "the new settings are not valid; the old ones stay in force")
                }
            }
        }
    }

    pub(super) fn update_gauges(&self) {
        let stats = self.l1.stats();
        let metrics = &self.metrics;
        metrics.l1_bytes.set(self.l1.used_bytes() as f64);
        metrics.l1_items.set(self.l1.len() as f64);
        metrics.dirty_bytes.set(self.l1.dirty_bytes() as f64);
        metrics.dirty_items.set(self.l1.dirty_len() as f64);
        metrics
            .wal_records
            .set(self.outstanding.lock().len() as f64);
        let log_failed = self.wal.failure().is_some();
        metrics.wal_failed.set(f64::from(u8::from(log_failed)));
        metrics
            .archive_rows
            .set(self.tree.read().root().count as f64);
        metrics.backlog.set(self.publisher.len() as f64);
        metrics.stale_keys.set(self.stale.len() as f64);
        metrics.refused_rows.set(self.refused.len() as f64);
        metrics.pressure.set(self.fullness());
        metrics::gauge!("sync_engine_l1_evictions").set(stats.evictions as f64);
    }
}

fn expiry_of((key, leaf): &(Key, Leaf)) -> ArchiveWrite {
    ArchiveWrite::tombstone(key, leaf.stamp.of_expiry(), Over::Live)
}
