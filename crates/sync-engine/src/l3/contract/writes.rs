//! What a commit does.

use super::{Bed, all, dead, fixed, get, hundred, live, lying, node, open, put, stamp};
use crate::item::decide::{Decision, decide};
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::l3::{ArchiveError, CommitPlan, CommitView, Planner, RowAction};
use crate::merkle::node::{Aggregate, NodeRow, NodeWrite};

/// One key, `n` writes with different stamps, each the payload of its number.
fn writes(n: u64) -> Vec<Stored> {
    (0..n)
        .map(|i| match i % 4 {
            0 => dead("k", stamp(i / 2, i % 2)),
            _ => live("k", i.to_string(), stamp(i / 2, i % 2)),
        })
        .collect()
}

/// Orders of `0..n`: forwards, backwards, and some shuffled the same way each time.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![(0..n).collect::<Vec<_>>(), (0..n).rev().collect()];
    for seed in 1..6 {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|i| (i * 7919 * seed + seed) % 101);
        orders.push(order);
    }
    orders
}

pub async fn a_row_is_replaced_only_by_a_record_with_a_greater_stamp(bed: &dyn Bed) {
    let archive = open(bed).await;
    for (round, order) in orders(8).iter().enumerate() {
        let key = format!("round{round}");
        let writes = rename(writes(8), &key);
        for at in order {
            let won = put(&*archive, &writes[*at..=*at]).await;
            let seen = get(&*archive, &key).await.unwrap();
            assert_eq!(won, [seen == writes[*at]], "{order:?}");
        }
        assert_eq!(get(&*archive, &key).await.as_ref(), writes.last());
    }
}

pub async fn also_when_the_planner_says_otherwise(bed: &dyn Bed) {
    let archive = open(bed).await;
    for (round, order) in orders(8).iter().enumerate() {
        let key = format!("round{round}");
        let writes = rename(writes(8), &key);
        for at in order {
            let flags = archive
                .commit(vec![writes[*at].clone()], lying(RowAction::Put))
                .await;
            assert_eq!(flags.unwrap(), [RowAction::Put], "what the plan says");
        }
        assert_eq!(get(&*archive, &key).await.as_ref(), writes.last());
    }
}

fn rename(writes: Vec<Stored>, key: &str) -> Vec<Stored> {
    let rename = |write| match write {
        Stored::Live(item) => Stored::Live(item.edit(|fields| fields.object_id = key.into())),
        Stored::Tombstone { stamp, .. } => dead(key, stamp),
    };
    writes.into_iter().map(rename).collect()
}

pub async fn equal_stamps_are_settled_by_life_and_hash(bed: &dyn Bed) {
    let archive = open(bed).await;
    let mut same = vec![dead("k", stamp(5, 5))];
    same.extend((0..5).map(|n| live("k", vec![n], stamp(5, 5))));
    let greatest = same.iter().max_by_key(|write| write.leaf().hash).cloned();
    for (round, order) in orders(6).iter().enumerate() {
        let key = format!("round{round}");
        for at in order {
            let write = rename(vec![same[*at].clone()], &key);
            archive.commit(write, lying(RowAction::Put)).await.unwrap();
        }
        let expected = rename(vec![greatest.clone().unwrap()], &key).pop();
        assert_eq!(get(&*archive, &key).await, expected, "{order:?}");
    }
}

pub async fn stamps_are_unsigned(bed: &dyn Bed) {
    let archive = open(bed).await;
    let edges = [0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];
    let rising = edges
        .iter()
        .flat_map(|time| edges.iter().map(|origin| stamp(*time, *origin)));
    let rising: Vec<Stamp> = rising.collect();
    for at in &rising {
        archive
            .commit(vec![dead("up", *at)], lying(RowAction::Put))
            .await
            .unwrap();
        let leaf = archive.leaves_of(&["up".into()]).await.unwrap();
        assert_eq!(leaf[0].map(|leaf| leaf.stamp), Some(*at));
    }
    for at in rising.iter().rev() {
        archive
            .commit(vec![dead("down", *at)], lying(RowAction::Put))
            .await
            .unwrap();
    }
    let top = Some(dead("down", stamp(u64::MAX, u64::MAX)));
    assert_eq!(get(&*archive, "down").await, top);
}

