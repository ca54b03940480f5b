//! I8: the log and what waits to be published have bounds, and no writer waits for the stream.
#![allow(clippy::disallowed_methods)]

mod common;

use std::future::{Future, poll_fn};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use common::metered_log::MeteredLog;
use common::moody_stream::{Mood, MoodyStream};
use common::*;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::wal::Wal;
use sync_engine::{SyncEngine, SyncEngineConfig, SyncItem};

const L1_BYTES: usize = 1 << 20;

/// A running engine with this stream.
async fn publishing(config: SyncEngineConfig, stream: Arc<MoodyStream>) -> Arc<SyncEngine> {
    let archive = Arc::new(MemoryArchive::new());
    started_over(config, |e| e.with_archive(archive).with_changes(stream)).await
}

/// A running engine that flushes when it is forced to, with room for 8 records in its log and a stream that is stuck.
async fn stuck(dir: &Path) -> (Arc<SyncEngine>, Arc<MoodyStream>) {
    let stream = MoodyStream::new(Mood::Stuck);
    let config = SyncEngineConfig {
        wal_max_items: Some(8),
        ..unhurried(config(dir))
    };
    (publishing(config, stream.clone()).await, stream)
}

/// Settings with room for 40 records in the log, and an archive that refuses the row `bad`.
fn refusing_bad(dir: &Path) -> (SyncEngineConfig, Arc<MemoryArchive>) {
    let archive = Arc::new(MemoryArchive::new());
    archive.refuse(&"bad".into(), true);
    let config = SyncEngineConfig {
        wal_max_items: Some(40),
        ..config(dir)
    };
    (config, archive)
}

