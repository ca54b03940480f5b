//! A Redis that answers and takes no writes is no outage: what it has can be read, and what it has not is absent.
#![allow(clippy::disallowed_methods)]

mod common;

use std::time::Duration;

use common::*;
use sync_engine::{CacheTtl, SubmitOptions, SyncEngineConfig};
use testbed::RedisServer;

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_redis_that_is_full_is_still_read() {
    let (redis, dir) = (RedisServer::start().unwrap(), tempfile::tempdir().unwrap());
    let config = SyncEngineConfig {
        redis_url: Some(redis.url().into()),
        // Of an entry or two: what is read comes from below.
        l1_max_bytes: 64 << 10,
        ..config_without_wal(dir.path())
    };
    let engine = started(config).await;
    let cached = SubmitOptions::cache(CacheTtl::Hour);
    engine
        .submit_with(item("cached", "x"), cached)
        .await
        .unwrap();
    flushed(&engine).await;
    let mut client = redis::Client::open(redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    for (setting, value) in [("maxmemory-policy", "noeviction"), ("maxmemory", "1")] {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET")
            .arg(setting)
            .arg(value)
            .exec(&mut client)
            .unwrap();
    }
    for n in 0..10 {
        for m in 0..100 {
            let written = item(&format!("k.{n}.{m}"), &"x".repeat(1_000));
            engine.submit(written).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(text(&engine, &format!("never.{n}")).await, None);
    }
    assert_eq!(text(&engine, "cached").await.as_deref(), Some("x"));
    engine.shutdown().await;
}
