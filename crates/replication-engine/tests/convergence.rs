//! When writes stop and the mesh is connected, all nodes hold the same.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::faults::{Faults, FaultyDialler};
use common::{Node, converge, eventually};
use replication_engine::peer::memory::MemoryMesh;
use replication_engine::repair::cycle::Outcome;
use replication_engine::tail::{Cursor, CursorStore};
use sync_engine::cdc::ChangeLog;

async fn mesh(ids: &[&str], stream_max: usize) -> Vec<Node> {
    let mesh = MemoryMesh::default();
    let mut nodes = Vec::new();
    for id in ids {
        let peers: Vec<&str> = ids.iter().copied().filter(|peer| peer != id).collect();
        nodes.push(Node::start(&mesh, id, &peers, stream_max).await);
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_three_nodes_converge_though_streams_lose_repeat_reorder_and_are_trimmed() {
    let spoiled = Arc::new(AtomicU64::new(0));
    let mut nodes = mesh(&["a", "b", "c"], 40).await;
    for (seed, node) in nodes.iter_mut().enumerate() {
        let dialler = FaultyDialler {
            inner: node.mesh.dialler(&node.id),
            faults: Faults {
                lose: 10,
                repeat: 8,
                swap: 8,
                spoil: 15,
            },
            seed: seed as u64,
            spoiled: spoiled.clone(),
        };
        node.replicate_over(Arc::new(dialler)).await;
    }
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..600 {
        let node = &nodes[rng.usize(..3)];
        let key = format!("k.{}", rng.u32(..150));
        match rng.u32(..4) {
            0 => drop(node.engine.delete(&key).await.unwrap()),
            _ => node.put(&key, &format!("{round} by {}", node.id)).await,
        }
        if round % 60 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
    }
    let nodes: Vec<&Node> = nodes.iter().collect();
    let all = converge(&nodes, 30).await;
    assert!(all.len() > 100 && all.values().any(|stored| stored.item().is_none()));
    assert!(spoiled.load(Ordering::SeqCst) > 0);
    let rejected: u64 = nodes
        .iter()
        .flat_map(|n| n.replication().peers())
        .map(|p| p.rejected)
        .sum();
    assert!(rejected > 0, "spoiled entries are counted");
    assert!(nodes.iter().any(|n| {
        !n.replication()
            .rejected(if n.id == "a" { "b" } else { "a" })
            .unwrap()
            .is_empty()
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hot_path_alone_brings_writes_within_a_moment() {
    let mut nodes = mesh(&["a", "b"], 10_000).await;
    for node in &mut nodes {
        node.config.settings.cold_path.enabled = false;
        node.replicate().await;
    }
    eventually("connected", 5, async || {
        nodes
            .iter()
            .all(|n| n.replication().peers()[0].is_connected)
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    for n in 0..500 {
        nodes[n % 2].put(&format!("k.{n}"), "v").await;
    }
    let all = converge(&[&nodes[0], &nodes[1]], 10).await;
    assert_eq!(all.len(), 500);
    let report = &nodes[0].replication().peers()[0];
    assert_eq!((report.events_applied, report.cold_cycles), (250, 0));
    // What came from the peer is not published again.
    assert_eq!(nodes[0].log.entries_added(), 250);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_relay_a_chain_converges_by_streams_alone_and_without_loops() {
    let mesh = MemoryMesh::default();
    let mut nodes = Vec::new();
    for (id, peers) in [("a", vec!["b"]), ("b", vec!["a", "c"]), ("c", vec!["b"])] {
        let mut node = Node::start(&mesh, id, &peers, 10_000).await;
        node.config.relay = true;
        node.config.settings.cold_path.enabled = false;
        node.replicate().await;
        nodes.push(node);
    }
    eventually("connected", 5, async || {
        nodes
            .iter()
            .all(|n| n.replication().peers().iter().all(|p| p.is_connected))
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    for n in 0..100 {
        nodes[(n % 2) * 2].put(&format!("k.{n}"), "v").await;
    }
    let all = converge(&nodes.iter().collect::<Vec<_>>(), 10).await;
    assert_eq!(all.len(), 100);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(nodes.iter().all(|n| n.log.entries_added() <= 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_absence_is_not_a_delete_an_empty_peer_is_filled_and_harms_nobody() {
    let mesh = MemoryMesh::default();
    let mut full = Node::start(&mesh, "full", &["empty"], 50).await;
    for n in 0..10_000 {
        let key = match n % 2 {
            0 => format!("uk.nhs.patient.{n}"),
            _ => format!("flat{n:08}"),
        };
        full.put(&key, &format!("value {n}")).await;
    }
    full.engine.delete("uk.nhs.patient.0").await.unwrap();
    let before = full.all().await;
    assert_eq!(before.len(), 10_000);
    full.replicate().await;
    let mut empty = Node::start(&mesh, "empty", &["full"], 50).await;
    empty.replicate().await;
    // Live traffic goes on meanwhile, on both sides.
    for n in 0..100 {
        full.put(&format!("live.full.{n}"), "v").await;
        empty.put(&format!("live.empty.{n}"), "v").await;
    }
    let all = converge(&[&full, &empty], 30).await;
    assert_eq!(all.len(), 10_200);
    for (key, stored) in before {
        assert_eq!(all[&key].leaf(), stored.leaf());
    }
    assert_eq!(empty.get("uk.nhs.patient.0").await, None);
    assert_eq!(
        empty.get("flat00009999").await.as_deref(),
        Some("value 9999")
    );
}

/// All that `node` holds, tombstones left out.
async fn alive(node: &Node) -> usize {
    let all = node.all().await;
    all.values()
        .filter(|stored| stored.item().is_some())
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_neither_a_comparison_nor_a_fill_takes_away_what_the_peer_lacks() {
    let mesh = MemoryMesh::default();
    let mut small = Node::start(&mesh, "small", &[], 10).await;
    let mut full = Node::start(&mesh, "full", &["small"], 10).await;
    let mut half = Node::start(&mesh, "half", &["full"], 10).await;
    for n in 0..3_000 {
        full.put(&format!("k.{n:04}"), "v").await;
    }
    for n in 0..50 {
        small.put(&format!("k.{:04}.small", n * 60), "v").await;
        half.put(&format!("k.{:04}.half", n * 60), "v").await;
    }
    // One after the other, each way by itself: nobody has brought the keys over before.
    for node in [&mut small, &mut full, &mut half] {
        node.config.settings.hot_path.enabled = false;
    }
    small.replicate().await;
    full.replicate().await;
    eventually("compared", 20, async || {
        full.replication().peers()[0].items_repaired >= 50
    })
    .await;
    assert_eq!((alive(&full).await, full.all().await.len()), (3_050, 3_050));
    half.replicate().await;
    eventually("filled", 20, async || {
        half.replication().peers()[0].items_repaired >= 3_050
    })
    .await;
    assert_eq!((alive(&half).await, half.all().await.len()), (3_100, 3_100));
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_what_was_deleted_while_a_peer_was_away_stays_deleted() {
    let mut nodes = mesh(&["a", "b"], 20).await;
    for node in &mut nodes {
        node.replicate().await;
    }
    for n in 0..200 {
        nodes[0].put(&format!("k.{n}"), "v").await;
    }
    converge(&[&nodes[0], &nodes[1]], 20).await;
    nodes[1].replication().shutdown().await;
    for n in 0..100 {
        assert!(nodes[0].engine.delete(&format!("k.{n}")).await.unwrap());
    }
    nodes[1].put("k.150", "by b").await;
    nodes[1].replicate().await;
    let all = converge(&[&nodes[0], &nodes[1]], 20).await;
    assert_eq!(
        all.values()
            .filter(|stored| stored.item().is_none())
            .count(),
        100
    );
    for node in &nodes {
        assert_eq!(node.get("k.5").await, None);
        assert_eq!(node.get("k.150").await.as_deref(), Some("by b"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_conflict_converges_to_the_newest_write() {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for key in 0..20 {
        nodes[0].put(&format!("k.{key}"), "older").await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    for key in 0..20 {
        nodes[1].put(&format!("k.{key}"), "newer").await;
    }
    for node in &mut nodes {
        node.replicate().await;
    }
    converge(&[&nodes[0], &nodes[1]], 20).await;
    for node in &nodes {
        assert_eq!(node.get("k.7").await.as_deref(), Some("newer"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_an_older_write_that_a_stream_brings_late_loses() {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for node in &mut nodes {
        // Nothing puts right what the streams do.
        node.config.settings.cold_path.enabled = false;
        node.replicate().await;
    }
    for (node, peer) in [(0, "b"), (1, "a")] {
        eventually("a cursor", 5, async || {
            nodes[node].cursors.cursor(peer).await.unwrap().is_some()
        })
        .await;
        nodes[node].replication().shutdown().await;
    }
    for (node, value) in [(0, "older"), (1, "newer")] {
        for key in 0..20 {
            nodes[node].put(&format!("k.{key}"), value).await;
        }
        nodes[node].engine.force_flush().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    nodes[0].engine.delete("k.3").await.unwrap();
    for node in &mut nodes {
        node.replicate().await;
    }
    converge(&[&nodes[0], &nodes[1]], 20).await;
    for node in &nodes {
        let report = &node.replication().peers()[0];
        eventually("all of the stream", 5, async || {
            let report = &node.replication().peers()[0];
            report.events_applied + report.events_deduped >= 20
        })
        .await;
        assert_eq!(report.cold_cycles, 0);
        assert_eq!(node.get("k.7").await.as_deref(), Some("newer"));
        assert_eq!(
            node.get("k.3").await,
            None,
            "the delete is the newest write"
        );
    }
    converge(&[&nodes[0], &nodes[1]], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_cursor_never_passes_what_could_not_be_applied() {
    let mut nodes = mesh(&["a", "b"], 10_000).await;
    nodes[1].config.settings.cold_path.enabled = false;
    nodes[1].replicate().await;
    eventually("connected", 5, async || {
        nodes[1].replication().peers()[0].is_connected
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    nodes[0].put("k.0", "v").await;
    eventually("the first write", 5, async || {
        nodes[1].get("k.0").await.is_some()
    })
    .await;
    let before = nodes[1].replication().peers()[0].cursor;
    nodes[1].archive.set_down(true);
    for n in 1..50 {
        nodes[0].put(&format!("k.{n}"), "v").await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(nodes[1].replication().peers()[0].cursor, before);
    // Killed and started anew, still down: nothing has moved.
    nodes[1].replication().shutdown().await;
    nodes[1].replicate().await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    nodes[1].archive.set_down(false);
    let all = converge(&[&nodes[0], &nodes[1]], 60).await;
    assert_eq!(all.len(), 50);
    assert!(nodes[1].replication().peers()[0].cursor > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_cursor_past_the_end_of_the_stream_begins_anew() {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for n in 0..20 {
        nodes[0].put(&format!("k.{n}"), "v").await;
    }
    eventually("published", 5, async || nodes[0].log.len() == 20).await;
    // As after the peer has lost its Redis: what we know is longer than what there is.
    let mut last = nodes[0].log.last_id();
    last.ms += 3_600_000;
    let kept = Cursor::from_end(last, None);
    nodes[1].cursors.save_cursor("a", &kept).await.unwrap();
    nodes[1].config.settings.cold_path.enabled = false;
    nodes[1].replicate().await;
    let all = converge(&[&nodes[0], &nodes[1]], 10).await;
    assert_eq!(all.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_without_difference_asks_no_question() {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for node in &mut nodes {
        node.replicate().await;
    }
    for n in 0..100 {
        nodes[0].put(&format!("k.{n}"), "v").await;
    }
    converge(&[&nodes[0], &nodes[1]], 20).await;
    let in_sync = async || {
        let cycles =
            |at: usize| nodes[at].replication().peers()[0].last_cold == Some(Ok(Outcome::InSync));
        cycles(0) && cycles(1)
    };
    eventually("compared", 10, in_sync).await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let before = (nodes[0].port.traffic(), nodes[1].port.traffic());
    let cycles = nodes[1].replication().peers()[0].cold_cycles;
    eventually("two more", 10, async || {
        nodes[1].replication().peers()[0].cold_cycles >= cycles + 2
    })
    .await;
    assert_eq!((nodes[0].port.traffic(), nodes[1].port.traffic()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_repaired_for_few_bytes_each() {
    let mut nodes = mesh(&["a", "b"], 4).await;
    for n in 0..5_000 {
        nodes[0].put(&format!("uk.city.{n:05}"), "v").await;
    }
    for node in &mut nodes {
        node.config.settings.hot_path.enabled = false;
        node.replicate().await;
    }
    converge(&[&nodes[0], &nodes[1]], 30).await;
    eventually("compared", 20, async || {
        nodes[1].replication().peers()[0].last_cold == Some(Ok(Outcome::InSync))
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let before = nodes[0].port.traffic();
    for n in 0..200 {
        nodes[0].put(&format!("uk.city.{:05}", n * 25), "w").await;
    }
    converge(&[&nodes[0], &nodes[1]], 30).await;
    let each = (nodes[0].port.traffic() - before) / 200;
    assert!(
        each <= 400,
        "{each} bytes for each difference, items included"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_and_an_emptied_stream_are_noticed() {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for node in &mut nodes {
        // Only what is missed may ask for the cold path.
        node.config.settings.cold_path.interval_sec = 3600;
        node.replicate().await;
    }
    nodes[0].put("k.0", "v").await;
    converge(&[&nodes[0], &nodes[1]], 10).await;
    let cycles = nodes[1].replication().peers()[0].cold_cycles;
    nodes[0].log.new_epoch().await;
    nodes[0].put("k.1", "v").await;
    eventually("compared", 10, async || {
        nodes[1].replication().peers()[0].cold_cycles > cycles
    })
    .await;
    converge(&[&nodes[0], &nodes[1]], 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_away_and_comes_back_is_followed_again() {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for node in &mut nodes {
        node.config.settings.cold_path.interval_sec = 3600;
        node.replicate().await;
    }
    nodes[0].put("k.0", "v").await;
    converge(&[&nodes[0], &nodes[1]], 10).await;
    nodes[0].port.set_up(false);
    eventually("seen down", 10, async || {
        !nodes[1].replication().peers()[0].is_connected
    })
    .await;
    assert!(!nodes[1].replication().health_check().is_healthy());
    nodes[0].put("k.1", "v").await;
    nodes[0].port.set_up(true);
    converge(&[&nodes[0], &nodes[1]], 20).await;
    let report = &nodes[1].replication().peers()[0];
    assert!(report.is_connected && report.last_error.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_root_that_went_back_is_put_right_without_a_write() {
    let mesh = MemoryMesh::default();
    let node = Node::start(&mesh, "a", &[], 100).await;
    node.put("k", "v").await;
    let root = async || node.engine.merkle_root().unwrap().to_string();
    eventually("published", 10, async || {
        node.log.root() == Some(root().await)
    })
    .await;
    // As a server does that is restarted from an old state.
    node.log.publish_root("of another time").await.unwrap();
    eventually("published again", 20, async || {
        node.log.root() == Some(root().await)
    })
    .await;
}
