//! A row that the archive refuses for good holds up nobody: it waits, shows, and is tried again.
#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::refusals::{ids, refused_keys};
use common::*;
use sync_engine::l3::ArchiveStore;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{Ack, ErrorKind, Key, Relay, StorageError, SyncEngineConfig, SyncItem};

/// Whether the archive has these.
async fn archived(archive: &MemoryArchive, ids: impl IntoIterator<Item = String>) -> bool {
    let keys: Vec<Key> = ids.into_iter().map(Key::from).collect();
    let rows = archive.restarted().get_many(&keys).await.unwrap();
    rows.iter().all(Option::is_some)
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_rows_hold_up_nobody_and_are_stored_once_they_may() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(unhurried(config(dir.path())), archive.clone()).await;
    let bad = ["r.007", "r.250", "r.251"];
    bad.iter()
        .for_each(|id| archive.refuse(&(*id).into(), true));
    let items = ids("r", 500).into_iter().map(|id| item(&id, "x"));
    engine.submit_many(items.collect()).await.unwrap();
    let error = engine.force_flush().await.unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
    let good = ids("r", 500).into_iter().filter(|id| !bad.contains(&&**id));
    assert!(archived(&archive, good).await, "all others are stored");
    assert_honest(&engine).await;
    assert_eq!(refused_keys(&engine).await, bad);
    assert_eq!(engine.health_check().await.wal_records, Some(3));
    assert_eq!(
        text(&engine, "r.007").await.as_deref(),
        Some("x"),
        "readers see it"
    );
    // Whoever waits for one is told at once, and the others need not wait.
    let begun = Instant::now();
    let error = engine
        .submit_acked(item("r.250", "y"), Ack::Stored)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("r.250"), "{error}");
    engine
        .submit_acked(item("other", "y"), Ack::Stored)
        .await
        .unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "{:?}",
        begun.elapsed()
    );
    bad.iter()
        .for_each(|id| archive.refuse(&(*id).into(), false));
    eventually("they are stored", async || {
        engine.tick().await.unwrap();
        engine.force_flush().await.is_ok()
    })
    .await;
    assert!(archived(&archive, bad.map(String::from)).await);
    assert!(refused_keys(&engine).await.is_empty());
    assert_eq!(engine.health_check().await.wal_records, Some(0));
    assert_honest(&engine).await;
    assert!(engine.shutdown().await.errors.is_empty());
}

/// Nobody forces anything: the batches flush, and the refused rows are tried again, by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn refused_rows_are_tried_again_by_themselves_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    archive.refuse(&"a.001".into(), true);
    let engine = started_on(config(dir.path()), archive.clone()).await;
    let items = ids("a", 20).into_iter().map(|id| item(&id, "x"));
    engine.submit_many(items.collect()).await.unwrap();
    eventually("the others are stored", async || {
        archived(
            &archive,
            ids("a", 20).into_iter().filter(|id| id != "a.001"),
        )
        .await
    })
    .await;
    eventually("it shows", async || {
        refused_keys(&engine).await == ["a.001"]
    })
    .await;
    let report = engine.shutdown().await;
    assert_eq!((report.logged, report.unstored), (1, 0), "{report:?}");

    let archive = Arc::new(archive.restarted());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    assert_eq!(text(&engine, "a.001").await.as_deref(), Some("x"));
    engine.submit(item("later", "x")).await.unwrap();
    eventually("later ones are stored", async || {
        archived(&archive, ["later".into()]).await
    })
    .await;
    eventually("it shows", async || {
        refused_keys(&engine).await == ["a.001"]
    })
    .await;
    archive.refuse(&"a.001".into(), false);
    eventually("it is stored", async || {
        archived(&archive, ["a.001".into()]).await
    })
    .await;
    eventually("all is well", async || {
        engine.health_check().await.is_healthy()
    })
    .await;
    engine.shutdown().await;
}

