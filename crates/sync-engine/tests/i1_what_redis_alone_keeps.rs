//! What only Redis keeps stays the key's newest write, whatever older writes of the key come in from peers, and when.
#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::flaky_cache::FlakyCache;
use common::*;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{
    CacheTtl, ItemStatus, Relay, Stamp, Stored, SubmitOptions, SyncEngine, SyncEngineConfig,
};
use testbed::RedisServer;

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
    let engine = started(with_redis(small(dir.path()), &redis)).await;
    let before = earlier(&engine);
    let ids = ["deleted", "cached", "durable", "unknown.delete"];
    engine.submit(item("deleted", "old")).await.unwrap();
    let deleted = engine.delete_stamped("deleted").await.unwrap().unwrap();
    for id in ids {
        stored_in_redis_alone(&engine, id).await;
    }
    let durable = item("durable", "old").with_options(SubmitOptions::durable());
    // One that is here already, and three that the archive has never heard of.
    applied(&engine, tombstone("deleted", deleted)).await;
    applied(&engine, stamped(item("cached", "old"), before)).await;
    applied(&engine, stamped(durable, before)).await;
    applied(&engine, tombstone("unknown.delete", before)).await;
    assert_newest(&engine, &ids, "at once").await;
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
    eventually("the older row is gone", async || {
        flushed(&engine).await;
        engine.count_prefix("k").await.unwrap() == 0
    })
    .await;
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
    let row = engine
        .records_of(&["k".into()])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
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
    let engine = started_after_a_drop(config).await;
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
    let ids = ["cached", "durable", "deleted"];
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
