//! I2: an acknowledgement is a promise, at every level, through crashes, outages and shutdowns.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::flaky_cache::FlakyCache;
use common::fragile_log::FragileLog;
use common::*;
use sync_engine::l3::ArchiveStore;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{
    Ack, CacheTtl, ErrorKind, SubmitOptions, SyncEngine, SyncEngineConfig, SyncItem,
};
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_clean_shutdown_loses_nothing_at_any_level() {
    for (ack, has_log) in [
        (Ack::Queued, false),
        (Ack::Queued, true),
        (Ack::Logged, true),
        (Ack::Stored, false),
        (Ack::Stored, true),
    ] {
        for items in [1usize, 10_000] {
            let dir = tempfile::tempdir().unwrap();
            let base = match has_log {
                true => config(dir.path()),
                false => config_without_wal(dir.path()),
            };
            let config = SyncEngineConfig {
                ack: Some(ack),
                ..unhurried(base)
            };
            let engine = started(config.clone()).await;
            let all = (0..items).map(|n| item(&format!("k.{n}"), &format!("v{n}")));
            let result = engine.submit_many(all.collect()).await.unwrap();
            assert_eq!(result.succeeded, items);
            let report = engine.shutdown().await;
            assert!(report.errors.is_empty(), "{report:?}");
            assert_eq!((report.unstored, report.logged), (0, 0));
            let engine = started(config).await;
            assert_eq!(
                engine.len().await.unwrap(),
                items as u64,
                "{ack:?} {has_log}"
            );
            let last = format!("k.{}", items - 1);
            assert_eq!(text(&engine, &last).await, Some(format!("v{}", items - 1)));
            engine.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_stored_means_that_the_archive_has_it() {
    let archive = Arc::new(MemoryArchive::new());
    let dir = tempfile::tempdir().unwrap();
    let engine = started_on(unhurried(config_without_wal(dir.path())), archive.clone()).await;
    for n in 0..50 {
        let id = format!("s.{n}");
        engine
            .submit_acked(item(&id, "x"), Ack::Stored)
            .await
            .unwrap();
        let row = archive.get_many(&[id.as_str().into()]).await.unwrap();
        assert!(
            row[0].is_some(),
            "{id} was acknowledged before it was stored"
        );
    }
    archive.fail_after_next_commit();
    engine
        .submit_acked(item("s.0", "again"), Ack::Stored)
        .await
        .unwrap();
    let row = archive.get_many(&["s.0".into()]).await.unwrap();
    assert_eq!(row[0].as_ref().unwrap().item().unwrap().content, "again");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_an_acknowledgement_that_cannot_be_kept_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, receiver) = watch::channel(config_without_wal(dir.path()));
    let engine = SyncEngine::new(config_without_wal(dir.path()), receiver);
    engine.start().await.unwrap();
    let refused = engine
        .submit_acked(item("a", "x"), Ack::Logged)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("wal_path"), "{refused}");
    assert_eq!(text(&engine, "a").await, None, "refused, and not written");
    // Settings cannot promise it either: the log is not one that a running engine can begin.
    settings.send_replace(SyncEngineConfig {
        ack: Some(Ack::Logged),
        l1_max_bytes: 1 << 20,
        ..config(dir.path())
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(engine.config().ack(), Ack::Queued);
    engine.submit(item("a", "x")).await.unwrap();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_writes_of_an_outage_survive_a_restart_and_reach_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    engine.submit(item("o.gone", "x")).await.unwrap();
    flushed(&engine).await;
    archive.set_down(true);
    let all = (0..500).map(|n| item(&format!("o.{n}"), &format!("v{n}")));
    assert_eq!(
        engine.submit_many(all.collect()).await.unwrap().succeeded,
        500
    );
    assert!(engine.delete("o.gone").await.unwrap());
    let report = engine.shutdown().await;
    assert_eq!(report.logged, 501, "{report:?}");

    // Still down: the log and the node's name are enough to serve what is known.
    let archive = Arc::new(archive.restarted());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    assert_eq!(text(&engine, "o.499").await.as_deref(), Some("v499"));
    assert_eq!(text(&engine, "o.gone").await, None);
    archive.set_down(false);
    eventually("the archive has them", async || {
        let keys: Vec<sync_engine::Key> = (0..500).map(|n| format!("o.{n}").into()).collect();
        let rows = archive.get_many(&keys).await.unwrap();
        rows.iter().all(Option::is_some)
    })
    .await;
    flush_the_archive(&engine).await;
    assert_eq!(engine.len().await.unwrap(), 500);
    assert_honest(&engine).await;
    eventually("the log is empty", async || {
        engine.health_check().await.wal_records == Some(0)
    })
    .await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_dropping_the_engine_keeps_what_was_logged() {
    let dir = tempfile::tempdir().unwrap();
    let config = unhurried(config(dir.path()));
    for round in 0..5 {
        let engine = started(config.clone()).await;
        for n in 0..20 {
            engine
                .submit(item(&format!("d.{round}.{n}"), "x"))
                .await
                .unwrap();
        }
        drop(engine);
    }
    let engine = started(config).await;
    assert_eq!(engine.len().await.unwrap(), 100);
    engine.shutdown().await;
}

/// A force_flush that its caller gave up left its keys in flight for ever: they were stored no more, and a shutdown hung.
#[tokio::test(flavor = "multi_thread")]
async fn i2_a_caller_that_goes_away_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let slow = slow_archive::SlowArchive::new(60, 60);
    let engine = started_on(unhurried(config_without_wal(dir.path())), slow.clone()).await;
    for n in 0..6u64 {
        engine.submit(item("a", &format!("v{n}"))).await.unwrap();
        let hurry = Duration::from_millis(20 * n);
        tokio::time::timeout(hurry, engine.force_flush()).await.ok();
    }
    let stopped = tokio::time::timeout(PATIENCE, engine.shutdown()).await;
    assert_eq!(stopped.expect("a shutdown ends").unstored, 0);
    let rows = slow
        .inner
        .restarted()
        .get_many(&["a".into()])
        .await
        .unwrap();
    assert_eq!(rows[0].as_ref().unwrap().item().unwrap().content, "v5");

    let slow = slow_archive::SlowArchive::new(100, 0);
    let engine = started_on(unhurried(config_without_wal(dir.path())), slow.clone()).await;
    engine.submit(item("b", "x")).await.unwrap();
    tokio::time::timeout(Duration::from_millis(20), engine.shutdown())
        .await
        .ok();
    engine.shutdown().await;
    let rows = slow
        .inner
        .restarted()
        .get_many(&["b".into()])
        .await
        .unwrap();
    assert!(rows[0].is_some(), "a shutdown goes on without its caller");
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_full_log_refuses_and_does_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let config = SyncEngineConfig {
        wal_max_items: Some(100),
        ..config(dir.path())
    };
    let engine = started_on(config, archive.clone()).await;
    archive.set_down(true);
    let all = (0..90).map(|n| item(&format!("f.{n}"), "x"));
    engine.submit_many(all.collect()).await.unwrap();
    // One hot key fills the log as well as many do: what is behind an older record that is needed cannot be freed.
    let hot = (0..30).map(|n| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.submit(item("f.hot", &format!("v{n}"))).await })
    });
    let mut refused = 0;
    for write in hot.collect::<Vec<_>>() {
        if let Err(error) = write.await.unwrap() {
            assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
            refused += 1;
        }
    }
    assert!(refused >= 20, "{refused} of 30 were refused");
    assert!(!engine.should_accept_writes());
    let begun = Instant::now();
    let many = (0..500).map(|n| item(&format!("m.{n}"), "x")).collect();
    let error = engine.submit_many(many).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    assert!(begun.elapsed() < PATIENCE);
    archive.set_down(false);
    eventually("there is room again", async || {
        engine.should_accept_writes()
    })
    .await;
    let many: Vec<SyncItem> = (0..500).map(|n| item(&format!("m.{n}"), "x")).collect();
    assert_eq!(engine.submit_many(many).await.unwrap().succeeded, 500);
    engine.shutdown().await;
}