pub async fn what_the_planner_leaves_out_is_not_written(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = vec![
        live("b", b"1".to_vec(), stamp(1, 0)),
        live("a", b"2".to_vec(), stamp(1, 0)),
    ];
    let plan = CommitPlan {
        rows: vec![RowAction::Leave, RowAction::Put],
        ..CommitPlan::default()
    };
    let flags = archive.commit(records.clone(), fixed(plan)).await.unwrap();
    assert_eq!(flags, [RowAction::Leave, RowAction::Put]);
    assert_eq!(all(&*archive).await, records[1..]);
}

pub async fn the_planner_sees_the_leaves_and_the_tree_number(bed: &dyn Bed) {
    let archive = open(bed).await;
    let first = [
        live("b", b"1".to_vec(), stamp(1, 2)),
        dead("d", stamp(3, 4)),
    ];
    let plan = CommitPlan {
        rows: vec![RowAction::Put; 2],
        tree_seq: 7,
        ..CommitPlan::default()
    };
    archive.commit(first.to_vec(), fixed(plan)).await.unwrap();
    // Neither in key order nor all known.
    let second = ["d", "c", "b", "a"].map(|key| live(key, b"2".to_vec(), stamp(9, 9)));
    let expected = vec![Some(first[1].leaf()), None, Some(first[0].leaf()), None];
    let check: Planner = Box::new(move |view| {
        assert_eq!((view.olds, view.tree_seq), (expected, 7));
        Ok(CommitPlan {
            rows: vec![RowAction::Put; 4],
            tree_seq: 8,
            ..CommitPlan::default()
        })
    });
    archive.commit(second.to_vec(), check).await.unwrap();
    assert_eq!(archive.load_tree().await.unwrap().1, 8);
}

pub async fn an_error_of_the_planner_rolls_everything_back(bed: &dyn Bed) {
    let archive = open(bed).await;
    let before = [live("a", b"1".to_vec(), stamp(1, 0))];
    put(&*archive, &before).await;
    let later = vec![
        live("a", b"2".to_vec(), stamp(2, 0)),
        dead("b", stamp(2, 0)),
    ];
    let refuse: Planner = Box::new(|_| Err(ArchiveError::TreeOutdated));
    let answer = archive.commit(later.clone(), refuse).await;
    assert!(
        matches!(answer, Err(ArchiveError::TreeOutdated)),
        "{answer:?}"
    );
    assert_eq!(all(&*archive).await, before);
    // And the next commit finds no transaction left open.
    assert_eq!(put(&*archive, &later).await, [true, true]);
    assert_eq!(all(&*archive).await, later);
}

pub async fn a_plan_of_another_length_is_an_error_and_changes_nothing(bed: &dyn Bed) {
    let archive = open(bed).await;
    for flags in [0, 1, 3] {
        let records = ["a", "b"].map(|key| dead(key, stamp(1, 0))).to_vec();
        let plan = CommitPlan {
            rows: vec![RowAction::Put; flags],
            nodes: vec![NodeWrite::Put(node(b"", 1, false))],
            tree_seq: 5,
            clock_bound: HlcTime(5),
            ..CommitPlan::default()
        };
        let answer = archive.commit(records, fixed(plan)).await;
        assert!(
            matches!(answer, Err(ArchiveError::Unavailable { .. })),
            "{answer:?}"
        );
        assert_eq!(all(&*archive).await, []);
        assert_eq!(archive.load_tree().await.unwrap(), (vec![], 0));
    }
}

pub async fn rows_nodes_tree_number_and_clock_bound_are_one_commit(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = vec![
        live("a", b"1".to_vec(), stamp(1, 0)),
        dead("b", stamp(2, 0)),
    ];
    let plan = CommitPlan {
        rows: vec![RowAction::Put; 2],
        nodes: vec![NodeWrite::Put(node(b"", 2, false))],
        tree_seq: u64::MAX,
        clock_bound: HlcTime(u64::MAX - 1),
        ..CommitPlan::default()
    };
    archive.commit(records.clone(), fixed(plan)).await.unwrap();
    assert_eq!(all(&*archive).await, records);
    let tree = archive.load_tree().await.unwrap();
    assert_eq!(tree, (vec![node(b"", 2, false)], u64::MAX));
    archive.close().await.unwrap();
    assert_eq!(clock_bound(bed).await, HlcTime(u64::MAX - 1));
}

async fn clock_bound(bed: &dyn Bed) -> HlcTime {
    bed.archive().await.open().await.unwrap().clock_bound
}

