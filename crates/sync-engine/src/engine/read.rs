//! Looking up: L1, then L2, then the filter, then L3. "Could not look" is never "absent".

use std::sync::Arc;

use super::SyncEngine;
use super::core::Core;
use crate::error::{Source, StorageError, Tier};
use crate::item::hash::ContentHash;
use crate::item::key::Key;
use crate::item::{Stored, SyncItem};
use crate::l1::{Due, Entry, L1, Ticket};
use crate::l2::{CacheError, CacheStore, Lookup};
use crate::l3::ArchiveStore;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemStatus {
    /// Stored, and found in these tiers.
    Synced {
        /// In memory.
        in_l1: bool,
        /// In Redis.
        in_l2: bool,
        /// In SQL.
        in_l3: bool,
    },
    /// Accepted, and not yet in every tier it belongs to.
    Pending,
    /// Not there.
    Missing,
}

impl SyncEngine {
    /// The item of this key, from the nearest tier that has it.
    ///
    /// # Errors
    /// `Unavailable` when a tier that might have it could not be asked and no other has it.
    pub async fn get(&self, id: &str) -> Result<Option<SyncItem>, StorageError> {
        let core = self.core("get")?;
        match core.resident(id) {
            Some(found) => Ok(found),
            None => core.load(Key::from(id)).await,
        }
    }

    /// As [`SyncEngine::get`], and checks the content against its hash.
    ///
    /// # Errors
    /// `Corruption` when they do not agree; the damaged copy leaves L1.
    pub async fn get_verified(&self, id: &str) -> Result<Option<SyncItem>, StorageError> {
        let Some(item) = self.get(id).await? else {
            return Ok(None);
        };
        let actual = ContentHash::of(&item.content);
        if actual == item.content_hash {
            return Ok(Some(item));
        }
        let core = self.core("get_verified")?;
        core.metrics.corrupt.increment(1);
        core.l1.remove_clean(id, item.stamp);
        Err(StorageError::Corruption {
            id: item.object_id.clone(),
            expected: item.content_hash,
            actual,
        })
    }

