//! One shard: a dense list of entries and an index into it.
//!
//! Pinned entries stand at the front, the others behind them. So a random place behind the front is always an entry
//! that may be evicted, and the pinned ones are found without looking at the others.

use hashbrown::HashTable;

use super::Entry;
use super::dirty::{Due, Pin};
use super::ghost::Ghost;
use super::score::Moment;
use super::slot::Slot;

/// A place that no entry ever has.
const NOWHERE: u32 = u32::MAX;

/// What a shard holds, in sums that always agree with its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Entries.
    pub(super) len: usize,
    /// Weight of all entries.
    pub(super) bytes: usize,
    /// Weight of those that may be evicted.
    pub(super) clean_bytes: usize,
    /// Entries with something due.
    pub(super) dirty_len: usize,
    /// Weight of those.
    pub(super) dirty_bytes: usize,
}

/// What happened in a shard since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) inserts: u64,
    pub(super) evictions: u64,
    pub(super) evicted_bytes: u64,
}

/// One shard. Every number in `index` is a place in `slots`, and `slots[i]` for `i < pins.len()` is pinned by `pins[i]`:
/// indexing by a number from the index cannot fail.
#[derive(Default)]
pub(super) struct Slab {
    pub(super) slots: Vec<Slot>,
    pub(super) pins: Vec<Pin>,
    index: HashTable<u32>,
    pub(super) ghost: Ghost,
    /// Tags of entries that lately were among the lowest of a sample, but not the lowest.
    pub(super) carried: Vec<u32>,
    pub(super) counts: Counts,
    tally: Tally,
}

impl Slab {
    /// The place of the entry with this key.
    #[inline]
    pub(super) fn find(&self, tag: u32, key: &str) -> Option<usize> {
        let is_it = |at: &u32| {
            let slot = &self.slots[*at as usize];
            slot.tag == tag && &**slot.key() == key
        };
        self.index.find(spread(tag), is_it).map(|at| *at as usize)
    }

    /// The place of some unpinned entry with this tag.
    pub(super) fn find_clean(&self, tag: u32) -> Option<usize> {
        let front = self.pins.len();
        let is_it = |at: &u32| *at as usize >= front && self.slots[*at as usize].tag == tag;
        self.index.find(spread(tag), is_it).map(|at| *at as usize)
    }

    /// The sums.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// What pins the entry.
    pub(super) fn pin(&self, at: usize) -> Option<&Pin> {
        self.pins.get(at)
    }

    /// Whether the entry is only passing: see [`Entry::is_passing`].
    #[inline]
    pub(super) fn is_passing(&self, at: usize) -> bool {
        self.pin(at).is_some_and(Pin::is_passing)
    }

    /// What readers get of the entry.
    #[inline]
    pub(super) fn entry(&self, at: usize) -> Entry {
        let slot = &self.slots[at];
        Entry {
            stored: slot.stored(),
            due: self.pin(at).map_or(Due::none(), Pin::due),
            is_passing: self.is_passing(at),
            cache_until: slot.cache_until(),
        }
    }

    /// Adds an entry, unpinned; its key must not be there. Gives its place.
    pub(super) fn insert(&mut self, slot: Slot, now: Moment) -> usize {
        slot.warm(self.ghost.recall(slot.tag, now));
        let at = self.slots.len();
        // A list that doubles would keep up to half of its memory empty.
        if at == self.slots.capacity() {
            self.slots.reserve_exact(4 + at / 8);
        }
        let (tag, slots) = (slot.tag, &mut self.slots);
        slots.push(slot);
        let hasher = |at: &u32| spread(slots[*at as usize].tag);
        self.index.insert_unique(spread(tag), at as u32, hasher);
        self.counts.inserts += 1;
        self.count(at);
        at
    }

    /// Puts another write of the same key in the place of an entry, and counts it as a read. Gives the old one.
    pub(super) fn replace(&mut self, at: usize, slot: Slot, now: Moment) -> Slot {
        self.uncount(at);
        slot.warm(self.slots[at].heat().touched(now));
        let old = std::mem::replace(&mut self.slots[at], slot);
        self.count(at);
        old
    }

    /// Pins the entry, changes its pin, or unpins it when the pin no longer holds. Gives its place: the entry may move.
    pub(super) fn set_pin(&mut self, at: usize, pin: Option<Pin>) -> usize {
        let pin = pin.filter(Pin::holds);
        self.uncount(at);
        let front = self.pins.len();
        let now_at = match pin {
            Some(pin) if at < front => {
                self.pins[at] = pin;
                at
            }
            Some(pin) => {
                self.swap(at, front);
                self.pins.push(pin);
                front
            }
            None if at < front => {
                self.swap(at, front - 1);
                self.pins.swap_remove(at);
                front - 1
            }
            None => at,
        };
        self.count(now_at);
        now_at
    }

