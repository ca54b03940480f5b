//! Below L1: one round trip per tier for all keys asked, and the rules of what may be believed.

use std::sync::Arc;

use super::core::Core;
use crate::error::{StorageError, Tier};
use crate::item::key::Key;
use crate::item::{Stored, SyncItem};
use crate::l1::{Due, Entry, L1, Ticket};
use crate::l2::{CacheError, CacheStore, Lookup, is_believed};
use crate::l3::ArchiveStore;

impl Core {
    /// What L1 says: `Some(None)` is a certain "absent".
    pub(super) fn resident(&self, id: &str) -> Option<Option<SyncItem>> {
        let entry = self.l1.get(id, self.now_ms())?;
        Some(self.hit(&entry))
    }

    /// Counts what L1 answered, and gives it.
    pub(super) fn hit(&self, entry: &Entry) -> Option<SyncItem> {
        self.metrics.hits_l1.increment(1);
        self.visible(entry)
    }

    /// The item as a reader sees it now.
    pub(super) fn visible(&self, entry: &Entry) -> Option<SyncItem> {
        let now = self.now_ms();
        if entry.cache_until.is_some_and(|until| until <= now) {
            return None;
        }
        entry.stored.live_at(now).cloned()
    }

    /// Looks a key up below L1. Callers with the same question share the answer, unless a write came between.
    pub(super) async fn load(self: &Arc<Self>, key: Key) -> Result<Option<SyncItem>, StorageError> {
        let ticket = self.l1.ticket(&key);
        let keys = [key.clone()];
        let work = async || match self.look_up(&keys).await {
            Ok(mut found) => Ok(found.pop().flatten()),
            Err(error) => Err(Arc::new(error)),
        };
        let found = self.misses.run((key, ticket), work).await;
        found.map_err(StorageError::Shared)
    }

