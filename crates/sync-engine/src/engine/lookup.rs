//! Below L1: one round trip per tier for all keys asked, and the rules of what may be believed.

use std::sync::Arc;

use super::core::Core;
use super::stale::Missed;
use crate::error::{StorageError, Tier};
use crate::item::key::Key;
use crate::item::stamp::Stamp;
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
        let mut seeks: Vec<Seek> = keys.iter().map(|key| self.begin_seek(key)).collect();
        self.seek_in_cache(&mut seeks).await;
        self.seek_in_archive(&mut seeks).await?;
        let overruled = seeks.iter().filter_map(Seek::overruled).collect();
        let found = seeks.into_iter().map(|seek| self.conclude(seek)).collect();
        if let Err(error) = self.overrule(overruled).await {
            tracing::debug!(%error, "an older row beside what only the cache keeps is still there");
        }
        found
    }

    /// Looks at what the tiers below do not know, before they are asked: it may be gone from here by the time they answer. L1
    /// first, since what leaves it without having reached the cache was noted as stale before.
    pub(super) fn begin_seek(&self, key: &Key) -> Seek {
        let ticket = self.l1.ticket(key);
        let passing = self.l1.peek(key).map(|entry| entry.stored);
        Seek {
            key: key.clone(),
            ticket,
            passing,
            missed: self.stale.get(key),
            found: None,
            settled: false,
            overrules: false,
            cache_error: None,
        }
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
            .filter(|seek| self.cache_is_asked(seek))
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
            Lookup::Hit(stored, _) if self.is_stale(seek, &stored) => {}
            Lookup::Hit(stored, generation) => {
                // What an earlier life of the cache says, the archive may know better.
                seek.settled =
                    is_believed(generation, self.generation()) || !self.archive.is_configured();
                seek.found = Some((stored, Tier::Cache));
            }
        }
    }

    /// Whether the cache may know of this key what the archive does not.
    pub(super) fn cache_is_asked(&self, seek: &Seek) -> bool {
        let archive_knows = seek.missed.is_some_and(|missed| missed.archive_knows);
        self.archive_is_open() && self.cache.is_configured() && !archive_knows
    }

    /// Whether a record of the cache is older than a write that had not got there when it was asked, or has not yet.
    fn is_stale(&self, seek: &Seek, stored: &Stored) -> bool {
        let missed = [seek.missed, self.stale.get(&seek.key)];
        let mut missed = missed.into_iter().flatten().map(|missed| missed.stamp);
        // Of an item that the archive does not keep it has a tombstone of the same stamp.
        missed.any(|missed| match stored.stamp() == missed {
            true => stored.is_archived(),
            false => stored.stamp() < missed,
        })
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
    fn conclude(&self, mut seek: Seek) -> Result<Option<SyncItem>, StorageError> {
        let has_failed = seek.cache_error.is_some();
        // A tombstone may be what an item that only the cache keeps has left of the row.
        let is_known = |(stored, _): &(Stored, Tier)| !has_failed || stored.item().is_some();
        let Some((stored, tier)) = seek.found.take().filter(is_known) else {
            return match seek.cache_error {
                // The archive has nothing; but the item may be one that only the cache keeps.
                Some(error) => Err(StorageError::unavailable(Tier::Cache, "get", error)),
                None => {
                    self.metrics.misses.increment(1);
                    Ok(self.newest(seek, None))
                }
            };
        };
        match tier {
            Tier::Cache => self.metrics.hits_l2.increment(1),
            _ => self.metrics.hits_l3.increment(1),
        }
        self.observe(&stored);
        let cache_until = self.cache_until(&stored);
        if !self.l1.fill(stored.clone(), seek.ticket, cache_until) {
            return Ok(self.newest(seek, Some(stored)));
        }
        let is_wanted = |item: &SyncItem| item.submit_options.redis;
        let is_missing = tier == Tier::Archive && !has_failed && self.cache_is_asked(&seek);
        if is_missing && self.stale.get(&seek.key).is_none() && stored.item().is_some_and(is_wanted)
        {
            self.promote(&stored);
        }
        Ok(self.visible(&self.entry(stored)))
    }

    /// The greatest of what L1 had when the look-up began, what was found, and what L1 has now: something newer may have come in
    /// meanwhile, and even gone again.
    fn newest(&self, seek: Seek, found: Option<Stored>) -> Option<SyncItem> {
        let below = [seek.passing, found].into_iter().flatten();
        let entries = below.map(|stored| self.entry(stored));
        let newest = entries
            .chain(self.l1.peek(&seek.key))
            .max_by_key(|entry| (entry.stored.stamp(), entry.stored.item().is_some()))?;
        self.visible(&newest)
    }

    fn entry(&self, stored: Stored) -> Entry {
        Entry {
            cache_until: self.cache_until(&stored),
            stored,
            due: Due::none(),
            is_passing: false,
        }
    }
}

/// One key on its way through the tiers.
pub(super) struct Seek {
    pub key: Key,
    ticket: Ticket,
    /// What L1 had when this began.
    passing: Option<Stored>,
    /// What the cache had missed when this began.
    missed: Option<Missed>,
    pub found: Option<(Stored, Tier)>,
    /// No further tier needs to be asked.
    pub settled: bool,
    /// What only the cache keeps is newer than a live row.
    overrules: bool,
    pub cache_error: Option<Arc<CacheError>>,
}

impl Seek {
    /// What takes away a row.
    fn overruled(&self) -> Option<(Key, Stamp)> {
        let (stored, _) = self.found.as_ref().filter(|_| self.overrules)?;
        Some((self.key.clone(), stored.stamp()))
    }

    fn take_row(&mut self, row: Option<Stored>) {
        let cached = self.found.take();
        self.found = match (cached, row) {
            // An item of the cache alone has no row; one of both has, and then the row counts.
            (Some((cached, tier)), None) if !cached.is_archived() => Some((cached, tier)),
            (Some((cached, tier)), Some(row))
                if !cached.is_archived() && cached.stamp() >= row.stamp() =>
            {
                self.overrules = row.item().is_some() && cached.stamp() > row.stamp();
                Some((cached, tier))
            }
            (_, row) => row.map(|row| (row, Tier::Archive)),
        };
    }
}
