//! Hits of L1 against the least that a shared map could do: shards of a hash map behind read-write locks, holding the same items.
//!
//! `cargo bench -p sync-engine --bench l1`. Prints millions of operations a second, best of five.

#![allow(clippy::disallowed_methods)] // A bench reads the clock itself.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::time::Instant;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use parking_lot::RwLock;
use sync_engine::l1::{L1, L1Limits};
use sync_engine::{ContentType, Key, Stored, SyncItem};

const KEYS: usize = 100_000;
const LOOKUPS: usize = 2_000_000;
const SHARDS: usize = 64;

type Pair = (Key, SyncItem);

struct Plain {
    shards: Vec<RwLock<HashTable<Pair>>>,
    hash: FixedState,
}

impl Plain {
    fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hash: FixedState::with_seed(1),
        }
    }

    fn put(&self, item: SyncItem) {
        let key = item.object_id.clone();
        let hash = self.hash.hash_one(&*key);
        let mut shard = self.shards[(hash >> 58) as usize].write();
        shard.insert_unique(hash, (key, item), |(key, _)| self.hash.hash_one(&**key));
    }

    fn get(&self, key: &str) -> Option<SyncItem> {
        let hash = self.hash.hash_one(key);
        let shard = self.shards[(hash >> 58) as usize].read();
        let pair = shard.find(hash, |pair| &*pair.0 == key)?;
        Some(pair.1.clone())
    }
}

fn l1(bytes_max: usize) -> L1 {
    let limits = L1Limits {
        bytes_max,
        warn: 0.7,
        critical: 0.9,
    };
    L1::new(limits, 1)
}

fn item(key: &str) -> Stored {
    let content = vec![7; 100];
    Stored::Live(SyncItem::with_type(
        key.into(),
        content.into(),
        ContentType::Binary,
    ))
}

/// Millions of calls of `f` a second over all threads.
fn rate(threads: usize, order: &[usize], f: impl Fn(usize) + Sync) -> f64 {
    let once = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let f = &f;
                let (head, tail) = order.split_at(thread * order.len() / threads);
                scope.spawn(move || tail.iter().chain(head).for_each(|n| f(*n)));
            }
        });
        (threads * order.len()) as f64 / start.elapsed().as_secs_f64() / 1e6
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}

fn main() {
    let keys: Vec<String> = (0..KEYS)
        .map(|n| format!("uk.nhs.patient.record.{n:06}"))
        .collect();
    let mut x = 88_172_645_463_325_252u64;
    let order: Vec<usize> = (0..LOOKUPS)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as usize % KEYS
        })
        .collect();

    let (tier, plain) = (l1(1 << 30), Plain::new());
    for key in &keys {
        let kept = tier.fill(item(key), tier.ticket(key), None);
        assert!(kept);
        if let Stored::Live(item) = item(key) {
            plain.put(item);
        }
    }
    // Most reads go to few keys, as in real life; then all keys alike, which measures the memory more than the map.
    let skewed: Vec<usize> = order.iter().map(|n| n * n / KEYS * n / KEYS).collect();
    for (name, order) in [("skewed", &skewed), ("uniform", &order)] {
        for threads in [1, 2] {
            let ours = rate(threads, order, |n| {
                black_box(tier.get(&keys[n], 1));
            });
            let theirs = rate(threads, order, |n| {
                black_box(plain.get(&keys[n]));
            });
            println!(
                "{name} hits, {threads} threads: L1 {ours:.1}, plain {theirs:.1} M/s, ratio {:.2}",
                ours / theirs
            );
        }
    }

    let items: Vec<Stored> = keys.iter().map(|key| item(key)).collect();
    let weight: usize = items.iter().map(L1::weight_of).sum();
    for threads in [1, 2] {
        let small = l1(weight / 10);
        let misses = rate(threads, &order[..LOOKUPS / 10], |n| {
            if small.get(&keys[n], 1).is_none() {
                let ticket = small.ticket(&keys[n]);
                small.fill(items[n].clone(), ticket, None);
            }
        });
        println!("uniform reads of ten times the cap, {threads} threads: {misses:.2} M/s");
    }
}
