//! An archive that is away at the start, and one that two engines share.
#![allow(clippy::disallowed_methods)]

mod common;
use common::*;
use std::sync::Arc;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{Relay, SyncEngineConfig};
use testbed::MariaDb;

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_write_accepted_without_the_archive_beats_the_rows_that_it_did_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        sql_url: None,
        ..config(dir.path())
    };
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config.clone(), archive.clone()).await;
    let now = engine.env().now_ms();
    let theirs = stamped(item("k", "peers"), stamp(now + 4_900, 0, "peer"));
    let applied = engine.apply(vec![theirs], Relay::No).await.unwrap();
    assert_eq!(applied.taken, 1);
    engine.shutdown().await;
    archive.set_down(true);
    let archive = Arc::new(archive.restarted());
    let engine = started_on(config, archive.clone()).await;
    engine.submit(item("k", "mine, later")).await.unwrap();
    archive.set_down(false);
    flush_the_archive(&engine).await;
    assert_eq!(text(&engine, "k").await.as_deref(), Some("mine, later"));
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_i9_two_engines_on_one_database_see_each_other_s_writes() {
    let db = MariaDb::start().unwrap();
    let sql = db.fresh_database().unwrap();
    let cfg = |n: &str| SyncEngineConfig {
        sql_url: Some(sql.clone().into()),
        node_id: Some(n.into()),
        batch_flush_ms: 10,
        ..Default::default()
    };
    let (a, b) = (started(cfg("a")).await, started(cfg("b")).await);
    a.submit(item("k", "old")).await.unwrap();
    flushed(&a).await;
    b.submit(item("k", "new")).await.unwrap();
    flushed(&b).await;
    eventually("the first sees what the second has written", async || {
        text(&a, "k").await.as_deref() == Some("new")
            && a.merkle_root().unwrap() == b.merkle_root().unwrap()
    })
    .await;
    assert!(a.verify_filter().await.unwrap().root_is_honest);
    a.shutdown().await;
    b.shutdown().await;
}
