//! Stage 2: the memory tier (L1). A cache with a hard cap for what is stored elsewhere, and the only home of what is not yet.
//!
//! It is *not* a source of truth for absence: what is not here may be in L2 or L3.
//! An entry with something due, or in flight to a tier, is never evicted.

mod dirty;

mod evict;

mod flush;

mod ghost;

mod room;

mod score;

mod slab;

mod slot;

mod ticket;

mod weight;

mod write;

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod workload;

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::FoldHasher;
use parking_lot::RwLock;

use crate::item::Stored;

use evict::Chance;
use room::{Gauge, Totals};
use slab::Slab;
use ticket::Tickets;

pub use dirty::{Due, Settled, Written};
pub use flush::Flight;
pub use ticket::Ticket;

const SHARDS: usize = 64;

/// An entry as readers get it. No payload is copied.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The write.
    pub stored: Stored,
    /// What still has to be done with it.
    pub due: Due,
    /// It came from the archive on its way to the cache, and nobody has looked whether the cache keeps a newer write: readers
    /// look below it, and the greater stamp is the answer. It leaves once nothing is due.
    pub is_passing: bool,
    /// Epoch milliseconds until which the cache tier keeps it; `None`: until evicted there, or not kept there.
    pub cache_until: Option<i64>,
}

/// How much L1 may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L1Limits {
    /// The cap in bytes, overhead included.
    pub bytes_max: usize,
    /// Share of the cap above which inserts begin to evict.
    pub warn: f64,
    /// Share of the cap from which size counts in full against an entry.
    pub critical: f64,
}

/// What L1 holds and what happened in it since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L1Stats {
    /// Entries, tombstones included.
    pub entries: usize,
    /// Their bytes, overhead included.
    pub bytes: usize,
    /// Entries with something due.
    pub dirty: usize,
    /// Calls of [`L1::get`] that found something; of two at the same instant one may go uncounted.
    pub hits: u64,
    /// Calls of [`L1::get`] that found nothing.
    pub misses: u64,
    /// Entries that came in; not those that took the place of an older write of their key.
    pub inserts: u64,
    /// Entries that were evicted.
    pub evictions: u64,
    /// Their bytes.
    pub evicted_bytes: u64,
}

/// The memory tier.
///
/// - Of two writes of a key the one that wins by [`decide`](crate::item::decide::decide) stays, in whatever order they come.
/// - `used_bytes` stays at or below the cap as long as the caller keeps what it writes and what is due within half of it.
/// - Every log position given to [`L1::write`] or [`L1::renew`] comes back exactly once, and so do the bytes of every write.
///
/// All calls are short and never wait for anything but other such calls.
pub struct L1 {
    shards: Box<[Shard; SHARDS]>,
    tickets: Tickets,
    totals: Totals,
    gauge: Gauge,
    limits: RwLock<L1Limits>,
    chance: Chance,
    hash_seed: u64,
}