/// Where everything is refused, writers are slowed and refused in the end, as in an outage, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn where_all_rows_are_refused_writers_meet_a_typed_bound() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let config = SyncEngineConfig {
        l1_max_bytes: 1 << 20,
        ..config(dir.path())
    };
    let engine = started_on(config, archive.clone()).await;
    let all = ids("m", 200);
    all.iter()
        .for_each(|id| archive.refuse(&id.as_str().into(), true));
    let mut accepted = 0;
    let error = loop {
        let id = all.get(accepted).expect("a bound before the last");
        match engine
            .submit(SyncItem::new(id.as_str(), vec![1; 8_000]))
            .await
        {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    for id in &all[..accepted] {
        assert!(engine.contains(id).await.unwrap(), "{id} was acknowledged");
    }
    all.iter()
        .for_each(|id| archive.refuse(&id.as_str().into(), false));
    let accepted: Vec<String> = all[..accepted].to_vec();
    eventually("all are stored", async || {
        archived(&archive, accepted.clone()).await
    })
    .await;
    eventually("all is well", async || {
        engine.health_check().await.is_healthy()
    })
    .await;
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_peer_that_are_refused_are_told_and_the_others_are_applied() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    archive.refuse(&"p.003".into(), true);
    let now = engine.env().now_ms();
    let foreign = ids("p", 50).into_iter().zip(0..);
    let foreign = foreign.map(|(id, n)| stamped(item(&id, "theirs"), stamp(now, n, "peer")));
    let applied = engine.apply(foreign.collect(), Relay::No).await.unwrap();
    assert_eq!((applied.taken, applied.kept), (49, 0));
    let [(key, StorageError::Refused { .. })] = &applied.refused[..] else {
        panic!("{applied:?}")
    };
    assert_eq!(&**key, "p.003");
    assert_eq!(text(&engine, "p.004").await.as_deref(), Some("theirs"));
    assert_honest(&engine).await;
    engine.shutdown().await;
}

fn tell(dir: &Path, sql: &str) {
    let file = rusqlite::Connection::open(dir.join("l3.db")).unwrap();
    file.busy_timeout(Duration::from_secs(5)).unwrap();
    file.execute_batch(sql).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_of_sqlite_refuses_is_named_without_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    tell(
        dir.path(),
        "CREATE TRIGGER watch BEFORE INSERT ON items WHEN NEW.content = CAST('s3cret' AS BLOB)
         BEGIN SELECT RAISE(ABORT, 'no s3cret here'); END",
    );
    engine.submit(item("good", "x")).await.unwrap();
    engine.submit(item("bad", "s3cret")).await.unwrap();
    eventually("it shows", async || refused_keys(&engine).await == ["bad"]).await;
    let shown = format!("{:?}", engine.health_check().await);
    assert!(!shown.contains("s3cret"), "{shown}");
    let flush = engine.force_flush().await.unwrap_err();
    assert!(!flush.to_string().contains("s3cret"), "{flush}");
    // Another value is taken.
    engine.submit(item("bad", "mended")).await.unwrap();
    eventually("it is stored", async || engine.force_flush().await.is_ok()).await;
    assert!(engine.health_check().await.is_healthy());
    // And so is a delete.
    engine.submit(item("bad", "s3cret")).await.unwrap();
    eventually("it shows", async || refused_keys(&engine).await == ["bad"]).await;
    engine.delete("bad").await.unwrap();
    eventually("it is stored", async || engine.force_flush().await.is_ok()).await;
    assert_honest(&engine).await;
    engine.shutdown().await;
}

/// Where more are refused than can be told one by one, the archive as a whole is at fault: nobody may go on as if it were the
/// rows.
#[tokio::test(flavor = "multi_thread")]
async fn i11_where_many_rows_of_a_peer_are_refused_it_is_an_outage() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    let all = ids("p", 300);
    let refuse = |refuse| {
        all.iter()
            .for_each(|id| archive.refuse(&id.as_str().into(), refuse));
    };
    let now = engine.env().now_ms();
    let foreign = all.iter().zip(0..);
    let foreign: Vec<_> = foreign
        .map(|(id, n)| stamped(item(id, "theirs"), stamp(now, n, "peer")))
        .collect();
    refuse(true);
    let error = engine.apply(foreign.clone(), Relay::No).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    refuse(false);
    let applied = engine.apply(foreign, Relay::No).await.unwrap();
    assert_eq!((applied.taken, applied.refused.len()), (300, 0));
    assert_honest(&engine).await;
    engine.shutdown().await;
}

/// They stood in front of all others for good, and were tried one by one at every round.
#[tokio::test(flavor = "multi_thread")]
async fn expired_rows_that_are_refused_are_left_alone_and_keep_nobody_from_being_swept() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    let end = engine.env().now_ms() + 2_000;
    let stuck = ids("stuck", 1_100);
    let items = stuck
        .iter()
        .map(|id| item(id, "x").with_expires_at(Some(end)));
    engine.submit_many(items.collect()).await.unwrap();
    let last = item("last", "x").with_expires_at(Some(end + 1));
    engine.submit(last).await.unwrap();
    flushed(&engine).await;
    stuck
        .iter()
        .for_each(|id| archive.refuse(&id.as_str().into(), true));
    let is_swept = async |id: &str| {
        let leaves = archive.leaves_of(&[id.into()]).await.unwrap();
        leaves[0].as_ref().is_some_and(|leaf| leaf.hash.is_none())
    };
    eventually("what is behind them is swept", async || {
        engine.tick().await.unwrap();
        is_swept("last").await
    })
    .await;
    // Nobody knows yet that they would be taken by now.
    archive.refuse(&"stuck.000".into(), false);
    for _ in 0..8 {
        engine.tick().await.unwrap();
    }
    assert!(!is_swept("stuck.000").await, "it is left alone");
    engine.shutdown().await;
}
