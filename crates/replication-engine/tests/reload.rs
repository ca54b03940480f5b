//! Peers come, go and move while the engine runs.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::gauges::Gauges;
use common::watched::watched;
use common::{Node, converge, eventually, url};
use replication_engine::peer::memory::MemoryMesh;
use replication_engine::peer::{Dialler, Remote};
use replication_engine::tail::cursors::CursorError;
use replication_engine::tail::{Cursor, CursorStore, MemoryCursors};
use replication_engine::{ConfigError, PeerConfig};
use sync_engine::cdc::memory::MemoryLog;
use tokio::sync::Semaphore;

/// Two nodes; the second follows the first, by its stream alone.
async fn pair() -> (MemoryMesh, Node, Node) {
    let mesh = MemoryMesh::default();
    let a = Node::start(&mesh, "a", &[], 1000).await;
    let mut b = Node::start(&mesh, "b", &["a"], 1000).await;
    b.config.settings.cold_path.enabled = false;
    (mesh, a, b)
}

async fn put(node: &Node, keys: std::ops::Range<u32>) {
    for n in keys {
        node.put(&format!("k.{n}"), "v").await;
    }
    node.engine.force_flush().await.unwrap();
}

async fn published(log: &MemoryLog, entries: u64) {
    eventually("published", 60, async || log.entries_added() == entries).await;
}