    /// Takes an unpinned entry out.
    pub(super) fn remove(&mut self, at: usize) -> Slot {
        debug_assert!(at >= self.pins.len());
        self.uncount(at);
        let last = self.slots.len() - 1;
        let tag = self.slots[at].tag;
        if let Ok(found) = self.index.find_entry(spread(tag), |i| *i as usize == at) {
            found.remove();
        }
        if at != last {
            self.renumber(self.slots[last].tag, last as u32, at as u32);
        }
        let slot = self.slots.swap_remove(at);
        self.give_back();
        slot
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let (tag_a, tag_b) = (self.slots[a].tag, self.slots[b].tag);
        // By way of a third number: two equal ones in the index could be mistaken for each other.
        self.renumber(tag_a, a as u32, NOWHERE);
        self.renumber(tag_b, b as u32, a as u32);
        self.renumber(tag_a, NOWHERE, b as u32);
        self.slots.swap(a, b);
    }

    fn renumber(&mut self, tag: u32, from: u32, to: u32) {
        if let Some(at) = self.index.find_mut(spread(tag), |at| *at == from) {
            *at = to;
        }
    }

    /// Returns memory once three quarters of it are empty.
    fn give_back(&mut self) {
        let len = self.slots.len();
        if self.slots.capacity() > 64 && len < self.slots.capacity() / 4 {
            self.slots.shrink_to(len + len / 8);
            let slots = &self.slots;
            self.index
                .shrink_to(len, |at| spread(slots[*at as usize].tag));
        }
    }

    fn count(&mut self, at: usize) {
        let tally = &mut self.tally;
        let weight = self.slots[at].weight as usize;
        tally.len += 1;
        tally.bytes += weight;
        match self.pins.get(at) {
            None => tally.clean_bytes += weight,
            Some(pin) if !pin.due().is_empty() => {
                tally.dirty_len += 1;
                tally.dirty_bytes += weight;
            }
            Some(_) => {}
        }
    }

    fn uncount(&mut self, at: usize) {
        let tally = &mut self.tally;
        let weight = self.slots[at].weight as usize;
        tally.len -= 1;
        tally.bytes -= weight;
        match self.pins.get(at) {
            None => tally.clean_bytes -= weight,
            Some(pin) if !pin.due().is_empty() => {
                tally.dirty_len -= 1;
                tally.dirty_bytes -= weight;
            }
            Some(_) => {}
        }
    }
}

/// A hash for the index: it takes its place from the lower bits and a check from the upper ones.
fn spread(tag: u32) -> u64 {
    (u64::from(tag) << 32) | u64::from(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Stored;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const NOW: Moment = Moment {
        tick: 1,
        decay: 0.1,
    };

    fn slot(key: u8, weight: u32) -> Slot {
        let stored = Stored::Tombstone {
            key: key.to_string().into(),
            stamp: crate::Stamp::default(),
        };
        // Few tags, so that they clash.
        Slot::new(stored, u32::from(key % 3), weight, None)
    }

    fn pinned() -> Pin {
        Pin::succeed(None, Due::CACHE, None, 0).0
    }

    proptest! {
        #[test]
        fn every_entry_is_found_and_the_sums_agree(steps in prop::collection::vec((0..4u8, 0..20u8, 1..100u32), 1..200)) {
            let mut slab = Slab::default();
            let mut model: BTreeMap<u8, (u32, bool)> = BTreeMap::new();
            for (verb, key, weight) in steps {
                let at = slab.find(u32::from(key % 3), &key.to_string());
                prop_assert_eq!(at.is_some(), model.contains_key(&key));
                match (at, verb) {
                    (None, _) => {
                        slab.insert(slot(key, weight), NOW);
                        model.insert(key, (weight, false));
                    }
                    (Some(at), 0) => {
                        slab.set_pin(at, Some(pinned()));
                        model.get_mut(&key).unwrap().1 = true;
                    }
                    (Some(at), 1) => {
                        slab.set_pin(at, None);
                        model.get_mut(&key).unwrap().1 = false;
                    }
                    (Some(at), 2) if at >= slab.pins.len() => {
                        slab.remove(at);
                        model.remove(&key);
                    }
                    (Some(at), _) => {
                        slab.replace(at, slot(key, weight), NOW);
                        model.get_mut(&key).unwrap().0 = weight;
                    }
                }
                for (key, (_, pinned)) in &model {
                    let at = slab.find(u32::from(key % 3), &key.to_string()).unwrap();
                    prop_assert_eq!(at < slab.pins.len(), *pinned);
                }
                let sum = |want: Option<bool>| -> usize {
                    model.values().filter(|(_, pinned)| want.is_none_or(|want| want == *pinned)).map(|(w, _)| *w as usize).sum()
                };
                let dirty = model.values().filter(|(_, pinned)| *pinned).count();
                prop_assert_eq!(slab.tally(), Tally {
                    len: model.len(), bytes: sum(None), clean_bytes: sum(Some(false)), dirty_len: dirty, dirty_bytes: sum(Some(true)),
                });
            }
        }
    }
}
