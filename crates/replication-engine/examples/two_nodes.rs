//! Two nodes in one process, each with an SQLite file and a Redis of its own, kept equal.
//!
//! ```sh
//! redis-server --port 6379 & redis-server --port 6380 &
//! cargo run -p replication-engine --example two_nodes -- redis://localhost:6379 redis://localhost:6380
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use replication_engine::{PeerConfig, ReplicationConfig, ReplicationEngine};
use sync_engine::{SyncEngine, SyncEngineConfig, SyncItem};
use tokio::sync::watch;

const IDS: [&str; 2] = ["uk.node.london-1", "uk.node.manchester-1"];

struct Node {
    engine: Arc<SyncEngine>,
    replication: ReplicationEngine,
}

async fn start(at: usize, urls: &[String; 2], dir: &Path) -> Result<Node, Box<dyn Error>> {
    let config = SyncEngineConfig {
        node_id: Some(IDS[at].into()),
        redis_url: Some(urls[at].clone().into()),
        sql_url: Some(format!("sqlite:{}/{}.db", dir.display(), IDS[at]).into()),
        enable_cdc_stream: true,
        ..Default::default()
    };
    let (_tx, rx) = watch::channel(config.clone());
    let engine = Arc::new(SyncEngine::new(config, rx));
    engine.start().await?;

    let mut config = ReplicationConfig {
        local_node_id: IDS[at].into(),
        peers: vec![PeerConfig::for_testing(IDS[1 - at], urls[1 - at].clone())],
        ..Default::default()
    };
    config.cursor.sqlite_path = dir.join(format!("{}.cursors.db", IDS[at]));
    let (_tx, rx) = watch::channel(config.clone());
    let replication = ReplicationEngine::with_sync_engine(config, rx, engine.clone());
    replication.start().await?;
    Ok(Node {
        engine,
        replication,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    let urls: [String; 2] = urls.try_into().map_err(|_| "usage: two_nodes URL URL")?;
    let dir = std::env::temp_dir().join("redsqrl-two-nodes");
    std::fs::create_dir_all(&dir)?;
    let [london, manchester] = [start(0, &urls, &dir).await?, start(1, &urls, &dir).await?];

    let item = SyncItem::new("uk.nhs.patient.12345", &br#"{"name": "John Doe"}"#[..]);
    london.engine.submit(item).await?;
    london.engine.force_flush().await?;
    let env = london.engine.env();
    let mut found = None;
    while found.is_none() {
        env.sleep(std::time::Duration::from_millis(10)).await;
        found = manchester.engine.get("uk.nhs.patient.12345").await?;
    }
    println!(
        "in Manchester: {:?}",
        found.and_then(|item| item.content_as_json())
    );
    for node in [london, manchester] {
        println!("{:#?}", node.replication.peers());
        node.replication.shutdown().await;
        node.engine.shutdown().await;
    }
    Ok(())
}
