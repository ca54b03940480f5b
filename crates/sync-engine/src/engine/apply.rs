//! Merging writes of other nodes: one bulk call, durable when it returns.

use std::collections::HashMap;
use std::sync::Arc;

use super::SyncEngine;
use super::commit::Fate;
use super::core::Core;
use super::publisher::Change;
use super::refused::refusal;
use super::stale::Missed;
use crate::batch::plan::{ArchiveWrite, Over};
use crate::batch::portions::Portions;
use crate::error::{InvalidItem, StorageError, Tier};
use crate::ingest::admit;
use crate::item::decide::{Decision, decide};
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::item::{Leaf, Stored};
use crate::l1::{Due, Entry, L1};
use crate::l2::CacheStore;
use crate::l3::ArchiveStore;
use crate::limits::{COMMIT_BYTES_MAX, COMMIT_RECORDS_MAX, REFUSED_ALONE_MAX};

/// What became of the writes given to [`SyncEngine::apply`].
#[derive(Debug, Default)]
pub struct Applied {
    /// They won and are in the archive now.
    pub taken: usize,
    /// The archive had the same or something newer.
    pub kept: usize,
    /// Stamped further ahead of the local clock than is believed: neither applied nor merged into the clock. The caller
    /// keeps them and tries again as time passes.
    pub early: Vec<Stored>,
    /// Unfit to be stored here (too large, malformed key, not for SQL, refused by the archive), and why.
    pub refused: Vec<(Key, StorageError)>,
}

/// Whether what is applied is published again, for peers that cannot reach its origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relay {
    /// In a full mesh: no.
    #[default]
    No,
    /// In a hub, chain or tree: what changed something here is passed on. What changed nothing goes nowhere, so there are no loops.
    Yes,
}

impl SyncEngine {
    /// Merges writes of other nodes by their stamps. When it returns, what was taken is in the archive, and readers see it.
    ///
    /// # Errors
    /// `Unavailable`, also where the archive refuses many rows: nothing is certain, call again with the same writes; replays change nothing. `Overloaded`: slow down.
    pub async fn apply(&self, writes: Vec<Stored>, relay: Relay) -> Result<Applied, StorageError> {
        self.core("apply")?.apply(writes, relay).await
    }

    /// What this engine knows of each key: the leaf of its newest write, stored or not yet.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, StorageError> {
        let core = self.core("leaves_of")?;
        // L1 first: what it lets go while the archive is asked is in the archive by then. Only what is on its way there: a
        // copy out of the cache is nothing that the archive has.
        let is_due = |entry: &Entry| entry.stored.is_archived() && entry.due.contains(Due::ARCHIVE);
        let resident = |key| core.l1.peek(key).filter(is_due);
        let resident: Vec<_> = keys
            .iter()
            .map(|key| resident(key).map(|entry| entry.stored.leaf()))
            .collect();
        let archived = core.archive.leaves_of(keys).await?;
        let newest = resident
            .into_iter()
            .zip(archived)
            .map(|(resident, archived)| {
                resident
                    .into_iter()
                    .chain(archived)
                    .reduce(|a, b| match decide(Some(&a), &b) {
                        Decision::Take => b,
                        Decision::Keep | Decision::Same => a,
                    })
            });
        Ok(newest.collect())
    }
}

impl Core {
    async fn apply(
        self: &Arc<Self>,
        writes: Vec<Stored>,
        relay: Relay,
    ) -> Result<Applied, StorageError> {
        let mut applied = Applied::default();
        let (fit, repeats) = self.sort_out(writes, &mut applied);
        applied.kept += repeats;
        let weight_max = match self.cache.is_configured() {
            // They pass through L1: a part that does not fit there would exceed its cap.
            true => self.budget.limit() / 4,
            false => usize::MAX,
        };
        for part in portions(fit, weight_max) {
            let merged = self.apply_part(part, relay).await?;
            applied.taken += merged.taken;
            applied.kept += merged.kept;
            applied.refused.extend(merged.refused);
        }
        self.metrics.applied.increment(applied.taken as u64);
        self.metrics.kept.increment(applied.kept as u64);
        Ok(applied)
    }

    /// Keeps back what is early or unfit; of several writes of one key keeps the winner.
    fn sort_out(&self, writes: Vec<Stored>, applied: &mut Applied) -> (Vec<Stored>, usize) {
        let config = self.config();
        let rules = self.rules(&config);
        let drift = i64::try_from(config.max_clock_drift_ms).unwrap_or(i64::MAX);
        let believed_until = self.now_ms().saturating_add(drift);
        let mut winners: HashMap<Key, usize> = HashMap::with_capacity(writes.len());
        let mut fit: Vec<Stored> = Vec::with_capacity(writes.len());
        let mut repeats = 0;
        for stored in writes {
            let checked = match &stored {
                // A row that no peer is ever told of would keep the roots apart for good.
                Stored::Live(item) if !stored.is_archived() => Err(StorageError::InvalidItem {
                    id: item.object_id.clone(),
                    reason: InvalidItem::NotReplicated,
                }),
                Stored::Live(item) => {
                    admit::check(item, &rules).and_then(|()| admit::check_stamp(item))
                }
                Stored::Tombstone { key, .. } => key.check().map_err(StorageError::from),
            };
            if let Err(error) = checked {
                applied.refused.push((stored.key().clone(), error));
            } else if stored.stamp().time.ms() > believed_until {
                applied.early.push(stored);
            } else if let Some(winner) = winners.get(stored.key()).and_then(|at| fit.get_mut(*at)) {
                repeats += 1;
                if decide(Some(&winner.leaf()), &stored.leaf()) == Decision::Take {
                    *winner = stored;
                }
            } else {
                winners.insert(stored.key().clone(), fit.len());
                fit.push(stored);
            }
        }
        (fit, repeats)
    }

