//! I8: everything has a cap in bytes, and reaching it slows or refuses callers; nothing grows, drops or lies.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::flaky_cache::FlakyCache;
use common::*;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{
    ErrorKind, InvalidItem, Relay, StorageError, Stored, SyncEngine, SyncEngineConfig, SyncItem,
};
use testbed::{Fault, FaultyProxy, RedisServer};

const L1_BYTES: usize = 1 << 20;

fn capped(config: SyncEngineConfig) -> SyncEngineConfig {
    SyncEngineConfig {
        l1_max_bytes: L1_BYTES,
        max_payload_bytes: 64 << 10,
        ..config
    }
}

/// Looks at L1 again and again while something goes on.
struct Watch {
    done: Arc<AtomicBool>,
    highest: Arc<AtomicUsize>,
    looker: std::thread::JoinHandle<()>,
}

impl Watch {
    fn over(engine: &Arc<SyncEngine>) -> Self {
        let (done, highest) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let looker = std::thread::spawn({
            let (engine, done, highest) = (engine.clone(), done.clone(), highest.clone());
            move || {
                while !done.load(Ordering::Relaxed) {
                    let used = engine.memory_pressure() * engine.config().l1_max_bytes as f64;
                    highest.fetch_max(used as usize, Ordering::Relaxed);
                    std::thread::yield_now();
                }
            }
        });
        Self {
            done,
            highest,
            looker,
        }
    }

