//! A comparison costs what differs, and nothing when nothing does.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::clock::OddClock;
use common::watched::watched;
use common::{Node, converge, eventually, mesh};
use parking_lot::Mutex;
use replication_engine::peer::memory::MemoryMesh;
use replication_engine::repair::cycle::Outcome;
use replication_engine::repair::question::Question;
use sync_engine::env::{RealEnv, SharedEnv};
use sync_engine::item::Stored;
use sync_engine::{Key, Relay};

#[tokio::test(flavor = "multi_thread")]
async fn a_check_without_difference_asks_no_question() {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for node in &mut nodes {
        node.replicate().await;
    }
    for n in 0..100 {
        nodes[0].put(&format!("k.{n}"), "v").await;
    }
    converge(&[&nodes[0], &nodes[1]], 60).await;
    let in_sync = async || {
        let cycles =
            |at: usize| nodes[at].replication().peers()[0].last_cold == Some(Ok(Outcome::InSync));
        cycles(0) && cycles(1)
    };
    eventually("compared", 60, in_sync).await;
    // What the start calls for asks, and may still be under way.
    eventually("two checks without a question", 60, async || {
        let traffic = || (nodes[0].port.traffic(), nodes[1].port.traffic());
        let (before, cycles) = (traffic(), nodes[1].replication().peers()[0].cold_cycles);
        eventually("two more", 60, async || {
            nodes[1].replication().peers()[0].cold_cycles >= cycles + 2
        })
        .await;
        traffic() == before
    })
    .await;
    let quiet = (nodes[0].port.traffic(), nodes[1].port.traffic());
    let cycles = nodes[1].replication().peers()[0].cold_cycles;
    eventually("four more", 60, async || {
        nodes[1].replication().peers()[0].cold_cycles >= cycles + 4
    })
    .await;
    assert_eq!((nodes[0].port.traffic(), nodes[1].port.traffic()), quiet);
}

/// Two nodes that hold the same, streams off; the first only answers, the second has stopped.
async fn equal_pair(count: usize, second: SharedEnv) -> [Node; 2] {
    let mesh = MemoryMesh::default();
    let mut nodes = [
        Node::start(&mesh, "a", &["b"], 4).await,
        Node::start_with(&mesh, "b", &["a"], 4, second).await,
    ];
    for node in &mut nodes {
        node.config.settings.hot_path.enabled = false;
    }
    nodes[0].config.settings.cold_path.enabled = false;
    for n in 0..count {
        nodes[0].put(&format!("k.{n:04}"), "v").await;
    }
    nodes[0].replicate().await;
    nodes[1].replicate().await;
    converge(&[&nodes[0], &nodes[1]], 60).await;
    nodes[1].replication().shutdown().await;
    nodes
}

/// Compares over a line on which the questions are heard, until nothing is missing.
async fn compare(node: &mut Node, heard: impl Fn(&Question) + Send + Sync + 'static) {
    let dialler = watched(node.mesh.dialler(&node.id), heard);
    node.replicate_over(dialler).await;
    eventually("compared", 60, async || {
        let report = node.replication().peers().remove(0);
        report.in_sync_at_ms.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_repaired_for_few_bytes_each() {
    let mut nodes = equal_pair(5_000, Arc::new(RealEnv::default())).await;
    for n in 0..200 {
        nodes[0].put(&format!("k.{:04}", n * 25), "w").await;
    }
    nodes[0].engine.force_flush().await.unwrap();
    let before = nodes[0].port.traffic();
    compare(&mut nodes[1], |_| {}).await;
    converge(&[&nodes[0], &nodes[1]], 60).await;
    let each = (nodes[0].port.traffic() - before) / 200;
    println!("{each} bytes for each difference");
    assert!(
        each <= 400,
        "{each} bytes for each difference, items included"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_peer_has_newer_is_asked_for() {
    let mut nodes = equal_pair(1_000, Arc::new(RealEnv::default())).await;
    let newer: BTreeSet<Key> = (0..10).map(|n| format!("k.{:04}", n * 90).into()).collect();
    for (n, key) in newer.iter().enumerate() {
        nodes[0].put(key, "newer").await;
        // Beside each, one of which ours is the newer, so that the same questions tell of it.
        nodes[1].put(&format!("k.{:04}", n * 90 + 1), "ours").await;
    }
    nodes[0].engine.force_flush().await.unwrap();
    nodes[1].engine.force_flush().await.unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    compare(&mut nodes[1], move |question| {
        if let Question::Records { keys } = question {
            heard.lock().extend(keys.iter().cloned());
        }
    })
    .await;
    let asked = asked.lock().clone();
    assert_eq!(asked.len(), 10, "each once, and no other: {asked:?}");
    assert_eq!(BTreeSet::from_iter(asked), newer);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_by_the_stream_meanwhile_is_not_fetched() {
    let clock = Arc::new(OddClock::default());
    let mut nodes = equal_pair(100, clock.clone()).await;
    let keys: Vec<Key> = (0..50).map(|n| format!("k.{:04}", n * 2).into()).collect();
    for key in &keys {
        nodes[0].put(key, "newer").await;
    }
    nodes[0].engine.force_flush().await.unwrap();
    let records = nodes[0].engine.records_of(&keys).await.unwrap();
    let records: Vec<Stored> = records.into_iter().flatten().collect();
    let [compared, fetched] = [false; 2].map(|is| Arc::new(AtomicBool::new(is)));
    // As a stream does that is a moment late: one write between two looks, so that the set is seen to move, the others
    // after the sets were compared, before anything is fetched. A peer that is slow to answer is looked at again.
    let (is_compared, engine) = (compared.clone(), nodes[1].engine.clone());
    let coming = Mutex::new(records);
    clock.fill_pauses_with(move || {
        let mut coming = coming.lock();
        let late = match is_compared.load(Ordering::SeqCst) {
            true => coming.len(),
            false => coming.len().min(1),
        };
        let (engine, records) = (engine.clone(), coming.drain(..late).collect());
        Some(Box::pin(async move {
            drop(engine.apply(records, Relay::No).await.unwrap());
        }))
    });
    let (compares, fetches) = (compared.clone(), fetched.clone());
    compare(&mut nodes[1], move |question| match question {
        Question::Summaries { .. } | Question::Cells { .. } => {
            compares.store(true, Ordering::SeqCst);
        }
        Question::Records { .. } => fetches.store(true, Ordering::SeqCst),
        _ => {}
    })
    .await;
    assert!(compared.load(Ordering::SeqCst));
    converge(&[&nodes[0], &nodes[1]], 60).await;
    assert!(!fetched.load(Ordering::SeqCst));
}
