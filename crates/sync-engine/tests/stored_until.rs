//! What `stored_until` tells: all that has a stamp up to there is in the archive, and nothing gets one any more.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::flaky_cache::FlakyCache;
use common::fragile_log::FragileLog;
use common::*;
use sync_engine::l3::ArchiveStore;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{ErrorKind, HlcTime, Key, StorageError, SyncEngine, SyncEngineConfig};

/// Writes that enter together: their stamps are given before the first of them enters.
const BATCH: usize = 300;

/// Writes batches, each of keys of its own; gives each with the first stamp that it got.
async fn write(
    engine: Arc<SyncEngine>,
    (writer, told): (usize, Arc<AtomicU64>),
    done: Arc<AtomicBool>,
) -> Vec<(Key, HlcTime)> {
    let mut written = Vec::new();
    let mut round = 0;
    while !done.load(Ordering::Relaxed) {
        let id = |n: usize| format!("w{writer}.{round:05}.{n:03}");
        let before = HlcTime(told.load(Ordering::SeqCst));
        let items = (0..BATCH).map(|n| item(&id(n), "x")).collect();
        assert_eq!(engine.submit_many(items).await.unwrap().failed, 0);
        // The last of the batch stands for it.
        let last = engine
            .get(&id(BATCH - 1))
            .await
            .unwrap()
            .expect("just written");
        let time = last.stamp.time;
        assert!(
            time > before,
            "{time:?} was given out after {before:?} was told"
        );
        written.extend((0..BATCH).map(|n| {
            (
                Key::from(id(n).as_str()),
                HlcTime(time.0 - (BATCH - 1 - n) as u64),
            )
        }));
        round += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    written
}

async fn all_that_was_stamped_is_there(base: SyncEngineConfig) {
    let archive = Arc::new(MemoryArchive::new());
    let config = SyncEngineConfig {
        l1_max_bytes: 8 << 20,
        ..base
    };
    let engine = started_on(config, archive.clone()).await;
    let (told, done) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let work = write(engine.clone(), (writer, told.clone()), done.clone());
            tokio::spawn(work)
        })
        .collect();
    let mut seen = Vec::new();
    for _ in 0..10 {
        let time = engine.stored_until().await.unwrap();
        // What the archive has at this very moment.
        seen.push((time, archive.copy()));
        told.fetch_max(time.0, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    done.store(true, Ordering::Relaxed);
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    let mut checked = 0;
    for (time, copy) in seen {
        let due = written.iter().filter(|(_, at)| *at <= time);
        let keys: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        let leaves = copy.leaves_of(&keys).await.unwrap();
        let missing = leaves.iter().filter(|leaf| leaf.is_none()).count();
        assert_eq!(missing, 0, "of {} at {time:?}", keys.len());
        checked += keys.len();
    }
    assert!(checked > 1_000, "{checked}");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_has_a_stamp_is_stored_while_writers_write() {
    let dir = tempfile::tempdir().unwrap();
    all_that_was_stamped_is_there(config(dir.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_has_a_stamp_is_stored_while_writers_write_without_a_log() {
    let dir = tempfile::tempdir().unwrap();
    all_that_was_stamped_is_there(config_without_wal(dir.path())).await;
}

async fn on_a_log(archive: &Arc<MemoryArchive>) -> (Arc<SyncEngine>, Arc<FragileLog>) {
    let (log, archive) = (Arc::new(FragileLog::default()), archive.clone());
    let given = log.clone();
    let config = unhurried(config(std::path::Path::new("unused")));
    let engine = started_over(config, |engine| {
        engine.with_wal(given).with_archive(archive)
    });
    (engine.await, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_has_its_stamp_and_is_being_logged_is_waited_for() {
    let archive = Arc::new(MemoryArchive::new());
    let (engine, log) = on_a_log(&archive).await;
    log.before_sync.set();
    let early = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.submit(item("early", "x")).await })
    };
    log.before_sync.holds().await;
    let told = {
        let (engine, archive) = (engine.clone(), archive.clone());
        tokio::spawn(async move {
            let time = engine.stored_until().await.unwrap();
            (time, archive.leaves_of(&["early".into()]).await.unwrap()[0])
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!told.is_finished(), "a write on its way is not waited for");
    log.before_sync.release();
    let stamp = early.await.unwrap().unwrap();
    let (time, leaf) = told.await.unwrap();
    assert!(stamp.time < time);
    assert_eq!(leaf.map(|leaf| leaf.stamp), Some(stamp));
    engine.shutdown().await;
}

/// A log that failed may have the write all the same, and the next start brings it back with its stamp.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_log_has_failed_nothing_is_told() {
    let archive = Arc::new(MemoryArchive::new());
    let (engine, log) = on_a_log(&archive).await;
    engine.stored_until().await.unwrap();
    log.before_sync.set();
    let lost = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.submit(item("lost", "x")).await })
    };
    log.before_sync.holds().await;
    log.break_for_good();
    log.before_sync.release();
    assert!(lost.await.unwrap().is_err());
    let answer = engine.stored_until().await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_written_over_before_it_was_stored_is_waited_for() {
    let archive = Arc::new(MemoryArchive::new());
    let (engine, _) = on_a_log(&archive).await;
    engine.submit(item("k", "first")).await.unwrap();
    let last = engine.submit(item("k", "second")).await.unwrap();
    let time = engine.stored_until().await.unwrap();
    let leaf = archive.leaves_of(&["k".into()]).await.unwrap()[0];
    assert_eq!(leaf.map(|leaf| leaf.stamp), Some(last));
    // Not by what came with a write, and with no write at all, the time is kept for the next run.
    let opened = archive.restarted().open().await.unwrap();
    assert!(opened.clock_bound >= time);
    let next = engine.stored_until().await.unwrap();
    assert!(next > time);
    let opened = archive.restarted().open().await.unwrap();
    assert!(opened.clock_bound >= next, "a restart may stamp below it");
    let later = engine.submit(item("later", "x")).await.unwrap();
    assert!(later.time > next);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_away_or_refuses_is_an_error_and_a_cache_does_not_matter() {
    let (archive, cache) = (Arc::new(MemoryArchive::new()), FlakyCache::new());
    let dir = tempfile::tempdir().unwrap();
    let engine = started_with(config(dir.path()), archive.clone(), cache.clone()).await;
    cache.fail_puts.store(true, Ordering::SeqCst);
    cache.fail_removes.store(true, Ordering::SeqCst);
    let stamp = engine.submit(item("k", "x")).await.unwrap();
    assert!(engine.stored_until().await.unwrap() > stamp.time);
    archive.refuse(&"bad".into(), true);
    engine.submit(item("bad", "x")).await.unwrap();
    let answer = engine.stored_until().await;
    assert!(
        matches!(answer, Err(StorageError::Refused { .. })),
        "{answer:?}"
    );
    archive.refuse(&"bad".into(), false);
    eventually("the archive takes it", async || {
        engine.stored_until().await.is_ok()
    })
    .await;
    archive.set_down(true);
    let answer = engine.stored_until().await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    archive.set_down(false);
    engine.shutdown().await;

    let without = SyncEngineConfig {
        sql_url: None,
        ..config(dir.path())
    };
    let engine = started_over(without, |engine| engine.with_cache(FlakyCache::new())).await;
    let answer = engine.stored_until().await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
    engine.shutdown().await;
}