/// One shard on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Shard {
    slab: RwLock<Slab>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl L1 {
    /// An empty tier. `seed` makes hashes and evictions unforeseeable; the same seed and calls give the same evictions.
    pub fn new(limits: L1Limits, seed: u64) -> Self {
        Self {
            shards: Box::new(std::array::from_fn(|_| Shard::default())),
            tickets: Tickets::new(),
            totals: Totals::default(),
            gauge: Gauge::default(),
            limits: RwLock::new(limits),
            chance: Chance::new(seed),
            hash_seed: seed,
        }
    }

    /// Looks a key up, and counts a read of it.
    pub fn get(&self, key: &str, now_ms: i64) -> Option<Entry> {
        let found = self.get_present(key, now_ms);
        if found.is_none() {
            count(&self.shard(self.hash(key)).misses);
        }
        found
    }

    /// As [`L1::get`]; that the key is not there counts as nothing: whoever asks so goes on to `get` it. What is only passing
    /// is not there.
    pub fn get_present(&self, key: &str, now_ms: i64) -> Option<Entry> {
        let hash = self.hash(key);
        let now = self.gauge.now();
        let shard = self.shard(hash);
        let slab = shard.slab.read();
        let at = slab.find(tag(hash), key)?;
        if slab.is_passing(at) {
            return None;
        }
        let slot = &slab.slots[at];
        slot.touch(now);
        if let Some(item) = slot.item() {
            item.touch(now_ms);
        }
        count(&shard.hits);
        Some(slab.entry(at))
    }

    /// What readers believe of the key, without counting it: nothing that is only passing.
    pub fn peek_present(&self, key: &str) -> Option<Entry> {
        self.peek(key).filter(|entry| !entry.is_passing)
    }

    /// Looks a key up without counting it; finds what is passing too.
    pub fn peek(&self, key: &str) -> Option<Entry> {
        let hash = self.hash(key);
        let slab = self.shard(hash).slab.read();
        slab.find(tag(hash), key).map(|at| slab.entry(at))
    }

    /// Taken before a look-up in L2 or L3 whose result is to be kept with [`L1::fill`].
    pub fn ticket(&self, key: &str) -> Ticket {
        self.tickets.take(self.hash(key))
    }

    /// Bytes held, overhead included, and those reserved by writes on their way in.
    pub fn used_bytes(&self) -> usize {
        self.totals.used()
    }

    /// Bytes of the entries with something due.
    pub fn dirty_bytes(&self) -> usize {
        self.totals.dirty_bytes()
    }

    /// Entries with something due.
    pub fn dirty_len(&self) -> usize {
        self.totals.dirty_len()
    }

    /// Entries, tombstones included.
    pub fn len(&self) -> usize {
        self.totals.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `used_bytes` as a share of the cap.
    pub fn pressure(&self) -> f64 {
        room::pressure(self.used_bytes(), self.limits.read().bytes_max)
    }

    /// Sums over all shards, each read at its own instant.
    pub fn stats(&self) -> L1Stats {
        let mut stats = L1Stats::default();
        for shard in self.shards.iter() {
            let slab = shard.slab.read();
            let (tally, counts) = (slab.tally(), slab.counts);
            stats.entries += tally.len;
            stats.bytes += tally.bytes;
            stats.dirty += tally.dirty_len;
            stats.inserts += counts.inserts;
            stats.evictions += counts.evictions;
            stats.evicted_bytes += counts.evicted_bytes;
            stats.hits += shard.hits.load(Ordering::Relaxed);
            stats.misses += shard.misses.load(Ordering::Relaxed);
        }
        stats
    }

    /// The bytes that an entry counts for: key, payload and every overhead, as measured against real memory.
    pub fn weight_of(stored: &Stored) -> usize {
        weight::weight_of(stored)
    }

    #[inline]
    fn hash(&self, key: &str) -> u64 {
        let shared = foldhash::SharedSeed::global_fixed();
        let mut hasher = FoldHasher::with_seed(self.hash_seed, shared);
        hasher.write(key.as_bytes());
        hasher.finish()
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard {
        // In range: the shards are told by the upper 6 bits.
        &self.shards[(hash >> 58) as usize]
    }

    /// Changes a shard and the sums over all shards with it. `reserved` bytes are given back in the same step.
    fn change<R>(&self, shard: &Shard, reserved: usize, f: impl FnOnce(&mut Slab) -> R) -> R {
        let mut slab = shard.slab.write();
        let before = slab.tally();
        let result = f(&mut slab);
        self.totals.apply(before, slab.tally(), reserved);
        result
    }
}

impl std::fmt::Debug for L1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("L1").field("stats", &self.stats()).finish()
    }
}

/// Adds one. A load and a store, as for the reads of a slot: a locked instruction would wait for every store before it,
/// and a read that goes uncounted, when two come at the same instant to the same shard, harms nobody.
#[inline]
fn count(counter: &AtomicU64) {
    let next = counter.load(Ordering::Relaxed).wrapping_add(1);
    counter.store(next, Ordering::Relaxed);
}

/// The part of the hash by which an entry is found within its shard.
fn tag(hash: u64) -> u32 {
    hash as u32
}

const _: () = assert!(SHARDS == 1 << 6);
