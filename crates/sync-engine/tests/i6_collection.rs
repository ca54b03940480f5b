//! I6, I9: tombstones that are collected are gone from every tier, nothing else is, and nothing comes back.
#![allow(clippy::disallowed_methods)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::hammer::{Weather, hammer};
use common::slow_archive::SlowArchive;
use common::*;
use sync_engine::l3::memory::{ArchiveOp, MemoryArchive};
use sync_engine::l3::{ArchiveStore, KeyRange};
use sync_engine::merkle::sketch::Sketch;
use sync_engine::{
    CacheTtl, Collected, ErrorKind, HlcTime, Key, Relay, Stored, SubmitOptions, SyncEngine,
};
use testbed::RedisServer;

/// All that may go.
const ALL: HlcTime = HlcTime(u64::MAX);

async fn rows(engine: &SyncEngine) -> Vec<Stored> {
    let range = KeyRange::all();
    let all = engine.scan_records(&range, usize::MAX, usize::MAX);
    all.await.unwrap()
}

async fn dead(engine: &SyncEngine) -> usize {
    let rows = rows(engine).await;
    rows.iter().filter(|row| row.item().is_none()).count()
}

/// An engine that never heard of anything but these rows.
async fn root_of(rows: Vec<Stored>) -> sync_engine::merkle::node::Aggregate {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    engine.apply(rows, Relay::No).await.unwrap();
    let root = engine.merkle_aggregate().unwrap();
    engine.shutdown().await;
    root
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_i9_what_is_collected_is_gone_from_every_tier_and_nothing_else_is() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = with_redis(config(dir.path()), &redis);
    let engine = started(config.clone()).await;
    let id = |n: usize| format!("wide.{n:05}");
    let items = (0..6_000).map(|n| item(&id(n), "first")).collect();
    engine.submit_many(items).await.unwrap();
    let ids: Vec<String> = (0..5_000).map(id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    engine.delete_many(&ids).await.unwrap();
    flushed(&engine).await;
    eventually("a sketch is there", async || {
        engine.merkle_sketch().unwrap().is_some()
    })
    .await;
    let until = engine.stored_until().await.unwrap();
    // Younger ones, and keys that live again.
    engine.delete(&id(5_500)).await.unwrap();
    engine.submit(item(&id(7), "again")).await.unwrap();
    flushed(&engine).await;
    let resident = engine.l1_stats().entries;

    let done = engine.collect_tombstones(until).await.unwrap();
    let expected = Collected {
        removed: 4_999,
        ..Collected::default()
    };
    assert_eq!(done, expected);
    assert_eq!((rows(&engine).await.len(), dead(&engine).await), (1_001, 1));
    let found = engine.verify_filter().await.unwrap();
    assert_eq!(
        (found.rows, found.denied, found.root_is_honest),
        (1_001, 0, true)
    );
    assert_eq!(engine.len().await.unwrap(), 1_000);
    let left = engine.l1_stats().entries;
    assert!(
        left + 4_000 < resident,
        "{left} of {resident} are in memory"
    );
    assert_eq!(text(&engine, &id(7)).await.as_deref(), Some("again"));
    for n in [0, 1, 4_999, 5_500] {
        assert_eq!(text(&engine, &id(n)).await, None, "{n}");
        assert!(!engine.delete(&id(n)).await.unwrap());
    }
    // As if they had never been, in the tree and in the sketch.
    let root = engine.merkle_aggregate().unwrap();
    assert_eq!(root_of(rows(&engine).await).await, root);
    let sketch = engine.merkle_sketch().unwrap().expect("it is still kept");
    assert_eq!(*sketch.aggregate(), root);
    let mut anew = Sketch::default();
    for row in rows(&engine).await {
        let (key, leaf) = (row.key().as_bytes(), row.leaf());
        anew.insert(key, &leaf, &leaf.digest(key));
    }
    assert!(anew.first(500) == sketch.first(500));
    // Nothing is left to do, and it is so after a restart.
    let again = engine.collect_tombstones(until).await.unwrap();
    assert_eq!(again, Collected::default());
    engine.tick().await.unwrap();
    assert_honest(&engine).await;
    engine.shutdown().await;
    let engine = started(config).await;
    assert_eq!(engine.merkle_aggregate().unwrap(), root);
    assert_eq!(text(&engine, &id(0)).await, None);
    let all = engine.collect_tombstones(ALL).await.unwrap();
    assert_eq!((all.removed, dead(&engine).await), (1, 0));
    assert_honest(&engine).await;
    engine.shutdown().await;
}

/// Between being listed and being removed a tombstone may be written over.
#[tokio::test(flavor = "multi_thread")]
async fn i6_what_is_written_while_tombstones_are_collected_stays() {
    let dir = tempfile::tempdir().unwrap();
    let archive = SlowArchive::new(0, 0);
    let engine = started_on(config(dir.path()), archive.clone()).await;
    for id in ["revived", "dies again", "gone"] {
        engine.submit(item(id, "first")).await.unwrap();
        engine.delete(id).await.unwrap();
    }
    flushed(&engine).await;
    archive.after_listing.set();
    let collection = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.collect_tombstones(ALL).await })
    };
    archive.after_listing.holds().await;
    engine.submit(item("revived", "second")).await.unwrap();
    engine.submit(item("dies again", "second")).await.unwrap();
    engine.delete("dies again").await.unwrap();
    flushed(&engine).await;
    archive.after_listing.release();
    let done = collection.await.unwrap().unwrap();
    assert_eq!((done.removed, done.kept, done.refused), (1, 2, 0));
    assert_eq!(text(&engine, "revived").await.as_deref(), Some("second"));
    let rows = rows(&engine).await;
    assert_eq!((rows.len(), dead(&engine).await), (2, 1));
    assert_honest(&engine).await;
    assert_eq!(root_of(rows).await, engine.merkle_aggregate().unwrap());
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_i6_writers_find_what_they_wrote_while_tombstones_are_collected() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = sync_engine::SyncEngineConfig {
        l1_max_bytes: 2 << 20,
        max_payload_bytes: 64 << 10,
        batch_flush_ms: 3,
        ..with_redis(config(dir.path()), &redis)
    };
    let engine = started(config).await;
    let done = Arc::new(AtomicBool::new(false));
    let collector = {
        let (engine, done) = (engine.clone(), done.clone());
        tokio::spawn(async move {
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                removed += engine.collect_tombstones(ALL).await.unwrap().removed;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            removed
        })
    };
    hammer(&engine, 6, 250, Weather::Fair).await;
    done.store(true, Ordering::Relaxed);
    let removed = collector.await.unwrap();
    assert!(removed > 50, "{removed} went while others wrote");
    flushed(&engine).await;
    engine.collect_tombstones(ALL).await.unwrap();
    assert_eq!(dead(&engine).await, 0);
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_the_root_is_that_of_the_rows_when_a_collection_fails() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    let ids: Vec<String> = (0..2_500).map(|n| format!("k.{n:04}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let items = ids.iter().map(|id| item(id, "x")).collect();
    engine.submit_many(items).await.unwrap();
    engine.delete_many(&ids[..2_400]).await.unwrap();
    // One that the archive does not let go.
    flushed(&engine).await;
    archive.refuse(&ids[3].into(), true);
    archive.fail_after_next_commit();
    let answer = engine.collect_tombstones(ALL).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_honest(&engine).await;
    archive.fail_next(ArchiveOp::Tombstones);
    assert!(engine.collect_tombstones(ALL).await.is_err());
    let done = engine.collect_tombstones(ALL).await.unwrap();
    assert_eq!(done.refused, 1);
    assert_eq!((rows(&engine).await.len(), dead(&engine).await), (101, 1));
    assert_honest(&engine).await;
    archive.refuse(&ids[3].into(), false);
    assert_eq!(engine.collect_tombstones(ALL).await.unwrap().removed, 1);
    assert_eq!(
        root_of(rows(&engine).await).await,
        engine.merkle_aggregate().unwrap()
    );
    engine.shutdown().await;
}

/// An item of the cache alone leaves a tombstone of the row that it took the place of, with its own stamp.
#[tokio::test(flavor = "multi_thread")]
async fn i6_a_collection_takes_no_item_that_the_cache_alone_keeps() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = with_redis(config(dir.path()), &redis);
    let engine = started(config.clone()).await;
    engine.submit(item("k", "archived")).await.unwrap();
    flushed(&engine).await;
    let options = SubmitOptions::cache(CacheTtl::Hour);
    engine
        .submit_with(item("k", "cached"), options)
        .await
        .unwrap();
    flushed(&engine).await;
    assert_eq!(engine.collect_tombstones(ALL).await.unwrap().removed, 1);
    assert_eq!(rows(&engine).await, []);
    assert_eq!(text(&engine, "k").await.as_deref(), Some("cached"));
    assert_honest(&engine).await;
    engine.shutdown().await;
    let engine = started(config).await;
    assert_eq!(text(&engine, "k").await.as_deref(), Some("cached"));
    engine.shutdown().await;
}