async fn connected(node: &Node, url: &str) {
    eventually("connected", 60, async || {
        let peers = node.replication().peers();
        peers.len() == 1 && peers[0].url == url && peers[0].is_connected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_added_is_followed_and_compared_with() {
    let mesh = MemoryMesh::default();
    let mut a = Node::start(&mesh, "a", &[], 5).await;
    let mut b = Node::start(&mesh, "b", &[], 5).await;
    put(&a, 0..50).await;
    a.replicate().await;
    b.replicate().await;
    assert!(b.replication().peers().is_empty());
    let peer = PeerConfig::for_testing("a", url("a"));
    b.reload(|config| config.peers.push(peer));
    converge(&[&a, &b], 60).await;
    put(&a, 50..60).await;
    eventually("the stream", 60, async || b.get("k.59").await.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_removed_is_left_alone() {
    let gauges = Gauges::install();
    let mesh = MemoryMesh::default();
    let mut gone = Node::start(&mesh, "gone", &[], 100).await;
    let mut b = Node::start(&mesh, "b", &["gone"], 100).await;
    gone.replicate().await;
    let asked = Arc::new(AtomicU64::new(0));
    let heard = asked.clone();
    b.config.settings.cold_path.interval_sec = 1;
    b.replicate_over(watched(mesh.dialler("b"), move |_| {
        heard.fetch_add(1, Ordering::SeqCst);
    }))
    .await;
    put(&gone, 0..10).await;
    converge(&[&gone, &b], 60).await;
    let connected = || gauges.value("replication_peer_connected", "gone");
    eventually("shown", 60, async || connected() == Some(1.0)).await;
    let keeps = b.cursors.clone();
    b.reload(|config| config.peers.clear());
    eventually("not shown", 60, async || connected() == Some(0.0)).await;
    assert!(b.replication().peers().is_empty());
    assert!(b.replication().rejected("gone").is_err());
    assert!(b.replication().health_check().is_healthy());
    let (cursor, asked_before) = (
        keeps.cursor("gone").await.unwrap(),
        asked.load(Ordering::SeqCst),
    );
    put(&gone, 10..20).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(asked.load(Ordering::SeqCst), asked_before);
    assert_eq!(keeps.cursor("gone").await.unwrap(), cursor);
    assert_eq!(b.all().await.len(), 10);
    // Back again, it is followed from where it was.
    b.reload(|config| {
        config
            .peers
            .push(PeerConfig::for_testing("gone", url("gone")))
    });
    converge(&[&gone, &b], 60).await;
    assert_eq!(connected(), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_reached_another_way_is_followed_from_where_it_was() {
    let (mesh, a, mut b) = pair().await;
    b.replicate().await;
    connected(&b, &url("a")).await;
    put(&a, 0..10).await;
    converge(&[&a, &b], 60).await;
    b.reload(|config| config.peers[0].redis_url = url("nowhere").into());
    eventually("moved", 60, async || {
        b.replication().peers()[0].url == url("nowhere")
    })
    .await;
    put(&a, 10..30).await;
    published(&a.log, 30).await;
    mesh.add(&url("a.elsewhere"), a.port.clone());
    b.reload(|config| config.peers[0].redis_url = url("a.elsewhere").into());
    // The cold path is off: only the kept cursor can bring them.
    converge(&[&a, &b], 60).await;
    eventually("counted", 60, async || {
        b.replication().peers()[0].events_applied == 20
    })
    .await;
}

/// Another stream under the same node id: that of `a` after it has lost its first one.
async fn second_stream(mesh: &MemoryMesh) -> Node {
    let other = Node::start(mesh, "a2", &[], 1000).await;
    put(&other, 100..120).await;
    published(&other.log, 20).await;
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_another_stream_is_followed_from_its_end() {
    let (mesh, a, mut b) = pair().await;
    b.replicate().await;
    connected(&b, &url("a")).await;
    put(&a, 0..10).await;
    converge(&[&a, &b], 60).await;
    let other = second_stream(&mesh).await;
    b.reload(|config| config.peers[0].redis_url = url("a2").into());
    connected(&b, &url("a2")).await;
    eventually("its end", 60, async || {
        b.replication().peers()[0].cursor == other.log.last_id()
    })
    .await;
    put(&other, 120..125).await;
    eventually("what comes after", 60, async || {
        b.get("k.124").await.is_some()
    })
    .await;
    // What was before is the affair of the cold path, which is off here.
    assert_eq!(b.all().await.len(), 10 + 5);
    eventually("its cursor", 60, async || {
        let cursor = b.cursors.cursor("a").await.unwrap().unwrap();
        cursor.epochs == [(other.log.epoch(), 25)]
    })
    .await;
}

/// Keeps cursors when it is let.
struct SlowCursors {
    inner: MemoryCursors,
    may_save: Semaphore,
    saving: AtomicU64,
}

#[async_trait]
impl CursorStore for SlowCursors {
    async fn cursor(&self, peer: &str) -> Result<Option<Cursor>, CursorError> {
        self.inner.cursor(peer).await
    }

    async fn save_cursor(&self, peer: &str, cursor: &Cursor) -> Result<(), CursorError> {
        self.saving.fetch_add(1, Ordering::SeqCst);
        let _permit = self.may_save.acquire().await;
        self.inner.save_cursor(peer, cursor).await
    }

    async fn fill(&self, peer: &str) -> Result<Option<Vec<u8>>, CursorError> {
        self.inner.fill(peer).await
    }

    async fn save_fill(&self, peer: &str, after: Option<&[u8]>) -> Result<(), CursorError> {
        self.inner.save_fill(peer, after).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_peer_that_moves_is_not_followed_before_its_last_batch_is_settled() {
    let (mesh, a, mut b) = pair().await;
    let cursors = Arc::new(SlowCursors {
        inner: MemoryCursors::default(),
        may_save: Semaphore::new(1),
        saving: AtomicU64::new(0),
    });
    b.replicate_with(mesh.dialler("b"), cursors.clone()).await;
    connected(&b, &url("a")).await;
    eventually("a cursor", 60, async || {
        cursors.cursor("a").await.unwrap().is_some()
    })
    .await;
    cursors.may_save.forget_permits(1);
    let saved = cursors.saving.load(Ordering::SeqCst);
    put(&a, 0..10).await;
    eventually("a batch in flight", 60, async || {
        cursors.saving.load(Ordering::SeqCst) > saved
    })
    .await;
    let other = second_stream(&mesh).await;
    // Twice at once, so that one of them never begins.
    b.reload(|config| config.peers[0].priority = 7);
    b.reload(|config| config.peers[0].redis_url = url("a2").into());
    eventually("moved", 60, async || {
        b.replication().peers()[0].url == url("a2")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!b.replication().peers()[0].is_connected);
    cursors.may_save.add_permits(1);
    connected(&b, &url("a2")).await;
    eventually("the new stream's cursor", 60, async || {
        let cursor = cursors.cursor("a").await.unwrap().unwrap();
        cursor.at == other.log.last_id() && cursor.stream.contains("a2")
    })
    .await;
}

/// Cannot dial one kind of URL, which the settings do not forbid.
struct Picky(Arc<dyn Dialler>);

impl Dialler for Picky {
    fn remote(&self, peer: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError> {
        if peer.redis_url.to_string().contains("odd") {
            return Err(ConfigError {
                field: "redis_url".into(),
                found: "odd".into(),
                expected: "another".into(),
            });
        }
        self.0.remote(peer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_change_nothing() {
    let (mesh, a, mut b) = pair().await;
    b.replicate_over(Arc::new(Picky(mesh.dialler("b")))).await;
    connected(&b, &url("a")).await;
    let odd = PeerConfig::for_testing("c", url("odd"));
    b.reload(|config| {
        config.peers[0].redis_url = url("nowhere").into();
        config.peers.insert(0, odd);
    });
    b.reload(|config| config.peers[0].redis_url = "http://x".into());
    tokio::time::sleep(Duration::from_millis(300)).await;
    connected(&b, &url("a")).await;
    put(&a, 0..10).await;
    converge(&[&a, &b], 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_moves_is_found_by_its_new_url() {
    let (mesh, mut a, mut b) = pair().await;
    b.config.settings.cold_path.enabled = true;
    a.replicate().await;
    b.replicate().await;
    put(&a, 0..10).await;
    converge(&[&a, &b], 60).await;
    // A node that starts again behind another door, with a new stream.
    a.port.set_up(false);
    let mut other = second_stream(&mesh).await;
    mesh.add(&url("a.new"), other.port.clone());
    other.replicate().await;
    b.reload(|config| config.peers[0].redis_url = url("a.new").into());
    eventually("compared", 60, async || b.all().await.len() == 30).await;
}
