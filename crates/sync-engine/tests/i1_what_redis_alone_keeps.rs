//! What only Redis keeps stays the key's newest write, whatever older writes of the key come in from peers, and when.
#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::flaky_cache::FlakyCache;
use common::*;
use sync_engine::l2::{CacheStore, CacheWrite};
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{
    CacheTtl, ItemStatus, Relay, Stamp, StorageError, Stored, SubmitOptions, SyncEngine,
    SyncEngineConfig,
};
use testbed::RedisServer;
use tokio::task::JoinHandle;

/// An L1 of few items, so that a test can have them leave.
fn small(dir: &Path) -> SyncEngineConfig {
    SyncEngineConfig {
        l1_max_bytes: 64 << 10,
        max_payload_bytes: 8 << 10,
        ..config(dir)
    }
}

/// A stamp of another node, older than all that comes.
fn earlier(engine: &SyncEngine) -> Stamp {
    stamp(engine.env().now_ms() - 60_000, 0, "peer")
}

async fn applied(engine: &SyncEngine, write: Stored) {
    let applied = engine.apply(vec![write], Relay::No).await.unwrap();
    assert!(applied.refused.is_empty() && applied.early.is_empty());
}

/// Stores an item in Redis alone, and has it leave L1.
async fn stored_in_redis_alone(engine: &SyncEngine, id: &str) {
    let only = SubmitOptions::cache(CacheTtl::Hour);
    engine.submit_with(item(id, "newest"), only).await.unwrap();
    flush_the_archive(engine).await;
    evict(engine).await;
}

/// What the archive has of it.
async fn row_of(engine: &SyncEngine, id: &str) -> Stored {
    let rows = engine.records_of(&[id.into()]).await.unwrap();
    rows.into_iter().flatten().next().expect("a row")
}

async fn assert_newest(engine: &SyncEngine, ids: &[&str], when: &str) {
    for id in ids {
        assert_eq!(
            text(engine, id).await.as_deref(),
            Some("newest"),
            "{id} {when}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_an_older_write_of_a_peer_does_not_hide_what_only_redis_keeps() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = unhurried(with_redis(small(dir.path()), &redis));
    let engine = started(config).await;
    let before = earlier(&engine);
    let ids = [
        "deleted",
        "cached",
        "durable",
        "unknown.delete",
        "echo",
        "resident",
    ];
    for id in ["deleted", "echo"] {
        engine.submit(item(id, "old")).await.unwrap();
    }
    let deleted = engine.delete_stamped("deleted").await.unwrap().unwrap();
    for id in ids {
        stored_in_redis_alone(&engine, id).await;
    }
    let durable = item("durable", "old").with_options(SubmitOptions::durable());
    // Two that are here already, the second the item's own, and three that the archive has never heard of.
    applied(&engine, tombstone("deleted", deleted)).await;
    applied(&engine, row_of(&engine, "echo").await).await;
    applied(&engine, stamped(item("cached", "old"), before)).await;
    applied(&engine, stamped(durable, before)).await;
    applied(&engine, tombstone("unknown.delete", before)).await;
    assert_newest(&engine, &["resident"], "read back into L1").await;
    applied(&engine, stamped(item("resident", "old"), before)).await;
    assert_newest(&engine, &ids, "at once").await;
    let count = engine.count_prefix("resident").await.unwrap();
    assert_eq!(count, 0, "the row goes at once where L1 knows");
    flushed(&engine).await;
    assert_newest(&engine, &ids, "once the older write was flushed").await;
    evict(&engine).await;
    assert_newest(&engine, &ids, "out of Redis").await;
    for id in ids {
        let status = engine.status(id).await.unwrap();
        let in_redis = matches!(
            status,
            ItemStatus::Synced {
                in_l2: true,
                in_l3: false,
                ..
            }
        );
        assert!(in_redis, "{id}: {status:?}");
        assert!(engine.contains_fast(id).unwrap(), "{id}");
        assert!(
            engine.delete(id).await.unwrap(),
            "{id}: there is something to delete"
        );
        assert_eq!(text(&engine, id).await, None, "{id}");
    }
    assert_honest(&engine).await;
    engine.shutdown().await;
}

/// As if the older write had come first: see decision 0005.
#[tokio::test(flavor = "multi_thread")]
async fn i3_an_older_row_does_not_come_back_when_the_time_of_what_redis_keeps_is_over() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let engine = started(with_redis(small(dir.path()), &redis)).await;
    let older = stamped(item("k", "old"), earlier(&engine));
    stored_in_redis_alone(&engine, "k").await;
    applied(&engine, older).await;
    flushed(&engine).await;
    assert_eq!(engine.count_prefix("k").await.unwrap(), 0);
    evict(&engine).await;
    // Redis lets go of it.
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let gone: u64 = redis::cmd("DEL")
        .arg("k")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(gone, 1);
    assert_eq!(text(&engine, "k").await, None);
    let row = row_of(&engine, "k").await;
    assert!(row.item().is_none() && row.stamp() > earlier(&engine));
    engine.shutdown().await;
}

/// After a crash the cache is believed no more; what only it keeps has no other home.
#[tokio::test(flavor = "multi_thread")]
async fn i1_after_a_crash_an_older_write_takes_nothing_out_of_redis() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = with_redis(small(dir.path()), &redis);
    let engine = started(config.clone()).await;
    stored_in_redis_alone(&engine, "k").await;
    drop(engine);
    let engine = started(config).await;
    applied(&engine, stamped(item("k", "old"), earlier(&engine))).await;
    flushed(&engine).await;
    evict(&engine).await;
    assert_newest(&engine, &["k"], "after the crash").await;
    engine.shutdown().await;
}

