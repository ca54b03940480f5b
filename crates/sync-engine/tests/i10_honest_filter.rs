//! I10: a trusted filter never denies a stored key.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use sync_engine::SyncEngine;
use sync_engine::filter::FilterTrust;
use sync_engine::l3::memory::{ArchiveOp, MemoryArchive};
use sync_engine::l3::{ArchiveStore, MetaKey};

async fn proven(engine: &SyncEngine) {
    eventually("the filter is proven", async || {
        engine.l3_filter_stats().unwrap().trust == FilterTrust::Proven
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_the_filter_denies_no_stored_key_through_deletes_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_without_wal(dir.path());
    let engine = started(config.clone()).await;
    proven(&engine).await;
    let items = (0..20_000).map(|n| item(&format!("f.{n}"), "x"));
    engine.submit_many(items.collect()).await.unwrap();
    let ids: Vec<String> = (0..20_000).map(|n| format!("f.{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    engine.delete_many(&ids).await.unwrap();
    engine.submit(item("f.7", "back")).await.unwrap();
    flushed(&engine).await;
    assert_honest(&engine).await;
    assert!(!engine.contains_fast("f.never").unwrap());
    engine.shutdown().await;
    let engine = started(config).await;
    assert_eq!(
        engine.l3_filter_stats().unwrap().trust,
        FilterTrust::Proven,
        "its snapshot is of this state"
    );
    assert_honest(&engine).await;
    assert_eq!(text(&engine, "f.7").await.as_deref(), Some("back"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_a_snapshot_of_another_state_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config_without_wal(dir.path()), archive.clone()).await;
    proven(&engine).await;
    engine.submit(item("s.first", "x")).await.unwrap();
    engine.shutdown().await;
    let archive = Arc::new(archive.restarted());
    let old = archive
        .meta(MetaKey::Filter)
        .await
        .unwrap()
        .expect("a snapshot");
    let engine = started_on(config_without_wal(dir.path()), archive.clone()).await;
    engine.submit(item("s.second", "x")).await.unwrap();
    engine.shutdown().await;
    // As after a crash: rows of today, the snapshot of yesterday.
    let archive = Arc::new(archive.restarted());
    archive.set_meta(MetaKey::Filter, old).await.unwrap();
    archive.fail_next(ArchiveOp::ScanLeaves);
    let engine = started_on(config_without_wal(dir.path()), archive).await;
    // The scan that would prove it fails now, and is tried again in half a minute.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(
        engine.l3_filter_stats().unwrap().trust,
        FilterTrust::Unproven
    );
    assert_eq!(text(&engine, "s.second").await.as_deref(), Some("x"));
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_a_key_is_known_before_its_row_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config_without_wal(dir.path()), archive.clone()).await;
    proven(&engine).await;
    let done = Arc::new(AtomicBool::new(false));
    let checker = tokio::spawn({
        let (engine, archive, done) = (engine.clone(), archive.clone(), done.clone());
        async move {
            let range = sync_engine::l3::KeyRange::all();
            while !done.load(Ordering::Relaxed) {
                for (key, _) in archive.scan_leaves(&range, 1_000_000).await.unwrap() {
                    assert!(
                        engine.contains_fast(&key).unwrap(),
                        "{key} is stored and denied"
                    );
                }
                tokio::task::yield_now().await;
            }
        }
    });
    for n in 0..300i64 {
        let foreign = stamped(
            item(&format!("k.{n}"), "x"),
            stamp(1_700_000_000_000 + n, 0, "peer"),
        );
        engine
            .apply(vec![foreign], sync_engine::Relay::No)
            .await
            .unwrap();
    }
    done.store(true, Ordering::Relaxed);
    checker.await.unwrap();
    engine.shutdown().await;
}
