//! Rows that go.

use super::{Bed, all, dead, fixed, live, lying, node, open, put, stamp};
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::l3::{ArchiveStore, CommitPlan, CommitView, Planner, RowAction};
use crate::merkle::node::{Aggregate, NodeWrite};

async fn remove(archive: &dyn ArchiveStore, records: &[Stored]) {
    let done = archive.commit(records.to_vec(), lying(RowAction::Remove));
    assert_eq!(done.await.unwrap(), vec![RowAction::Remove; records.len()]);
}

async fn listed(archive: &dyn ArchiveStore, until: u64) -> Vec<(Key, Stamp)> {
    let found = archive.tombstones(HlcTime(until), None, usize::MAX);
    found.await.unwrap()
}

fn pairs(rows: &[Stored]) -> Vec<(Key, Stamp)> {
    let pair = |row: &Stored| (row.key().clone(), row.stamp());
    rows.iter().map(pair).collect()
}

pub async fn a_row_is_removed_only_while_it_is_that_tombstone(bed: &dyn Bed) {
    let archive = open(bed).await;
    let rows = [
        dead("a", stamp(5, 2)),
        dead("b", stamp(5, 2)),
        dead("c", stamp(5, 2)),
        dead("d", stamp(5, 2)),
        live("e", b"1".to_vec(), stamp(5, 2)),
        dead("f", stamp(u64::MAX, u64::MAX)),
    ];
    put(&*archive, &rows).await;
    // The planner says so of all of them, whatever they are.
    let doomed = [
        dead("a", stamp(5, 1)),
        dead("b", stamp(4, 2)),
        dead("c", stamp(5, 2)),
        dead("d", stamp(6, 2)),
        dead("e", stamp(5, 2)),
        dead("f", stamp(u64::MAX, u64::MAX)),
        dead("nobody", stamp(5, 2)),
    ];
    remove(&*archive, &doomed).await;
    let left = [&rows[0], &rows[1], &rows[3], &rows[4]].map(Clone::clone);
    assert_eq!(all(&*archive).await, left);
    // What took the place of the tombstone since it was listed.
    put(&*archive, &[live("a", b"again".to_vec(), stamp(7, 2))]).await;
    remove(&*archive, &rows[..1]).await;
    assert_eq!(all(&*archive).await.len(), 4);
    remove(&*archive, &[]).await;
}

pub async fn tombstones_are_listed_up_to_a_time(bed: &dyn Bed) {
    let archive = open(bed).await;
    assert_eq!(listed(&*archive, u64::MAX).await, []);
    // In the order of time and key, whatever the origin.
    let rows = [
        dead("first", stamp(0, 9)),
        dead("a", stamp(7, 3)),
        dead("b", stamp(7, 1)),
        dead("ä", stamp(7, 2)),
        dead("A", stamp(1 << 63, 0)),
        dead("last", stamp(u64::MAX, 0)),
    ];
    put(&*archive, &rows).await;
    put(&*archive, &[live("live", b"1".to_vec(), stamp(7, 0))]).await;
    for (until, count) in [
        (0, 1),
        (6, 1),
        (7, 4),
        ((1 << 63) - 1, 4),
        (1 << 63, 5),
        (u64::MAX, 6),
    ] {
        assert_eq!(listed(&*archive, until).await, pairs(&rows[..count]));
    }
    // A row that comes alive is none any more, and one that dies is.
    put(&*archive, &[live("b", b"2".to_vec(), stamp(8, 0))]).await;
    put(&*archive, &[dead("live", stamp(8, 0))]).await;
    let names: Vec<Key> = listed(&*archive, 8)
        .await
        .into_iter()
        .map(|l| l.0)
        .collect();
    assert_eq!(names, ["first", "a", "ä", "live"].map(Key::from));
}

