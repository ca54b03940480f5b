//! Nothing is deleted because a peer lacks it.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use common::liar::{Liar, node_with};
use common::{Node, converge, eventually};
use replication_engine::peer::memory::MemoryMesh;
use replication_engine::repair::question::{Answer, Question};
use sync_engine::merkle::node::Aggregate;

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
    let all = converge(&[&full, &empty], 60).await;
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
    eventually("compared", 60, async || {
        full.replication().peers()[0].items_repaired >= 50
    })
    .await;
    assert_eq!((alive(&full).await, full.all().await.len()), (3_050, 3_050));
    half.replicate().await;
    eventually("filled", 60, async || {
        half.replication().peers()[0].items_repaired >= 3_050
    })
    .await;
    assert_eq!((alive(&half).await, half.all().await.len()), (3_100, 3_100));
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_peer_that_claims_to_have_nothing_or_everything_takes_nothing_away() {
    let liar = Liar::new(|question| match question {
        Question::Root => Answer::Root(Aggregate::default()),
        Question::Cells { .. } => Answer::Cells {
            aggregate: Aggregate::default(),
            cells: Vec::new(),
        },
        _ => Answer::Range {
            done: true,
            records: Vec::new(),
        },
    });
    let node = node_with(liar).await;
    for n in 0..100 {
        node.put(&format!("k.{n}"), "v").await;
    }
    eventually("compared", 60, async || {
        node.replication().peers()[0].cold_cycles > 2
    })
    .await;
    let all = node.all().await;
    assert!(all.len() == 100 && all.values().all(|stored| stored.item().is_some()));
}
