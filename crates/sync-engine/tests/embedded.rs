//! An engine on SQLite alone: the everyday road of a write.
#![allow(clippy::disallowed_methods)]

mod common;

use common::*;
use sync_engine::l3::KeyRange;
use sync_engine::{ItemStatus, SyncItem};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_seen_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    assert_eq!(text(&engine, "a.b").await, None);
    engine.submit(item("a.b", "one")).await.unwrap();
    assert_eq!(text(&engine, "a.b").await.as_deref(), Some("one"));
    engine.submit(item("a.b", "two")).await.unwrap();
    assert_eq!(text(&engine, "a.b").await.as_deref(), Some("two"));
    flushed(&engine).await;
    assert_eq!(
        engine.status("a.b").await.unwrap(),
        ItemStatus::Synced {
            in_l1: true,
            in_l2: false,
            in_l3: true
        }
    );
    assert!(engine.delete("a.b").await.unwrap());
    assert!(!engine.delete("a.b").await.unwrap());
    assert_eq!(text(&engine, "a.b").await, None);
    engine.submit(item("a.c", "three")).await.unwrap();
    let report = engine.shutdown().await;
    assert!(report.errors.is_empty(), "{report:?}");
    assert_eq!((report.unstored, report.logged), (0, 0));

    let engine = started(config(dir.path())).await;
    assert_eq!(text(&engine, "a.b").await, None);
    assert_eq!(text(&engine, "a.c").await.as_deref(), Some("three"));
    let verified = engine.verify_filter().await.unwrap();
    assert_eq!(
        (verified.rows, verified.denied, verified.root_is_honest),
        (2, 0, true)
    );
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_items_are_counted_scanned_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    let items: Vec<SyncItem> = (0..20_000)
        .map(|i| item(&format!("uk.p.{i:05}"), &format!("v{i}")))
        .collect();
    let result = engine.submit_many(items).await.unwrap();
    assert_eq!(
        (result.total, result.succeeded, result.failed),
        (20_000, 20_000, 0)
    );
    assert_eq!(engine.count_prefix("uk.").await.unwrap(), 20_000);
    flushed(&engine).await;
    assert_eq!(engine.len().await.unwrap(), 20_000);
    assert!(engine.delete("uk.p.00003").await.unwrap());
    assert_eq!(engine.count_prefix("uk.p.0000").await.unwrap(), 9);
    let page = engine.scan_prefix("uk.p.0000", 5).await.unwrap();
    let ids: Vec<&str> = page.iter().map(|item| item.object_id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "uk.p.00000",
            "uk.p.00001",
            "uk.p.00002",
            "uk.p.00004",
            "uk.p.00005"
        ]
    );
    let found = engine
        .get_many(&["uk.p.19999", "uk.p.00003", "nope"])
        .await
        .unwrap();
    assert_eq!(found[0].as_ref().unwrap().content, "v19999");
    assert!(found[1].is_none() && found[2].is_none());
    flushed(&engine).await;
    let children = engine.get_merkle_children("uk").await.unwrap();
    assert_eq!((children.len(), children[0].count), (1, 20_000));
    for _ in 0..3 {
        engine.tick().await.unwrap();
    }
    assert!(engine.verify_filter().await.unwrap().root_is_honest);
    let health = engine.health_check().await;
    assert!(health.is_healthy(), "{health:?}");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_item_is_gone_for_every_reader_and_becomes_a_tombstone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    let now = engine.env().now_ms();
    engine
        .submit(item("short", "x").with_expires_at(Some(now + 3_000)))
        .await
        .unwrap();
    assert!(engine.contains("short").await.unwrap());
    flushed(&engine).await;
    eventually("its time is over", async || {
        text(&engine, "short").await.is_none()
    })
    .await;
    assert_eq!(engine.count_prefix("").await.unwrap(), 0);
    eventually("the sweeper has written a tombstone", async || {
        let rows = engine.scan_records(&KeyRange::all(), 10, 1 << 20).await;
        let rows = rows.unwrap();
        rows.len() == 1 && rows[0].item().is_none()
    })
    .await;
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_misses_share_one_factory_call() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    let calls = std::sync::atomic::AtomicU32::new(0);
    let ask = || {
        engine.get_or_insert_with("made", || async {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            Ok::<_, std::io::Error>(item("made", "once"))
        })
    };
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    for made in [a, b, c] {
        assert_eq!(made.unwrap().content, "once");
    }
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lifecycle_has_no_trap_doors() {
    let dir = tempfile::tempdir().unwrap();
    let (_, settings) = tokio::sync::watch::channel(config(dir.path()));
    let engine = sync_engine::SyncEngine::new(config(dir.path()), settings);
    assert!(engine.get("a").await.is_err());
    engine.start().await.unwrap();
    engine.start().await.unwrap();
    engine.shutdown().await;
    engine.shutdown().await;
    let closed = engine.submit(item("a", "b")).await.unwrap_err();
    assert_eq!(closed.kind(), sync_engine::ErrorKind::Closed);
    assert!(engine.start().await.is_err());
    let (_, settings) = tokio::sync::watch::channel(config(dir.path()));
    let unused = sync_engine::SyncEngine::new(config(dir.path()), settings);
    unused.shutdown().await;
}

/// `DBSIZE` right after a big delete came out wrong: the count and the unstored writes were of different moments.
#[tokio::test(flavor = "multi_thread")]
async fn i1_a_count_is_exact_while_flushes_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config_without_wal(dir.path())).await;
    for round in 0..40 {
        let ids: Vec<String> = (0..500).map(|n| format!("c.{n}")).collect();
        let items = ids.iter().map(|id| item(id, "x")).collect();
        engine.submit_many(items).await.unwrap();
        for _ in 0..5 {
            assert_eq!(
                engine.count_prefix("c.").await.unwrap(),
                500,
                "round {round}"
            );
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        engine.delete_many(&ids).await.unwrap();
        for _ in 0..5 {
            assert_eq!(engine.count_prefix("c.").await.unwrap(), 0, "round {round}");
        }
    }
    engine.shutdown().await;
}
