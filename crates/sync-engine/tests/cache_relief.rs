//! A Redis that fills up is relieved before it refuses writes, or drops what nobody else keeps.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use redis::{Connection, cmd};
use sync_engine::{CacheTtl, ItemStatus, SubmitOptions, SyncEngine, SyncEngineConfig};
use testbed::RedisServer;

const LIMIT: f64 = (20 << 20) as f64;

fn share_in_use(redis: &mut Connection) -> f64 {
    let info: String = cmd("INFO").arg("memory").query(redis).unwrap();
    let used = info.lines().find_map(|l| l.strip_prefix("used_memory:"));
    used.unwrap().trim().parse::<f64>().unwrap() / LIMIT
}

fn keys(redis: &mut Connection) -> usize {
    cmd("DBSIZE").query(redis).unwrap()
}

fn content(n: usize) -> String {
    format!("{n}:{}", "x".repeat(7_900))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_fills_up_gives_up_only_copies() {
    let limited = ["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"];
    let redis = RedisServer::start_with(&limited).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        l1_max_bytes: 256 << 10,
        max_payload_bytes: 16 << 10,
        redis_eviction_enabled: false,
        ..with_redis(config(dir.path()), &redis)
    };
    let (reload, settings) = tokio::sync::watch::channel(config.clone());
    let engine = Arc::new(SyncEngine::builder(config.clone(), settings).build());
    engine.start().await.unwrap();
    let mut raw = redis::Client::open(redis.url())
        .unwrap()
        .get_connection()
        .unwrap();

    let only = SubmitOptions::cache(CacheTtl::Hour);
    for n in 0..200 {
        let id = format!("c.{n}");
        engine
            .submit_with(item(&id, "kept"), only.clone())
            .await
            .unwrap();
    }
    for n in 0..1_850 {
        let id = format!("k.{n}");
        engine.submit(item(&id, &content(n))).await.unwrap();
    }
    flushed(&engine).await;
    let full = share_in_use(&mut raw);
    assert!(full > 0.75, "{full}");

    // Switched off, nothing is dropped.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(keys(&mut raw), 2_050);
    let on = SyncEngineConfig {
        redis_eviction_enabled: true,
        ..config
    };
    reload.send(on).unwrap();
    eventually("there is room again", async || {
        share_in_use(&mut raw) < 0.61
    })
    .await;
    let left = keys(&mut raw);
    assert!((1_000..1_800).contains(&left), "{left} records are left");

    for n in 0..200 {
        let id = format!("c.{n}");
        let there: bool = cmd("EXISTS").arg(&id).query(&mut raw).unwrap();
        assert!(there, "{id} is nowhere else");
        assert_eq!(text(&engine, &id).await.as_deref(), Some("kept"), "{id}");
    }
    for n in 0..1_850 {
        let id = format!("k.{n}");
        assert_eq!(text(&engine, &id).await, Some(content(n)), "{id}");
    }
    let status = engine.status("c.7").await.unwrap();
    let in_cache_alone = matches!(
        status,
        ItemStatus::Synced {
            in_l2: true,
            in_l3: false,
            ..
        }
    );
    assert!(in_cache_alone, "{status:?}");
    engine.shutdown().await;
}

/// More than the server holds: it may refuse for a while, and is relieved all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_is_relieved() {
    let limited = ["--maxmemory", "20mb", "--maxmemory-policy", "noeviction"];
    let redis = RedisServer::start_with(&limited).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        l1_max_bytes: 1 << 20,
        max_payload_bytes: 16 << 10,
        ..with_redis(config(dir.path()), &redis)
    };
    let engine = started(config).await;
    let mut raw = redis::Client::open(redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    for n in 0..4_000 {
        let id = format!("k.{n}");
        engine.submit(item(&id, &content(n))).await.unwrap();
    }
    flush_the_archive(&engine).await;
    eventually("there is room again", async || {
        share_in_use(&mut raw) < 0.75
    })
    .await;
    for n in 0..4_000 {
        let id = format!("k.{n}");
        assert_eq!(text(&engine, &id).await, Some(content(n)), "{id}");
    }
    engine.shutdown().await;
}
