//! The root that peers read with one GET: there with `merkle_calc_enabled`, absent without.
#![allow(clippy::disallowed_methods)]

mod common;

use common::*;
use sync_engine::SyncEngineConfig;
use testbed::RedisServer;

async fn root_in(redis: &RedisServer) -> Option<String> {
    let client = redis::Client::open(redis.url()).unwrap();
    // Without the limit of half a second that is the default.
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await.unwrap();
    let mut get = redis::cmd("GET");
    get.arg("__local__:merkle:root");
    get.query_async(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_publishes_no_root_leaves_none_of_an_earlier_run() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let with_roots = SyncEngineConfig {
        enable_cdc_stream: true,
        ..with_redis(config(dir.path()), &redis)
    };
    let without = SyncEngineConfig {
        merkle_calc_enabled: false,
        ..with_roots.clone()
    };
    let engine = started(with_roots).await;
    engine.submit(item("r.a", "1")).await.unwrap();
    flushed(&engine).await;
    let root = engine.merkle_root().unwrap().to_string();
    eventually("the root is published", async || {
        root_in(&redis).await.as_ref() == Some(&root)
    })
    .await;
    engine.shutdown().await;

    let engine = started(without).await;
    eventually("the old root is gone", async || {
        root_in(&redis).await.is_none()
    })
    .await;
    engine.submit(item("r.b", "2")).await.unwrap();
    flushed(&engine).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(root_in(&redis).await, None);
    // The tree is kept all the same.
    assert_honest(&engine).await;
    engine.shutdown().await;
}
