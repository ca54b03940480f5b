//! Callers that compete, give up, or meet tiers that are down: nobody hangs, and nobody is told something false.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::moody_stream::{Mood, MoodyStream};
use common::slow_archive::SlowArchive;
use common::*;
use sync_engine::item::Stored;
use sync_engine::item::stamp::{HlcTime, Origin, Stamp};
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{Ack, Relay, SyncEngine, SyncEngineConfig};
use tokio::sync::watch;
use tokio::time::timeout;

/// Far more than a machine under load needs, and far less than any patience of the engine.
const SOON: Duration = Duration::from_secs(20);

fn in_memory() -> SyncEngineConfig {
    SyncEngineConfig {
        node_id: Some("test-node".into()),
        batch_flush_ms: 10,
        ..Default::default()
    }
}

/// Writes one key without a pause until it is told to stop.
fn write_on(engine: &Arc<SyncEngine>, keys: u64) -> (Arc<AtomicBool>, tokio::task::JoinHandle<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (engine, told) = (engine.clone(), stop.clone());
    let task = tokio::spawn(async move {
        let mut n = 0u64;
        while !told.load(Ordering::Relaxed) {
            let written = engine
                .submit(item(&format!("busy.{}", n % keys), "x"))
                .await;
            written.expect("room for a few keys");
            n += 1;
            tokio::task::yield_now().await;
        }
    });
    (stop, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i2_a_stored_write_is_confirmed_although_others_write_the_key_on() {
    let engine = started_on(in_memory(), SlowArchive::new(20, 0)).await;
    let (stop, task) = write_on(&engine, 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stored = timeout(
        SOON,
        engine.submit_acked(item("busy.0", "mine"), Ack::Stored),
    )
    .await;
    stop.store(true, Ordering::Relaxed);
    task.await.unwrap();
    stored.expect("no waiting for the others to end").unwrap();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flush_ends_although_others_write_on() {
    let engine = started_on(in_memory(), SlowArchive::new(20, 0)).await;
    let (stop, task) = write_on(&engine, 5_000);
    tokio::time::sleep(Duration::from_millis(100)).await;
    engine.submit(item("mine", "x")).await.unwrap();
    let flushed = timeout(SOON, engine.force_flush()).await;
    stop.store(true, Ordering::Relaxed);
    task.await.unwrap();
    flushed.expect("no waiting for the others to end").unwrap();
    engine.shutdown().await;
}

/// An item that a correct node cannot have written: its stamp is that of an expiry.
fn unsweepable(n: u32) -> Stored {
    let stamp = Stamp {
        time: HlcTime::from_ms(1_000),
        origin: Origin::from_raw(7),
    };
    let plain = item(&format!("bad.{n:04}"), "x").with_expires_at(Some(2_000));
    stamped(plain, stamp)
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_an_item_with_the_stamp_of_an_expiry_is_refused_and_stalls_nothing() {
    let engine = started_on(in_memory(), Arc::new(MemoryArchive::new())).await;
    let bad: Vec<Stored> = (0..1_000).map(unsweepable).collect();
    let applied = engine.apply(bad, Relay::No).await.unwrap();
    let tick = timeout(SOON, engine.tick()).await;
    tick.expect("upkeep ends").unwrap();
    assert_eq!((applied.taken, applied.refused.len()), (0, 1_000));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_given_up_can_be_tried_again() {
    let archive = Arc::new(MemoryArchive::new());
    let (_, settings) = watch::channel(in_memory());
    let engine = SyncEngine::builder(in_memory(), settings)
        .with_archive(archive.clone())
        .build();
    archive.set_down(true);
    let given_up = timeout(Duration::from_millis(300), engine.start()).await;
    assert!(given_up.is_err(), "still trying");
    archive.set_down(false);
    engine.start().await.unwrap();
    engine.submit(item("a", "x")).await.unwrap();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_failed_leaves_no_file_locked() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..20 {
        let below = dir.path().join(format!("{n}"));
        let config = SyncEngineConfig {
            wal_path: Some(below.join("wal.db")),
            ..config(dir.path())
        };
        let (_, settings) = watch::channel(config.clone());
        let engine = SyncEngine::new(config, settings);
        engine.start().await.expect_err("there is no such folder");
        std::fs::create_dir(&below).unwrap();
        engine.start().await.expect("nobody else has the files");
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_do_not_wait_for_a_dead_stream_however_small_the_log_is() {
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        wal_max_items: Some(50),
        ..config(dir.path())
    };
    let stream = MoodyStream::new(Mood::Dead);
    let engine = started_over(config, |engine| engine.with_changes(stream)).await;
    for n in 0..200 {
        let written = engine.submit(item(&format!("k.{n}"), "x")).await;
        written.unwrap_or_else(|error| panic!("write {n}: {error}"));
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_long_log_starts_without_its_archive() {
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        l1_max_bytes: 1 << 20,
        sql_url: None,
        ..config(dir.path())
    };
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config.clone(), archive.clone()).await;
    archive.set_down(true);
    let content = "x".repeat(4_000);
    let mut written = 0;
    while engine.should_accept_writes() {
        engine
            .submit(item(&format!("k.{written}"), &content))
            .await
            .unwrap();
        written += 1;
    }
    engine.shutdown().await;
    drop(engine);

    let archive = Arc::new(archive.restarted());
    // The log is there to bridge an outage.
    let engine = started_on(config, archive.clone()).await;
    assert!(text(&engine, "k.0").await.is_some());
    archive.set_down(false);
    flush_the_archive(&engine).await;
    assert_eq!(engine.len().await.unwrap(), written);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_list_is_found_behind_many_deletes() {
    let archive = SlowArchive::new(0, 0);
    let engine = started_on(in_memory(), archive).await;
    let ids: Vec<String> = (0..5_000).map(|n| format!("t.{n:06}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let items = ids.iter().map(|id| item(id, "x")).collect();
    engine.submit_many(items).await.unwrap();
    engine.delete_many(&ids).await.unwrap();
    engine.submit(item("t.last", "x")).await.unwrap();
    engine.force_flush().await.unwrap();
    let found = engine.scan_prefix("t.", 1).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].object_id, "t.last");
    engine.shutdown().await;
}
