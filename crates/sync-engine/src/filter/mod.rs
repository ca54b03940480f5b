//! May the archive (L3) hold a key? Spares the look-ups of keys that it surely does not hold.
//!
//! It is *not* an index: it may say yes to a key that is not there. The rule that must hold is the other one: a filter that
//! is trusted never says no to a stored key. Whatever casts doubt on that ends the trust, and an untrusted filter says yes to all.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64;

mod snapshot;

pub use snapshot::SnapshotError;

/// The specification's name of [`Filter`].
pub type FilterManager = Filter;

/// Shards, each behind a lock of its own. A power of two.
const SHARDS: usize = 256;

/// Bits of a key's hash that a shard remembers. With those that choose the shard it makes a wrong yes as likely as
/// (keys / 2³⁸): 1 in 270,000 at a million keys, 0.4 % at a billion.
const FINGERPRINT_BITS: u8 = 30;

const FINGERPRINT_MASK: u64 = (1 << FINGERPRINT_BITS) - 1;

/// Keys that a new shard has room for; it doubles when full.
const SHARD_KEYS_MIN: u64 = 64;

/// Whether a no of the filter means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterTrust {
    /// Keys may be stored that the filter does not know: every key may be there.
    Unproven,
    /// Every stored key is in the filter.
    Proven,
}

/// What the filter is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterStats {
    /// Different fingerprints in it: the number of keys inserted, less a few that look alike.
    pub len: u64,
    /// Memory, in bytes.
    pub bytes: usize,
    /// Whether it is believed.
    pub trust: FilterTrust,
}

/// A proof under way: from before the scan's first row until after its last. See [`Filter::begin_proof`].
#[derive(Debug)]
#[must_use = "the scan proves nothing until `prove` is called"]
pub struct Proof {
    doubts: u64,
}

/// The set of keys that the archive may hold, by fingerprint.
///
/// Keys are only ever put in: a deleted key keeps its row (a tombstone) until it is collected, and a collected key left in
/// is a wrong yes, not a lie. A key must be inserted *before* the commit that stores it, so that it is known when the row is.
pub struct Filter {
    shards: Box<[RwLock<qfilter::Filter>]>,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Twice the number of doubts so far, plus one while proven: trust and its history change in one step.
    state: AtomicU64,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stats().fmt(f)
    }
}

impl Filter {
    /// An empty, unproven filter that uses at most about `bytes_max` of memory. When it would need more, it stays unproven.
    pub fn new(bytes_max: usize) -> Result<Self, qfilter::Error> {
        let shard = || qfilter::Filter::with_fingerprint_size(SHARD_KEYS_MIN, FINGERPRINT_BITS);
        let shards: Box<[_]> = (0..SHARDS)
            .map(|_| shard().map(RwLock::new))
            .collect::<Result<_, _>>()?;
        let bytes = shards.iter().map(|shard| shard.read().memory_usage()).sum();
        Ok(Self {
            shards,
            bytes: AtomicUsize::new(bytes),
            bytes_max,
            state: AtomicU64::new(0),
        })
    }

    /// Whether the archive may hold the key. `false` only when it surely does not.
    pub fn may_contain(&self, key: &str) -> bool {
        let (shard, fingerprint) = place(key);
        // Looked up first, trust second: a key stored before the look was inserted before it, or its failed insert has
        // ended the trust by now.
        self.shards[shard].read().contains_fingerprint(fingerprint)
            || self.trust() == FilterTrust::Unproven
    }

    /// Takes a key in, before it is stored. A filter that cannot take it is no longer trusted.
    pub fn insert(&self, key: &str) {
        let (shard, fingerprint) = place(key);
        self.insert_at(shard, fingerprint);
    }

    fn insert_at(&self, shard: usize, fingerprint: u64) {
        let mut shard = self.shards[shard].write();
        if shard.contains_fingerprint(fingerprint) {
            return;
        }
        let before = shard.memory_usage();
        // Growing doubles a shard, at most.
        let grown = self.bytes.load(Ordering::Relaxed).saturating_add(before);
        let is_full = shard.len() >= shard.capacity() && grown > self.bytes_max;
        if is_full || shard.insert_fingerprint(false, fingerprint).is_err() {
            drop(shard);
            return self.distrust();
        }
        let more = shard.memory_usage().saturating_sub(before);
        self.bytes.fetch_add(more, Ordering::Relaxed);
    }

