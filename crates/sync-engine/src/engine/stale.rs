//! Keys for which the cache may hold something old.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::item::key::Key;
use crate::limits::STALE_KEYS_MAX;

/// The keys whose last write did not reach the cache. Bounded: past the bound the whole cache has to be given up.
#[derive(Debug, Default)]
pub(super) struct StaleKeys {
    keys: Mutex<HashSet<Key>>,
    /// How many, to be read without the lock: nearly always zero.
    len: AtomicUsize,
}

/// Too many keys are stale to remember each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl StaleKeys {
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.len.load(Ordering::Acquire) > 0 && self.keys.lock().contains(key)
    }

    pub(super) fn note(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), TooMany> {
        let mut all = self.keys.lock();
        all.extend(keys);
        self.len.store(all.len(), Ordering::Release);
        match all.len() <= STALE_KEYS_MAX {
            true => Ok(()),
            false => Err(TooMany),
        }
    }

    pub(super) fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        if self.len.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut all = self.keys.lock();
        for key in keys {
            all.remove(key);
        }
        self.len.store(all.len(), Ordering::Release);
    }

    pub(super) fn clear(&self) {
        self.keys.lock().clear();
        self.len.store(0, Ordering::Release);
    }

    pub(super) fn some(&self, limit: usize) -> Vec<Key> {
        self.keys.lock().iter().take(limit).cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }
}