/// Writes `bad` once, then so many others, all of which must be let in.
async fn write_behind_bad(engine: &SyncEngine, others: usize) {
    engine.submit(item("bad", "x")).await.unwrap();
    for n in 0..others {
        let written = engine.submit(item(&format!("good.{n}"), "x")).await;
        written.unwrap_or_else(|error| panic!("write {n}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_the_backlog_of_a_dead_stream_is_bounded_and_then_a_new_epoch_begins() {
    let dir = tempfile::tempdir().unwrap();
    let stream = MoodyStream::new(Mood::Dead);
    let config = SyncEngineConfig {
        l1_max_bytes: 256 << 20,
        ..config(dir.path())
    };
    let engine = publishing(config, stream.clone()).await;
    // More than 64 MiB of changes of few keys.
    for n in 0..80u32 {
        let items = (0..10).map(|k| SyncItem::new(format!("s.{k}"), vec![n as u8; 100_000]));
        engine
            .submit_many(items.collect())
            .await
            .expect("writers never wait for the stream");
        engine.force_flush().await.unwrap();
    }
    let health = engine.health_check().await;
    assert!(health.publish_dropped > 0, "{health:?}");
    assert!(health.publish_backlog < 700, "{health:?}");
    stream.set(Mood::Up);
    eventually("the backlog is published, and the log freed", async || {
        let health = engine.health_check().await;
        health.publish_backlog == 0 && health.wal_records == Some(0)
    })
    .await;
    assert!(
        stream.epochs.load(Ordering::SeqCst) >= 1,
        "readers must learn that they missed something"
    );
    assert!(stream.published.load(Ordering::SeqCst) > 0);
    engine.shutdown().await;
}

/// One change that waits to be published holds its place in the log, and all that was written over behind it: a dead
/// stream filled the log, and writers were refused.
#[tokio::test(flavor = "multi_thread")]
async fn i8_writers_of_a_hot_key_do_not_wait_for_the_stream_however_long_it_takes() {
    for (mood, wal_max_items, l1_max_bytes, size) in [
        (Mood::Dead, Some(400), 256 << 20, 1),
        (Mood::Stuck, Some(400), 256 << 20, 1),
        (Mood::Dead, None, L1_BYTES, 20_000),
        (Mood::Stuck, None, L1_BYTES, 20_000),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let stream = MoodyStream::new(mood);
        let config = SyncEngineConfig {
            wal_max_items,
            l1_max_bytes,
            ..config(dir.path())
        };
        let engine = publishing(config, stream.clone()).await;
        engine.submit(item("first", "x")).await.unwrap();
        flushed(&engine).await;
        for n in 0..500u32 {
            let begun = Instant::now();
            let hot = SyncItem::new("hot", vec![n as u8; size]);
            let written = engine.submit(hot).await;
            written.unwrap_or_else(|error| panic!("{mood:?}, write {n}: {error}"));
            let took = begun.elapsed();
            assert!(
                took < Duration::from_secs(4),
                "{mood:?}, write {n}: {took:?}"
            );
            assert!(engine.should_accept_writes(), "{mood:?}, write {n}");
        }
        stream.set(Mood::Up);
        eventually(
            "the log is freed, and readers learn that they missed something",
            async || {
                engine.health_check().await.wal_records == Some(0)
                    && stream.epochs.load(Ordering::SeqCst) > 0
            },
        )
        .await;
        let health = engine.health_check().await;
        assert!(health.publish_dropped > 0, "{mood:?}: {health:?}");
        engine.shutdown().await;
    }
}

/// The same where the next flush is far away.
#[tokio::test(flavor = "multi_thread")]
async fn i8_writers_of_a_hot_key_do_not_wait_for_the_stream_until_the_next_flush() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, stream) = stuck(dir.path()).await;
    engine.submit(item("first", "x")).await.unwrap();
    flushed(&engine).await;
    let begun = Instant::now();
    for n in 0..30 {
        let written = engine.submit(item("hot", &n.to_string())).await;
        written.unwrap_or_else(|error| panic!("write {n}: {error}"));
    }
    assert!(begun.elapsed() < PATIENCE);
    stream.set(Mood::Up);
    engine.shutdown().await;
}

/// A small part of the log may wait to be published. When it is, writers need not wait any longer.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_writer_that_waits_for_room_in_the_log_is_let_in_by_a_publication() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, stream) = stuck(dir.path()).await;
    engine.submit(item("p.0", "x")).await.unwrap();
    engine.submit(item("p.1", "x")).await.unwrap();
    flushed(&engine).await;
    eventually("they are being published", async || {
        stream.begun.load(Ordering::SeqCst) > 0
    })
    .await;
    for n in 2..8 {
        engine.submit(item(&format!("p.{n}"), "x")).await.unwrap();
    }
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.submit(item("p.8", "x")).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "the log is full");
    stream.set(Mood::Up);
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.expect("woken").unwrap().expect("let in");
    assert_eq!(stream.epochs.load(Ordering::SeqCst), 0, "nothing was lost");
    engine.shutdown().await;
}

/// Without `wal_max_items`, one record that could not be stored and a key that was written again and again let the log
/// grow for as long as the archive was away.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_hot_key_in_an_outage_neither_fills_the_log_nor_grows_it_without_bound() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let log = Arc::new(MeteredLog::default());
    let config = SyncEngineConfig {
        l1_max_bytes: L1_BYTES,
        ..config(dir.path())
    };
    let engine = started_over(config, |engine| {
        engine.with_archive(archive.clone()).with_wal(log.clone())
    })
    .await;
    archive.set_down(true);
    let stuck = engine.submit(item("stuck", "x")).await.unwrap();
    // Hashed once, so that the writes come quickly.
    let hot = SyncItem::new("hot", vec![7; 20_000]);
    let mut last = None;
    for n in 0..5_000 {
        let written = engine.submit(hot.clone()).await;
        last = Some(written.unwrap_or_else(|error| panic!("write {n}: {error}")));
    }
    let highest = log.highest.load(Ordering::SeqCst);
    // And what was written anew to make room.
    assert!(highest <= 5 * L1_BYTES, "{highest} bytes");
    // What is needed is there, also for the next run.
    assert_eq!(engine.shutdown().await.logged, 2);
    let records = log.read_from(0, 1_000_000).await.unwrap();
    let has = |id: &str, stamp| {
        let mut all = records
            .iter()
            .map(|(_, record)| (&**record.key(), record.stamp()));
        all.any(|(key, found)| key == id && stamp == found)
    };
    assert!(has("stuck", stuck) && Some(true) == last.map(|last| has("hot", last)));
}