pub async fn tombstones_come_in_portions(bed: &dyn Bed) {
    let archive = open(bed).await;
    let row = |n: u64| dead(&format!("k{:02}", n * 37 % 100), stamp(n / 10, n));
    let mut rows: Vec<Stored> = (0..100).map(row).collect();
    put(&*archive, &rows).await;
    rows.sort_by_key(|row| (row.stamp().time, row.key().clone()));
    let mut found: Vec<(Key, Stamp)> = Vec::new();
    loop {
        let page = archive.tombstones(HlcTime(8), found.last(), 7).await;
        let page = page.unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        // Whether those before it are still there does not matter.
        let doomed: Vec<Stored> = page.iter().map(|(k, s)| dead(k, *s)).step_by(2).collect();
        remove(&*archive, &doomed).await;
        found.extend(page);
    }
    assert_eq!(found, pairs(&rows[..90]));
    assert_eq!(archive.tombstones(HlcTime(8), None, 0).await.unwrap(), []);
}

pub async fn rows_and_nodes_that_go_and_the_bound_are_one_commit(bed: &dyn Bed) {
    let archive = open(bed).await;
    let rows = [
        dead("a", stamp(1, 0)),
        live("b", b"1".to_vec(), stamp(1, 0)),
        dead("c", stamp(2, 0)),
    ];
    put(&*archive, &rows).await;
    let plan = CommitPlan {
        nodes: vec![NodeWrite::Put(node(b"", 3, true))],
        tree_seq: 3,
        ..CommitPlan::default()
    };
    archive.commit(vec![], fixed(plan)).await.unwrap();
    // Some go, and some come in the same commit; the planner sees what they are.
    let batch = vec![rows[2].clone(), dead("d", stamp(9, 0)), rows[0].clone()];
    let olds = vec![Some(rows[2].leaf()), None, Some(rows[0].leaf())];
    let planner: Planner = Box::new(move |view: CommitView| {
        assert_eq!((view.olds, view.tree_seq), (olds, 3));
        Ok(CommitPlan {
            rows: vec![RowAction::Remove, RowAction::Put, RowAction::Leave],
            nodes: vec![NodeWrite::Put(node(b"", 2, false))],
            tree_seq: 4,
            clock_bound: HlcTime(9),
            collected: HlcTime(2),
        })
    });
    archive.commit(batch, planner).await.unwrap();
    let left = [rows[0].clone(), rows[1].clone(), dead("d", stamp(9, 0))];
    assert_eq!(all(&*archive).await, left);
    let tree = archive.load_tree().await.unwrap();
    assert_eq!(tree, (vec![node(b"", 2, false)], 4));
    // The bound never falls, and a commit that removes nothing leaves it alone.
    for collected in [HlcTime(1), HlcTime(0)] {
        let plan = CommitPlan {
            tree_seq: 4,
            collected,
            ..CommitPlan::default()
        };
        archive.commit(vec![], fixed(plan)).await.unwrap();
    }
    archive.close().await.unwrap();
    let again = bed.archive().await;
    assert_eq!(again.open().await.unwrap().collected, HlcTime(2));
    assert_eq!(all(&*again).await, left);
    assert_eq!(listed(&*again, 9).await.len(), 2);
}

pub async fn what_was_removed_may_come_again(bed: &dyn Bed) {
    let archive = open(bed).await;
    let rows = ["a", "b", "c"].map(|key| dead(key, stamp(5, 0)));
    put(&*archive, &rows).await;
    remove(&*archive, &rows).await;
    assert_eq!(all(&*archive).await, []);
    let leaves: Vec<Option<Leaf>> = archive.leaves_of(&["a".into()]).await.unwrap();
    assert_eq!(leaves, [None]);
    archive.rebuild_tree().await.unwrap();
    assert_eq!(archive.load_tree().await.unwrap().0, []);
    // There is nothing any more that it would lose to.
    let older = live("a", b"1".to_vec(), stamp(4, 0));
    assert_eq!(put(&*archive, std::slice::from_ref(&older)).await, [true]);
    archive.rebuild_tree().await.unwrap();
    let mut total = Aggregate::default();
    total.insert(&older.leaf().digest(b"a"));
    assert_eq!(archive.load_tree().await.unwrap().0[0].aggregate, total);
}
