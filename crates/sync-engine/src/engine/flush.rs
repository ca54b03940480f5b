//! From the batch to the tiers.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::core::Core;
use super::publisher::Change;
use crate::batch::plan::{self, FlushPlan, Outcome};
use crate::error::{StorageError, Tier};
use crate::guard::CircuitOpen;
use crate::item::decide::Decision;
use crate::item::key::Key;
use crate::l1::{Due, Flight};
use crate::l2::CacheStore;
use crate::wal::WalPos;

/// What one flush came to.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// The first failure of a tier.
    pub error: Option<StorageError>,
}

impl Core {
    /// Flushes whenever a batch is due, several batches at once, until the engine stops.
    pub(super) async fn run_flusher(self: Arc<Self>) {
        let slots = Arc::new(Semaphore::new(self.config().sql_write_concurrency));
        loop {
            let reason = self.queue.due(&*self.env).await;
            // The semaphore is never closed.
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let keys = self.queue.take();
            if keys.is_empty() {
                continue;
            }
            metrics::counter!("sync_engine_flush_reason_total", "reason" => reason.as_str())
                .increment(1);
            let core = self.clone();
            self.env.spawn(
                "flush",
                Box::pin(async move {
                    core.flush(keys).await;
                    drop(slot);
                }),
            );
        }
    }

    /// Writes the newest state of these keys to the tiers that are due.
    pub(super) async fn flush(self: &Arc<Self>, keys: Vec<Key>) -> Flushed {
        let begun = self.env.monotonic();
        let flights: Vec<Flight> = keys
            .iter()
            .filter_map(|key| self.l1.begin_flush(key))
            .collect();
        if flights.is_empty() {
            return Flushed::default();
        }
        let health = self.health();
        let flights: Vec<Flight> = flights.into_iter().map(|f| self.lighten(f)).collect();
        let plan = plan::plan(&flights, health, self.now_ms());
        let (archive, cache) =
            futures_util::future::join(self.flush_archive(&plan), self.flush_cache(&plan)).await;
        let mut error = None;
        let wanted = |due| flights.iter().any(|flight| flight.due.contains(due));
        let asked = (Tier::Archive, health.archive, wanted(Due::ARCHIVE));
        let (archive, decisions) = outcome(archive, asked, &mut error);
        let asked = (Tier::Cache, health.cache, wanted(Due::CACHE));
        let (cache, _) = outcome(cache, asked, &mut error);
        let freed = self.settle_all(&flights, health, (archive, cache));
        self.yield_to_archive(&plan, &decisions);
        self.publish_all(&plan, &decisions, &flights, freed);
        self.metrics.batches.increment(1);
        self.metrics.flushed.increment(flights.len() as u64);
        let took = self.env.monotonic().saturating_sub(begun);
        self.metrics.flush_seconds.record(took.as_secs_f64());
        if let Some(error) = &error {
            self.metrics.flush_failures.increment(1);
            tracing::warn!(%error, keys = flights.len(), "not stored everywhere; it will be tried again");
        }
        self.settled();
        Flushed { error }
    }

    /// Spares the archive a cache-only write of a key that it does not have. Flights of one key follow each other, so no
    /// earlier write of it is on its way there.
    fn lighten(&self, mut flight: Flight) -> Flight {
        let needless = !flight.stored.is_archived()
            && flight.due.contains(Due::ARCHIVE)
            && !self.filter.may_contain(flight.stored.key());
        if needless {
            flight.due = flight.due.remove(Due::ARCHIVE);
            flight.spared = Due::ARCHIVE;
        }
        flight
    }

