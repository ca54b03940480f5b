//! I1: after `submit` or `delete` returns, every verb on that engine sees that write or a newer one.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::flaky_cache::FlakyCache;
use common::hammer::{Weather, hammer};
use common::slow_archive::SlowArchive;
use common::*;
use sync_engine::l3::memory::{ArchiveOp, MemoryArchive};
use sync_engine::{CacheTtl, SubmitOptions, SyncEngineConfig};
use testbed::{Fault, FaultyProxy, RedisServer};

fn small(config: SyncEngineConfig) -> SyncEngineConfig {
    SyncEngineConfig {
        l1_max_bytes: 256 << 10,
        max_payload_bytes: 16 << 10,
        ..config
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_read_your_writes_under_memory_pressure() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(small(config_without_wal(dir.path()))).await;
    hammer(&engine, 8, 250, Weather::Fair).await;
    assert!(engine.l1_stats().evictions > 100, "{:?}", engine.l1_stats());
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_read_your_writes_with_redis() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let engine = started(small(with_redis(config(dir.path()), &redis))).await;
    hammer(&engine, 8, 150, Weather::Fair).await;
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_read_your_writes_while_flushes_fail() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let archive = Arc::new(MemoryArchive::new());
    let config = SyncEngineConfig {
        l1_max_bytes: 1 << 20,
        ..small(with_redis(config_without_wal(dir.path()), &redis))
    };
    let engine = started_on(config, archive.clone()).await;
    let sabotaged = archive.clone();
    let saboteur = tokio::spawn(async move {
        let archive = sabotaged;
        let mut chance = chance(7);
        loop {
            match chance.u32(0..4) {
                0 => archive.fail_after_next_commit(),
                1 => archive.fail_next(ArchiveOp::Commit),
                2 => archive.fail_next(ArchiveOp::GetMany),
                _ => {
                    archive.set_down(true);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    archive.set_down(false);
                }
            }
            tokio::time::sleep(Duration::from_millis(chance.u64(20..150))).await;
        }
    });
    let (mut answered, until) = (0, Instant::now() + Duration::from_millis(2_500));
    while Instant::now() < until || answered <= 500 {
        assert!(Instant::now() < until + PATIENCE, "{answered} answers");
        answered += hammer(&engine, 6, 20, Weather::Stormy).await;
    }
    saboteur.abort();
    saboteur.await.unwrap_err();
    archive.set_down(false);
    flush_the_archive(&engine).await;
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_read_your_writes_while_redis_comes_and_goes() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let proxy = FaultyProxy::start(redis.addr()).unwrap();
    let config = SyncEngineConfig {
        redis_url: Some(proxy.url(&redis.url()).into()),
        redis_timeout_ms: 60,
        redis_response_timeout_ms: 60,
        ..small(config(dir.path()))
    };
    let engine = started(config).await;
    let storm = std::thread::spawn({
        let faults = [
            Fault::Cut,
            Fault::DropToClient,
            Fault::DropToServer,
            Fault::Stall,
        ];
        move || {
            for fault in faults {
                proxy.set(fault).unwrap();
                std::thread::sleep(Duration::from_millis(250));
                proxy.set(Fault::Pass).unwrap();
                std::thread::sleep(Duration::from_millis(1_100));
            }
            redis.restart().unwrap();
            (redis, proxy)
        }
    });
    let (mut answered, until) = (0, Instant::now() + 2 * PATIENCE);
    while !storm.is_finished() || answered <= 500 {
        assert!(Instant::now() < until, "{answered} answers");
        answered += hammer(&engine, 4, 20, Weather::Stormy).await;
    }
    let servers = storm.join().unwrap();
    eventually("no key is stale any more", async || {
        engine.health_check().await.cache_stale_keys == 0
    })
    .await;
    hammer(&engine, 4, 30, Weather::Stormy).await;
    engine.shutdown().await;
    drop(servers);
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_count_never_misses_a_write_that_is_being_stored() {
    let archive = SlowArchive::new(2, 2);
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        batch_flush_ms: 1,
        ..config_without_wal(dir.path())
    };
    let engine = started_on(config, archive).await;
    for n in 1..=150u64 {
        engine.submit(item(&format!("c.{n}"), "x")).await.unwrap();
        assert_eq!(engine.count_prefix("c.").await.unwrap(), n);
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_range_no_longer_shows_what_became_an_item_of_the_cache_alone() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let engine = started(unhurried(with_redis(config(dir.path()), &redis))).await;
    engine.submit(item("r.a", "1")).await.unwrap();
    flushed(&engine).await;
    assert_eq!(engine.count_prefix("r.").await.unwrap(), 1);
    engine
        .submit_with(item("r.a", "2"), SubmitOptions::cache(CacheTtl::Hour))
        .await
        .unwrap();
    assert_eq!(engine.count_prefix("r.").await.unwrap(), 0);
    assert!(engine.scan_prefix("r.", 10).await.unwrap().is_empty());
    assert_eq!(text(&engine, "r.a").await.as_deref(), Some("2"));
    engine.shutdown().await;
}

/// A write that only the cache keeps was taken out again by the repair of the cache, when its batch went on waiting for
/// the archive after the cache had confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn i1_repairing_the_cache_takes_out_nothing_that_was_just_written() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let archive = SlowArchive::new(400, 0);
    let config = SyncEngineConfig {
        batch_flush_ms: 60,
        ..config_without_wal(dir.path())
    };
    let engine = started_with(config, archive, cache.clone()).await;
    cache.fail_puts.store(true, Ordering::SeqCst);
    cache.fail_removes.store(true, Ordering::SeqCst);
    let only = SubmitOptions::cache(CacheTtl::Hour);
    engine
        .submit_with(item("only", "kept"), only)
        .await
        .unwrap();
    eventually("the cache is known to be stale", async || {
        engine.health_check().await.cache_stale_keys > 0
    })
    .await;
    cache.fail_puts.store(false, Ordering::SeqCst);
    // In one batch with a write that keeps it waiting for the archive, while the repair gets its turn.
    let mut n = 0;
    eventually("the cache has it", async || {
        n += 1;
        engine
            .submit(item(&format!("both.{n}"), "x"))
            .await
            .unwrap();
        cache.holds("only")
    })
    .await;
    cache.fail_removes.store(false, Ordering::SeqCst);
    flush_the_archive(&engine).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(cache.holds("only"));
    engine.shutdown().await;
}

/// The answer of a tier came when its key had been rewritten, stored and evicted: it must not stay in memory.
#[tokio::test(flavor = "multi_thread")]
async fn i1_a_slow_read_leaves_nothing_old_behind() {
    let dir = tempfile::tempdir().unwrap();
    let archive = SlowArchive::new(0, 0);
    let config = SyncEngineConfig {
        l1_max_bytes: 64 << 10,
        max_payload_bytes: 8 << 10,
        ..config_without_wal(dir.path())
    };
    let engine = started_on(config, archive.clone()).await;
    engine.submit(item("k", "old")).await.unwrap();
    evict(&engine).await;
    archive.after_read.set();
    let slow = tokio::spawn({
        let engine = engine.clone();
        async move { engine.get("k").await }
    });
    archive.after_read.holds().await;
    engine.submit(item("k", "new")).await.unwrap();
    evict(&engine).await;
    archive.after_read.release();
    slow.await.unwrap().unwrap();
    assert_eq!(text(&engine, "k").await.as_deref(), Some("new"));
    engine.shutdown().await;
}
