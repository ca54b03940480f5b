//! Keys for which the cache may hold something old.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::limits::STALE_KEYS_MAX;

/// A write that did not reach the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    /// What the cache holds up to this stamp is not believed.
    pub stamp: Stamp,
    /// The archive has the newest write of the key, and there is nothing to ask the cache. Of a write that only passed through
    /// L1 this is not known: the cache alone may keep a newer one.
    pub archive_knows: bool,
}

/// The keys whose last write did not reach the cache. Bounded: past the bound the whole cache has to be given up.
#[derive(Debug, Default)]
pub(super) struct StaleKeys {
    keys: Mutex<HashMap<Key, Missed>>,
    /// How many, to be read without the lock: nearly always zero.
    len: AtomicUsize,
}

/// Too many keys are stale to remember each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl StaleKeys {
    pub(super) fn get(&self, key: &Key) -> Option<Missed> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.keys.lock().get(key).copied()
    }

    pub(super) fn note(
        &self,
        keys: impl IntoIterator<Item = (Key, Missed)>,
    ) -> Result<(), TooMany> {
        let mut all = self.keys.lock();
        for (key, missed) in keys {
            let noted = all.entry(key).or_insert(missed);
            if noted.stamp < missed.stamp {
                *noted = missed;
            }
        }
        self.len.store(all.len(), Ordering::Release);
        match all.len() <= STALE_KEYS_MAX {
            true => Ok(()),
            false => Err(TooMany),
        }
    }

    /// The cache holds nothing any more of these keys that is older than these stamps.
    pub(super) fn forget<'a>(&self, ends: impl IntoIterator<Item = &'a (Key, Stamp)>) {
        if self.len.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut all = self.keys.lock();
        for (key, stamp) in ends {
            // A later write may have missed the cache meanwhile.
            if all.get(key).is_some_and(|missed| missed.stamp <= *stamp) {
                all.remove(key);
            }
        }
        self.len.store(all.len(), Ordering::Release);
    }

    pub(super) fn clear(&self) {
        self.keys.lock().clear();
        self.len.store(0, Ordering::Release);
    }

    pub(super) fn some(&self, limit: usize) -> Vec<(Key, Stamp)> {
        let all = self.keys.lock();
        let some = all.iter().take(limit);
        some.map(|(key, missed)| (key.clone(), missed.stamp))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::stamp::HlcTime;

    #[test]
    fn what_missed_the_cache_during_a_repair_is_still_stale() {
        let (stale, key) = (StaleKeys::default(), Key::from("k"));
        let stamp = |time| Stamp {
            time: HlcTime(time),
            ..Stamp::default()
        };
        let missed = |time| Missed {
            stamp: stamp(time),
            archive_knows: time == 2,
        };
        let note = |time| stale.note([(key.clone(), missed(time))]).unwrap();
        note(1);
        let repaired = stale.some(9);
        note(3);
        note(2);
        stale.forget(&repaired);
        assert_eq!((stale.get(&key), stale.len()), (Some(missed(3)), 1));
        stale.forget(&[(key.clone(), stamp(3))]);
        assert_eq!((stale.get(&key), stale.len()), (None, 0));
    }
}