/// A log that could not be synced refused every write, and the engine said that it was well.
#[tokio::test(flavor = "multi_thread")]
async fn i2_a_log_that_failed_takes_no_writes_and_is_no_good_health() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(FragileLog::default());
    let config = unhurried(config(dir.path()));
    let engine = started_over(config, |engine| engine.with_wal(log.clone())).await;
    engine.submit(item("before", "x")).await.unwrap();
    assert!(engine.health_check().await.is_healthy());
    log.break_for_good();
    let refused = engine.submit(item("after", "x")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert_eq!(text(&engine, "after").await, None);
    let health = engine.health_check().await;
    assert_eq!(health.wal_failure.as_deref(), Some("the disk did not sync"));
    assert!(!health.is_healthy(), "{health:?}");
    assert!(!engine.should_accept_writes());
    // What was acknowledged before is served and stored.
    assert_eq!(text(&engine, "before").await.as_deref(), Some("x"));
    flushed(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_what_only_the_cache_keeps_stays_in_the_log_until_the_cache_has_it() {
    let (dir, cache) = (tempfile::tempdir().unwrap(), FlakyCache::new());
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_with(config(dir.path()), archive.clone(), cache.clone()).await;
    cache.fail_puts.store(true, Ordering::SeqCst);
    let only = SubmitOptions::cache(CacheTtl::Hour);
    engine
        .submit_with(item("only", "kept"), only)
        .await
        .unwrap();
    assert!(engine.force_flush().await.is_err());
    // What is stored leaves the log with the next write to it.
    engine.submit(item("next", "x")).await.unwrap();
    let crashed = crashed_log(dir.path());

    cache.fail_puts.store(false, Ordering::SeqCst);
    let archive = Arc::new(archive.restarted());
    let again = started_with(config(crashed.path()), archive, cache).await;
    assert_eq!(text(&again, "only").await.as_deref(), Some("kept"));
    again.shutdown().await;
    engine.shutdown().await;
}
