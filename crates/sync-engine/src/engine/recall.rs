//! What the cache alone keeps, met by an older write of its key that came late.

use super::core::Core;
use crate::item::Stored;
use crate::item::key::Key;
use crate::l1::{Due, L1};
use crate::l2::{CacheError, CacheStore, Lookup};
use crate::l3::ArchiveStore;

impl Core {
    /// The cache alone keeps something newer of these keys than what was to be written there: it takes away what the archive
    /// has, as if the older write had come first.
    ///
    /// On an error the keys are stale, and it is tried again with their repair.
    pub(super) async fn recall(&self, keys: &[Key]) -> Result<(), CacheError> {
        if !self.archive.is_configured() {
            return Ok(());
        }
        // One by one: each may be as large as an item can be, and there are hardly ever any.
        for key in keys {
            let found = self.cache.get_many(std::slice::from_ref(key)).await?;
            for lookup in found {
                match lookup {
                    Lookup::Hit(stored, _) if !stored.is_archived() => self.take_back(stored)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn take_back(&self, stored: Stored) -> Result<(), CacheError> {
        if self.is_from_the_future(&stored) {
            return Ok(());
        }
        let held = || self.l1.dirty_bytes();
        let Some(_room) = self.budget.spare(L1::weight_of(&stored), held) else {
            return Err(CacheError::Unavailable {
                op: "taking back what only the cache keeps",
                source: "too many bytes wait to be stored".into(),
            });
        };
        self.observe(&stored);
        let (key, size) = (stored.key().clone(), stored.size_bytes());
        let cache_until = self.cache_until(&stored);
        if self.l1.recall(stored, Due::ARCHIVE, cache_until).enqueue {
            self.enqueue([(key, size)]);
        }
        Ok(())
    }
}
