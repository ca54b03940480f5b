//! I14: no password in a log, metric, error, page or Debug output.
#![allow(clippy::disallowed_methods)]

mod common;

use common::*;
use sync_engine::SyncEngineConfig;
use testbed::RedisServer;

const SECRET: &str = "hunter2-of-the-tests";

#[tokio::test(flavor = "multi_thread")]
async fn i14_a_running_engine_never_shows_its_passwords() {
    let redis = RedisServer::start_with(&["--requirepass", "another one"]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let with_password = redis
        .url()
        .replace("redis://", &format!("redis://:{SECRET}@"));
    let unreachable = format!("redis://me:{SECRET}@127.0.0.1:1/");
    for url in [with_password, unreachable] {
        let config = SyncEngineConfig {
            redis_url: Some(url.into()),
            enable_cdc_stream: true,
            ..config(dir.path())
        };
        let mut shown = format!("{config:?}");
        let engine = started(config).await;
        engine.submit(item("a", "x")).await.unwrap();
        for _ in 0..6 {
            if let Err(error) = engine.force_flush().await {
                shown += &format!("{error} {error:?}");
            }
            for error in [engine.get("b").await.err(), engine.status("b").await.err()]
                .into_iter()
                .flatten()
            {
                shown += &format!("{error} {error:?}");
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    shown += &format!("{cause} {cause:?}");
                    source = cause.source();
                }
            }
            shown += &format!("{:?}", engine.health_check().await);
        }
        shown += &format!("{:?} {:?}", engine.config(), engine.shutdown().await);
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(shown.len() > 2_000, "errors were shown: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i14_a_start_that_fails_shows_no_password() {
    for url in [
        format!("mysql://me:{SECRET}@127.0.0.1:1/db"),
        format!("oracle://me:{SECRET}@127.0.0.1/db"),
        format!("mysql://me:{SECRET}@"),
    ] {
        let config = SyncEngineConfig {
            sql_url: Some(url.into()),
            ..Default::default()
        };
        let Err(error) = try_start(config).await else {
            panic!("there is no such server");
        };
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}