    async fn flush_archive(
        self: &Arc<Self>,
        plan: &FlushPlan,
    ) -> Result<Vec<Decision>, StorageError> {
        if plan.archive.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.commit(&plan.archive).await?)
    }

    async fn flush_cache(&self, plan: &FlushPlan) -> Result<(), StorageError> {
        if plan.cache_put.is_empty() && plan.cache_remove.is_empty() {
            return Ok(());
        }
        let _order = self.cache_order.read().await;
        if !plan.cache_put.is_empty() {
            self.cache
                .put_many(self.generation(), &plan.cache_put)
                .await?;
        }
        if !plan.cache_remove.is_empty() {
            self.cache.remove_many(&plan.cache_remove).await?;
        }
        // What was confirmed, this life of the server has confirmed.
        self.follow_cache_life();
        // Still under the lock: a repair that came in between would take out what was just written.
        let put = plan.cache_put.iter().map(|write| write.stored.key());
        self.stale.forget(put.chain(&plan.cache_remove));
        Ok(())
    }

    /// Tells L1 what became of each flight; gives back the log positions that are no longer needed for it.
    fn settle_all(
        &self,
        flights: &[Flight],
        health: plan::Health,
        outcome: (Outcome, Outcome),
    ) -> Vec<Option<WalPos>> {
        let settle = |flight| plan::settle(flight, health, outcome.0, outcome.1);
        let verdicts: Vec<plan::Verdict> = flights.iter().map(settle).collect();
        let missed = flights.iter().zip(&verdicts).filter(|(_, v)| v.cache_stale);
        // Before anything becomes clean: once it is evicted, readers ask the cache.
        self.mark_stale(missed.map(|(flight, _)| flight.stored.key().clone()));
        let (mut requeue, mut park) = (Vec::new(), Vec::new());
        let mut freed = Vec::with_capacity(flights.len());
        for (flight, verdict) in flights.iter().zip(verdicts) {
            let key = flight.stored.key();
            let settled = self.l1.settle(key, flight.stored.stamp(), verdict.done);
            if settled.requeue {
                let tier_down = verdict.done != flight.due.union(flight.spared);
                let into = if tier_down { &mut park } else { &mut requeue };
                into.push(key.clone());
            }
            freed.push(settled.freed_pos);
        }
        self.enqueue(requeue.into_iter().map(|key| (key, 0)));
        self.parked.lock().extend(park);
        freed
    }

    fn mark_stale(&self, keys: impl IntoIterator<Item = Key>) {
        if self.stale.note(keys).is_err() {
            self.give_up_cache();
        }
    }

    /// The archive has something newer, which this engine has not seen: what is here and in the cache must not answer for it.
    fn yield_to_archive(&self, plan: &FlushPlan, decisions: &[Decision]) {
        let outcomes = plan.archive.iter().zip(decisions);
        let lost = outcomes.filter(|(w, d)| **d == Decision::Keep && !w.only_over_live);
        for (write, _) in lost {
            let (key, stamp) = (write.stored.key(), write.stored.stamp());
            self.mark_stale(self.cache.is_configured().then(|| key.clone()));
            self.l1.remove_clean(key, stamp);
        }
    }

    /// Hands what the archive now has to the publisher, and frees the log positions of the rest.
    fn publish_all(
        &self,
        plan: &FlushPlan,
        decisions: &[Decision],
        flights: &[Flight],
        freed: Vec<Option<WalPos>>,
    ) {
        let mut archived = plan.archive.iter().zip(decisions).peekable();
        let (mut changes, mut free) = (Vec::new(), Vec::new());
        for (flight, pos) in flights.iter().zip(freed) {
            let ours = archived.next_if(|(write, _)| write.stored.key() == flight.stored.key());
            match ours {
                Some((write, Decision::Take | Decision::Same)) => changes.push(Change {
                    stored: write.stored.clone(),
                    pos,
                }),
                _ => free.extend(pos),
            }
        }
        free.extend(self.publisher.push(changes));
        self.release_positions(free);
        self.spare_the_log();
    }
}

/// What a tier's part of a flush came to: (the tier, whether it was fit to be asked, whether there was anything for it).
fn outcome<T: Default>(
    result: Result<T, StorageError>,
    (tier, asked, wanted): (Tier, bool, bool),
    error: &mut Option<StorageError>,
) -> (Outcome, T) {
    match result {
        Ok(value) if asked => (Outcome::Done, value),
        Ok(value) => {
            if wanted {
                error.get_or_insert(StorageError::unavailable(tier, "store", CircuitOpen));
            }
            (Outcome::Skipped, value)
        }
        Err(failure) => {
            error.get_or_insert(failure);
            (Outcome::Failed, T::default())
        }
    }
}