/// The archive answers, and refuses one row for good: the log filled up behind it, until all writers were refused.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_row_that_is_refused_does_not_fill_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (config, archive) = refusing_bad(dir.path());
    let engine = started_on(config.clone(), archive.clone()).await;
    write_behind_bad(&engine, 400).await;
    assert_eq!(engine.shutdown().await.logged, 1);
    let archive = Arc::new(archive.restarted());
    let engine = started_on(config, archive.clone()).await;
    assert_eq!(text(&engine, "bad").await.as_deref(), Some("x"));
    archive.refuse(&"bad".into(), false);
    eventually("all is well", async || {
        let health = engine.health_check().await;
        health.is_healthy() && health.wal_records == Some(0)
    })
    .await;
    assert_eq!(engine.len().await.unwrap(), 401);
    engine.shutdown().await;
}

/// A record that was written anew came to stand behind a newer one of its key that was logged meanwhile: a restart could
/// find the older without the newer.
#[tokio::test(flavor = "multi_thread")]
async fn i2_what_is_written_anew_never_stands_behind_a_newer_write_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (config, archive) = refusing_bad(dir.path());
    let log = Arc::new(MeteredLog::slow_again("bad"));
    let engine = started_over(config, |engine| {
        engine.with_archive(archive).with_wal(log.clone())
    })
    .await;
    engine.submit(item("bad", "x")).await.unwrap();
    for n in 0..30 {
        engine.submit(item("good", &n.to_string())).await.unwrap();
    }
    eventually("it is being written anew", async || {
        log.again.load(Ordering::SeqCst) > 0
    })
    .await;
    let newer = engine.submit(item("bad", "y")).await.unwrap();
    let is_last = async || {
        let records = log.read_from(0, 1_000).await.unwrap();
        let mut bad = records.iter().filter(|(_, r)| **r.key() == *"bad");
        bad.next_back().map(|(_, record)| record.stamp()) == Some(newer)
    };
    assert!(is_last().await);
    // And when all that was under way is logged.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(is_last().await);
    engine.shutdown().await;
}

/// The refused row held the first place in the log, and what waited for the stream counted as needed: neither made way.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_row_that_is_refused_and_a_dead_stream_do_not_fill_the_log_together() {
    let dir = tempfile::tempdir().unwrap();
    let (config, archive) = refusing_bad(dir.path());
    let stream = MoodyStream::new(Mood::Dead);
    let engine = started_over(config, |engine| {
        engine.with_archive(archive).with_changes(stream)
    })
    .await;
    write_behind_bad(&engine, 200).await;
    let health = engine.health_check().await;
    assert!(health.publish_dropped > 0, "{health:?}");
    assert_eq!(engine.shutdown().await.errors.len(), 1);
}

/// A call that was begun and is not polled any more held its turn: when the log was written anew, all writers waited for it.
#[tokio::test(flavor = "multi_thread")]
async fn i8_a_call_that_is_kept_and_not_polled_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (config, archive) = refusing_bad(dir.path());
    let config = SyncEngineConfig {
        wal_max_items: Some(400),
        ..config
    };
    let engine = started_on(config, archive).await;
    let mut kept = Vec::new();
    for burnt in 100..128 {
        let mut call = Box::pin(engine.submit(item(&format!("kept.{burnt}"), "x")));
        // With less and less of what a task may do at one go, so that calls stop at each await on their way.
        tokio::task::yield_now().await;
        for _ in 0..burnt {
            tokio::task::consume_budget().await;
        }
        let is_done = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready()));
        if !is_done.await {
            kept.push(call);
        }
    }
    assert!(!kept.is_empty());
    let writers = write_behind_bad(&engine, 600);
    let written = tokio::time::timeout(Duration::from_secs(120), writers).await;
    written.expect("nobody waits for what is not polled");
    drop(kept);
    engine.shutdown().await;
}
