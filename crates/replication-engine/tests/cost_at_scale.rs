//! What a comparison of two large sets costs: bytes, round trips, and nothing for the size or the shape of the sets.
//! `cargo bench -p replication-engine --bench cold` says the same of a million keys, with times.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::time::Duration;

use common::counted::{Cost, Counted};
use common::{Node, eventually, mesh, url};
use replication_engine::PeerConfig;
use replication_engine::repair::cycle::Outcome;
use sync_engine::l3::KeyRange;
use sync_engine::{Relay, SyncItem};

const KEYS: usize = 20_000;

fn flat(n: usize) -> String {
    format!("{:08x}", n.wrapping_mul(0x9e37_79b1) as u32)
}

fn deep(n: usize) -> String {
    format!("uk.nhs.{:02}.{:03}.patient.{n:06}", n % 40, n / 40 % 250)
}

async fn put(node: &Node, keys: impl Iterator<Item = String>, value: &str) {
    let items = keys.map(|key| SyncItem::new(key, value.as_bytes().to_vec()));
    let put = node.engine.submit_many(items.collect()).await.unwrap();
    assert_eq!(put.failed, 0);
    node.engine.force_flush().await.unwrap();
}

struct Pair {
    nodes: Vec<Node>,
    remote: Counted,
    key: fn(usize) -> String,
}

impl Pair {
    /// Two nodes that hold the same; the first answers, the second is to compare.
    async fn of(keys: usize, key: fn(usize) -> String) -> Self {
        let mut nodes = mesh(&["a", "b"], 4).await;
        for from in (0..keys).step_by(1_000) {
            put(&nodes[0], (from..from + 1_000).map(key), "first").await;
        }
        let mut range = KeyRange::all();
        loop {
            let read = nodes[0].engine.scan_records(&range, 4_000, 16 << 20).await;
            let page = read.unwrap();
            let Some(last) = page.last() else { break };
            range = range.after(last.key().as_bytes());
            nodes[1].engine.apply(page, Relay::No).await.unwrap();
        }
        nodes[0].config.settings.cold_path.enabled = false;
        nodes[0].config.settings.hot_path.enabled = false;
        nodes[0].replicate().await;
        let peer = PeerConfig::for_testing("a", url("a"));
        let remote = nodes[1].mesh.dialler("b").remote(&peer).unwrap();
        let remote = Counted::new(remote);
        Self { nodes, remote, key }
    }

    async fn await_sketches(&self) {
        eventually("sketches", 120, async || {
            let mut nodes = self.nodes.iter();
            nodes.all(|node| node.engine.merkle_sketch().unwrap().is_some())
        })
        .await;
    }

    /// Changes so many scattered keys on the one side, and makes that up on the other.
    async fn make_up(&self, count: usize) -> Cost {
        if let Some(step) = KEYS.checked_div(count) {
            let keys = (0..count).map(|n| (self.key)(n * step + n % step));
            put(&self.nodes[0], keys, &format!("changed {count}")).await;
        }
        let (outcome, cost) = self.remote.compare(&*self.nodes[1].engine, 100_000).await;
        let expected = match count {
            0 => Outcome::InSync,
            behind => Outcome::Compared {
                behind,
                refused: 0,
                is_truncated: false,
            },
        };
        assert_eq!(outcome, expected);
        let roots = self
            .nodes
            .iter()
            .map(|node| node.engine.merkle_root().unwrap());
        assert!(
            roots
                .collect::<Vec<_>>()
                .windows(2)
                .all(|pair| pair[0] == pair[1])
        );
        println!("{count}: {cost:?}");
        cost
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_of_large_sets_are_found_for_few_bytes_in_few_round_trips() {
    let mut costs = Vec::new();
    for key in [flat as fn(usize) -> String, deep] {
        let pair = Pair::of(KEYS, key).await;
        let by_tree = pair.make_up(500).await;
        assert!(
            by_tree.bytes <= 900 * 500 && by_tree.rounds <= 10,
            "{by_tree:?}"
        );
        pair.await_sketches().await;
        let none = pair.make_up(0).await;
        assert!(none.bytes <= 200 && none.rounds == 1, "{none:?}");
        // Two looks at the roots, one question for what differs, one for the records.
        let some = pair.make_up(500).await;
        assert!(some.bytes <= 100 * 500 && some.rounds <= 5, "{some:?}");
        let many = pair.make_up(10_000).await;
        assert!(many.bytes <= 100 * 10_000, "{many:?}");
        costs.push(some.bytes);
    }
    let (flat, deep) = (costs[0], costs[1]);
    assert!(2 * flat <= 3 * deep && 2 * deep <= 3 * flat, "{costs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_keys_are_found_by_what_a_sketch_holds_of_them_and_the_tree() {
    let pair = Pair::of(1_000, flat).await;
    pair.await_sketches().await;
    let long = |n: usize| format!("{}.{n}", "long.".repeat(17));
    put(&pair.nodes[0], (0..30).map(long), "v").await;
    put(&pair.nodes[0], (0..30).map(flat), "newer").await;
    put(&pair.nodes[1], (30..60).map(flat), "ours").await;
    put(&pair.nodes[1], (2_000..2_010).map(flat), "alone").await;
    pair.nodes[0].engine.delete(&flat(100)).await.unwrap();
    pair.nodes[0].engine.force_flush().await.unwrap();
    let (outcome, cost) = pair.remote.compare(&*pair.nodes[1].engine, 1_000).await;
    assert!(
        matches!(outcome, Outcome::Compared { behind: 61, .. }),
        "{outcome}"
    );
    assert!(cost.bytes <= 12_000, "{cost:?}");
    for n in 0..30 {
        assert_eq!(pair.nodes[1].get(&long(n)).await.as_deref(), Some("v"));
        assert_eq!(pair.nodes[1].get(&flat(n)).await.as_deref(), Some("newer"));
        assert_eq!(
            pair.nodes[1].get(&flat(30 + n)).await.as_deref(),
            Some("ours")
        );
    }
    assert_eq!(pair.nodes[1].get(&flat(100)).await, None, "it was deleted");
    for n in 2_000..2_010 {
        let alone = pair.nodes[1].get(&flat(n)).await;
        assert_eq!(alone.as_deref(), Some("alone"), "absence is no delete");
    }
    // What only ours is newer of is no reason to go down the tree.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (outcome, cost) = pair.remote.compare(&*pair.nodes[1].engine, 1_000).await;
    assert!(
        matches!(outcome, Outcome::Compared { behind: 0, .. }),
        "{outcome}"
    );
    assert!(cost.questions <= 4, "{cost:?}");
}
