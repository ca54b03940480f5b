//! A row that a server refuses for good holds up nobody: it waits, shows, and is tried again.
#![allow(clippy::disallowed_methods)]

mod common;

use std::path::Path;

use common::refusals::{ids, refused_keys};
use common::*;
use sync_engine::{InvalidItem, StorageError, SyncEngineConfig, SyncItem};
use testbed::MariaDb;

const MIB: usize = 1 << 20;

fn on_server(sql: &str, dir: &Path) -> SyncEngineConfig {
    SyncEngineConfig {
        sql_url: Some(sql.into()),
        ..config(dir)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_constraint_of_a_server_refuses_holds_up_nobody() {
    let (server, dir) = (MariaDb::start().unwrap(), tempfile::tempdir().unwrap());
    let sql = server.fresh_database().unwrap();
    let engine = started(on_server(&sql, dir.path())).await;
    let watch = "ALTER TABLE items ADD CONSTRAINT watch CHECK (content <> 's3cret')";
    server.sql(&sql, watch).unwrap();
    let mut items: Vec<SyncItem> = ids("s", 300).iter().map(|id| item(id, "x")).collect();
    items.insert(150, item("bad", "s3cret"));
    engine.submit_many(items).await.unwrap();
    eventually("it shows", async || refused_keys(&engine).await == ["bad"]).await;
    eventually("the others are stored", async || {
        server
            .sql(&sql, "SELECT COUNT(*) FROM items")
            .unwrap()
            .trim()
            == "300"
    })
    .await;
    assert_honest(&engine).await;
    let health = engine.health_check().await;
    assert!(health.refused[0].reason.contains("23000"), "{health:?}");
    assert!(!format!("{health:?}").contains("s3cret"), "{health:?}");
    server
        .sql(&sql, "ALTER TABLE items DROP CONSTRAINT watch")
        .unwrap();
    eventually("all is well", async || {
        engine.health_check().await.is_healthy()
    })
    .await;
    flushed(&engine).await;
    assert_eq!(engine.len().await.unwrap(), 301);
    engine.shutdown().await;
}

/// The server's largest packet bounds what is let in. What was let in before that bound fell waits, and the rest goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_packet_holds_is_refused_at_the_door_or_waits_alone() {
    let (server, dir) = (MariaDb::start().unwrap(), tempfile::tempdir().unwrap());
    let sql = server.fresh_database().unwrap();
    let limit = |bytes: usize| {
        let set = format!("SET GLOBAL max_allowed_packet = {bytes}");
        server.sql(&sql, &set).unwrap();
    };
    limit(16 * MIB);
    let engine = started(unhurried(on_server(&sql, dir.path()))).await;
    engine
        .submit(SyncItem::new("large", vec![7; 5 * MIB]))
        .await
        .unwrap();
    let items = ids("k", 50)
        .into_iter()
        .map(|id| SyncItem::new(id, vec![1; 100_000]));
    engine.submit_many(items.collect()).await.unwrap();
    limit(MIB);
    let too_large = || engine.submit(SyncItem::new("larger", vec![7; 2 * MIB]));
    eventually("the door knows", async || {
        engine.tick().await.unwrap();
        let refused = too_large().await.err();
        matches!(
            refused,
            Some(StorageError::InvalidItem {
                reason: InvalidItem::PayloadTooLarge { .. },
                ..
            })
        )
    })
    .await;
    let error = engine.force_flush().await.unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
    let health = engine.health_check().await;
    let stored = server
        .sql(&sql, "SELECT COUNT(*) FROM items WHERE id LIKE 'k.%'")
        .unwrap();
    assert_eq!(stored.trim(), "50");
    assert!(
        refused_keys(&engine).await.contains(&"large".into()),
        "{health:?}"
    );
    let named = health
        .refused
        .iter()
        .all(|row| row.reason.contains("max_allowed_packet"));
    assert!(named, "{health:?}");
    assert_honest(&engine).await;
    limit(16 * MIB);
    eventually("it is stored", async || {
        engine.tick().await.unwrap();
        engine.force_flush().await.is_ok()
    })
    .await;
    assert!(engine.health_check().await.is_healthy());
    too_large().await.expect("let in again");
    flushed(&engine).await;
    let large = engine.get("large").await.unwrap().unwrap();
    assert_eq!(large.content.len(), 5 * MIB);
    engine.shutdown().await;
}
