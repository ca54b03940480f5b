//! Two nodes, each with an SQLite archive and a Redis of its own.

use std::sync::Arc;

use replication_engine::{PeerConfig, ReplicationConfig, ReplicationEngine};
use sync_engine::{SyncEngine, SyncEngineConfig, SyncItem};
use tempfile::TempDir;
use testbed::{FaultyProxy, RedisServer};
use tokio::sync::watch;

use super::eventually;

/// A node with servers of its own.
pub struct Node {
    pub redis: RedisServer,
    pub proxy: FaultyProxy,
    pub engine: Arc<SyncEngine>,
    pub config: ReplicationConfig,
    pub replication: ReplicationEngine,
    pub configs: watch::Sender<ReplicationConfig>,
    _dir: TempDir,
}

/// Two nodes that reach each other's Redis through proxies; `prefix` is the second one's `redis_prefix`. `change` sees the
/// settings of each before it starts.
pub async fn pair(
    prefix: Option<&str>,
    change: fn(&mut SyncEngineConfig, &mut ReplicationConfig),
) -> [Node; 2] {
    let servers = [RedisServer::start().unwrap(), RedisServer::start().unwrap()];
    let proxies = servers
        .each_ref()
        .map(|server| FaultyProxy::start(server.addr()).unwrap());
    let urls: Vec<String> = (0..2)
        .map(|at| proxies[at].url(&servers[at].url()))
        .collect();
    let prefixes = [None, prefix];
    let mut nodes = Vec::new();
    for (at, (redis, proxy)) in servers.into_iter().zip(proxies).enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let mut settings = SyncEngineConfig {
            node_id: Some(format!("node-{at}")),
            redis_url: Some(redis.url().into()),
            redis_prefix: prefixes[at].map(Into::into),
            sql_url: Some(format!("sqlite:{}", file("archive.db").display()).into()),
            enable_cdc_stream: true,
            batch_flush_ms: 20,
            ..SyncEngineConfig::default()
        };
        let mut peer = PeerConfig::for_testing(format!("node-{}", 1 - at), urls[1 - at].clone());
        peer.redis_prefix = prefixes[1 - at].map(Into::into);
        let mut config = ReplicationConfig {
            local_node_id: format!("node-{at}"),
            peers: vec![peer],
            ..ReplicationConfig::default()
        };
        config.cursor.sqlite_path = file("cursors.db");
        config.settings.cold_path.interval_sec = 1;
        config.settings.cold_path.backoff_base_sec = 1;
        change(&mut settings, &mut config);
        let (_, receiver) = watch::channel(settings.clone());
        let engine = Arc::new(SyncEngine::new(settings, receiver));
        engine.start().await.unwrap();
        let (configs, receiver) = watch::channel(config.clone());
        let replication =
            ReplicationEngine::with_sync_engine(config.clone(), receiver, engine.clone());
        nodes.push(Node {
            redis,
            proxy,
            engine,
            config,
            replication,
            configs,
            _dir: dir,
        });
    }
    nodes.try_into().ok().unwrap()
}

pub async fn converge(nodes: &[Node; 2], rows: u64, seconds: u64) {
    eventually("equal roots", seconds, async || {
        let mut aggregates = Vec::new();
        for node in nodes {
            node.engine.force_flush().await.ok();
            aggregates.push(node.engine.merkle_aggregate().unwrap());
        }
        aggregates[0] == aggregates[1] && aggregates[0].count == rows
    })
    .await;
}

pub async fn put(node: &Node, key: &str, value: impl Into<Vec<u8>>) {
    node.engine
        .submit(SyncItem::new(key, value.into()))
        .await
        .unwrap();
}

pub async fn get(node: &Node, key: &str) -> Option<Vec<u8>> {
    let item = node.engine.get_verified(key).await.unwrap()?;
    Some(item.content.to_vec())
}