/// A write that missed the cache makes what is older there stale, not what is newer.
#[tokio::test(flavor = "multi_thread")]
async fn i1_a_write_that_missed_the_cache_takes_nothing_newer_out_of_it() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_with(small(dir.path()), archive, cache.clone()).await;
    let before = earlier(&engine);
    let ids = ["cached", "durable", "deleted", "echo"];
    engine.submit(item("echo", "old")).await.unwrap();
    flushed(&engine).await;
    for id in ids {
        stored_in_redis_alone(&engine, id).await;
    }
    engine.submit(item("older", "in both")).await.unwrap();
    flushed(&engine).await;
    evict(&engine).await;
    cache.is_read_only.store(true, Ordering::SeqCst);
    let durable = item("durable", "old").with_options(SubmitOptions::durable());
    let after = stamp(engine.env().now_ms(), 0, "peer");
    applied(&engine, stamped(item("cached", "old"), before)).await;
    applied(&engine, stamped(durable, before)).await;
    applied(&engine, tombstone("deleted", before)).await;
    applied(&engine, row_of(&engine, "echo").await).await;
    applied(&engine, stamped(item("older", "newest"), after)).await;
    eventually("the cache has missed them", async || {
        engine.health_check().await.cache_stale_keys == ids.len() + 1
    })
    .await;
    assert!(cache.holds("older"));
    for _ in 0..2 {
        assert_newest(&engine, &ids, "while the cache is stale").await;
        assert_newest(&engine, &["older"], "past the stale copy").await;
        evict(&engine).await;
    }
    cache.is_read_only.store(false, Ordering::SeqCst);
    eventually("the cache is repaired", async || {
        engine.health_check().await.cache_stale_keys == 0
    })
    .await;
    assert!(ids.iter().all(|id| cache.holds(id)) && !cache.holds("older"));
    flushed(&engine).await;
    evict(&engine).await;
    assert_newest(&engine, &ids, "once the cache is repaired").await;
    assert_eq!(engine.count_prefix("cached").await.unwrap(), 0);
    engine.shutdown().await;
}

/// Nothing is left to be done after a stop, and what only Redis keeps may be as large as an item can be.
#[tokio::test(flavor = "multi_thread")]
async fn i3_an_older_row_goes_before_a_stop_ends() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let config = SyncEngineConfig {
        max_payload_bytes: 20 << 10,
        ..unhurried(small(dir.path()))
    };
    let start = async || started_over(config.clone(), |e| e.with_cache(cache.clone())).await;
    let engine = start().await;
    let large = item("k", &"x".repeat(20 << 10));
    let only = SubmitOptions::cache(CacheTtl::Hour);
    engine.submit_with(large, only).await.unwrap();
    flushed(&engine).await;
    evict(&engine).await;
    applied(&engine, stamped(item("k", "old"), earlier(&engine))).await;
    let report = engine.shutdown().await;
    assert!(report.errors.is_empty(), "{report:?}");
    let engine = start().await;
    assert_eq!(engine.count_prefix("k").await.unwrap(), 0);
    assert_eq!(
        engine.get("k").await.unwrap().unwrap().content.len(),
        20 << 10
    );
    assert_eq!(engine.health_check().await.cache_stale_keys, 0);
    engine.shutdown().await;
}

