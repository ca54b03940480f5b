//! Looking up: L1, then L2, then the filter, then L3. "Could not look" is never "absent".

use std::sync::Arc;

use super::SyncEngine;
use crate::error::{Source, StorageError};
use crate::item::SyncItem;
use crate::item::hash::ContentHash;
use crate::item::key::Key;
use crate::l2::CacheStore;
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

    /// What L1 alone can tell of this key, without asking another tier: `Some(None)` is a certain "not there", `None` is
    /// "the tiers below have to be asked".
    ///
    /// # Errors
    /// `Closed` when the engine is not running.
    pub fn get_resident(&self, id: &str) -> Result<Option<Option<SyncItem>>, StorageError> {
        let core = self.core("get")?;
        let found = core.l1.get_present(id, core.now_ms());
        Ok(found.map(|entry| core.hit(&entry)))
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
        if let Some(entry) = core.l1.peek_present(id) {
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
        let entry = core.l1.peek_present(id);
        let in_l1 = entry
            .as_ref()
            .is_some_and(|entry| core.visible(entry).is_some());
        if entry.is_some_and(|entry| !entry.due.is_empty()) {
            return Ok(ItemStatus::Pending);
        }
        let (mut seek, keys) = (core.begin_seek(&key), [key]);
        let now = core.now_ms();
        if core.cache_is_asked(&seek)
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
            let is_over = core.cache_until(&cached).is_some_and(|until| until <= now);
            let is_known = seek.settled || same || !cached.is_archived();
            is_known && !is_over && cached.live_at(now).is_some()
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