    fn highest(self) -> usize {
        self.done.store(true, Ordering::Relaxed);
        self.looker.join().unwrap();
        self.highest.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_the_cap_of_l1_holds_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(capped(config_without_wal(dir.path()))).await;
    let watch = Watch::over(&engine);
    let writers = (0..6u64).map(|w| {
        let (engine, mut chance) = (engine.clone(), chance(w));
        tokio::spawn(async move {
            for n in 0..300 {
                let size = if n % 50 == 0 {
                    60 << 10
                } else {
                    chance.usize(0..3_000)
                };
                let id = format!("w.{w}.{}", chance.u32(0..400));
                engine
                    .submit(SyncItem::new(id, vec![1; size]))
                    .await
                    .unwrap();
                engine
                    .get(&format!("w.{}.{}", chance.u64(0..6), chance.u32(0..400)))
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    // One call with more tombstones than may be unstored, and one with more items.
    let items = (0..10_000).map(|n| {
        item(
            &format!("b.{n}"),
            "0123456789012345678901234567890123456789",
        )
    });
    assert_eq!(
        engine.submit_many(items.collect()).await.unwrap().succeeded,
        10_000
    );
    let ids: Vec<String> = (0..10_000).map(|n| format!("b.{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert!(
        engine
            .delete_many(&ids)
            .await
            .unwrap()
            .iter()
            .all(|existed| *existed)
    );
    let highest = watch.highest();
    assert!(highest <= L1_BYTES, "{highest} bytes of {L1_BYTES}");
    assert_eq!(engine.count_prefix("b.").await.unwrap(), 0);
    engine.shutdown().await;
}

/// Reads put what they find into the cache by way of L1: with a slow cache they filled it with work, beyond its cap.
#[tokio::test(flavor = "multi_thread")]
async fn i8_the_cap_of_l1_holds_against_reads_applies_and_expiry_with_a_slow_cache() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let proxy = FaultyProxy::start(redis.addr()).unwrap();
    let first = started(capped(config_without_wal(dir.path()))).await;
    let now = first.env().now_ms();
    for n in 0..1_500 {
        first
            .submit(SyncItem::new(format!("r.{n}"), vec![7; 2_000]))
            .await
            .unwrap();
    }
    let soon = |n| {
        item(&format!("expiring.{n:05}.{}", "x".repeat(100)), "x")
            .with_expires_at(Some(now + 1_500))
    };
    first
        .submit_many((0..8_000).map(soon).collect())
        .await
        .unwrap();
    first.shutdown().await;
    let config = SyncEngineConfig {
        redis_url: Some(proxy.url(&redis.url()).into()),
        redis_response_timeout_ms: 5_000,
        ..capped(config_without_wal(dir.path()))
    };
    let engine = started(config).await;
    let watch = Watch::over(&engine);
    proxy.set(Fault::Delay(Duration::from_millis(150))).unwrap();
    let reads = (0..4usize).map(|r| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for part in 0..15 {
                let ids: Vec<String> = (0..50)
                    .map(|n| format!("r.{}", (part * 50 + n) * 2 + r % 2))
                    .collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                assert!(
                    engine
                        .get_many(&ids)
                        .await
                        .unwrap()
                        .iter()
                        .flatten()
                        .count()
                        == 50
                );
            }
        })
    });
    let reads: Vec<_> = reads.collect();
    let foreign =
        (0..6_000).map(|n| stamped(item(&format!("a.{n}"), "applied"), stamp(now, n, "peer")));
    let foreign: Vec<Stored> = foreign.collect();
    let applied = engine.apply(foreign, Relay::No).await.unwrap();
    assert_eq!(applied.taken, 6_000);
    for read in reads {
        read.await.unwrap();
    }
    // Reads never take the room of writes.
    engine
        .submit(SyncItem::new("mine", vec![1; 50_000]))
        .await
        .unwrap();
    proxy.set(Fault::Pass).unwrap();
    eventually("what expired is swept", async || {
        engine.count_prefix("expiring").await.unwrap() == 0
    })
    .await;
    let highest = watch.highest();
    assert!(highest <= L1_BYTES, "{highest} bytes of {L1_BYTES}");
    engine.shutdown().await;
}

/// What reads find in the archive goes to the cache by way of L1. A cache that dawdles must not fill L1 with it.
#[tokio::test(flavor = "multi_thread")]
async fn i8_reads_with_a_slow_cache_take_no_room_from_writes() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let archive = Arc::new(MemoryArchive::new());
    let first = started_on(capped(config_without_wal(dir.path())), archive.clone()).await;
    for n in 0..1_500 {
        let item = SyncItem::new(format!("r.{n}"), vec![7; 2_000]);
        first.submit(item).await.unwrap();
    }
    first.shutdown().await;
    let archive = Arc::new(archive.restarted());
    let config = capped(config_without_wal(dir.path()));
    let engine = started_with(config, archive, cache.clone()).await;
    cache.puts_wait.send_replace(true);
    let watch = Watch::over(&engine);
    for n in 0..1_500 {
        let found = engine.get(&format!("r.{n}")).await.unwrap();
        assert!(found.is_some());
    }
    // A write that had to wait for the reads would be refused in the end.
    for n in 0..8 {
        let item = SyncItem::new(format!("mine.{n}"), vec![1; 20_000]);
        engine.submit(item).await.unwrap();
    }
    let highest = watch.highest();
    assert!(highest <= L1_BYTES, "{highest} bytes of {L1_BYTES}");
    cache.puts_wait.send_replace(false);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_unflushed_bytes_are_bounded_and_writers_wait_or_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(capped(config_without_wal(dir.path())), archive.clone()).await;
    archive.set_down(true);
    let writers = (0..20).map(|w| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut refused = 0;
            for n in 0..10 {
                let write = engine
                    .submit(SyncItem::new(format!("u.{w}.{n}"), vec![1; 8_000]))
                    .await;
                match write {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Overloaded => {
                        refused += 1;
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            refused
        })
    });
    let writers: Vec<_> = writers.collect();
    eventually("there is no room", async || {
        let (items, bytes) = engine.health_check().await.unflushed;
        assert!(bytes <= L1_BYTES / 2, "{items} items, {bytes} bytes");
        items >= 55 && !engine.should_accept_writes()
    })
    .await;
    let mut refused = 0;
    for writer in writers {
        refused += writer.await.unwrap();
    }
    assert!(refused >= 13, "{refused} of 20 writers were refused");
    // A writer that waits gets in when there is room.
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move {
            engine
                .submit(SyncItem::new("waiting", vec![1; 8_000]))
                .await
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    archive.set_down(false);
    waiting.await.unwrap().expect("let in");
    assert_eq!(engine.shutdown().await.unstored, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_a_call_that_is_let_in_partly_says_which_part() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(capped(config_without_wal(dir.path())), archive.clone()).await;
    archive.set_down(true);
    let items = (0..200).map(|n| SyncItem::new(format!("p.{n}"), vec![1; 8_000]));
    let result = engine
        .submit_many(items.collect())
        .await
        .expect("some were let in");
    assert!(
        result.succeeded > 30 && result.failed > 100,
        "{} and {}",
        result.succeeded,
        result.failed
    );
    assert_eq!(result.succeeded + result.failed, 200);
    assert!(
        result
            .errors
            .iter()
            .all(|(_, error)| error.kind() == ErrorKind::Overloaded)
    );
    for n in 0..result.succeeded {
        assert!(
            engine.contains(&format!("p.{n}")).await.unwrap(),
            "p.{n} was acknowledged"
        );
    }
    archive.set_down(false);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_what_is_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(capped(config(dir.path()))).await;
    let too_large = engine
        .submit(SyncItem::new("big", vec![0; (64 << 10) + 1]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            too_large,
            StorageError::InvalidItem {
                reason: InvalidItem::PayloadTooLarge {
                    bytes: 65_537,
                    limit: 65_536
                },
                ..
            }
        ),
        "{too_large}"
    );
    engine
        .submit(SyncItem::new("fits", vec![0; 64 << 10]))
        .await
        .unwrap();
    engine.shutdown().await;
}