    /// Looks keys up in L2 and L3, one round trip each, and lets what is found into L1.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        keys: &[Key],
    ) -> Result<Vec<Option<SyncItem>>, StorageError> {
        let mut seeks: Vec<Seek> = keys
            .iter()
            .map(|key| Seek::new(key, self.l1.ticket(key)))
            .collect();
        self.seek_in_cache(&mut seeks).await;
        self.seek_in_archive(&mut seeks).await?;
        seeks.into_iter().map(|seek| self.conclude(seek)).collect()
    }

    async fn seek_in_cache(&self, seeks: &mut [Seek]) {
        if self.cache.is_configured() && !self.archive_is_open() {
            // An archive that answers by now does not know of what the cache alone keeps.
            let error = Arc::new(CacheError::Unavailable {
                op: "get",
                source: "what it holds is not believed before the archive is opened".into(),
            });
            seeks
                .iter_mut()
                .for_each(|seek| seek.cache_error = Some(error.clone()));
            return;
        }
        let mut asked: Vec<&mut Seek> = seeks
            .iter_mut()
            .filter(|s| self.cache_is_asked(&s.key))
            .collect();
        if asked.is_empty() {
            return;
        }
        let keys: Vec<Key> = asked.iter().map(|s| s.key.clone()).collect();
        match self.cache.get_many(&keys).await {
            Ok(lookups) => {
                // Before anything it says is believed: a server that was restarted may have an old state.
                self.follow_cache_life();
                for (seek, lookup) in asked.iter_mut().zip(lookups) {
                    self.take_lookup(seek, lookup);
                }
            }
            Err(error) => {
                self.metrics.read_errors.increment(1);
                let error = Arc::new(error);
                asked
                    .iter_mut()
                    .for_each(|seek| seek.cache_error = Some(error.clone()));
            }
        }
    }

    pub(super) fn take_lookup(&self, seek: &mut Seek, lookup: Lookup) {
        match lookup {
            Lookup::Absent => {}
            Lookup::Garbage(error) => {
                self.metrics.garbage_l2.increment(1);
                tracing::warn!(key = %seek.key, %error, "the cache holds garbage for this key; asking the archive");
            }
            Lookup::Hit(stored, _) if self.is_from_the_future(&stored) => {
                self.metrics.garbage_l2.increment(1);
                tracing::warn!(key = %seek.key, stamp = %stored.stamp(), "the cache holds a record from the far future; asking the archive");
            }
            Lookup::Hit(stored, _) if self.is_stale(&stored) => {}
            Lookup::Hit(stored, generation) => {
                // What an earlier life of the cache says, the archive may know better.
                seek.settled =
                    is_believed(generation, self.generation()) || !self.archive.is_configured();
                seek.found = Some((stored, Tier::Cache));
            }
        }
    }

    /// Whether a record of the cache is older than a write that did not get there.
    fn is_stale(&self, stored: &Stored) -> bool {
        let missed = self.stale.get(stored.key());
        missed.is_some_and(|missed| stored.stamp() <= missed.stamp)
    }

    /// Whether a record of the cache has a stamp that this node can neither have issued nor believed. Without an archive
    /// the clock's bound does not survive a restart, and nothing can be said.
    pub(super) fn is_from_the_future(&self, stored: &Stored) -> bool {
        let drift = i64::try_from(self.config().max_clock_drift_ms).unwrap_or(i64::MAX);
        let time = stored.stamp().time;
        self.archive.is_configured()
            && time > self.clock.last()
            && time.ms() > self.now_ms().saturating_add(drift)
    }

    async fn seek_in_archive(&self, seeks: &mut [Seek]) -> Result<(), StorageError> {
        let mut asked = Vec::new();
        for seek in seeks.iter_mut().filter(|seek| !seek.settled) {
            match self.filter.may_contain(&seek.key) {
                true => asked.push(seek),
                // The filter's word is the archive's: what an earlier life of the cache holds does not stand against it.
                false => seek.take_row(None),
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = asked.iter().map(|seek| seek.key.clone()).collect();
        let rows = self
            .archive
            .get_many(&keys)
            .await
            .inspect_err(|_| self.metrics.read_errors.increment(1))?;
        for (seek, row) in asked.iter_mut().zip(rows) {
            seek.take_row(row);
        }
        Ok(())
    }

    /// Puts what was read from the archive into the cache. Through the batch, so that writes of one key to the cache keep
    /// their order; and only while there is room beside the writes, which have a right to it.
    fn promote(&self, stored: &Stored) {
        let held = || self.l1.dirty_bytes();
        let Some(_room) = self.budget.spare(L1::weight_of(stored), held) else {
            return;
        };
        if self.l1.mark(stored.key(), Due::CACHE) {
            self.enqueue([(stored.key().clone(), stored.size_bytes())]);
        }
    }

    /// The answer for one key, now that every tier has been asked.
    fn conclude(&self, seek: Seek) -> Result<Option<SyncItem>, StorageError> {
        // A tombstone may be what an item that only the cache keeps has left of the row.
        let known =
            |(stored, _): &(Stored, Tier)| seek.cache_error.is_none() || stored.item().is_some();
        let Some((stored, tier)) = seek.found.filter(known) else {
            return match seek.cache_error {
                // The archive has nothing; but the item may be one that only the cache keeps.
                Some(error) => Err(StorageError::unavailable(Tier::Cache, "get", error)),
                None => {
                    self.metrics.misses.increment(1);
                    let newer = self.l1.peek(&seek.key);
                    Ok(newer.and_then(|newer| self.visible(&newer)))
                }
            };
        };
        match tier {
            Tier::Cache => self.metrics.hits_l2.increment(1),
            _ => self.metrics.hits_l3.increment(1),
        }
        self.observe(&stored);
        let entry = Entry {
            cache_until: self.cache_until(&stored),
            stored,
            due: Due::none(),
            is_passing: false,
        };
        let promote = tier == Tier::Archive
            && seek.cache_error.is_none()
            && self.cache_is_asked(&seek.key)
            && entry
                .stored
                .item()
                .is_some_and(|item| item.submit_options.redis);
        if self
            .l1
            .fill(entry.stored.clone(), seek.ticket, entry.cache_until)
        {
            if promote {
                self.promote(&entry.stored);
            }
            return Ok(self.visible(&entry));
        }
        // Something newer may have come in meanwhile; it is the better answer.
        match self.l1.peek(&seek.key) {
            Some(newer) if newer.stored.stamp() > entry.stored.stamp() => Ok(self.visible(&newer)),
            _ => Ok(self.visible(&entry)),
        }
    }
}

/// One key on its way through the tiers.
pub(super) struct Seek {
    pub key: Key,
    pub ticket: Ticket,
    pub found: Option<(Stored, Tier)>,
    /// No further tier needs to be asked.
    pub settled: bool,
    pub cache_error: Option<Arc<CacheError>>,
}

impl Seek {
    pub(super) fn new(key: &Key, ticket: Ticket) -> Self {
        Self {
            key: key.clone(),
            ticket,
            found: None,
            settled: false,
            cache_error: None,
        }
    }

    fn take_row(&mut self, row: Option<Stored>) {
        let cached = self.found.take();
        self.found = match (cached, row) {
            // An item of the cache alone has no row; one of both has, and then the row counts.
            (Some((cached, tier)), None) if !cached.is_archived() => Some((cached, tier)),
            (Some((cached, tier)), Some(row))
                if !cached.is_archived() && cached.stamp() >= row.stamp() =>
            {
                Some((cached, tier))
            }
            (_, row) => row.map(|row| (row, Tier::Archive)),
        };
    }
}
