//! An engine over a real Redis and a real MariaDB, which come and go.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sync_engine::env::RealEnv;
use sync_engine::l3::mysql::MysqlArchive;
use sync_engine::l3::{ArchiveStore, MetaKey};
use sync_engine::{Ack, ErrorKind, ItemStatus, SubmitOptions, SyncEngine, SyncEngineConfig};
use testbed::{MariaDb, RedisServer};

fn on(redis: &RedisServer, sql: &str, dir: &std::path::Path) -> SyncEngineConfig {
    SyncEngineConfig {
        redis_url: Some(redis.url().into()),
        sql_url: Some(sql.into()),
        wal_path: Some(dir.join("wal.db")),
        node_id: Some("node".into()),
        batch_flush_ms: 10,
        redis_timeout_ms: 1_500,
        redis_response_timeout_ms: 1_500,
        ..Default::default()
    }
}

async fn eventually(what: &str, engine: &SyncEngine, holds: impl AsyncFn(&SyncEngine) -> bool) {
    for _ in 0..1_200 {
        if holds(engine).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within 60 s: {what}; {:?}", engine.health_check().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_reaches_every_tier_and_leaves_them_again() {
    let (redis, mariadb, dir) = (
        RedisServer::start().unwrap(),
        MariaDb::start().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let sql = mariadb.fresh_database().unwrap();
    let engine = started(on(&redis, &sql, dir.path())).await;
    engine
        .submit_acked(item("a.b", "one"), Ack::Stored)
        .await
        .unwrap();
    flushed(&engine).await;
    let everywhere = ItemStatus::Synced {
        in_l1: true,
        in_l2: true,
        in_l3: true,
    };
    assert_eq!(engine.status("a.b").await.unwrap(), everywhere);
    engine
        .submit_with(item("a.b", "two"), SubmitOptions::durable())
        .await
        .unwrap();
    flushed(&engine).await;
    assert_eq!(
        engine.status("a.b").await.unwrap(),
        ItemStatus::Synced {
            in_l1: true,
            in_l2: false,
            in_l3: true
        },
        "no stale copy stays in Redis"
    );
    assert!(engine.delete("a.b").await.unwrap());
    flushed(&engine).await;
    assert_eq!(engine.status("a.b").await.unwrap(), ItemStatus::Missing);
    assert!(engine.verify_filter().await.unwrap().root_is_honest);
    engine.shutdown().await;
    let engine = started(on(&redis, &sql, dir.path())).await;
    assert_eq!(text(&engine, "a.b").await, None);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_the_archive_is_away_even_across_a_restart() {
    let (redis, mariadb, dir) = (
        RedisServer::start().unwrap(),
        MariaDb::start().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let sql = mariadb.fresh_database().unwrap();
    let engine = started(on(&redis, &sql, dir.path())).await;
    engine.submit(item("before", "1")).await.unwrap();
    flushed(&engine).await;
    mariadb.kill().unwrap();
    for n in 0..200 {
        engine
            .submit(item(&format!("during.{n}"), "2"))
            .await
            .unwrap();
    }
    assert_eq!(text(&engine, "during.7").await.as_deref(), Some("2"));
    let unknown = engine.get("never.heard.of").await.unwrap_err();
    assert_eq!(
        unknown.kind(),
        ErrorKind::Unavailable,
        "an outage is not an absence: {unknown}"
    );
    let report = engine.shutdown().await;
    assert_eq!(report.unstored, 0);
    assert!(report.logged >= 200, "{report:?}");

    // The archive is still away: the engine starts on its log.
    let engine = started(on(&redis, &sql, dir.path())).await;
    assert_eq!(text(&engine, "during.7").await.as_deref(), Some("2"));
    engine.submit(item("during.restart", "3")).await.unwrap();
    mariadb.restart().unwrap();
    eventually("everything is stored", &engine, async |engine| {
        engine.force_flush().await.is_ok()
    })
    .await;
    assert_eq!(engine.count_prefix("during.").await.unwrap(), 201);
    assert_eq!(text(&engine, "before").await.as_deref(), Some("1"));
    eventually(
        "the filter and the tree are checked",
        &engine,
        async |engine| {
            engine
                .verify_filter()
                .await
                .is_ok_and(|v| v.root_is_honest && v.rows == 202)
        },
    )
    .await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_holds_nobody_up_and_serves_nothing_old_when_it_is_back() {
    let (redis, dir) = (RedisServer::start().unwrap(), tempfile::tempdir().unwrap());
    let sql = format!("sqlite:{}", dir.path().join("l3.db").display());
    let small_l1 = SyncEngineConfig {
        l1_max_bytes: 256 << 10,
        ..on(&redis, &sql, dir.path())
    };
    let engine = started(small_l1).await;
    for n in 0..500 {
        engine.submit(item(&format!("k.{n}"), "old")).await.unwrap();
    }
    flushed(&engine).await;
    redis.pause().unwrap();
    let began = std::time::Instant::now();
    for n in 0..500 {
        engine.submit(item(&format!("k.{n}"), "new")).await.unwrap();
    }
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "writers do not wait for Redis"
    );
    eventually("it is known to be dead", &engine, async |engine| {
        engine.health_check().await.cache.is_down()
    })
    .await;
    redis.resume().unwrap();
    // Enough others to push the keys out of L1.
    let filler = "x".repeat(2_000);
    for n in 0..300 {
        engine
            .submit(item(&format!("filler.{n}"), &filler))
            .await
            .unwrap();
    }
    for n in 0..500 {
        assert_eq!(
            text(&engine, &format!("k.{n}")).await.as_deref(),
            Some("new"),
            "k.{n}"
        );
    }
    engine.shutdown().await;
}

/// A Redis that comes back from an old snapshot holds values that were overwritten after it was taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_restored_from_an_old_snapshot_is_not_believed() {
    let (redis, dir) = (RedisServer::start().unwrap(), tempfile::tempdir().unwrap());
    let sql = format!("sqlite:{}", dir.path().join("l3.db").display());
    let small_l1 = SyncEngineConfig {
        l1_max_bytes: 256 << 10,
        ..on(&redis, &sql, dir.path())
    };
    let engine = started(small_l1.clone()).await;
    let write_all = async |engine: &SyncEngine, value: &str| {
        for n in 0..300 {
            engine.submit(item(&format!("k.{n}"), value)).await.unwrap();
        }
        flushed(engine).await;
    };
    let check_all = async |engine: &SyncEngine| {
        for n in 0..300 {
            assert_eq!(
                text(engine, &format!("k.{n}")).await.as_deref(),
                Some("new"),
                "k.{n}"
            );
        }
    };
    write_all(&engine, "old").await;
    let mut client = redis::Client::open(redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    redis::cmd("SAVE").query::<()>(&mut client).unwrap();
    write_all(&engine, "new").await;
    write_all_fillers(&engine).await;
    redis.kill().unwrap();
    redis.restart().unwrap();
    let mut client = redis::Client::open(redis.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let size: usize = redis::cmd("DBSIZE").query(&mut client).unwrap();
    assert!(size >= 300, "the old snapshot is there: {size}");
    check_all(&engine).await;

    // The same across a clean stop of the engine.
    write_all(&engine, "old").await;
    redis::cmd("SAVE").query::<()>(&mut client).unwrap();
    write_all(&engine, "new").await;
    engine.shutdown().await;
    redis.kill().unwrap();
    redis.restart().unwrap();
    let engine = started(small_l1).await;
    check_all(&engine).await;
    engine.shutdown().await;
}

/// Enough others to push everything else out of L1.
async fn write_all_fillers(engine: &SyncEngine) {
    let filler = "x".repeat(2_000);
    for n in 0..300 {
        engine
            .submit(item(&format!("filler.{n}"), &filler))
            .await
            .unwrap();
    }
    flushed(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_on_one_server_have_an_origin_each_and_no_stop_is_the_last() {
    let mariadb = MariaDb::start().unwrap();
    let sql = mariadb.fresh_database().unwrap();
    let unnamed = SyncEngineConfig {
        sql_url: Some(sql.as_str().into()),
        batch_flush_ms: 10,
        ..Default::default()
    };
    let (a, b) = (
        started(unnamed.clone()).await,
        started(unnamed.clone()).await,
    );
    let of_a = a.submit(item("o.a", "1")).await.unwrap();
    let of_b = b.submit(item("o.b", "1")).await.unwrap();
    assert_ne!(of_a.origin, of_b.origin);
    a.shutdown().await;
    b.shutdown().await;
    let again = started(unnamed).await;
    let of_again = again.submit(item("o.c", "1")).await.unwrap();
    assert!(![of_a.origin, of_b.origin].contains(&of_again.origin));
    assert!(of_again > of_a && of_again > of_b);
    again.shutdown().await;

    let env = Arc::new(RealEnv::default());
    let archive = MysqlArchive::from_url(&sql.as_str().into(), env).unwrap();
    archive.open().await.unwrap();
    assert_eq!(archive.meta(MetaKey::Identity).await.unwrap(), None);
    let generation = archive.meta(MetaKey::Generation).await.unwrap().unwrap();
    assert_eq!(generation[4], 0, "clean");
    archive.close().await.unwrap();
}
