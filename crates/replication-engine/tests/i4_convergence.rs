//! When writes stop and the mesh is connected, all nodes hold the same.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::faults::{Faults, FaultyDialler};
use common::{Node, converge, eventually, following, mesh};
use replication_engine::peer::memory::MemoryMesh;
use sync_engine::cdc::ChangeLog;

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
    let all = converge(&nodes, 60).await;
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
    eventually("connected", 60, async || {
        nodes
            .iter()
            .all(|n| n.replication().peers()[0].is_connected)
    })
    .await;
    for n in 0..500 {
        nodes[n % 2].put(&format!("k.{n}"), "v").await;
    }
    let all = converge(&[&nodes[0], &nodes[1]], 60).await;
    assert_eq!(all.len(), 500);
    // Counted a moment after they can be read.
    eventually("counted", 60, async || {
        let report = &nodes[0].replication().peers()[0];
        (report.events_applied, report.cold_cycles) == (250, 0)
    })
    .await;
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
    eventually("connected", 60, async || {
        nodes
            .iter()
            .all(|n| n.replication().peers().iter().all(|p| p.is_connected))
    })
    .await;
    for n in 0..100 {
        nodes[(n % 2) * 2].put(&format!("k.{n}"), "v").await;
    }
    let all = converge(&nodes.iter().collect::<Vec<_>>(), 60).await;
    assert_eq!(all.len(), 100);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(nodes.iter().all(|n| n.log.entries_added() <= 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_and_an_emptied_stream_are_noticed() {
    let nodes = following("k.0").await;
    let cycles = nodes[1].replication().peers()[0].cold_cycles;
    nodes[0].log.new_epoch().await;
    nodes[0].put("k.1", "v").await;
    eventually("compared", 60, async || {
        nodes[1].replication().peers()[0].cold_cycles > cycles
    })
    .await;
    converge(&[&nodes[0], &nodes[1]], 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_away_and_comes_back_is_followed_again() {
    let nodes = following("k.0").await;
    nodes[0].port.set_up(false);
    eventually("seen down", 60, async || {
        !nodes[1].replication().peers()[0].is_connected
    })
    .await;
    assert!(!nodes[1].replication().health_check().is_healthy());
    nodes[0].put("k.1", "v").await;
    nodes[0].port.set_up(true);
    converge(&[&nodes[0], &nodes[1]], 60).await;
    let report = &nodes[1].replication().peers()[0];
    assert!(report.is_connected && report.last_error.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_root_that_went_back_is_put_right_without_a_write() {
    let mesh = MemoryMesh::default();
    let node = Node::start(&mesh, "a", &[], 100).await;
    node.put("k", "v").await;
    let root = async || node.engine.merkle_root().unwrap().to_string();
    eventually("published", 60, async || {
        node.log.root() == Some(root().await)
    })
    .await;
    // As a server does that is restarted from an old state.
    node.log.publish_root("of another time").await.unwrap();
    eventually("published again", 60, async || {
        node.log.root() == Some(root().await)
    })
    .await;
}
