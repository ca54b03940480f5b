//! I9: nodes that contradict the rows — somebody changed the table, or restored it alone — are replaced by the sum of the rows.
#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use sync_engine::l3::KeyRange;
use sync_engine::{Relay, SyncEngine, SyncEngineConfig};
use testbed::MariaDb;

/// Enough rows that the root has children.
const ROWS: usize = 6_000;

fn batch(text: &str, count: usize) -> Vec<sync_engine::SyncItem> {
    (0..count)
        .map(|n| item(&format!("wide.{n:05}"), text))
        .collect()
}

async fn filled(config: SyncEngineConfig) -> Arc<SyncEngine> {
    let engine = started(config).await;
    engine.submit_many(batch("first", ROWS)).await.unwrap();
    flushed(&engine).await;
    for _ in 0..3 {
        engine.tick().await.unwrap();
    }
    engine
}

/// Writes over rows and adds some; then the root must be that of an engine which was given the same rows.
async fn assert_well(engine: &SyncEngine, what: &str) {
    engine.submit_many(batch(what, 50)).await.unwrap();
    engine
        .submit(item(&format!("new.{}", what.len()), what))
        .await
        .unwrap();
    assert!(engine.delete("wide.05999").await.is_ok(), "{what}");
    eventually(what, async || engine.force_flush().await.is_ok()).await;
    for _ in 0..3 {
        engine.tick().await.unwrap();
    }
    assert_honest(engine).await;
    let there = tempfile::tempdir().unwrap();
    let other = started(config_without_wal(there.path())).await;
    let rows = engine
        .scan_records(&KeyRange::all(), 2 * ROWS, 1 << 30)
        .await
        .unwrap();
    assert!(rows.len() > ROWS, "{what}: {}", rows.len());
    other.apply(rows, Relay::No).await.unwrap();
    let roots = (
        engine.merkle_aggregate().unwrap(),
        other.merkle_aggregate().unwrap(),
    );
    assert_eq!(roots.0, roots.1, "{what}");
    other.shutdown().await;
}

fn tamper(dir: &Path, sql: &str) {
    let file = rusqlite::Connection::open(dir.join("l3.db")).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(5))
        .unwrap();
    file.execute_batch(sql).unwrap();
}

/// What a changed table may look like, and what it leaves to be found.
const TAMPERINGS: [&str; 7] = [
    "DELETE FROM merkle",
    "DELETE FROM merkle WHERE prefix = x''",
    "DELETE FROM merkle WHERE prefix <> x''",
    "UPDATE merkle SET sum = x'00'",
    "UPDATE merkle SET count = 3 WHERE prefix = x''",
    "UPDATE merkle SET prefix = CAST('wide.0000' AS BLOB) WHERE prefix <> x'' AND prefix = (SELECT max(prefix) FROM merkle)",
    "DELETE FROM merkle; INSERT INTO merkle VALUES (x'', 5000, zeroblob(32), 0)",
];

#[tokio::test(flavor = "multi_thread")]
async fn i9_nodes_changed_under_a_stopped_engine_are_rebuilt() {
    for sql in TAMPERINGS {
        let dir = tempfile::tempdir().unwrap();
        let config = config_without_wal(dir.path());
        filled(config.clone()).await.shutdown().await;
        tamper(dir.path(), sql);
        let engine = try_start(config.clone()).await;
        let engine = engine.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_well(&engine, sql).await;
        engine.shutdown().await;
        let engine = started(config).await;
        assert_honest(&engine).await;
        engine.shutdown().await;
    }
}

/// Whoever restores the table may restore the tree's number with it; with another number the engine reads the table again.
#[tokio::test(flavor = "multi_thread")]
async fn i9_nodes_changed_under_a_running_engine_are_rebuilt() {
    for sql in TAMPERINGS {
        let dir = tempfile::tempdir().unwrap();
        let config = config_without_wal(dir.path());
        let engine = filled(config.clone()).await;
        let renumbered = "UPDATE meta SET value = x'00000000000f4240' WHERE name = 'tree_seq'";
        tamper(dir.path(), &format!("BEGIN; {sql}; {renumbered}; COMMIT"));
        assert_well(&engine, sql).await;
        engine.shutdown().await;
        let engine = started(config).await;
        assert_honest(&engine).await;
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_engines_on_one_server_agree_on_a_rebuilt_tree() {
    let server = MariaDb::start().unwrap();
    let sql = server.fresh_database().unwrap();
    let config = SyncEngineConfig {
        sql_url: Some(sql.as_str().into()),
        batch_flush_ms: 10,
        ..Default::default()
    };
    let engine = filled(config.clone()).await;
    let other = started(config).await;
    let renumber = "UPDATE meta SET value = UNHEX('00000000000f4240') WHERE name = 'tree_seq'";
    server
        .sql(&sql, &format!("DELETE FROM merkle; {renumber}"))
        .unwrap();
    assert_well(&engine, "one").await;
    assert_well(&other, "another").await;
    engine.tick().await.unwrap();
    assert_eq!(
        engine.merkle_aggregate().unwrap(),
        other.merkle_aggregate().unwrap()
    );
    engine.shutdown().await;
    other.shutdown().await;
}