/// What could not be done before a crash is done by who reads the item.
#[tokio::test(flavor = "multi_thread")]
async fn i3_after_a_crash_a_reader_takes_the_older_row_away() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let config = unhurried(small(dir.path()));
    let engine = started_over(config.clone(), |e| e.with_cache(cache.clone())).await;
    stored_in_redis_alone(&engine, "k").await;
    applied(&engine, stamped(item("k", "old"), earlier(&engine))).await;
    assert_eq!(engine.count_prefix("k").await.unwrap(), 1);
    drop(engine);
    let engine = loop {
        let (_, settings) = tokio::sync::watch::channel(config.clone());
        let builder = SyncEngine::builder(config.clone(), settings);
        let engine = builder.with_cache(cache.clone()).build();
        match engine.start().await {
            Ok(()) => break engine,
            Err(StorageError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_newest(&engine, &["k"], "after the crash").await;
    assert_eq!(engine.count_prefix("k").await.unwrap(), 0);
    engine.shutdown().await;
}

/// A write of this node that lost to what another engine keeps in the Redis that both use.
#[tokio::test(flavor = "multi_thread")]
async fn i3_what_another_engine_keeps_in_the_cache_alone_overrules_and_frees_the_log() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let engine = started_over(small(dir.path()), |e| e.with_cache(cache.clone())).await;
    let only = item("k", "newest").with_options(SubmitOptions::cache(CacheTtl::Hour));
    let later = stamp(engine.env().now_ms() + 2_000, 0, "other.engine");
    let write = CacheWrite {
        stored: stamped(only, later),
        ttl: None,
    };
    assert!(cache.put_many(1, &[write]).await.unwrap().is_empty());
    engine.submit(item("k", "both")).await.unwrap();
    flushed(&engine).await;
    assert_newest(&engine, &["k"], "over a write of this node").await;
    assert_eq!(engine.count_prefix("k").await.unwrap(), 0);
    eventually("the log is empty", async || {
        engine.health_check().await.wal_records == Some(0)
    })
    .await;
    engine.shutdown().await;
}

/// An item in both tiers, and then a tombstone of a peer that is on its way to the cache, or misses it.
async fn deleted_by_a_peer(engine: &SyncEngine, cache: &FlakyCache, misses: bool) {
    engine.submit(item("k", "first")).await.unwrap();
    flushed(engine).await;
    evict(engine).await;
    cache.is_read_only.store(misses, Ordering::SeqCst);
    let now = stamp(engine.env().now_ms() + 1, 0, "peer");
    applied(engine, tombstone("k", now)).await;
}

/// A reader whose answer is on its way back from the cache.
async fn reading(engine: &Arc<SyncEngine>, cache: &FlakyCache) -> JoinHandle<Option<String>> {
    cache.answers.set();
    let engine = engine.clone();
    let reader = tokio::spawn(async move { text(&engine, "k").await });
    cache.answers.holds().await;
    reader
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_read_that_a_flush_overtakes_does_not_bring_back_what_a_peer_deleted() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let archive = Arc::new(MemoryArchive::new());
    let config = unhurried(small(dir.path()));
    let engine = started_with(config, archive, cache.clone()).await;
    deleted_by_a_peer(&engine, &cache, false).await;
    assert_eq!(text(&engine, "k").await, None);
    let reader = reading(&engine, &cache).await;
    flushed(&engine).await;
    cache.answers.release();
    assert_eq!(reader.await.unwrap(), None);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_an_answer_on_its_way_while_the_cache_is_repaired_is_not_believed() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_with(small(dir.path()), archive, cache.clone()).await;
    deleted_by_a_peer(&engine, &cache, true).await;
    eventually("the cache has missed it", async || {
        engine.health_check().await.cache_stale_keys == 1
    })
    .await;
    evict(&engine).await;
    let reader = reading(&engine, &cache).await;
    cache.is_read_only.store(false, Ordering::SeqCst);
    eventually("the cache is repaired", async || {
        engine.health_check().await.cache_stale_keys == 0
    })
    .await;
    cache.answers.release();
    assert_eq!(reader.await.unwrap(), None);
    assert_eq!(text(&engine, "k").await, None);
    engine.shutdown().await;
}
