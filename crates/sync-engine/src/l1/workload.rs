//! Hit ratios, and many threads at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::item::SyncItem;
use crate::item::stamp::{HlcTime, Origin, Stamp};

const KEYS: usize = 10_000;

/// Numbers below `KEYS` with Zipf's distribution (exponent 1), and a generator for them.
struct Zipf {
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(seed: u64) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=KEYS)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        sums.iter_mut().for_each(|x| *x /= sum);
        Self { sums, state: seed }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn rank(&mut self) -> usize {
        let x = (self.random() >> 11) as f64 / (1u64 << 53) as f64;
        self.sums.partition_point(|sum| *sum < x).min(KEYS - 1)
    }
}

fn item(key: usize, size: usize) -> Stored {
    Stored::Live(SyncItem::with_type(
        format!("k{key:07}").into(),
        vec![7; size].into(),
        crate::ContentType::Binary,
    ))
}

fn cache(entries: usize) -> L1 {
    let limits = L1Limits {
        bytes_max: entries * L1::weight_of(&item(0, 8)),
        warn: 0.7,
        critical: 0.9,
    };
    L1::new(limits, 99)
}

/// Per cent of hits of a cache of `entries` over 600,000 look-ups; the first 100,000 fill it.
fn hit_ratio(entries: usize, mut next: impl FnMut(usize, &mut Zipf) -> usize) -> f64 {
    let l1 = cache(entries);
    let mut zipf = Zipf::new(1_234_567);
    let mut counted = 0;
    for i in 0..600_000 {
        let key = next(i, &mut zipf);
        let stored = item(key, 8);
        let found = l1.get(stored.key(), 0).is_some();
        if !found {
            assert!(l1.fill(stored.clone(), l1.ticket(stored.key()), None));
        }
        counted += usize::from(found && i >= 100_000);
    }
    assert!(
        l1.pressure() <= 1.0 && l1.pressure() > 0.95,
        "{}",
        l1.pressure()
    );
    counted as f64 / 5000.0
}

#[test]
fn zipf_hits() {
    let tenth = hit_ratio(KEYS / 10, |_, zipf| zipf.rank());
    let hundredth = hit_ratio(KEYS / 100, |_, zipf| zipf.rank());
    println!("zipf 10 %: {tenth:.2}, 1 %: {hundredth:.2}");
    assert!(tenth > 73.0 && hundredth > 48.5, "{tenth} {hundredth}");
}

#[test]
fn shifting_popularity_hits() {
    let ratio = hit_ratio(KEYS / 10, |i, zipf| {
        (zipf.rank() + i / 150_000 * 3777) % KEYS
    });
    println!("shift: {ratio:.2}");
    assert!(ratio > 70.0, "{ratio}");
}

#[test]
fn scans_do_not_flush_the_cache() {
    let ratio = hit_ratio(KEYS / 10, |i, zipf| match i % 5 {
        0 => 1_000_000 + i,
        _ => zipf.rank(),
    });
    println!("scan: {ratio:.2}");
    assert!(ratio > 57.0, "{ratio}");
}

#[test]
fn small_values_outlive_large_ones() {
    // Twice as many bytes as fit, half of them in large values; all are read equally often.
    let l1 = cache(3000);
    for round in 0..6 {
        for key in 0..2000 {
            let stored = item(key, if key % 10 == 0 { 20_000 } else { 8 });
            if l1.get(stored.key(), round).is_none() {
                l1.fill(stored.clone(), l1.ticket(stored.key()), None);
            }
        }
    }
    let here = |large: bool| {
        let keys = (0..2000).filter(|key| (key % 10 == 0) == large);
        keys.filter(|key| l1.peek(item(*key, 0).key()).is_some())
            .count()
    };
    let (small, large) = (here(false), here(true));
    // Of 1800 small ones and 200 large ones.
    assert!(
        small > 1300 && large < 60,
        "{small} small and {large} large"
    );
}

#[test]
fn threads_never_pass_the_cap_and_the_sums_stay_exact() {
    let l1 = Arc::new(cache(2000));
    let cap = l1.limits.read().bytes_max;
    let book = Arc::new(Mutex::new((std::collections::BTreeSet::new(), 0u64)));
    let (dirty, batch) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Mutex::new(Vec::<String>::new())),
    );
    let over = AtomicBool::new(false);
    let free = |pos: Option<u64>, released: usize| {
        if let Some(pos) = pos {
            assert!(book.lock().unwrap().0.remove(&pos), "freed twice");
        }
        dirty.fetch_sub(released, Ordering::SeqCst);
    };
    let flush = || {
        let Some(key) = batch.lock().unwrap().pop() else {
            return;
        };
        let Some(flight) = l1.begin_flush(&key) else {
            return;
        };
        let settled = l1.settle(&key, flight.stored.stamp(), Due::ARCHIVE);
        free(settled.freed_pos, settled.released);
        if settled.requeue {
            batch.lock().unwrap().push(key);
        }
    };
    let write = |zipf: &mut Zipf| {
        let size = (zipf.random() % 2000) as usize;
        let stored = item(zipf.rank(), size);
        let weight = L1::weight_of(&stored);
        if dirty.fetch_add(weight, Ordering::SeqCst) + weight > cap / 2 {
            dirty.fetch_sub(weight, Ordering::SeqCst);
            return flush();
        }
        let pos = {
            let mut book = book.lock().unwrap();
            book.1 += 1;
            let pos = book.1;
            book.0.insert(pos);
            pos
        };
        let stamp = Stamp {
            time: HlcTime(pos),
            origin: Origin::default(),
        };
        let stored = match stored {
            Stored::Live(item) => Stored::Live(item.edit(|fields| fields.stamp = stamp)),
            other => other,
        };
        let key = stored.key().to_string();
        let written = l1.write(stored, Due::ARCHIVE, pos, None);
        free(written.freed_pos, written.released);
        if written.enqueue {
            batch.lock().unwrap().push(key);
        }
    };
    let read = |zipf: &mut Zipf| {
        let stored = item(zipf.rank(), (zipf.random() % 2000) as usize);
        let ticket = l1.ticket(stored.key());
        if l1.get(stored.key(), 1).is_none() {
            l1.fill(stored, ticket, None);
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (l1, over, write, read, flush) = (&l1, &over, &write, &read, &flush);
            scope.spawn(move || {
                let mut zipf = Zipf::new(77 + thread);
                for _ in 0..15_000 {
                    match zipf.random() % 4 {
                        0 => write(&mut zipf),
                        1 => flush(),
                        _ => read(&mut zipf),
                    }
                    if l1.used_bytes() > cap {
                        over.store(true, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(!over.load(Ordering::SeqCst), "the cap was passed");
    while !batch.lock().unwrap().is_empty() {
        flush();
    }
    let stats = l1.stats();
    assert_eq!(dirty.load(Ordering::SeqCst), 0);
    assert!(
        book.lock().unwrap().0.is_empty(),
        "positions never came back"
    );
    assert_eq!((l1.dirty_len(), l1.dirty_bytes(), stats.dirty), (0, 0, 0));
    let keys = (0..KEYS).filter_map(|key| l1.peek(item(key, 0).key()));
    let sum: usize = keys.map(|entry| L1::weight_of(&entry.stored)).sum();
    assert_eq!((l1.used_bytes(), stats.bytes), (sum, sum));
    assert_eq!(
        (l1.len(), stats.inserts - stats.evictions),
        (stats.entries, stats.entries as u64)
    );
}
