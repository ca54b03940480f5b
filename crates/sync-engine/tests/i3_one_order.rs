//! I3: stamps, the log and readers keep one order. Whatever a crash leaves of the log, what it says of a key is the newest.
#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::flaky_cache::FlakyCache;
use common::hesitant_log::HesitantLog;
use common::*;
use sync_engine::env::{Env, RealEnv};
use sync_engine::wal::Wal;
use sync_engine::{SyncEngine, SyncEngineConfig};

/// An engine that has a cache and a log, and no archive: nothing but the log says after a crash which write is the newest.
async fn started_without_sql(log: Arc<HesitantLog>, cache: Arc<FlakyCache>) -> Arc<SyncEngine> {
    let config = SyncEngineConfig {
        sql_url: None,
        ..config(Path::new("unused"))
    };
    started_over(config, |engine| engine.with_wal(log).with_cache(cache)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_the_newest_write_of_a_key_is_the_last_that_the_log_has_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, cache) = (
        HesitantLog::open(&dir.path().join("wal.db")),
        FlakyCache::new(),
    );
    let engine = started_without_sql(log.clone(), cache.clone()).await;
    // Two writers of one key: the first to come is the second to be logged.
    let early = {
        let engine = engine.clone();
        let large = "x".repeat(HesitantLog::LARGE);
        let items = vec![item("k", "came first"), item("other", &large)];
        tokio::spawn(async move { engine.submit_many(items).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    engine.submit(item("k", "was quicker")).await.unwrap();
    flushed(&engine).await;
    // What is stored leaves the log with the next write to it.
    engine.submit(item("next", "x")).await.unwrap();
    cache.fail_puts.store(true, Ordering::SeqCst);
    log.let_one_in();
    assert_eq!(early.await.unwrap().unwrap().succeeded, 2);
    let seen = text(&engine, "k").await;
    let crashed = crashed_log(dir.path());

    let log = HesitantLog::open(&crashed.path().join("wal.db"));
    cache.fail_puts.store(false, Ordering::SeqCst);
    let again = started_without_sql(log, cache).await;
    assert_eq!(text(&again, "k").await, seen);
    again.shutdown().await;
    engine.shutdown().await;
}

/// The cache has the writes of the last run, and nothing else says when they were: the wall clock may have been set back.
#[tokio::test(flavor = "multi_thread")]
async fn i3_without_an_archive_the_log_says_how_far_the_clock_was() {
    let dir = tempfile::tempdir().unwrap();
    let log = HesitantLog::open(&dir.path().join("wal.db"));
    let last_run = stamp(RealEnv::default().now_ms() + 60_000, 0, "test-node");
    let logged = vec![stamped(item("k", "of the last run"), last_run)];
    let first = log.append(Box::new(logged)).await.unwrap();
    log.free_below(first + 1);
    let engine = started_without_sql(log, FlakyCache::new()).await;
    let now = engine.submit(item("k", "newer")).await.unwrap();
    assert!(now > last_run, "{now} after {last_run}");
    engine.shutdown().await;
}
