//! Ranges of keys: what L3 has, with what L1 has not stored yet laid over it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::SyncEngine;
use super::core::Core;
use crate::error::StorageError;
use crate::item::key::Key;
use crate::item::{Stored, SyncItem};
use crate::l3::{ArchiveStore, KeyRange};
use crate::limits::{SCAN_BYTES, SCAN_ROWS};

/// Counts that may be spoilt by commits before these are made to wait.
const COUNT_TRIES: u32 = 3;

impl SyncEngine {
    /// Up to `limit` items whose keys begin with `prefix`, in the order of their keys' bytes. Every character of the
    /// prefix means itself. Items that only Redis keeps are not in it.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn scan_prefix(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<SyncItem>, StorageError> {
        let page = self.scan_prefix_page(prefix, None, limit, usize::MAX);
        Ok(page.await?.items)
    }

    /// As [`SyncEngine::scan_prefix`], behind the key `after`, and no more items once they have `bytes_max` bytes: the
    /// next page of a longer list. A page is empty only at the list's end. While it is made it takes the memory of
    /// `bytes_max` and one item at the most, beside what L1 holds.
    ///
    /// # Errors
    /// As [`SyncEngine::scan_prefix`].
    pub async fn scan_prefix_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<ScanPage, StorageError> {
        let core = self.core("scan_prefix")?;
        let range = KeyRange::prefix(prefix.as_bytes());
        let mut rest = match after {
            Some(after) => range.after(after.as_bytes()),
            None => range,
        };
        let (mut found, mut rows) = (ScanPage::default(), limit.clamp(1, SCAN_ROWS));
        let mut left = bytes_max;
        loop {
            let part = core.part(prefix, &rest, rows, left.min(SCAN_BYTES)).await?;
            for item in part.items {
                let fits = item.size_bytes() <= left || found.items.is_empty();
                if found.items.len() == limit || !fits {
                    return Ok(found.with_more());
                }
                left = left.saturating_sub(item.size_bytes());
                found.items.push(item);
            }
            // Where tombstones stand in the way, ever larger steps, so that a short list does not take a question each.
            rows = rows.saturating_mul(2).min(SCAN_ROWS);
            match part.next {
                Some(_) if found.items.len() >= limit || (left == 0 && !found.items.is_empty()) => {
                    return Ok(found.with_more());
                }
                Some(next) => rest = next,
                None => return Ok(found),
            }
        }
    }

    /// How many items have keys that begin with `prefix`. See [`SyncEngine::scan_prefix`].
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn count_prefix(&self, prefix: &str) -> Result<u64, StorageError> {
        let core = self.core("count_prefix")?;
        for _ in 0..COUNT_TRIES {
            let before = core.commits.load(Ordering::SeqCst);
            let count = core.count_live(prefix).await?;
            let after = core.commits.load(Ordering::SeqCst);
            // Odd: a commit was under way.
            if before == after && before.is_multiple_of(2) {
                return Ok(count);
            }
        }
        // Commits come too quickly: they wait for one count.
        let _order = core.commit_order.lock().await;
        core.count_live(prefix).await
    }

    /// How many items L3 and the writes on their way to it hold.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn len(&self) -> Result<u64, StorageError> {
        self.count_prefix("").await
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// As [`SyncEngine::len`].
    pub async fn is_empty(&self) -> Result<bool, StorageError> {
        Ok(self.len().await? == 0)
    }

    /// Up to about `limit` records of a range with everything that replicas need, tombstones included, as the archive
    /// has them: for peers that fill themselves from here.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn scan_records(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, StorageError> {
        Ok(self
            .core("scan_records")?
            .archive
            .scan(range, limit, bytes_max)
            .await?)
    }

    /// The newest record of each key, tombstones included, in the order asked; `None`: never heard of it.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn records_of(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, StorageError> {
        let core = self.core("records_of")?;
        Ok(core.archive.get_many(keys).await?)
    }
}

/// A page of a list. See [`SyncEngine::scan_prefix_page`].
#[derive(Debug, Default)]
pub struct ScanPage {
    /// The items, in the order of their keys.
    pub items: Vec<SyncItem>,
    /// The key behind which the next page begins; `None`: there is none.
    pub next: Option<Key>,
}

impl ScanPage {
    fn with_more(mut self) -> Self {
        self.next = self.items.last().map(|item| item.object_id.clone());
        self
    }
}

/// What one question to the archive gives for a page.
struct Part {
    items: Vec<SyncItem>,
    next: Option<KeyRange>,
}

impl Core {
    /// Writes under the prefix that the archive may not have yet, by key.
    fn dirty_under(&self, prefix: &str) -> BTreeMap<Key, Stored> {
        let dirty = self.l1.prefix_dirty(prefix).into_iter();
        let as_archived = dirty.map(|entry| match entry.stored.is_archived() {
            true => entry.stored,
            // It takes away what the archive has.
            false => Stored::Tombstone {
                key: entry.stored.key().clone(),
                stamp: entry.stored.stamp(),
            },
        });
        as_archived
            .map(|stored| (stored.key().clone(), stored))
            .collect()
    }

    /// The count, right if no commit comes in between its questions.
    async fn count_live(&self, prefix: &str) -> Result<u64, StorageError> {
        let dirty = self.dirty_under(prefix);
        let now = self.now_ms();
        let range = KeyRange::prefix(prefix.as_bytes());
        let mut count = self.archive.count_live(&range, now).await?;
        let keys: Vec<Key> = dirty.keys().cloned().collect();
        for (stored, row) in dirty.values().zip(self.archive.get_many(&keys).await?) {
            let was = row.is_some_and(|row| row.live_at(now).is_some());
            let is = stored.live_at(now).is_some();
            count = count
                .saturating_add(u64::from(is))
                .saturating_sub(u64::from(was));
        }
        Ok(count)
    }

    async fn part(
        &self,
        prefix: &str,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Part, StorageError> {
        // The unstored first: what is stored in between is then in both, which does no harm.
        let dirty = self.dirty_under(prefix);
        let rows = self.archive.scan(range, limit, bytes_max).await?;
        let end = rows.last().map(|row| row.key().clone());
        let reached = |key: &Key| end.as_ref().is_none_or(|end| key <= end);
        let mut merged: BTreeMap<Key, Stored> = rows
            .into_iter()
            .map(|row| (row.key().clone(), row))
            .collect();
        for (key, stored) in dirty {
            let newer = merged
                .get(&key)
                .is_none_or(|row| row.stamp() < stored.stamp());
            if newer && range.contains(key.as_bytes()) && reached(&key) {
                merged.insert(key, stored);
            }
        }
        let now = self.now_ms();
        Ok(Part {
            items: merged
                .values()
                .filter_map(|stored| stored.live_at(now))
                .cloned()
                .collect(),
            next: end.map(|end| range.after(end.as_bytes())),
        })
    }
}
