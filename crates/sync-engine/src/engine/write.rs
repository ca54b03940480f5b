//! Accepting writes: admit, stamp, log, enter L1, acknowledge.

use std::sync::Arc;

use super::SyncEngine;
use super::core::Core;
use super::draft::{Draft, portions, stamped, stamps_from};
use super::incoming::Incoming;
use super::log_room::LogPermit;
use crate::error::{StorageError, Tier};
use crate::ingest::admit::{self, Permit, Refused};
use crate::ingest::pressure::BackpressureLevel;
use crate::item::key::Key;
use crate::item::options::{Ack, SubmitOptions};
use crate::item::stamp::Stamp;
use crate::item::{Stored, SyncItem};
use crate::l1::{Due, L1};
use crate::l2::CacheStore;
use crate::l3::ArchiveStore;
use crate::limits::WRITE_PATIENCE;
use crate::wal::WalPos;

/// What became of a `submit_many`.
#[derive(Debug, Default)]
pub struct BatchResult {
    /// Items given.
    pub total: usize,
    /// Items accepted and acknowledged.
    pub succeeded: usize,
    /// Items refused.
    pub failed: usize,
    /// Why, for each refused one.
    pub errors: Vec<(Key, StorageError)>,
}

impl SyncEngine {
    /// Stores an item, in the tiers that its options name. Returns once it is acknowledged as the configuration says;
    /// from then on every reader of this engine sees it. Gives the stamp that the write got.
    ///
    /// # Errors
    /// `Invalid*`: the item cannot be stored. `Overloaded`: slow down. `Unavailable`: the log or, with `Ack::Stored`, the
    /// archive did not confirm; the write may or may not survive.
    pub async fn submit(&self, item: SyncItem) -> Result<Stamp, StorageError> {
        let core = self.core("submit")?;
        let ack = core.config().ack();
        core.put(item, ack).await
    }

    /// Stores an item with these options instead of its own. See [`SyncEngine::submit`].
    pub async fn submit_with(
        &self,
        item: SyncItem,
        options: SubmitOptions,
    ) -> Result<Stamp, StorageError> {
        self.submit(item.with_options(options)).await
    }

    /// Stores an item and acknowledges it at this level, whatever the configuration says. See [`SyncEngine::submit`].
    pub async fn submit_acked(&self, item: SyncItem, ack: Ack) -> Result<Stamp, StorageError> {
        self.core("submit")?.put(item, ack).await
    }

    /// Stores many items with one wait for the log. Refused ones do not hold up the others.
    ///
    /// # Errors
    /// As [`SyncEngine::submit`], when none could be accepted for a reason that is not an item's own.
    pub async fn submit_many(&self, items: Vec<SyncItem>) -> Result<BatchResult, StorageError> {
        let core = self.core("submit_many")?;
        let config = core.config();
        let rules = core.rules(&config);
        let mut result = BatchResult {
            total: items.len(),
            ..BatchResult::default()
        };
        let mut drafts = Vec::with_capacity(items.len());
        for item in items {
            match admit::check(&item, &rules) {
                Ok(()) => drafts.push(Draft::Put(item)),
                Err(error) => result.errors.push((item.object_id.clone(), error)),
            }
        }
        core.metrics.refused.increment(result.errors.len() as u64);
        let mut parts = core.portions(drafts).into_iter();
        while let Some(part) = parts.next() {
            let accepted = part.len();
            let keys: Vec<Key> = part.iter().map(|draft| draft.key().clone()).collect();
            match core.accept(part, config.ack()).await {
                Ok(_) => result.succeeded += accepted,
                Err(error) if result.succeeded == 0 => return Err(error),
                Err(error) => {
                    // What was acknowledged before stands, so the rest is reported beside it.
                    let (error, rest) = (Arc::new(error), parts.flatten());
                    let refused = keys.into_iter().chain(rest.map(|d| d.key().clone()));
                    let shared = |key| (key, StorageError::Shared(error.clone()));
                    result.errors.extend(refused.map(shared));
                    break;
                }
            }
        }
        result.failed = result.errors.len();
        Ok(result)
    }
}