    async fn apply_part(
        self: &Arc<Self>,
        part: Vec<Stored>,
        relay: Relay,
    ) -> Result<Merged, StorageError> {
        let weight = match self.cache.is_configured() {
            // With a cache they pass through L1 on their way to it.
            true => part.iter().map(L1::weight_of).sum::<usize>(),
            false => 0,
        };
        let permit = self.admit(weight).await?;
        let core = self.clone();
        // What the archive has taken must reach L1 too, whether the caller waits for it or not.
        let work = async move {
            let merged = core.merge_part(part, relay).await;
            drop(permit);
            merged
        };
        let merged = self.to_the_end("apply", work).await;
        merged.unwrap_or_else(|| Err(Self::ended("apply")))
    }

    async fn merge_part(
        self: &Arc<Self>,
        part: Vec<Stored>,
        relay: Relay,
    ) -> Result<Merged, StorageError> {
        // Before anything is merged, so that no later local write of these keys gets a smaller stamp.
        part.iter().for_each(|stored| self.observe(stored));
        let writes: Vec<ArchiveWrite> = part
            .into_iter()
            .map(|stored| ArchiveWrite {
                stored,
                over: Over::Anything,
            })
            .collect();
        let portions = Portions::new(writes.len(), 0, REFUSED_ALONE_MAX);
        let mut overruled = Vec::new();
        let mut enter = |writes: &[ArchiveWrite], decisions: &[Decision]| {
            overruled.extend(self.enter_applied(writes, decisions, relay));
        };
        let committed = self.commit_each_and(&writes, portions, &mut enter).await;
        let (mut merged, mut untried) = (Merged::default(), false);
        for (write, fate) in writes.into_iter().zip(committed.fates) {
            match fate {
                Fate::Decided(Decision::Take) => merged.taken += 1,
                Fate::Decided(_) => merged.kept += 1,
                Fate::Refused(why) => {
                    let key = write.stored.key().clone();
                    merged.refused.push((key.clone(), refusal(key, why)));
                }
                Fate::Open => {
                    untried = true;
                    self.doubt(write.stored.key(), write.stored.stamp());
                }
            }
        }
        self.overrule(overruled).await?;
        match committed.error {
            // Whoever goes on from here would lose them.
            None if untried => Err(StorageError::unavailable(
                Tier::Archive,
                "apply",
                RefusesAll,
            )),
            None => Ok(merged),
            Some(error) => Err(error.into()),
        }
    }

    /// What came of a write to the archive is not known, and it may not come again: what is older, in L1 or in the cache, is no
    /// answer any more.
    fn doubt(&self, key: &Key, stamp: Stamp) {
        let missed = Missed {
            stamp,
            archive_knows: false,
        };
        self.mark_stale(self.cache.is_configured().then(|| (key.clone(), missed)));
        self.l1.doubt(key, stamp);
    }

    /// Lets what the archive has just taken into L1 (where it replaces what is resident) and on to the cache. Gives the stamps of
    /// what is newer and will not come to the archive by itself: it takes away these rows.
    #[must_use]
    pub(super) fn enter_applied(
        &self,
        writes: &[ArchiveWrite],
        decisions: &[Decision],
        relay: Relay,
    ) -> Vec<(Key, Stamp)> {
        let (mut queued, mut freed, mut passed_on) = (Vec::new(), Vec::new(), Vec::new());
        let mut overruled = Vec::new();
        // `Same` too: a commit repeated after an unknown outcome must still reach L1.
        let decided = writes.iter().zip(decisions);
        for (write, decision) in decided.filter(|(_, decision)| **decision != Decision::Keep) {
            let stored = write.stored.clone();
            let due = match self.cache.is_configured() {
                true => Due::CACHE,
                false => Due::none(),
            };
            let (key, size) = (stored.key().clone(), stored.size_bytes());
            let merged = self.l1.merge(stored.clone(), due);
            if let Some(stamp) = merged.outlived_by.filter(|_| stored.item().is_some()) {
                overruled.push((key.clone(), stamp));
            }
            if merged.enqueue {
                queued.push((key, size));
            }
            freed.extend(merged.freed_pos);
            if relay == Relay::Yes && *decision == Decision::Take {
                passed_on.push(Change { stored, pos: None });
            }
        }
        self.enqueue(queued);
        freed.extend(self.publisher.push(passed_on));
        self.release_positions(freed);
        self.settled();
        overruled
    }
}

/// So many rows are refused that the rest was not tried.
#[derive(Debug, thiserror::Error)]
#[error("the archive refuses more than {REFUSED_ALONE_MAX} rows of one batch: taken for an outage")]
struct RefusesAll;

/// What became of a part.
#[derive(Default)]
struct Merged {
    taken: usize,
    kept: usize,
    refused: Vec<(Key, StorageError)>,
}

/// Cuts the writes into parts of one commit each.
fn portions(writes: Vec<Stored>, weight_max: usize) -> Vec<Vec<Stored>> {
    let bytes_max = weight_max.min(COMMIT_BYTES_MAX);
    let mut parts: Vec<Vec<Stored>> = Vec::new();
    let mut bytes = 0usize;
    for stored in writes {
        let size = L1::weight_of(&stored);
        match parts.last_mut() {
            Some(part) if part.len() < COMMIT_RECORDS_MAX && bytes + size <= bytes_max => {
                bytes += size;
                part.push(stored);
            }
            _ => {
                bytes = size;
                parts.push(vec![stored]);
            }
        }
    }
    parts
}
