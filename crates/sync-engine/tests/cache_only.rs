//! Items that only the cache keeps, and items that it must not keep.
#![allow(clippy::disallowed_methods)]

mod common;

use std::time::Duration;

use common::*;
use sync_engine::{CacheTtl, ItemStatus, SubmitOptions, SyncEngineConfig};
use testbed::RedisServer;

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_the_cache_alone_lives_as_long_as_its_ttl() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = SyncEngineConfig {
        l1_max_bytes: 64 << 10,
        max_payload_bytes: 8 << 10,
        ..with_redis(config(dir.path()), &redis)
    };
    let engine = started(config.clone()).await;
    let brief = SubmitOptions::cache(CacheTtl::custom_secs(2));
    let long = SubmitOptions::cache(CacheTtl::Hour);
    // Over items that are archived: their rows go, for good.
    for id in ["c.was.brief", "c.was.long"] {
        engine.submit(item(id, "stored")).await.unwrap();
    }
    flushed(&engine).await;
    for (id, options) in [
        ("c.brief", &brief),
        ("c.was.brief", &brief),
        ("c.long", &long),
        ("c.was.long", &long),
    ] {
        let written = engine.submit_with(item(id, "x"), options.clone());
        written.await.unwrap();
    }
    flushed(&engine).await;
    assert_eq!(
        engine.count_prefix("c.").await.unwrap(),
        0,
        "none is in the archive"
    );
    evict(&engine).await;
    for id in ["c.long", "c.was.long"] {
        assert_eq!(text(&engine, id).await.as_deref(), Some("x"), "{id}");
        let status = engine.status(id).await.unwrap();
        assert!(
            matches!(
                status,
                ItemStatus::Synced {
                    in_l2: true,
                    in_l3: false,
                    ..
                }
            ),
            "{id}: {status:?}"
        );
    }
    engine.shutdown().await;
    // The engine's word counts, also where Redis would keep it for longer.
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let persist = redis::cmd("PERSIST").arg("c.brief").to_owned();
    let _is_there: u64 = persist.query_async(&mut connection).await.unwrap();
    let engine = started(config).await;
    assert_eq!(text(&engine, "c.long").await.as_deref(), Some("x"));
    for id in ["c.brief", "c.was.brief"] {
        eventually("its time is over", async || {
            text(&engine, id).await.is_none()
        })
        .await;
        assert_eq!(
            engine.status(id).await.unwrap(),
            ItemStatus::Missing,
            "{id}"
        );
    }
    assert_eq!(text(&engine, "c.long").await.as_deref(), Some("x"));
    assert!(engine.delete("c.long").await.unwrap());
    flushed(&engine).await;
    evict(&engine).await;
    assert_eq!(text(&engine, "c.long").await, None);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_write_leaves_no_older_copy_in_the_cache() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = with_redis(config(dir.path()), &redis);
    let engine = started(config.clone()).await;
    engine.submit(item("d", "both")).await.unwrap();
    flushed(&engine).await;
    engine
        .submit_with(item("d", "durable"), SubmitOptions::durable())
        .await
        .unwrap();
    flushed(&engine).await;
    assert_eq!(
        engine.status("d").await.unwrap(),
        ItemStatus::Synced {
            in_l1: true,
            in_l2: false,
            in_l3: true
        }
    );
    engine.shutdown().await;
    let engine = started(config).await;
    assert_eq!(text(&engine, "d").await.as_deref(), Some("durable"));
    flushed(&engine).await;
    let status = engine.status("d").await.unwrap();
    assert!(
        matches!(status, ItemStatus::Synced { in_l2: false, .. }),
        "reading it does not cache it: {status:?}"
    );
    engine.shutdown().await;
}

/// An item of the cache alone, read back from a log by an engine that has lost its cache, held up every shutdown.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_lost_its_cache_still_stops() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let engine = started(unhurried(with_redis(config(dir.path()), &redis))).await;
    let only = SubmitOptions::cache(CacheTtl::Hour);
    engine.submit_with(item("c", "x"), only).await.unwrap();
    drop(engine);
    let engine = started(config(dir.path())).await;
    let stopped = tokio::time::timeout(Duration::from_secs(20), engine.shutdown()).await;
    stopped.expect("a shutdown ends");
}
