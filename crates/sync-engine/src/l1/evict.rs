//! Who leaves: the least valuable of a random sample.

use std::sync::atomic::{AtomicU64, Ordering};

use super::score::{Moment, score};
use super::slab::Slab;
use super::slot::Slot;

/// Entries drawn for one eviction.
pub(super) const SAMPLE: usize = 16;

/// Candidates a shard carries from one eviction to the next.
const CARRIED: usize = 16;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The seeds of the draws: one for each eviction, without a lock.
pub(super) struct Chance(AtomicU64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A generator of its own for one eviction (SplitMix64 of a counter).
    pub(super) fn draw(&self) -> Draw {
        let mut x = self
            .0
            .fetch_add(GOLDEN, Ordering::Relaxed)
            .wrapping_add(GOLDEN);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Draw((x ^ (x >> 31)) | 1)
    }
}

/// A xorshift generator; never zero.
pub(super) struct Draw(u64);

impl Draw {
    /// A number below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * bound as u128) >> 64) as usize
    }
}

/// How entries are compared during one eviction.
#[derive(Clone, Copy)]
pub(super) struct Lens {
    pub(super) now: Moment,
    pub(super) alpha: f32,
}

/// An entry that may be the one to leave.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) score: f32,
    pub(super) tag: u32,
    at: usize,
}

impl Slab {
    /// Entries that may be evicted.
    pub(super) fn clean_len(&self) -> usize {
        self.slots.len() - self.pins.len()
    }

    /// Evicts the lowest of a sample and of the carried candidates; the next lowest are carried on.
    pub(super) fn evict(&mut self, draw: &mut Draw, lens: Lens) -> Option<Slot> {
        let mut found = [Candidate::NONE; SAMPLE + CARRIED];
        let mut count = 0;
        let drawn = (0..SAMPLE).filter_map(|_| self.draw_one(draw, lens));
        let carried = (self.carried.iter())
            .filter_map(|tag| self.find_clean(*tag))
            .map(|at| self.candidate(at, lens));
        for (place, candidate) in found.iter_mut().zip(drawn.chain(carried)) {
            *place = candidate;
            count += 1;
        }
        let found = found.get_mut(..count)?;
        found.sort_unstable_by(|a, b| a.score.total_cmp(&b.score).then(a.at.cmp(&b.at)));
        let victim = *found.first()?;
        self.carried.clear();
        let mut last = victim.at;
        for next in found {
            if next.at != last && self.carried.len() < CARRIED {
                self.carried.push(next.tag);
            }
            last = next.at;
        }
        Some(self.evict_at(victim.at))
    }

    /// The lowest of up to `SAMPLE` entries of a shard that has few; with the number of entries looked at.
    pub(super) fn lowest(&self, lens: Lens) -> (Option<Candidate>, usize) {
        let few = self.pins.len()..self.slots.len().min(self.pins.len() + SAMPLE);
        let count = few.len();
        let lowest = few
            .map(|at| self.candidate(at, lens))
            .min_by(|a, b| a.score.total_cmp(&b.score));
        (lowest, count)
    }

    /// Evicts an unpinned entry with this tag.
    pub(super) fn evict_tag(&mut self, tag: u32) -> Option<Slot> {
        self.find_clean(tag).map(|at| self.evict_at(at))
    }

    fn evict_at(&mut self, at: usize) -> Slot {
        let slot = self.remove(at);
        self.ghost.remember(slot.tag, slot.heat(), self.slots.len());
        self.counts.evictions += 1;
        self.counts.evicted_bytes += u64::from(slot.weight);
        slot
    }

    fn draw_one(&self, draw: &mut Draw, lens: Lens) -> Option<Candidate> {
        let clean = self.clean_len();
        (clean > 0).then(|| self.candidate(self.pins.len() + draw.below(clean), lens))
    }

    fn candidate(&self, at: usize, lens: Lens) -> Candidate {
        let slot = &self.slots[at];
        Candidate {
            score: score(slot.heat(), slot.weight, lens.now, lens.alpha),
            tag: slot.tag,
            at,
        }
    }
}

impl Candidate {
    const NONE: Self = Self {
        score: f32::INFINITY,
        tag: 0,
        at: usize::MAX,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Stored;
    use crate::l1::dirty::{Due, Pin};

    const LENS: Lens = Lens {
        now: Moment {
            tick: 1000,
            decay: 0.01,
        },
        alpha: 0.0,
    };

    fn slab(len: u32) -> Slab {
        let mut slab = Slab::default();
        for tag in 0..len {
            let stored = Stored::Tombstone {
                key: tag.to_string().into(),
                stamp: crate::Stamp::default(),
            };
            slab.insert(
                Slot::new(stored, tag, 100, None),
                Moment {
                    tick: tag,
                    ..LENS.now
                },
            );
        }
        slab
    }

    #[test]
    fn draws_are_in_range_and_differ() {
        let chance = Chance::new(7);
        let (mut a, mut b) = (chance.draw(), chance.draw());
        let seen: Vec<_> = (0..1000).map(|_| a.below(10)).collect();
        assert!((0..10).all(|n| seen.contains(&n)) && seen.iter().all(|n| *n < 10));
        assert!((0..10).any(|_| a.below(1 << 20) != b.below(1 << 20)));
        assert_eq!(a.below(1), 0);
    }

    #[test]
    fn the_old_leave_and_the_pinned_stay() {
        let mut slab = slab(1000);
        for tag in 0..100 {
            let at = slab.find(tag, &tag.to_string()).unwrap();
            slab.set_pin(at, Some(Pin::succeed(None, Due::CACHE, None, 0).0));
        }
        let mut draw = Chance::new(1).draw();
        let gone: Vec<u32> = (0..100)
            .filter_map(|_| slab.evict(&mut draw, LENS))
            .map(|slot| slot.tag)
            .collect();
        assert_eq!(gone.len(), 100);
        assert!(gone.iter().all(|tag| (100..350).contains(tag)), "{gone:?}");
        assert!(slab.carried.len() <= CARRIED);
        while slab.evict(&mut draw, LENS).is_some() {}
        assert_eq!((slab.slots.len(), slab.pins.len()), (100, 100));
    }

    #[test]
    fn a_small_shard_names_its_lowest() {
        let (lowest, count) = slab(5).lowest(LENS);
        assert_eq!((lowest.map(|c| c.tag), count), (Some(0), 5));
        let (none, count) = slab(0).lowest(LENS);
        assert!(none.is_none() && count == 0);
    }
}
