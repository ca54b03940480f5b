//! An engine on private files, for the tests of promises.
#![allow(dead_code, clippy::disallowed_methods)]

use std::path::Path;
use std::sync::Arc;

use sync_engine::{SyncEngine, SyncEngineConfig, SyncItem};
use tokio::sync::watch;

/// Settings on a directory: SQLite archive, and a write-ahead log.
pub fn config(dir: &Path) -> SyncEngineConfig {
    SyncEngineConfig {
        sql_url: Some(format!("sqlite:{}", dir.join("l3.db").display()).into()),
        wal_path: Some(dir.join("wal.db")),
        node_id: Some("test-node".into()),
        batch_flush_ms: 10,
        ..Default::default()
    }
}

/// The same without a log.
pub fn config_without_wal(dir: &Path) -> SyncEngineConfig {
    SyncEngineConfig {
        wal_path: None,
        ..config(dir)
    }
}

/// A running engine.
pub async fn started(config: SyncEngineConfig) -> Arc<SyncEngine> {
    let (_, settings) = watch::channel(config.clone());
    let engine = SyncEngine::new(config, settings);
    engine.start().await.expect("the engine starts");
    Arc::new(engine)
}

/// An item with a text.
pub fn item(id: &str, text: &str) -> SyncItem {
    SyncItem::new(id, text.as_bytes().to_vec())
}

/// What a reader finds.
pub async fn text(engine: &SyncEngine, id: &str) -> Option<String> {
    let item = engine.get(id).await.expect("readable");
    item.map(|item| String::from_utf8(item.content.to_vec()).expect("text"))
}

/// Waits until nothing is unflushed.
pub async fn flushed(engine: &SyncEngine) {
    engine
        .force_flush()
        .await
        .expect("everything can be stored");
}
