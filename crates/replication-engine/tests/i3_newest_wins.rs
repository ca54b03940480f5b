//! Of two writes of one key the newest survives, whichever comes first.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use common::{converge, eventually, mesh};
use replication_engine::tail::CursorStore;

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
    converge(&[&nodes[0], &nodes[1]], 60).await;
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
        eventually("a cursor", 60, async || {
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
    converge(&[&nodes[0], &nodes[1]], 60).await;
    for node in &nodes {
        let report = &node.replication().peers()[0];
        eventually("all of the stream", 60, async || {
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
    converge(&[&nodes[0], &nodes[1]], 60).await;
}
