//! Nodes of a mesh in one process: real engines, streams in memory.
#![allow(dead_code, clippy::disallowed_methods)] // each test file uses its part; tests live in real time

pub mod clock;
pub mod counted;
pub mod faults;
pub mod gauges;
pub mod liar;
pub mod pair;
pub mod watched;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use replication_engine::peer::Dialler;
use replication_engine::peer::memory::{MemoryMesh, MemoryPort};
use replication_engine::tail::{CursorStore, MemoryCursors};
use replication_engine::{PeerConfig, ReplicationConfig, ReplicationEngine};
use sync_engine::cdc::memory::MemoryLog;
use sync_engine::env::{RealEnv, SharedEnv};
use sync_engine::item::Stored;
use sync_engine::l3::KeyRange;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{SyncEngine, SyncEngineConfig, SyncItem};
use tokio::sync::watch;

/// A node: an engine on an archive in memory, and its door.
pub struct Node {
    pub id: String,
    pub engine: Arc<SyncEngine>,
    pub archive: Arc<MemoryArchive>,
    pub log: Arc<MemoryLog>,
    pub port: Arc<MemoryPort>,
    pub cursors: Arc<MemoryCursors>,
    pub mesh: MemoryMesh,
    pub config: ReplicationConfig,
    pub configs: watch::Sender<ReplicationConfig>,
    pub replication: Option<ReplicationEngine>,
}

pub fn url(id: &str) -> String {
    format!("redis://{id}")
}

impl Node {
    /// A node whose engine runs, and whose replication does not yet. Its stream keeps `stream_max` entries.
    pub async fn start(mesh: &MemoryMesh, id: &str, peers: &[&str], stream_max: usize) -> Self {
        Self::start_with(mesh, id, peers, stream_max, Arc::new(RealEnv::default())).await
    }

    pub async fn start_with(
        mesh: &MemoryMesh,
        id: &str,
        peers: &[&str],
        stream_max: usize,
        env: SharedEnv,
    ) -> Self {
        let archive = Arc::new(MemoryArchive::new());
        let log = Arc::new(MemoryLog::new(stream_max, 64 << 20, env.clone()));
        let settings = SyncEngineConfig {
            node_id: Some(id.into()),
            batch_flush_ms: 10,
            ..SyncEngineConfig::default()
        };
        let (_, receiver) = watch::channel(settings.clone());
        let engine = SyncEngine::builder(settings, receiver)
            .with_env(env.clone())
            .with_archive(archive.clone())
            .with_changes(log.clone())
            .build();
        engine.start().await.unwrap();
        let port = MemoryPort::new(log.clone(), env);
        mesh.add(&url(id), port.clone());
        let mut config = ReplicationConfig {
            local_node_id: id.into(),
            peers: peers
                .iter()
                .map(|peer| PeerConfig::for_testing(*peer, url(peer)))
                .collect(),
            ..ReplicationConfig::default()
        };
        config.settings.cold_path.interval_sec = 1;
        config.settings.cold_path.backoff_base_sec = 1;
        config.settings.hot_path.block_timeout = Duration::from_millis(500);
        Self {
            id: id.into(),
            engine: Arc::new(engine),
            archive,
            log,
            port,
            cursors: Arc::default(),
            mesh: mesh.clone(),
            configs: watch::Sender::new(config.clone()),
            config,
            replication: None,
        }
    }

    pub async fn replicate(&mut self) {
        let dialler = self.mesh.dialler(&self.id);
        self.replicate_over(dialler).await;
    }

    pub async fn replicate_over(&mut self, dialler: Arc<dyn Dialler>) {
        self.replicate_with(dialler, self.cursors.clone()).await;
    }

    pub async fn replicate_with(
        &mut self,
        dialler: Arc<dyn Dialler>,
        cursors: Arc<dyn CursorStore>,
    ) {
        self.configs.send_replace(self.config.clone());
        let receiver = self.configs.subscribe();
        let replication = ReplicationEngine::builder(self.config.clone(), receiver)
            .with_store(self.engine.clone())
            .with_dialler(dialler)
            .with_mailbox(self.port.clone())
            .with_cursors(cursors)
            .build();
        replication.start().await.unwrap();
        self.replication = Some(replication);
    }

