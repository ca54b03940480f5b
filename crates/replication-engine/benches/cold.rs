//! What a comparison of two nodes costs: SQLite on both sides, questions and answers in one process.
//!
//! `cargo bench -p replication-engine --bench cold [rows]`
#![allow(clippy::disallowed_methods)] // A bench reads the clock itself.

#[path = "../tests/common/counted.rs"]
mod counted;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use counted::Counted;
use replication_engine::peer::memory::{MemoryMesh, MemoryPort};
use replication_engine::repair::cycle::Outcome;
use replication_engine::tail::MemoryCursors;
use replication_engine::{PeerConfig, ReplicationConfig, ReplicationEngine};
use sync_engine::cdc::memory::MemoryLog;
use sync_engine::env::{RealEnv, SharedEnv};
use sync_engine::{SyncEngine, SyncEngineConfig, SyncItem};
use tokio::sync::watch;

type KeyOf = fn(usize) -> String;

fn flat(n: usize) -> String {
    format!("{:08x}", n.wrapping_mul(0x9e37_79b1) as u32)
}

fn deep(n: usize) -> String {
    format!("uk.nhs.{:02}.{:03}.patient.{n:07}", n % 40, n / 40 % 250)
}

fn main() {
    let rows = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "{rows} keys on two nodes; `bytes` are those beside the records, `rounds` are questions that wait for one another"
    );
    for (shape, key) in [("flat", flat as KeyOf), ("deep", deep)] {
        runtime.block_on(run(shape, rows, key));
    }
}

async fn run(shape: &str, rows: usize, key: KeyOf) {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (directory.path().join("a.db"), directory.path().join("b.db"));
    let filled = engine("a", &theirs).await;
    let begun = Instant::now();
    for from in (0..rows).step_by(5_000) {
        put(&filled, (from..rows.min(from + 5_000)).map(key), "first").await;
    }
    filled.shutdown().await;
    println!("{shape}: filled in {:.1} s", begun.elapsed().as_secs_f64());
    std::fs::copy(&theirs, &ours).unwrap();
    let pair = Pair::new(engine("b", &ours).await, engine("a", &theirs).await).await;
    pair.ours.verify_filter().await.unwrap();
    // Without sketches, which are made when they are first asked for.
    for count in [1, 1_000] {
        pair.change(rows, count, key).await;
        pair.compare(&format!("{shape}, by the tree,"), count).await;
    }
    pair.await_sketches().await;
    pair.compare(shape, 0).await;
    for count in [1, 10, 100, 1_000, 10_000] {
        pair.change(rows, count, key).await;
        pair.compare(shape, count).await;
    }
}

async fn put(engine: &SyncEngine, keys: impl Iterator<Item = String>, value: &str) {
    let items = keys.map(|key| SyncItem::new(key, value.as_bytes().to_vec()));
    let put = engine.submit_many(items.collect()).await.unwrap();
    assert_eq!(put.failed, 0, "{:?}", put.errors.first());
    engine.force_flush().await.unwrap();
}

async fn engine(id: &str, path: &Path) -> Arc<SyncEngine> {
    let settings = SyncEngineConfig {
        node_id: Some(id.into()),
        sql_url: Some(format!("sqlite:{}", path.display()).into()),
        ..SyncEngineConfig::default()
    };
    let (_, receiver) = watch::channel(settings.clone());
    let engine = SyncEngine::new(settings, receiver);
    engine.start().await.unwrap();
    Arc::new(engine)
}

/// A node that compares, and one that answers.
struct Pair {
    ours: Arc<SyncEngine>,
    theirs: Arc<SyncEngine>,
    remote: Counted,
    _answering: ReplicationEngine,
}

impl Pair {
    async fn new(ours: Arc<SyncEngine>, theirs: Arc<SyncEngine>) -> Self {
        let env: SharedEnv = Arc::new(RealEnv::default());
        let mesh = MemoryMesh::default();
        let log = Arc::new(MemoryLog::new(10, 1 << 20, env.clone()));
        let port = MemoryPort::new(log, env);
        mesh.add("redis://a", port.clone());
        let config = ReplicationConfig {
            local_node_id: "a".into(),
            ..ReplicationConfig::default()
        };
        let (_, receiver) = watch::channel(config.clone());
        let answering = ReplicationEngine::builder(config, receiver)
            .with_store(theirs.clone())
            .with_dialler(mesh.dialler("a"))
            .with_mailbox(port)
            .with_cursors(Arc::new(MemoryCursors::default()))
            .build();
        answering.start().await.unwrap();
        let peer = PeerConfig::for_testing("a", "redis://a");
        Self {
            ours,
            theirs,
            remote: Counted::new(mesh.dialler("b").remote(&peer).unwrap()),
            _answering: answering,
        }
    }

    /// Writes so many keys anew on their side, scattered over all of them.
    async fn change(&self, rows: usize, count: usize, key: KeyOf) {
        let step = rows / count;
        let within = |n: usize| (n.wrapping_mul(0x9e37_79b1) >> 8) % step;
        let keys = (0..count).map(|n| key(n * step + within(n)));
        put(&self.theirs, keys, &format!("changed {count}")).await;
    }

    async fn await_sketches(&self) {
        let begun = Instant::now();
        let has_none = |engine: &SyncEngine| engine.merkle_sketch().unwrap().is_none();
        while has_none(&self.ours) || has_none(&self.theirs) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        println!("sketches made in {:.1} s", begun.elapsed().as_secs_f64());
    }

    async fn compare(&self, shape: &str, differences: usize) {
        let (outcome, cost) = self.remote.compare(&*self.ours, 1_000_000).await;
        let found = match outcome {
            Outcome::Compared { behind, .. } => behind,
            _ => 0,
        };
        assert_eq!(found, differences, "{outcome}");
        assert_eq!(
            self.ours.merkle_root().unwrap(),
            self.theirs.merkle_root().unwrap()
        );
        println!(
            "{shape} {differences:>6} differences: {:>8} bytes = {:>5} each, {:>3} questions in {:>3} rounds, {:>8} bytes of records, {:>6.2} s",
            cost.bytes,
            cost.bytes / differences.max(1),
            cost.questions,
            cost.rounds,
            cost.items,
            cost.seconds,
        );
    }
}
