//! I13: "could not look" is an error to the caller, never `None`.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;

use common::flaky_cache::FlakyCache;
use common::*;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{
    CacheTtl, ErrorKind, ItemStatus, StorageError, SubmitOptions, SyncEngine, SyncEngineConfig,
};
use testbed::{Fault, FaultyProxy, RedisServer};

fn brief(error: &StorageError) -> bool {
    error.kind() == ErrorKind::Unavailable
}

/// Every verb that looks says what is so, or that it could not look.
async fn assert_no_lie(engine: &SyncEngine, id: &str, is_there: bool) {
    match engine.get(id).await {
        Ok(found) => assert_eq!(found.is_some(), is_there, "get {id}"),
        Err(error) => assert!(brief(&error), "{error}"),
    }
    match engine.get_many(&["nowhere.1", id]).await {
        Ok(found) => assert_eq!(found[1].is_some(), is_there, "get_many {id}"),
        Err(error) => assert!(brief(&error), "{error}"),
    }
    match engine.contains(id).await {
        Ok(found) => assert_eq!(found, is_there, "contains {id}"),
        Err(error) => assert!(brief(&error), "{error}"),
    }
    match engine.status(id).await {
        Ok(status) => assert_eq!(
            status != ItemStatus::Missing,
            is_there,
            "status {id}: {status:?}"
        ),
        Err(error) => assert!(brief(&error), "{error}"),
    }
    if is_there {
        assert!(engine.contains_fast(id).unwrap(), "contains_fast {id}");
    }
}

struct Bed {
    _dir: tempfile::TempDir,
    redis: RedisServer,
    proxy: FaultyProxy,
    archive: Arc<MemoryArchive>,
    engine: Arc<SyncEngine>,
}

/// In the tiers: `both.n`, `deleted.n`, `only.n` (the cache alone), `was.n` (archived before, now the cache alone).
/// Nothing of it is in L1.
async fn bed() -> Bed {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let proxy = FaultyProxy::start(redis.addr()).unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let config = SyncEngineConfig {
        redis_url: Some(proxy.url(&redis.url()).into()),
        l1_max_bytes: 64 << 10,
        max_payload_bytes: 8 << 10,
        redis_timeout_ms: 100,
        redis_response_timeout_ms: 100,
        ..config_without_wal(dir.path())
    };
    let engine = started_on(config, archive.clone()).await;
    for n in 0..8 {
        engine
            .submit(item(&format!("both.{n}"), "x"))
            .await
            .unwrap();
        engine.submit(item(&format!("was.{n}"), "x")).await.unwrap();
        engine
            .submit(item(&format!("deleted.{n}"), "x"))
            .await
            .unwrap();
        let only = SubmitOptions::cache(CacheTtl::Hour);
        engine
            .submit_with(item(&format!("only.{n}"), "x"), only)
            .await
            .unwrap();
    }
    flush_the_archive(&engine).await;
    for n in 0..8 {
        engine.delete(&format!("deleted.{n}")).await.unwrap();
        let only = SubmitOptions::cache(CacheTtl::Hour);
        engine
            .submit_with(item(&format!("was.{n}"), "y"), only)
            .await
            .unwrap();
    }
    evict(&engine).await;
    evict(&engine).await;
    Bed {
        _dir: dir,
        redis,
        proxy,
        archive,
        engine,
    }
}

