//! From the batch to the tiers.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::commit::{Committed, Fate};
use super::core::Core;
use super::publisher::Change;
use super::refused::refusal;
use super::stale::Missed;
use crate::batch::plan::{self, ArchiveWrite, FlushPlan, Outcome, Over};
use crate::batch::portions::Portions;
use crate::error::{StorageError, Tier};
use crate::guard::CircuitOpen;
use crate::item::decide::Decision;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::l1::{Due, Flight};
use crate::l2::{CacheStore, CacheWrite};
use crate::l3::ArchiveError;
use crate::limits::REFUSED_AT_ONCE_MAX;
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
        let flights = self.take_off(&keys);
        if flights.is_empty() {
            return Flushed::default();
        }
        let health = self.health();
        let plan = plan::plan(&flights, health, self.now_ms());
        let (archive, cache) =
            futures_util::future::join(self.flush_archive(&plan), self.flush_cache(&plan)).await;
        let landed = land(&flights, &plan, &archive.fates);
        let (cache, outlived) = match cache {
            Ok(outlived) => (Ok(()), outlived),
            Err(error) => (Err(error), Vec::new()),
        };
        let outcome = match &cache {
            Ok(()) if health.cache => Outcome::Done,
            Ok(()) => Outcome::Skipped,
            Err(_) => Outcome::Failed,
        };
        let error = failure_of(&landed, archive.error)
            .or_else(|| unasked(&flights, (Tier::Archive, Due::ARCHIVE), health.archive))
            .or(cache.err())
            .or_else(|| unasked(&flights, (Tier::Cache, Due::CACHE), health.cache));
        let freed = self.settle_all(&landed, health, outcome);
        self.yield_to_archive(&landed);
        self.publish_all(&landed, freed);
        self.follow_outlived(outlived).await;
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

    /// The dirty entries of these keys; those that the archive refused before stand behind the others, so that they hold up nobody.
    fn take_off(&self, keys: &[Key]) -> Vec<Flight> {
        let flights = keys.iter().filter_map(|key| self.l1.begin_flush(key));
        let mut flights: Vec<Flight> = flights.map(|flight| self.lighten(flight)).collect();
        if self.refused.len() > 0 {
            let flying: HashSet<&Key> = flights.iter().map(|f| f.stored.key()).collect();
            self.release_refused(keys.iter().filter(|key| !flying.contains(key)));
            flights.sort_by_key(|flight| self.refused.contains(flight.stored.key()));
        }
        flights
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

    async fn flush_archive(self: &Arc<Self>, plan: &FlushPlan) -> Committed {
        let is_suspect = |write: &&ArchiveWrite| self.refused.contains(write.stored.key());
        let suspects = plan.archive.iter().rev().take_while(is_suspect).count();
        let portions = Portions::new(plan.archive.len(), suspects, REFUSED_AT_ONCE_MAX);
        self.commit_each(&plan.archive, portions).await
    }

    /// Gives the writes that something newer, which the cache alone keeps, has kept out.
    async fn flush_cache(&self, plan: &FlushPlan) -> Result<Vec<(Key, Stamp)>, StorageError> {
        let mut outlived = Vec::new();
        if plan.cache_put.is_empty() && plan.cache_remove.is_empty() {
            return Ok(outlived);
        }
        let _order = self.cache_order.read().await;
        let generation = self.generation();
        if !plan.cache_put.is_empty() {
            outlived = self.cache.put_many(generation, &plan.cache_put).await?;
        }
        if !plan.cache_remove.is_empty() {
            let removal = self.cache.remove_many(generation, &plan.cache_remove);
            outlived.extend(removal.await?);
        }
        // What was confirmed, this life of the server has confirmed.
        self.follow_cache_life();
        // Still under the lock: a repair that came in between would take out what was just written.
        let end = |write: &CacheWrite| (write.stored.key().clone(), write.stored.stamp());
        let put: Vec<(Key, Stamp)> = plan.cache_put.iter().map(end).collect();
        self.stale.forget(put.iter().chain(&plan.cache_remove));
        Ok(outlived)
    }

    /// Tells L1 what became of each flight; gives back the log positions that are no longer needed for it.
    fn settle_all(
        &self,
        landed: &[Landed<'_>],
        health: plan::Health,
        cache: Outcome,
    ) -> Vec<Option<WalPos>> {
        let settle = |l: &Landed| plan::settle(l.flight, health, l.archive_outcome(), cache);
        let verdicts: Vec<plan::Verdict> = landed.iter().map(settle).collect();
        let missed = landed.iter().zip(&verdicts).filter(|(_, v)| v.cache_stale);
        // Before anything becomes clean: once it is evicted, readers ask the cache.
        self.mark_stale(missed.map(|(landed, _)| {
            let missed = Missed {
                stamp: landed.flight.stored.stamp(),
                archive_knows: !landed.flight.is_passing,
            };
            (landed.key().clone(), missed)
        }));
        let (mut requeue, mut park) = (Vec::new(), Vec::new());
        let mut freed = Vec::with_capacity(landed.len());
        for (landed, verdict) in landed.iter().zip(verdicts) {
            let (key, flight) = (landed.key(), landed.flight);
            let settled = self.l1.settle(key, flight.stored.stamp(), verdict.done);
            let tier_down = verdict.done != flight.due.union(flight.spared);
            match landed.refusal() {
                Some(why) if settled.requeue => self.hold_refused(key, flight.stored.stamp(), why),
                None if settled.requeue && tier_down => park.push(key.clone()),
                None if settled.requeue => requeue.push(key.clone()),
                _ => self.release_refused([key]),
            }
            freed.push(settled.freed_pos);
        }
        self.enqueue(requeue.into_iter().map(|key| (key, 0)));
        self.parked.lock().extend(park);
        freed
    }

    pub(super) fn mark_stale(&self, keys: impl IntoIterator<Item = (Key, Missed)>) {
        if self.stale.note(keys).is_err() {
            self.give_up_cache();
        }
    }

    /// The archive has something newer, which this engine has not seen: what is here and in the cache must not answer for it.
    fn yield_to_archive(&self, landed: &[Landed<'_>]) {
        let lost = landed.iter().filter(|landed| {
            let over_rows = landed
                .write
                .is_some_and(|write| write.over == Over::Uncollected);
            over_rows && landed.decision() == Some(Decision::Keep)
        });
        for landed in lost {
            let (key, stamp) = (landed.key(), landed.flight.stored.stamp());
            let missed = Missed {
                stamp,
                archive_knows: true,
            };
            self.mark_stale(self.cache.is_configured().then(|| (key.clone(), missed)));
            self.l1.remove_clean(key, stamp);
        }
    }

    /// Hands what the archive now has to the publisher, and frees the log positions of the rest.
    fn publish_all(&self, landed: &[Landed<'_>], freed: Vec<Option<WalPos>>) {
        let (mut changes, mut free) = (Vec::new(), Vec::new());
        for (landed, pos) in landed.iter().zip(freed) {
            match (landed.write, landed.decision()) {
                (Some(write), Some(Decision::Take | Decision::Same)) => changes.push(Change {
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

/// A flight, and what became of its write to the archive, if there was one.
struct Landed<'a> {
    flight: &'a Flight,
    write: Option<&'a ArchiveWrite>,
    fate: Option<&'a Fate>,
}

impl<'a> Landed<'a> {
    fn key(&self) -> &'a Key {
        self.flight.stored.key()
    }

    fn archive_outcome(&self) -> Outcome {
        match self.fate {
            None => Outcome::Skipped,
            Some(Fate::Decided(_)) => Outcome::Done,
            Some(Fate::Refused(_) | Fate::Open) => Outcome::Failed,
        }
    }

    fn decision(&self) -> Option<Decision> {
        match self.fate {
            Some(Fate::Decided(decision)) => Some(*decision),
            _ => None,
        }
    }

    fn refusal(&self) -> Option<&'a Arc<ArchiveError>> {
        match self.fate {
            Some(Fate::Refused(why)) => Some(why),
            _ => None,
        }
    }
}

/// The plan has its writes in the order of the flights.
fn land<'a>(flights: &'a [Flight], plan: &'a FlushPlan, fates: &'a [Fate]) -> Vec<Landed<'a>> {
    let mut fates = plan.archive.iter().zip(fates).peekable();
    let landed = flights.iter().map(|flight| {
        let ours = fates.next_if(|(write, _)| write.stored.key() == flight.stored.key());
        let (write, fate) = ours.unzip();
        Landed {
            flight,
            write,
            fate,
        }
    });
    landed.collect()
}

/// Why the archive does not have all of it.
fn failure_of(landed: &[Landed<'_>], outage: Option<ArchiveError>) -> Option<StorageError> {
    let refused = || {
        let refused = landed.iter().find_map(|l| Some((l.key(), l.refusal()?)));
        refused.map(|(key, why)| refusal(key.clone(), why.clone()))
    };
    outage.map(StorageError::from).or_else(refused)
}

/// The error of a tier that was not fit to be asked, if there was anything for it.
fn unasked(flights: &[Flight], (tier, due): (Tier, Due), is_up: bool) -> Option<StorageError> {
    let is_wanted = || flights.iter().any(|flight| flight.due.contains(due));
    (!is_up && is_wanted()).then(|| StorageError::unavailable(tier, "store", CircuitOpen))
}
