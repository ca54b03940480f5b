//! Two nodes, each with an SQLite archive and a Redis of its own.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::eventually;
use common::pair::{converge, get, pair, put};
use replication_engine::limits::ANSWERS_KEPT;
use replication_engine::mailbox::{Mailbox, RedisMailbox};
use replication_engine::repair::cycle::Outcome;
use replication_engine::{PeerConfig, ReplicationConfig, ReplicationEngine};
use sync_engine::BackendUrl;
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::env::{RealEnv, SharedEnv};
use sync_engine::link::{RedisLink, RedisTimeouts};
use testbed::RedisServer;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_replicate_both_ways_over_real_redis() {
    let nodes = pair(Some("app:"), |_, _| {}).await;
    // What was there before: by ranges into the second one, which is empty; too large for one part.
    for n in 0..300 {
        put(&nodes[0], &format!("before.{n}"), format!("value {n}")).await;
    }
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(3 << 20)
        .collect();
    put(&nodes[0], "before.large", noise.clone()).await;
    nodes[0].engine.force_flush().await.unwrap();
    for node in &nodes {
        node.replication.start().await.unwrap();
    }
    converge(&nodes, 301, 60).await;
    assert_eq!(get(&nodes[1], "before.large").await.unwrap(), noise);
    // What comes after: by the streams.
    for n in 0..200 {
        put(&nodes[n % 2], &format!("after.{n}"), vec![n as u8; 2000]).await;
    }
    nodes[0].engine.delete("before.7").await.unwrap();
    converge(&nodes, 501, 60).await;
    assert_eq!(get(&nodes[0], "after.199").await.unwrap(), vec![199; 2000]);
    assert_eq!(get(&nodes[1], "before.7").await, None);
    for node in &nodes {
        // Counted a moment after they can be read.
        eventually("the stream is followed", 60, async || {
            let report = node.replication.peers().remove(0);
            report.is_connected && report.events_applied + report.events_deduped > 0
        })
        .await;
        assert_eq!(node.replication.peers()[0].rejected, 0);
        node.replication.shutdown().await;
        node.replication.shutdown().await;
        node.engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_survives_a_restart_and_what_was_missed_comes() {
    let nodes = pair(None, |_, config| config.settings.cold_path.enabled = false).await;
    for node in &nodes {
        node.replication.start().await.unwrap();
    }
    eventually("connected", 60, async || {
        nodes.iter().all(|n| n.replication.peers()[0].is_connected)
    })
    .await;
    put(&nodes[0], "k.0", "v").await;
    converge(&nodes, 1, 60).await;
    nodes[1].replication.shutdown().await;
    for n in 1..500 {
        put(&nodes[0], &format!("k.{n}"), "v").await;
    }
    nodes[0].engine.force_flush().await.unwrap();
    nodes[1].replication.start().await.unwrap();
    // The cold path is off: only the kept cursor can bring them.
    converge(&nodes, 500, 60).await;
    eventually("counted", 60, async || {
        nodes[1].replication.peers()[0].events_applied == 499
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_redis_is_found_again_and_the_difference_made_up() {
    let nodes = pair(None, |_, _| {}).await;
    for node in &nodes {
        node.replication.start().await.unwrap();
    }
    put(&nodes[0], "k.0", "v").await;
    converge(&nodes, 1, 60).await;
    // It keeps nothing: stream, root and questions are gone with it.
    nodes[0].redis.kill().unwrap();
    eventually("seen down", 60, async || {
        !nodes[1].replication.peers()[0].is_connected
    })
    .await;
    for n in 1..50 {
        put(&nodes[0], &format!("k.{n}"), "v").await;
    }
    nodes[0].redis.restart().unwrap();
    converge(&nodes, 50, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_without_difference_costs_at_most_200_bytes() {
    let nodes = pair(None, |_, config| {
        config.settings.hot_path.enabled = false;
        config.settings.peer_health.ping_interval_sec = 3600;
    })
    .await;
    for n in 0..100 {
        put(&nodes[0], &format!("k.{n}"), "v").await;
    }
    for node in &nodes {
        node.replication.start().await.unwrap();
    }
    nodes[0].replication.run_cold_path(None).unwrap();
    converge(&nodes, 100, 60).await;
    let report = || nodes[1].replication.peers().remove(0);
    eventually("in sync", 60, async || {
        report().last_cold == Some(Ok(Outcome::InSync))
    })
    .await;
    let bytes = || nodes[0].proxy.bytes_to_server() + nodes[0].proxy.bytes_to_client();
    let mut each = u64::MAX;
    // What the start calls for costs more, and may still be under way.
    eventually("three checks that are cheap", 60, async || {
        let (before, cycles) = (bytes(), report().cold_cycles);
        eventually("three more", 60, async || {
            report().cold_cycles >= cycles + 3
        })
        .await;
        each = (bytes() - before) / (report().cold_cycles - cycles);
        println!("{each} bytes for each check");
        each <= 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_come_and_go_with_the_settings() {
    let nodes = pair(None, |_, _| {}).await;
    nodes[0].replication.start().await.unwrap();
    nodes[1].replication.start().await.unwrap();
    eventually("connected", 60, async || {
        nodes[0].replication.peers()[0].is_connected
    })
    .await;
    let mut config = nodes[0].config.clone();
    let peer = config.peers.remove(0);
    nodes[0].configs.send(config.clone()).unwrap();
    eventually("gone", 60, async || nodes[0].replication.peers().is_empty()).await;
    config.peers.push(peer);
    nodes[0].configs.send(config.clone()).unwrap();
    eventually("back", 60, async || {
        nodes[0]
            .replication
            .peers()
            .first()
            .is_some_and(|p| p.is_connected)
    })
    .await;
    // Settings that cannot work change nothing.
    config.peers[0].redis_url = "http://x".into();
    nodes[0].configs.send(config).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(nodes[0].replication.peers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_runs_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ReplicationConfig {
        local_node_id: "uk.node.london-1".into(),
        peers: vec![PeerConfig::for_testing(
            "uk.node.manchester-1",
            "redis://127.0.0.1:1",
        )],
        ..Default::default()
    };
    config.cursor.sqlite_path = dir.path().join("cursors.db");
    let (_tx, rx) = watch::channel(config.clone());
    let engine = ReplicationEngine::new(config, rx);
    assert!(engine.run_cold_path(None).is_err());
    engine.shutdown().await;
    engine.start().await.unwrap();
    engine.start().await.unwrap();
    assert!(engine.run_cold_path(Some("nobody")).is_err());
    assert!(!engine.health_check().is_healthy());
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_answers_that_nobody_fetches_expire() {
    let server = RedisServer::start().unwrap();
    let url = BackendUrl::from(server.url());
    let env: SharedEnv = Arc::new(RealEnv::default());
    let mailbox = RedisMailbox::new(&url, None, env.clone()).unwrap();
    let parts = vec!["one".into(), "two".into()];
    mailbox.answer("uk.invented", 7, 1, parts).await.unwrap();
    let timeouts = RedisTimeouts {
        connect: Duration::from_secs(5),
        response: Duration::from_secs(5),
    };
    let link = RedisLink::new(&url, timeouts, 1 << 20, env).unwrap();
    let mut ask = redis::Pipeline::new();
    let key = SpecialKeys::new(None).sync_responses("uk.invented");
    ask.cmd("XLEN").arg(&key).cmd("PTTL").arg(&key);
    let found = link.send_all(&ask).await.unwrap();
    let kept_ms = ANSWERS_KEPT.as_millis() as i64;
    assert_eq!(found[0], redis::Value::Int(2));
    assert!(
        matches!(found[1], redis::Value::Int(ms) if (1..=kept_ms).contains(&ms)),
        "{found:?}"
    );
}