async fn assert_no_lies(engine: &SyncEngine) {
    for n in 0..8 {
        assert_no_lie(engine, &format!("both.{n}"), true).await;
        assert_no_lie(engine, &format!("was.{n}"), true).await;
        assert_no_lie(engine, &format!("only.{n}"), true).await;
        assert_no_lie(engine, &format!("deleted.{n}"), false).await;
        assert_no_lie(engine, &format!("never.{n}"), false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_an_outage_of_the_cache_is_an_error_or_the_archives_answer() {
    let bed = bed().await;
    for fault in [Fault::Cut, Fault::DropToClient, Fault::Stall] {
        bed.proxy.set(fault).unwrap();
        assert_no_lies(&bed.engine).await;
        // What the archive has is still answered.
        assert!(bed.engine.get("both.3").await.unwrap().is_some());
        assert_eq!(bed.engine.count_prefix("both.").await.unwrap(), 8);
        bed.proxy.set(Fault::Pass).unwrap();
        eventually("the cache answers again", async || {
            bed.engine.get("only.1").await.is_ok()
        })
        .await;
        assert_no_lies(&bed.engine).await;
    }
    bed.redis.kill().unwrap();
    assert_no_lies(&bed.engine).await;
    bed.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_an_outage_of_the_archive_is_an_error_or_the_caches_answer() {
    let bed = bed().await;
    bed.archive.set_down(true);
    assert_no_lies(&bed.engine).await;
    for result in [
        bed.engine.count_prefix("both.").await.map(drop),
        bed.engine.scan_prefix("both.", 10).await.map(drop),
        bed.engine.len().await.map(drop),
        bed.engine.verify_filter().await.map(drop),
        bed.engine.records_of(&["both.1".into()]).await.map(drop),
        bed.engine.get_merkle_hash("both").await.map(drop),
    ] {
        // The tree may know a hash without asking; counts and rows it does not.
        if let Err(error) = result {
            assert!(brief(&error), "{error}");
        }
    }
    assert!(bed.engine.count_prefix("both.").await.is_err());
    assert!(bed.engine.scan_prefix("both.", 10).await.is_err());
    // And both at once.
    bed.proxy.set(Fault::Cut).unwrap();
    assert_no_lies(&bed.engine).await;
    bed.proxy.set(Fault::Pass).unwrap();
    bed.archive.set_down(false);
    eventually("all is answered again", async || {
        bed.engine.get("only.1").await.is_ok() && bed.engine.get("never.1").await.is_ok()
    })
    .await;
    assert_no_lies(&bed.engine).await;
    bed.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_the_only_tier_being_down_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config_without_wal(dir.path()), archive.clone()).await;
    engine.submit(item("a", "x")).await.unwrap();
    flushed(&engine).await;
    engine.shutdown().await;
    let archive = Arc::new(archive.restarted());
    let engine = started_on(config_without_wal(dir.path()), archive.clone()).await;
    archive.set_down(true);
    for _ in 0..5 {
        assert!(engine.get("a").await.is_err());
        assert!(engine.get_many(&["a"]).await.is_err());
        assert!(engine.contains("a").await.is_err());
        assert!(engine.status("a").await.is_err());
        let made = engine.get_or_insert_with("a", async || {
            Ok::<_, std::io::Error>(item("a", "overwritten"))
        });
        assert!(
            made.await.is_err(),
            "an outage is no reason to make the item anew"
        );
    }
    archive.set_down(false);
    eventually("it is there", async || {
        engine
            .get("a")
            .await
            .is_ok_and(|a| a.unwrap().content == "x")
    })
    .await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_what_only_the_cache_keeps_is_not_absent_before_the_archive_is_opened() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let archive = MemoryArchive::new();
    let first = Arc::new(archive.restarted());
    let engine = started_with(config(dir.path()), first, cache.clone()).await;
    let only = SubmitOptions::cache(CacheTtl::Hour);
    engine
        .submit_with(item("only", "kept"), only)
        .await
        .unwrap();
    flushed(&engine).await;
    engine.shutdown().await;

    archive.set_down(true);
    let second = Arc::new(archive.restarted());
    let engine = started_with(config(dir.path()), second, cache).await;
    archive.set_down(false);
    eventually("the cache is asked", async || {
        let found = engine.get("only").await;
        assert!(!matches!(found, Ok(None)), "it is there");
        found.is_ok()
    })
    .await;
    engine.shutdown().await;
}