    /// Changes the settings of replication while it runs.
    pub fn reload(&mut self, change: impl FnOnce(&mut ReplicationConfig)) {
        change(&mut self.config);
        self.configs.send_replace(self.config.clone());
    }

    pub fn replication(&self) -> &ReplicationEngine {
        self.replication.as_ref().unwrap()
    }

    pub async fn put(&self, key: &str, value: &str) {
        let item = SyncItem::new(key, value.as_bytes().to_vec());
        self.engine.submit(item).await.unwrap();
    }

    pub async fn get(&self, key: &str) -> Option<String> {
        let item = self.engine.get(key).await.unwrap()?;
        Some(String::from_utf8_lossy(&item.content).into_owned())
    }

    /// Everything the archive holds, tombstones included.
    pub async fn all(&self) -> BTreeMap<String, Stored> {
        self.engine.force_flush().await.unwrap();
        let mut all = BTreeMap::new();
        let mut range = KeyRange::all();
        loop {
            let page = self
                .engine
                .scan_records(&range, 1000, 8 << 20)
                .await
                .unwrap();
            let Some(last) = page.last() else {
                return all;
            };
            range = range.after(last.key().as_bytes());
            all.extend(
                page.into_iter()
                    .map(|stored| (stored.key().to_string(), stored)),
            );
        }
    }

    pub async fn stop(self) {
        if let Some(replication) = &self.replication {
            replication.shutdown().await;
        }
        self.engine.shutdown().await;
    }
}

/// Nodes of these ids, each with all the others as its peers; none replicates yet.
pub async fn mesh(ids: &[&str], stream_max: usize) -> Vec<Node> {
    let mesh = MemoryMesh::default();
    let mut nodes = Vec::new();
    for id in ids {
        let peers: Vec<&str> = ids.iter().copied().filter(|peer| peer != id).collect();
        nodes.push(Node::start(&mesh, id, &peers, stream_max).await);
    }
    nodes
}

/// The nodes `a` and `b`, where only what is missed asks for the cold path. Both hold `key`, which was put at `a`.
pub async fn following(key: &str) -> Vec<Node> {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for node in &mut nodes {
        node.config.settings.cold_path.interval_sec = 3600;
        node.replicate().await;
    }
    nodes[0].put(key, "v").await;
    converge(&[&nodes[0], &nodes[1]], 60).await;
    at_rest(&nodes[1]).await;
    nodes
}

/// Waits until `done` says so.
pub async fn eventually(what: &str, seconds: u64, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(
            begun.elapsed() < Duration::from_secs(seconds),
            "not within {seconds} s: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the comparisons that the start of a node calls for are over, where none is due for long.
pub async fn at_rest(node: &Node) {
    let mut cycles = 0;
    eventually("no comparison for a second", 60, async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = std::mem::replace(&mut cycles, node.replication().peers()[0].cold_cycles);
        cycles > 0 && cycles == before
    })
    .await;
}

/// Waits until all nodes hold the same, then checks that it is the same down to the content.
pub async fn converge(nodes: &[&Node], seconds: u64) -> BTreeMap<String, Stored> {
    eventually("equal roots", seconds, async || {
        let mut roots = Vec::new();
        for node in nodes {
            node.engine.force_flush().await.unwrap();
            roots.push(node.engine.merkle_root().unwrap());
        }
        roots.windows(2).all(|pair| pair[0] == pair[1])
    })
    .await;
    let first = nodes[0].all().await;
    for node in &nodes[1..] {
        assert_eq!(
            node.all().await.keys().collect::<Vec<_>>(),
            first.keys().collect::<Vec<_>>()
        );
        for (key, stored) in node.all().await {
            assert_eq!(stored.leaf(), first[&key].leaf(), "{key}");
            let content = |stored: &Stored| stored.item().map(|item| item.content.clone());
            assert_eq!(content(&stored), content(&first[&key]), "{key}");
        }
    }
    first
}