/// Most writes that enter together.
const PART_WRITES_MAX: usize = 10_000;

impl Core {
    /// Cuts a big call into parts that fit the budgets each.
    pub(super) fn portions(&self, drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
        let count = self.log_room.records_max().min(PART_WRITES_MAX);
        portions(drafts, self.budget.limit() / 4, count)
    }

    async fn put(self: &Arc<Self>, item: SyncItem, ack: Ack) -> Result<Stamp, StorageError> {
        let config = self.config();
        admit::check(&item, &self.rules(&config))
            .inspect_err(|_| self.metrics.refused.increment(1))?;
        self.accept(vec![Draft::Put(item)], ack).await
    }

    /// Accepts the writes; gives the stamp of the first. They were checked.
    pub(super) async fn accept(
        self: &Arc<Self>,
        drafts: Vec<Draft>,
        ack: Ack,
    ) -> Result<Stamp, StorageError> {
        let weight = drafts.iter().map(Draft::weight).sum();
        self.check_ack(ack)?;
        // A caller that never waits must leave the flusher a turn now and then.
        tokio::task::consume_budget().await;
        let permit = self.admit(weight).await?;
        let keys: Vec<Key> = match ack {
            Ack::Stored => drafts.iter().map(|draft| draft.key().clone()).collect(),
            Ack::Queued | Ack::Logged => Vec::new(),
        };
        let first = match self.wal.is_durable() {
            true => {
                let logging = self.admit_to_log(drafts.len(), weight).await?;
                self.log_and_enter(drafts, (permit, logging)).await?
            }
            false => {
                // No await between stamp and L1: a dropped caller leaves nothing half done.
                let entering = self.entering.read();
                let first = self.clock.reserve(self.now_ms(), drafts.len() as u64);
                let records = stamped(drafts, first);
                self.count(&records);
                self.enter(records, 0);
                drop(entering);
                drop(permit);
                first
            }
        };
        if ack == Ack::Stored {
            self.wait_stored(keys.into_iter().zip(stamps_from(first)).collect())
                .await?;
        }
        Ok(first)
    }

    /// An acknowledgement that this engine cannot give is refused before anything is written.
    fn check_ack(&self, ack: Ack) -> Result<(), StorageError> {
        let unable = |tier, why| Err(StorageError::unavailable(tier, "submit", Unable(why)));
        match ack {
            Ack::Logged if !self.wal.is_durable() => unable(
                Tier::Wal,
                "Ack::Logged was asked for, and no wal_path is configured",
            ),
            Ack::Stored if !self.archive.is_configured() => unable(
                Tier::Archive,
                "Ack::Stored was asked for, and no sql_url is configured",
            ),
            Ack::Queued | Ack::Logged | Ack::Stored => Ok(()),
        }
    }

    pub(super) fn count(&self, records: &[Stored]) {
        let deletes = records.iter().filter(|r| r.item().is_none()).count();
        self.metrics.deletes.increment(deletes as u64);
        self.metrics
            .writes
            .increment((records.len() - deletes) as u64);
    }

    /// Waits for room, up to a limit.
    pub(super) async fn admit(&self, weight: usize) -> Result<Permit, StorageError> {
        let held = || self.l1.dirty_bytes();
        let permit = self
            .budget
            .take(&*self.env, weight, WRITE_PATIENCE, held)
            .await;
        let permit = permit.map_err(|refused| match refused {
            Refused::Full => self.overloaded("too many bytes wait to be stored"),
            Refused::Closed => StorageError::Closed {
                state: super::EngineState::ShuttingDown,
                op: "submit",
            },
        })?;
        Ok(permit)
    }

    pub(super) fn overloaded(&self, what: &'static str) -> StorageError {
        self.metrics.refused.increment(1);
        StorageError::Overloaded {
            level: self.pressure().max(BackpressureLevel::Critical),
            what,
        }
    }

