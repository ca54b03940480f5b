//! I9: two roots are equal exactly when the two sets are, and the tree is never behind or ahead of the rows.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sync_engine::l3::memory::{ArchiveOp, MemoryArchive};
use sync_engine::merkle::Sketch;
use sync_engine::merkle::sketch::SKETCH_CELLS;
use sync_engine::{CacheTtl, Key, Relay, Stored, SubmitOptions, SyncEngine};
use testbed::RedisServer;

async fn records(engine: &SyncEngine) -> Vec<Stored> {
    let range = sync_engine::l3::KeyRange::all();
    engine
        .scan_records(&range, 1_000_000, 1 << 30)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_the_root_is_that_of_the_rows_after_random_operations_and_failures() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    let mut chance = chance(3);
    let now = engine.env().now_ms();
    for round in 0..120u64 {
        for _ in 0..20 {
            let id = format!(
                "{}.{}",
                ["a", "b.c", "d"][chance.usize(0..3)],
                chance.u32(0..300)
            );
            match chance.u32(0..10) {
                0..6 => drop(engine.submit(item(&id, &format!("{round}"))).await.unwrap()),
                6..8 => drop(engine.delete(&id).await.unwrap()),
                8 => {
                    let item = item(&id, "brief").with_expires_at(Some(now + 50));
                    engine.submit(item).await.unwrap();
                }
                _ => {
                    let theirs = stamped(
                        item(&id, "theirs"),
                        stamp(now - 5_000 + round as i64, 0, "peer"),
                    );
                    // After a failure the same call is made again.
                    while engine.apply(vec![theirs.clone()], Relay::No).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(30)).await;
                    }
                }
            }
        }
        match round % 6 {
            0 => archive.fail_after_next_commit(),
            3 => archive.fail_next(ArchiveOp::Commit),
            _ => {}
        }
        engine.force_flush().await.ok();
        if round % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            engine.tick().await.unwrap();
            assert_honest(&engine).await;
        }
    }
    flush_the_archive(&engine).await;
    assert_honest(&engine).await;
    // What has expired becomes a tombstone, the same on every node.
    engine.tick().await.unwrap();
    // The same set, in another order, in another engine.
    let there = tempfile::tempdir().unwrap();
    let other = started(config(there.path())).await;
    let mut all = records(&engine).await;
    assert!(all.len() > 300, "{} rows", all.len());
    chance.shuffle(&mut all);
    other.apply(all.clone(), Relay::No).await.unwrap();
    other.tick().await.unwrap();
    assert_eq!(
        engine.merkle_aggregate().unwrap(),
        other.merkle_aggregate().unwrap()
    );
    // One difference is a different root.
    let one: Key = all[0].key().clone();
    let root = other.merkle_root().unwrap();
    other.submit(item(&one, "different")).await.unwrap();
    flushed(&other).await;
    assert_ne!(root, other.merkle_root().unwrap());
    engine.shutdown().await;
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_the_root_is_that_of_the_rows_across_splits_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let engine = started(config.clone()).await;
    let fill = |text: &'static str| {
        (0..6_000)
            .map(move |n| item(&format!("wide.{n:05}"), text))
            .collect()
    };
    engine.submit_many(fill("first")).await.unwrap();
    flushed(&engine).await;
    for _ in 0..4 {
        engine.tick().await.unwrap();
    }
    let children = engine.get_merkle_node("wide").await.unwrap();
    assert_eq!(children.count, 6_000);
    assert_honest(&engine).await;
    engine.submit_many(fill("second")).await.unwrap();
    let ids: Vec<String> = (0..5_500).map(|n| format!("wide.{n:05}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    engine.delete_many(&ids).await.unwrap();
    flushed(&engine).await;
    engine.tick().await.unwrap();
    assert_honest(&engine).await;
    let root = engine.merkle_aggregate().unwrap();
    engine.shutdown().await;
    let engine = started(config).await;
    assert_eq!(engine.merkle_aggregate().unwrap(), root);
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_items_of_the_cache_alone_are_not_in_the_root() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let engine = started(with_redis(config(dir.path()), &redis)).await;
    engine.submit(item("both", "x")).await.unwrap();
    flushed(&engine).await;
    let root = engine.merkle_root().unwrap();
    for n in 0..50 {
        let options = SubmitOptions::cache(CacheTtl::Hour);
        engine
            .submit_with(item(&format!("only.{n}"), "x"), options)
            .await
            .unwrap();
    }
    flushed(&engine).await;
    assert_eq!(engine.merkle_root().unwrap(), root);
    assert_honest(&engine).await;
    engine.shutdown().await;
}

/// A sketch made of these rows.
fn sketched(rows: &[Stored]) -> Sketch {
    let mut sketch = Sketch::default();
    for row in rows {
        let (key, leaf) = (row.key().as_bytes(), row.leaf());
        sketch.insert(key, &leaf, &leaf.digest(key));
    }
    sketch
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_a_sketch_is_that_of_the_rows_while_they_change_and_commits_fail() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    let key = |n: u32| format!("k.{n:05}");
    let rows = (0..9_000).map(|n| item(&key(n), "first")).collect();
    assert_eq!(engine.submit_many(rows).await.unwrap().failed, 0);
    engine.force_flush().await.unwrap();
    let (mut chance, mut compared) = (chance(5), 0);
    for round in 0..60u64 {
        for _ in 0..20 {
            let id = key(chance.u32(0..9_500));
            match chance.u32(0..4) {
                0 => drop(engine.delete(&id).await.unwrap()),
                _ => drop(engine.submit(item(&id, &format!("{round}"))).await.unwrap()),
            }
        }
        match round {
            20 => archive.fail_after_next_commit(),
            40 => archive.fail_next(ArchiveOp::Commit),
            _ => {}
        }
        // After a commit of unknown outcome the tree is read again before the next one.
        let is_settled = engine.force_flush().await.is_ok();
        let before = engine.merkle_aggregate().unwrap();
        if let Some(sketch) = engine.merkle_sketch().unwrap().filter(|_| is_settled) {
            let rows = sketched(&records(&engine).await);
            // Unless something was stored in between.
            if before == engine.merkle_aggregate().unwrap() && before == *sketch.aggregate() {
                assert!(
                    sketch.first(SKETCH_CELLS) == rows.first(SKETCH_CELLS),
                    "{round}"
                );
                assert_eq!(rows.aggregate(), sketch.aggregate());
                compared += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        compared >= 10,
        "{compared} times there was a sketch to look at"
    );
    engine.shutdown().await;
}
