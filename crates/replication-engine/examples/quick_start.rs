//! Two nodes in one process, each with an SQLite file and a private Redis, kept equal.
//!
//! `cargo run -p replication-engine --example quick_start`

use std::sync::Arc;
use std::time::Duration;

use replication_engine::{PeerConfig, ReplicationConfig, ReplicationEngine};
use sync_engine::{SyncEngine, SyncEngineConfig, SyncItem};
use testbed::RedisServer;
use tokio::sync::watch;

type Failure = Box<dyn std::error::Error>;

/// One node's store, on its own Redis and its own file.
async fn store(node_id: &str, redis: &RedisServer) -> Result<Arc<SyncEngine>, Failure> {
    let config = SyncEngineConfig {
        node_id: Some(node_id.into()),
        redis_url: Some(redis.url().into()),
        sql_url: Some(format!("sqlite:{node_id}.db").into()),
        enable_cdc_stream: true,
        ..Default::default()
    };
    let (_tx, rx) = watch::channel(config.clone());
    let engine = SyncEngine::new(config, rx);
    engine.start().await?;
    Ok(Arc::new(engine))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    std::env::set_current_dir(dir.path())?;
    let (london, manchester) = (RedisServer::start()?, RedisServer::start()?);
    let sync_engine = store("uk.node.london-1", &london).await?;
    let other_store = store("uk.node.manchester-1", &manchester).await?;

    let config = ReplicationConfig {
        local_node_id: "uk.node.london-1".into(),
        peers: vec![PeerConfig::for_testing(
            "uk.node.manchester-1",
            manchester.url(),
        )],
        ..Default::default()
    };
    let (_tx, rx) = watch::channel(config.clone());
    let engine = ReplicationEngine::with_sync_engine(config, rx, sync_engine.clone());
    engine.start().await?;

    let mut config = ReplicationConfig {
        local_node_id: "uk.node.manchester-1".into(),
        peers: vec![PeerConfig::for_testing("uk.node.london-1", london.url())],
        ..Default::default()
    };
    config.cursor.sqlite_path = "manchester_cursors.db".into();
    let (_tx, rx) = watch::channel(config.clone());
    let other = ReplicationEngine::with_sync_engine(config, rx, other_store.clone());
    other.start().await?;

    let id = "uk.nhs.patient.12345";
    sync_engine
        .submit(SyncItem::from_json(
            id.into(),
            serde_json::json!({"name": "John Doe"}),
        ))
        .await?;
    for _ in 0..500 {
        if let Some(item) = other_store.get(id).await? {
            println!("in Manchester: {:?}", item.content_as_json());
            engine.shutdown().await;
            other.shutdown().await;
            sync_engine.shutdown().await;
            other_store.shutdown().await;
            return Ok(());
        }
        sync_engine.env().sleep(Duration::from_millis(20)).await;
    }
    Err("the item did not arrive within 10 s".into())
}