    /// To be called before a scan of *all* rows, each of which is then inserted. Then [`Filter::prove`].
    pub fn begin_proof(&self) -> Proof {
        Proof {
            doubts: self.state.load(Ordering::Acquire) >> 1,
        }
    }

    /// The scan is complete: the filter is trusted, unless something cast doubt on it since the proof began.
    pub fn prove(&self, proof: Proof) -> FilterTrust {
        let (unproven, proven) = (proof.doubts << 1, proof.doubts << 1 | 1);
        match self
            .state
            .compare_exchange(unproven, proven, Ordering::AcqRel, Ordering::Acquire)
        {
            Err(now) if now != proven => FilterTrust::Unproven,
            _ => FilterTrust::Proven,
        }
    }

    /// Ends the trust, and voids every proof under way.
    pub fn distrust(&self) {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let doubted = ((state >> 1) + 1) << 1;
            match self.state.compare_exchange_weak(
                state,
                doubted,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }

    /// Whether it is trusted.
    pub fn trust(&self) -> FilterTrust {
        match self.state.load(Ordering::Acquire) & 1 {
            1 => FilterTrust::Proven,
            _ => FilterTrust::Unproven,
        }
    }

    /// Size and trust, for metrics and health.
    pub fn stats(&self) -> FilterStats {
        FilterStats {
            len: self.shards.iter().map(|shard| shard.read().len()).sum(),
            bytes: self.bytes.load(Ordering::Relaxed),
            trust: self.trust(),
        }
    }
}

/// Shard and fingerprint of a key. Part of the snapshot's format.
fn place(key: &str) -> (usize, u64) {
    let hash = xxh3_64(key.as_bytes());
    ((hash >> 56) as usize % SHARDS, hash & FINGERPRINT_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: usize = 64 << 20;

    fn key(n: u32) -> String {
        format!("uk.nhs.patient.{n}")
    }

    #[test]
    fn a_stored_key_is_never_denied_while_the_filter_grows() {
        let filter = Filter::new(PLENTY).unwrap();
        let proof = filter.begin_proof();
        assert_eq!(filter.prove(proof), FilterTrust::Proven);
        for n in 0..200_000 {
            filter.insert(&key(n));
            assert!(filter.may_contain(&key(n)));
            assert!(filter.may_contain(&key(n / 2)));
        }
        assert!((0..200_000).all(|n| filter.may_contain(&key(n))));
        let wrong = (200_000..400_000)
            .filter(|n| filter.may_contain(&key(*n)))
            .count();
        assert!(wrong < 10, "{wrong} wrong answers in 200,000");
        let stats = filter.stats();
        assert!(
            stats.len > 199_900 && stats.bytes < 200_000 * 8,
            "{stats:?}"
        );
        assert_eq!(stats.trust, FilterTrust::Proven);
    }

    #[test]
    fn an_unproven_filter_denies_nothing_and_a_doubt_voids_the_proof() {
        let filter = Filter::new(PLENTY).unwrap();
        assert!(filter.may_contain("x"));
        let proof = filter.begin_proof();
        filter.distrust();
        assert_eq!(filter.prove(proof), FilterTrust::Unproven);
        assert!(filter.may_contain("x"));
        let (first, second) = (filter.begin_proof(), filter.begin_proof());
        assert_eq!(filter.prove(first), FilterTrust::Proven);
        assert_eq!(filter.prove(second), FilterTrust::Proven);
        assert!(!filter.may_contain("x"));
        filter.distrust();
        assert!(filter.may_contain("x"));
    }

    #[test]
    fn a_full_filter_stops_growing_and_stops_denying() {
        let bytes_max = 200_000;
        let filter = Filter::new(bytes_max).unwrap();
        let proof = filter.begin_proof();
        assert_eq!(filter.prove(proof), FilterTrust::Proven);
        let proof = filter.begin_proof();
        (0..200_000).for_each(|n| filter.insert(&key(n)));
        assert_eq!(filter.trust(), FilterTrust::Unproven);
        assert_eq!(filter.prove(proof), FilterTrust::Unproven);
        assert!((0..200_000).all(|n| filter.may_contain(&key(n))));
        assert!(filter.stats().bytes <= bytes_max + (64 << 10), "{filter:?}");
    }
}
