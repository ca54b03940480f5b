//! Writes stamped further in the future than is believed. Pure.
//!
//! They are neither applied nor changed. They wait here, and are tried again as time passes. What does not fit is dropped:
//! its origin still has it, and the cold path brings it when its time has come.

use std::collections::BTreeMap;

use sync_engine::Key;
use sync_engine::item::{Stored, stamp::Origin};

use crate::limits::{QUARANTINE_BYTES_MAX, QUARANTINE_WRITES_MAX};

/// The waiting writes of a node: for each key the newest.
#[derive(Debug, Default)]
pub struct Quarantine {
    writes: BTreeMap<Key, Stored>,
    bytes: usize,
    dropped: u64,
}

impl Quarantine {
    /// Takes a write in. False: there is no room.
    pub fn push(&mut self, stored: Stored) -> bool {
        let older = self.writes.get(stored.key());
        if older.is_some_and(|older| older.stamp() >= stored.stamp()) {
            return true;
        }
        let freed = older.map_or(0, Stored::size_bytes);
        let bytes = self.bytes - freed + stored.size_bytes();
        let count = self.writes.len() + usize::from(older.is_none());
        if count > QUARANTINE_WRITES_MAX || bytes > QUARANTINE_BYTES_MAX {
            self.dropped += 1;
            return false;
        }
        self.bytes = bytes;
        self.writes.insert(stored.key().clone(), stored);
        true
    }

    /// Takes out what is no longer from the future.
    pub fn due(&mut self, now_ms: i64) -> Vec<Stored> {
        let due: Vec<Key> = self
            .writes
            .values()
            .filter(|stored| stored.stamp().time.ms() <= now_ms)
            .map(|stored| stored.key().clone())
            .collect();
        let due: Vec<Stored> = due
            .iter()
            .filter_map(|key| self.writes.remove(key))
            .collect();
        self.bytes -= due.iter().map(Stored::size_bytes).sum::<usize>();
        due
    }

    /// How many wait, by the node whose clock is wrong.
    pub fn by_origin(&self) -> BTreeMap<Origin, usize> {
        let mut counts = BTreeMap::new();
        for stored in self.writes.values() {
            *counts.entry(stored.stamp().origin.node()).or_default() += 1;
        }
        counts
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many there was no room for, ever.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sync_engine::{HlcTime, Stamp};

    fn tombstone(key: &str, ms: i64, origin: u64) -> Stored {
        Stored::Tombstone {
            key: key.into(),
            stamp: Stamp {
                time: HlcTime::from_ms(ms),
                origin: Origin::from_raw(origin),
            },
        }
    }

    #[test]
    fn the_newest_of_each_key_waits_for_its_time() {
        let mut quarantine = Quarantine::default();
        for (key, ms, origin) in [("a", 500, 2), ("a", 900, 4), ("a", 600, 2), ("b", 800, 5)] {
            assert!(quarantine.push(tombstone(key, ms, origin)));
        }
        assert_eq!(quarantine.by_origin(), [(Origin::from_raw(4), 2)].into());
        assert_eq!(quarantine.due(799), []);
        assert_eq!(quarantine.due(800), [tombstone("b", 800, 5)]);
        assert_eq!(quarantine.due(i64::MAX), [tombstone("a", 900, 4)]);
        assert_eq!((quarantine.len(), quarantine.bytes), (0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn i8_it_is_bounded(writes in prop::collection::vec((0..20_000u32, 0..1_000i64), 0..300), fill in 0..12_000u32) {
            let mut quarantine = Quarantine::default();
            for n in 0..fill {
                quarantine.push(tombstone(&n.to_string(), 1, 2));
            }
            for (key, ms) in writes {
                quarantine.push(tombstone(&key.to_string(), ms, 2));
            }
            prop_assert!(quarantine.len() <= QUARANTINE_WRITES_MAX && quarantine.bytes <= QUARANTINE_BYTES_MAX);
            quarantine.due(i64::MAX);
            prop_assert_eq!((quarantine.len(), quarantine.bytes), (0, 0));
        }
    }
}