/// A crash brings back what the log had let go of. A replay of that was harmless as long as the row, or its tombstone, was there.
#[tokio::test(flavor = "multi_thread")]
async fn i6_a_log_that_comes_back_brings_nothing_back_that_was_collected() {
    for is_late in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let archive = Arc::new(MemoryArchive::new());
        let config = |dir| unhurried(common::config(dir));
        let engine = started_on(config(dir.path()), archive.clone()).await;
        let mut stamps = BTreeMap::new();
        for id in ["deleted there", "deleted here", "alive"] {
            let stamp = engine.submit(item(id, "x")).await.unwrap();
            stamps.insert(id, stamp);
        }
        engine.delete("deleted here").await.unwrap();
        let crashed = crashed_log(dir.path());
        flushed(&engine).await;
        let later = stamp(stamps["alive"].time.ms() + 1, 0, "peer");
        let delete = tombstone("deleted there", later);
        engine.apply(vec![delete], Relay::No).await.unwrap();
        assert_eq!(engine.collect_tombstones(ALL).await.unwrap().removed, 2);
        drop(engine);

        archive.set_down(is_late);
        let archive = Arc::new(archive.restarted());
        let engine = started_on(config(crashed.path()), archive.clone()).await;
        // Readers do not see it either, where the archive can be asked.
        if !is_late {
            assert_eq!(text(&engine, "deleted there").await, None);
        }
        archive.set_down(false);
        flush_the_archive(&engine).await;
        for id in ["deleted there", "deleted here"] {
            assert_eq!(text(&engine, id).await, None, "{id}, late: {is_late}");
        }
        assert_eq!(text(&engine, "alive").await.as_deref(), Some("x"));
        let live: Vec<Key> = rows(&engine)
            .await
            .iter()
            .filter_map(|row| row.item().map(|i| i.object_id.clone()))
            .collect();
        assert_eq!(live, [Key::from("alive")]);
        assert_honest(&engine).await;
        // What it has not stored yet is no such thing.
        engine.submit(item("deleted there", "again")).await.unwrap();
        flushed(&engine).await;
        assert_eq!(
            text(&engine, "deleted there").await.as_deref(),
            Some("again")
        );
        engine.shutdown().await;
    }
}

/// What was never stored has no row either.
#[tokio::test(flavor = "multi_thread")]
async fn i2_what_waits_to_be_stored_is_not_taken_for_what_was_collected() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(unhurried(config(dir.path()))).await;
    let first = engine.submit(item("waits", "x")).await.unwrap();
    let later = stamp(first.time.ms() + 1, 0, "peer");
    let delete = tombstone("other", later);
    engine.apply(vec![delete], Relay::No).await.unwrap();
    assert_eq!(engine.collect_tombstones(ALL).await.unwrap().removed, 1);
    flushed(&engine).await;
    assert_eq!(text(&engine, "waits").await.as_deref(), Some("x"));
    assert_eq!(rows(&engine).await.len(), 1);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_collected_where_the_archive_is_away_or_absent() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    engine.submit(item("k", "x")).await.unwrap();
    engine.delete("k").await.unwrap();
    flushed(&engine).await;
    archive.set_down(true);
    let answer = engine.collect_tombstones(ALL).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    archive.set_down(false);
    assert_eq!(
        archive
            .restarted()
            .scan(&KeyRange::all(), 9, 9)
            .await
            .unwrap()
            .len(),
        1
    );
    engine.shutdown().await;
}