    /// The items of these keys, in the order asked, with one round trip per tier.
    ///
    /// # Errors
    /// As [`SyncEngine::get`], for any of them.
    pub async fn get_many(&self, ids: &[&str]) -> Result<Vec<Option<SyncItem>>, StorageError> {
        let core = self.core("get_many")?;
        let mut found: Vec<Option<SyncItem>> = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            match core.resident(id) {
                Some(resident) => found.push(resident),
                None => {
                    missing.push((at, Key::from(*id)));
                    found.push(None);
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let keys: Vec<Key> = missing.iter().map(|(_, key)| key.clone()).collect();
        let loaded = core.look_up(&keys).await?;
        for ((at, _), item) in missing.iter().zip(loaded) {
            if let Some(slot) = found.get_mut(*at) {
                *slot = item;
            }
        }
        Ok(found)
    }

    /// Whether the key has an item, by the tiers' own word.
    ///
    /// # Errors
    /// As [`SyncEngine::get`].
    pub async fn contains(&self, id: &str) -> Result<bool, StorageError> {
        Ok(self.get(id).await?.is_some())
    }

    /// Whether the key may have an item, by L1 and the filter alone. `false` is certain, `true` is not.
    ///
    /// # Errors
    /// `Closed` when the engine is not running.
    pub fn contains_fast(&self, id: &str) -> Result<bool, StorageError> {
        let core = self.core("contains_fast")?;
        if let Some(entry) = core.l1.peek(id) {
            return Ok(core.visible(&entry).is_some());
        }
        // Redis may have items that L3 has not; without asking, all that can be said is "maybe".
        Ok(core.cache.is_configured() || core.filter.may_contain(&Key::from(id)))
    }

    /// Where the key stands in each tier.
    ///
    /// # Errors
    /// As [`SyncEngine::get`]: each configured tier is asked.
    pub async fn status(&self, id: &str) -> Result<ItemStatus, StorageError> {
        let core = self.core("status")?;
        let key = Key::from(id);
        let entry = core.l1.peek(id);
        let in_l1 = entry
            .as_ref()
            .is_some_and(|entry| core.visible(entry).is_some());
        if entry.is_some_and(|entry| !entry.due.is_empty()) {
            return Ok(ItemStatus::Pending);
        }
        let keys = [key];
        let now = core.now_ms();
        let mut seek = Seek::new(&keys[0], core.l1.ticket(&keys[0]));
        if core.cache_is_believed(&keys[0])
            && let Some(lookup) = core.cache.get_many(&keys).await?.pop()
        {
            core.take_lookup(&mut seek, lookup);
        }
        let cached = seek.found.take();
        let row = core.archive.get_many(&keys).await?.pop().flatten();
        let in_l3 = row.as_ref().is_some_and(|row| row.live_at(now).is_some());
        let in_l2 = cached.is_some_and(|(cached, _)| {
            // What an earlier life of the cache left there counts only if it is what the archive has.
            let same = row.is_some_and(|row| row.leaf() == cached.leaf());
            (seek.settled || same || !cached.is_archived()) && cached.live_at(now).is_some()
        });
        Ok(match in_l1 || in_l2 || in_l3 {
            true => ItemStatus::Synced {
                in_l1,
                in_l2,
                in_l3,
            },
            false => ItemStatus::Missing,
        })
    }

    /// The item of this key, or the one that `factory` makes and that is then stored under it. Concurrent callers share
    /// one call of the factory.
    ///
    /// # Errors
    /// As `get` and `submit`; `Factory` when the factory failed.
    pub async fn get_or_insert_with<F, Fut, E>(
        &self,
        id: &str,
        factory: F,
    ) -> Result<SyncItem, StorageError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<SyncItem, E>>,
        E: Into<Source>,
    {
        if let Some(item) = self.get(id).await? {
            return Ok(item);
        }
        let core = self.core("get_or_insert_with")?;
        let key = Key::from(id);
        let make = async || self.make(&key, factory).await.map_err(Arc::new);
        let made = core.factories.run(key.clone(), make).await;
        match made {
            Ok(Some(item)) => Ok(item),
            Ok(None) => Err(StorageError::Factory {
                id: key,
                source: "the item was deleted while it was being made".into(),
            }),
            Err(error) => Err(StorageError::Shared(error)),
        }
    }

    async fn make<F, Fut, E>(&self, key: &Key, factory: F) -> Result<Option<SyncItem>, StorageError>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<SyncItem, E>>,
        E: Into<Source>,
    {
        // Another caller may have finished between our look and our turn.
        if let Some(item) = self.get(key).await? {
            return Ok(Some(item));
        }
        let item = factory().await.map_err(|error| StorageError::Factory {
            id: key.clone(),
            source: error.into(),
        })?;
        let id = key.clone();
        self.submit(item.edit(|fields| fields.object_id = id))
            .await?;
        self.get(key).await
    }
}

impl Core {
    /// What L1 says: `Some(None)` is a certain "absent".
    pub(super) fn resident(&self, id: &str) -> Option<Option<SyncItem>> {
        let entry = self.l1.get(id, self.now_ms())?;
        self.metrics.hits_l1.increment(1);
        Some(self.visible(&entry))
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
        let mut asked: Vec<&mut Seek> = seeks
            .iter_mut()
            .filter(|s| self.cache_is_believed(&s.key))
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

    fn take_lookup(&self, seek: &mut Seek, lookup: Lookup) {
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
            Lookup::Hit(stored, generation) => {
                // What an earlier life of the cache says, the archive may know better.
                seek.settled = generation >= self.generation() || !self.archive.is_configured();
                seek.found = Some((stored, Tier::Cache));
            }
        }
    }

    /// Whether a record of the cache has a stamp that this node can neither have issued nor believed. Without an archive
    /// the clock's bound does not survive a restart, and nothing can be said.
    fn is_from_the_future(&self, stored: &Stored) -> bool {
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
                    Ok(self.resident(&seek.key).flatten())
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
        };
        let promote = tier == Tier::Archive
            && seek.cache_error.is_none()
            && self.cache_is_believed(&seek.key)
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
struct Seek {
    key: Key,
    ticket: Ticket,
    found: Option<(Stored, Tier)>,
    /// No further tier needs to be asked.
    settled: bool,
    cache_error: Option<Arc<CacheError>>,
}

impl Seek {
    fn new(key: &Key, ticket: Ticket) -> Self {
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
