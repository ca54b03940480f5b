//! Writes from the future wait for their time; a clock that is ahead keeps nobody from being equal.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::clock::OddClock;
use common::liar::{Liar, entries, item, node_in, stamp_ahead};
use common::{Node, converge, eventually};
use replication_engine::peer::memory::MemoryMesh;
use sync_engine::Origin;

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_write_from_the_future_waits_for_its_time_and_names_its_origin() {
    let write = item("early", b"v".to_vec(), stamp_ahead(3_600_000));
    let other = item("good", b"v".to_vec(), stamp_ahead(0));
    let liar = Liar::busy().with_entries(entries(&[write, other]));
    let clock = Arc::new(OddClock::default());
    let node = node_in(clock.clone(), &[], liar).await;
    eventually("the good one", 60, async || {
        node.get("good").await.is_some()
    })
    .await;
    assert!(node.get("early").await.is_none());
    // Counted a moment after the others can be read.
    let early = || node.replication().health_check().quarantined;
    eventually("it waits", 60, async || !early().is_empty()).await;
    assert_eq!(
        early().into_iter().collect::<Vec<_>>(),
        [(Origin::from_raw(0x66), 1)]
    );
    clock.skip(Duration::from_secs(3_600));
    eventually("its time", 60, async || {
        node.get("early").await.is_some() && early().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_clock_is_ahead_is_equal_in_the_end() {
    let mesh = MemoryMesh::default();
    let ahead = Arc::new(OddClock::ahead(7_000));
    let mut fast = Node::start_with(&mesh, "fast", &["a"], 100, ahead).await;
    let mut a = Node::start(&mesh, "a", &["fast"], 100).await;
    for node in [&mut fast, &mut a] {
        node.replicate().await;
    }
    for n in 0..20 {
        fast.put(&format!("k.{n}"), "from the future").await;
        a.put(&format!("k.{n}"), "of now").await;
    }
    let all = converge(&[&fast, &a], 60).await;
    assert_eq!(all.len(), 20);
}
