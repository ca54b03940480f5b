//! Room under the cap: it is reserved before anything comes in, and evictions make it.

use std::sync::atomic::{AtomicIsize, AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::evict::{Lens, SAMPLE};
use super::score::{Moment, Push, push};
use super::slab::Tally;
use super::{L1, L1Limits, SHARDS};

/// How often an eviction that another thread got ahead of is tried anew.
const TRIES: usize = 4;

/// Whether what comes in may be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// An accepted write: it has no other home. The caller bounds how many bytes of them there are.
    Must,
    /// Stored elsewhere: it is kept if there is room.
    May,
}

/// Sums over all shards. They change under the lock of the shard that changes.
#[derive(Default)]
pub(super) struct Totals {
    /// Bytes of all entries, and of those that have reserved their room and are not in yet.
    used: AtomicUsize,
    clean_bytes: AtomicUsize,
    dirty_bytes: AtomicUsize,
    dirty_len: AtomicUsize,
    len: AtomicUsize,
    /// Bytes that the inserts so far had to free and have not yet; below zero: freed ahead.
    debt: AtomicIsize,
    /// Fills under way: what they have reserved cannot be evicted, but soon can.
    fills: AtomicUsize,
}

impl Totals {
    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes.load(Relaxed)
    }

    pub(super) fn dirty_len(&self) -> usize {
        self.dirty_len.load(Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Takes over the change of one shard, and gives `reserved` bytes back in the same step.
    pub(super) fn apply(&self, before: Tally, after: Tally, reserved: usize) {
        // Differences wrap, and so do the sums: a negative difference comes out right.
        let grow = |sum: &AtomicUsize, before: usize, after: usize| {
            if before != after {
                sum.fetch_add(after.wrapping_sub(before), Relaxed);
            }
        };
        grow(&self.used, before.bytes.wrapping_add(reserved), after.bytes);
        grow(&self.clean_bytes, before.clean_bytes, after.clean_bytes);
        grow(&self.dirty_bytes, before.dirty_bytes, after.dirty_bytes);
        grow(&self.dirty_len, before.dirty_len, after.dirty_len);
        grow(&self.len, before.len, after.len);
    }

    /// Runs a fill from its reservation to its entry.
    pub(super) fn filling<R>(&self, fill: impl FnOnce() -> R) -> R {
        self.fills.fetch_add(1, Relaxed);
        let result = fill();
        self.fills.fetch_sub(1, Relaxed);
        result
    }

    fn try_reserve(&self, weight: usize, bytes_max: usize) -> bool {
        let fits = |used: usize| used.checked_add(weight).filter(|sum| *sum <= bytes_max);
        self.used.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    /// Whether there is, or soon will be, something to evict.
    fn may_free(&self) -> bool {
        self.clean_bytes.load(Relaxed) > 0 || self.fills.load(Relaxed) > 0
    }
}

/// The cache's own clock; on a cache line of its own, since every read looks at it.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Gauge {
    tick: AtomicU32,
    decay: AtomicU32,
}

impl Gauge {
    #[inline]
    pub(super) fn now(&self) -> Moment {
        Moment {
            tick: self.tick.load(Relaxed),
            decay: f32::from_bits(self.decay.load(Relaxed)),
        }
    }

    /// An entry came in.
    pub(super) fn tick(&self) {
        self.tick.fetch_add(1, Relaxed);
    }

    fn set_half_life(&self, ticks: f64) {
        let decay = (1.0 / ticks.max(1.0)) as f32;
        self.decay.store(decay.to_bits(), Relaxed);
    }
}

/// Used bytes as a share of the cap.
pub(super) fn pressure(used: usize, bytes_max: usize) -> f64 {
    used as f64 / bytes_max.max(1) as f64
}

impl L1 {
    /// Sets the limits; a smaller cap evicts down to it before this returns, as far as entries may be evicted.
    pub fn set_limits(&self, limits: L1Limits) {
        *self.limits.write() = limits;
        self.trim();
    }

    /// Counts `weight` bytes as used, after evicting for them. False, and nothing counted, when there is no room for
    /// what may be left out; what must come in always does.
    pub(super) fn reserve(&self, weight: usize, need: Need) -> bool {
        let limits = *self.limits.read();
        if need == Need::May && weight > limits.bytes_max {
            return false;
        }
        let (push, lens) = self.look(&limits);
        self.pay(weight, push.share, lens);
        loop {
            if self.totals.try_reserve(weight, limits.bytes_max) {
                return true;
            }
            if self.evict_one(lens).is_some() {
                continue;
            }
            if need == Need::May {
                return false;
            }
            if !self.totals.may_free() {
                self.totals.used.fetch_add(weight, Relaxed);
                return true;
            }
            std::thread::yield_now();
        }
    }

    /// Evicts down to the cap, as far as entries may be evicted.
    pub(super) fn trim(&self) {
        let limits = *self.limits.read();
        if self.totals.used() <= limits.bytes_max {
            return;
        }
        let (_, lens) = self.look(&limits);
        while self.totals.used() > limits.bytes_max && self.evict_one(lens).is_some() {}
    }

    /// What the present pressure asks for.
    fn look(&self, limits: &L1Limits) -> (Push, Lens) {
        let pressure = pressure(self.totals.used(), limits.bytes_max);
        let push = push(pressure, limits.warn, limits.critical);
        self.gauge
            .set_half_life(push.half_life * self.totals.len() as f64);
        let lens = Lens {
            now: self.gauge.now(),
            alpha: push.alpha,
        };
        (push, lens)
    }

    /// Frees an insert's share, so that the cap is approached ever more slowly. The debt keeps fractions of an entry.
    fn pay(&self, weight: usize, share: f64, lens: Lens) {
        let owed = (weight as f64 * share) as isize;
        if owed == 0 {
            return;
        }
        let mut debt = self
            .totals
            .debt
            .fetch_add(owed, Relaxed)
            .saturating_add(owed);
        while debt > 0 {
            let Some(freed) = self.evict_one(lens) else {
                // Everything is pinned: nothing is owed for what cannot be done.
                self.totals.debt.store(0, Relaxed);
                return;
            };
            let freed = freed as isize;
            debt = self.totals.debt.fetch_sub(freed, Relaxed) - freed;
        }
    }

    /// Evicts one entry, the least valuable of a sample; gives its bytes. None: there is nothing to evict.
    fn evict_one(&self, lens: Lens) -> Option<usize> {
        (0..TRIES).find_map(|_| self.try_evict(lens))
    }

    /// One lock where shards are large. Small ones are looked at in turn until the sample is big enough.
    fn try_evict(&self, lens: Lens) -> Option<usize> {
        if self.totals.clean_bytes.load(Relaxed) == 0 {
            return None;
        }
        let mut draw = self.chance.draw();
        let (mut seen, mut best) = (0, None::<(f32, usize, u32)>);
        let first = draw.below(SHARDS);
        for at in (0..SHARDS).map(|step| (first + step) % SHARDS) {
            let shard = &self.shards[at];
            if seen == 0 && shard.slab.read().clean_len() >= SAMPLE {
                let slot = self.change(shard, 0, |slab| slab.evict(&mut draw, lens))?;
                return Some(slot.weight as usize);
            }
            let (lowest, looked_at) = shard.slab.read().lowest(lens);
            if let Some(found) = lowest
                && best.is_none_or(|(score, ..)| found.score < score)
            {
                best = Some((found.score, at, found.tag));
            }
            seen += looked_at;
            if seen >= SAMPLE {
                break;
            }
        }
        let (_, at, tag) = best?;
        let slot = self.change(&self.shards[at], 0, |slab| slab.evict_tag(tag))?;
        Some(slot.weight as usize)
    }
}
