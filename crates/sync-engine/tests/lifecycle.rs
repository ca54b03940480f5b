//! Starting, stopping, dropping, and everything that can be wrong with the files.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sync_engine::{BackpressureLevel, ErrorKind, StorageError, SyncEngine, SyncEngineConfig};
use testbed::RedisServer;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread")]
async fn rapid_starts_and_stops_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..15u64 {
        let engine = started(config(dir.path())).await;
        assert_eq!(engine.len().await.unwrap(), round);
        engine
            .submit(item(&format!("r.{round}"), "x"))
            .await
            .unwrap();
        if round % 2 == 0 {
            engine.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_among_writers_keeps_what_it_acknowledged_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let engine = started(config_without_wal(dir.path())).await;
        let writers = (0..8).map(|w| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for n in 0.. {
                    let id = format!("w.{w}.{n}");
                    match engine.submit(item(&id, "x")).await {
                        Ok(_) => kept.push(id),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                            break;
                        }
                    }
                }
                kept
            })
        });
        let writers: Vec<_> = writers.collect();
        tokio::time::sleep(Duration::from_millis(40)).await;
        let report = engine.shutdown().await;
        assert!(
            report.errors.is_empty() && report.unstored == 0,
            "{report:?}"
        );
        let engine = started(config_without_wal(dir.path())).await;
        for writer in writers {
            for id in writer.await.unwrap() {
                assert!(engine.contains(&id).await.unwrap(), "{id} was acknowledged");
            }
        }
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_live_through_the_death_of_redis() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let engine = started(with_redis(config(dir.path()), &redis)).await;
    let writers = (0..10).map(|w| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for n in 0..120 {
                engine
                    .submit(item(&format!("m.{w}.{n}"), "x"))
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    redis.kill().unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(engine.count_prefix("m.").await.unwrap(), 1_200);
    eventually("the outage is known", async || {
        engine.health_check().await.cache.is_down()
    })
    .await;
    redis.restart().unwrap();
    eventually("it recovers", async || {
        let health = engine.health_check().await;
        health.is_healthy() && health.cache_stale_keys == 0
    })
    .await;
    let report = engine.shutdown().await;
    assert!(report.errors.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_in_use_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    engine.submit(item("a", "x")).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let only_log = SyncEngineConfig {
        sql_url: Some(format!("sqlite:{}", other.path().join("l3.db").display()).into()),
        ..config(dir.path())
    };
    for second in [config(dir.path()), only_log] {
        let Err(error) = try_start(second).await else {
            panic!("two engines on one directory");
        };
        assert!(matches!(error, StorageError::InUse { .. }), "{error:?}");
        assert!(
            error.to_string().contains("in use by another process"),
            "{error}"
        );
    }
    flushed(&engine).await;
    engine.shutdown().await;
    let engine = started(config(dir.path())).await;
    assert_eq!(text(&engine, "a").await.as_deref(), Some("x"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_a_typed_error_and_the_file_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    let items = (0..2_000).map(|n| item(&format!("d.{n}"), "x"));
    engine.submit_many(items.collect()).await.unwrap();
    engine.shutdown().await;
    let path = dir.path().join("l3.db");
    let whole = std::fs::read(&path).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    for bad in [Vec::new(), whole[..50].to_vec(), half, vec![7; 9_000]] {
        std::fs::write(&path, &bad).unwrap();
        let Err(error) = try_start(config(dir.path())).await else {
            panic!("{} bytes of a database were good enough", bad.len());
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("l3.db"), "{error}");
        assert!(std::fs::read(&path).unwrap() == bad, "the file was changed");
    }
    std::fs::write(&path, &whole).unwrap();
    let engine = started(config(dir.path())).await;
    assert_eq!(engine.len().await.unwrap(), 2_000);
    engine.shutdown().await;
}

/// The gap that a repair leaves in the numbers of the log was waited for: the log was never freed again.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_torn_tail_gives_back_what_it_has_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        wal_max_items: Some(1_000),
        ..config(dir.path())
    };
    let engine = started(unhurried(config.clone())).await;
    for n in 0..50 {
        engine.submit(item(&format!("t.{n}"), "x")).await.unwrap();
    }
    // The files as a crash leaves them, with a write cut short behind them.
    let crashed = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
    }
    engine.shutdown().await;
    let tail = crashed.path().join("wal.db-wal");
    let mut bytes = std::fs::read(&tail).unwrap();
    // A frame's header as SQLite writes it, and half of its page.
    let again = bytes[32..32 + 24 + 2_000].to_vec();
    bytes.extend(again);
    std::fs::write(&tail, bytes).unwrap();
    let there = SyncEngineConfig {
        sql_url: Some(format!("sqlite:{}", crashed.path().join("l3.db").display()).into()),
        wal_path: Some(crashed.path().join("wal.db")),
        ..config
    };
    let engine = started(there).await;
    let health = engine.health_check().await;
    assert!(health.wal_damage.is_some(), "{health:?}");
    for n in 0..50 {
        assert_eq!(
            text(&engine, &format!("t.{n}")).await.as_deref(),
            Some("x"),
            "t.{n} was acknowledged"
        );
    }
    engine.submit(item("t.more", "x")).await.unwrap();
    flushed(&engine).await;
    eventually("the log is freed", async || {
        engine.health_check().await.wal_records == Some(0)
            && engine.pressure() == BackpressureLevel::Normal
    })
    .await;
    assert_eq!(engine.shutdown().await.logged, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_followed_if_they_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (settings, receiver) = watch::channel(config.clone());
    let engine = Arc::new(SyncEngine::new(config.clone(), receiver));
    engine.start().await.unwrap();
    settings.send_replace(SyncEngineConfig {
        max_payload_bytes: 10,
        sql_url: None,
        ..config.clone()
    });
    eventually("the new limit is in force", async || {
        engine.config().max_payload_bytes == 10
    })
    .await;
    assert!(
        engine
            .submit(item("a", "more than ten bytes"))
            .await
            .is_err()
    );
    assert!(
        engine.config().sql_url.is_some(),
        "a tier does not go while it is used"
    );
    settings.send_replace(SyncEngineConfig {
        max_payload_bytes: 0,
        ..config.clone()
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        engine.config().max_payload_bytes,
        10,
        "the old ones stay in force"
    );
    settings.send_replace(config);
    eventually("the old limit is back", async || {
        engine
            .submit(item("a", "more than ten bytes"))
            .await
            .is_ok()
    })
    .await;
    engine.shutdown().await;
}