pub async fn nodes_are_put_replaced_and_deleted(bed: &dyn Bed) {
    let archive = open(bed).await;
    let commit = |nodes: Vec<NodeWrite>, tree_seq| {
        let plan = CommitPlan {
            nodes,
            tree_seq,
            ..CommitPlan::default()
        };
        archive.commit(Vec::new(), fixed(plan))
    };
    // Prefixes are bytes of keys, cut anywhere.
    let prefixes: [&[u8]; 5] = [b"", b"a", b"a\0", b"a.", b"\xc3"];
    let puts = prefixes
        .iter()
        .map(|prefix| NodeWrite::Put(node(prefix, 3, true)));
    commit(puts.collect(), 1).await.unwrap();
    let change = vec![
        NodeWrite::Put(node(b"a", 200, false)),
        NodeWrite::Delete(b"\xc3".to_vec()),
        NodeWrite::Delete(b"missing".to_vec()),
    ];
    commit(change, 2).await.unwrap();
    let (mut nodes, seq) = archive.load_tree().await.unwrap();
    nodes.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    let expected = [
        node(b"", 3, true),
        node(b"a", 200, false),
        node(b"a\0", 3, true),
        node(b"a.", 3, true),
    ];
    assert_eq!((&nodes[..], seq), (&expected[..], 2));
}

pub async fn a_rebuilt_tree_is_the_sum_of_the_rows(bed: &dyn Bed) {
    let archive = open(bed).await;
    archive.rebuild_tree().await.unwrap();
    assert_eq!(archive.load_tree().await.unwrap(), (vec![], 1));
    let mut records = hundred(&*archive).await;
    records.push(dead("gone", stamp(1, 0)));
    put(&*archive, &records[100..]).await;
    let foreign = [node(b"", 3, true), node(b"x", 2, false)];
    let plan = CommitPlan {
        nodes: foreign.map(NodeWrite::Put).to_vec(),
        tree_seq: 7,
        ..CommitPlan::default()
    };
    archive.commit(Vec::new(), fixed(plan)).await.unwrap();
    archive.rebuild_tree().await.unwrap();
    let mut total = Aggregate::default();
    for record in &records {
        total.insert(&record.leaf().digest(record.key().as_bytes()));
    }
    let root = NodeRow {
        prefix: Vec::new(),
        aggregate: total,
        split: false,
    };
    assert_eq!(archive.load_tree().await.unwrap(), (vec![root], 8));
    assert_eq!(all(&*archive).await.len(), 101);
}

pub async fn the_clock_bound_never_falls(bed: &dyn Bed) {
    let archive = open(bed).await;
    archive.raise_clock_bound(HlcTime(1 << 63)).await.unwrap();
    archive.raise_clock_bound(HlcTime(9)).await.unwrap();
    let plan = CommitPlan {
        clock_bound: HlcTime(10),
        ..CommitPlan::default()
    };
    archive.commit(Vec::new(), fixed(plan)).await.unwrap();
    archive.close().await.unwrap();
    assert_eq!(clock_bound(bed).await, HlcTime(1 << 63));
}

pub async fn concurrent_commits_leave_the_newest(bed: &dyn Bed) {
    let archive = open(bed).await;
    let commits = (0..20u64).map(|n| {
        let archive = archive.clone();
        async move {
            // Every commit has all keys, in another order, so that rows locked one by one would deadlock.
            let mut records: Vec<Stored> = (0..10)
                .map(|k| live(&format!("k{k}"), n.to_string(), stamp(n, 0)))
                .collect();
            records.rotate_left(n as usize % 10);
            let count = |view: CommitView, leaves: &[Leaf]| CommitPlan {
                rows: view
                    .olds
                    .iter()
                    .zip(leaves)
                    .map(|(old, new)| match decide(old.as_ref(), new) {
                        Decision::Take => RowAction::Put,
                        Decision::Keep | Decision::Same => RowAction::Leave,
                    })
                    .collect(),
                tree_seq: view.tree_seq + 1,
                ..CommitPlan::default()
            };
            let leaves: Vec<Leaf> = records.iter().map(Stored::leaf).collect();
            archive
                .commit(records, Box::new(move |view| Ok(count(view, &leaves))))
                .await
                .unwrap();
            assert_eq!(all(&*archive).await.len(), 10);
        }
    });
    futures_util::future::join_all(commits).await;
    assert_eq!(
        archive.load_tree().await.unwrap().1,
        20,
        "no commit saw an old number"
    );
    for row in all(&*archive).await {
        assert_eq!(row.stamp(), stamp(19, 0));
    }
}