    /// Logs the writes and lets them into L1; gives the first stamp. Once they are logged they enter, also when the caller is
    /// dropped, so that no record stays in the log that L1 does not know of.
    async fn log_and_enter(
        self: &Arc<Self>,
        drafts: Vec<Draft>,
        permits: (Permit, LogPermit),
    ) -> Result<Stamp, StorageError> {
        let core = self.clone();
        // A task of its own, because the caller may go away, or keep the call and not poll it: nobody may wait for its turn then.
        let work = async move {
            let order = core.log_order.clone().read_owned().await;
            let (incoming, first) = Incoming::new(core.clone(), drafts, (order, permits));
            core.wal.append(Box::new(incoming)).await.map(|_| first)
        };
        let logged = self.to_the_end("log", work).await;
        let first = logged.ok_or_else(|| Self::ended("submit"))??;
        first.get().copied().ok_or_else(|| Self::ended("submit"))
    }

    /// Lets records into L1, from position `first` on, and queues them.
    pub(super) fn enter(&self, records: Vec<Stored>, first: WalPos) {
        let end = first + records.len() as u64;
        if self.wal.is_durable() {
            let mut outstanding = self.outstanding.lock();
            for (pos, stored) in (first..end).zip(&records) {
                outstanding.appended(pos, L1::weight_of(stored));
            }
        }
        let (mut queued, mut freed) = (Vec::new(), Vec::new());
        for (pos, stored) in (first..end).zip(records) {
            let (due, cache_until) = (self.due(), self.cache_until(&stored));
            let (key, size) = (stored.key().clone(), stored.size_bytes());
            let written = self.l1.write(stored, due, pos, cache_until);
            if written.enqueue {
                queued.push((key, size));
            }
            freed.extend(written.freed_pos);
        }
        self.enqueue(queued);
        if self.wal.is_durable() {
            self.release_positions(freed);
        }
    }

    /// As [`Core::enter`], for one record that the log already holds at `pos`.
    pub(super) fn enter_replayed(&self, stored: Stored, pos: WalPos) {
        let (due, cache_until) = (self.due(), self.cache_until(&stored));
        let (key, size) = (stored.key().clone(), stored.size_bytes());
        let written = self.l1.write(stored, due, pos, cache_until);
        if written.enqueue {
            self.enqueue([(key, size)]);
        }
        self.release_positions(written.freed_pos);
    }

    /// What has to be done with a write before it may leave L1.
    fn due(&self) -> Due {
        let (cache, archive) = (self.cache.is_configured(), self.archive.is_configured());
        if !cache && !archive {
            return Due::HOLD;
        }
        let mut due = Due::none();
        if cache {
            due = due.union(Due::CACHE);
        }
        // A cache-only write must take away what the archive may hold for the key. Whether it does is asked when it is
        // flushed: an earlier write of the key may still be on its way there.
        if archive {
            due = due.union(Due::ARCHIVE);
        }
        due
    }

    /// When an item that only the cache keeps is over.
    pub(super) fn cache_until(&self, stored: &Stored) -> Option<i64> {
        let item = stored.item()?;
        if item.submit_options.sql && self.archive.is_configured() {
            return None;
        }
        let ttl = item.submit_options.redis_ttl?;
        let ttl_ms = i64::try_from(ttl.duration().as_millis()).unwrap_or(i64::MAX);
        Some(item.stamp.time.ms().saturating_add(ttl_ms))
    }

    /// How full the engine is: of bytes that wait to be stored, and its log.
    pub(super) fn pressure(&self) -> BackpressureLevel {
        let config = self.config();
        BackpressureLevel::of(
            self.fullness(),
            config.backpressure_warn,
            config.backpressure_critical,
        )
    }

    pub(super) fn fullness(&self) -> f64 {
        let bytes = self.l1.dirty_bytes() as f64 / self.budget.limit().max(1) as f64;
        bytes.max(self.log_fullness())
    }
}

/// An acknowledgement that this engine cannot give.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unable(pub &'static str);
