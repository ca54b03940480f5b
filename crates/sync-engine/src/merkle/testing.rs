//! A set of keys in memory beside the tree of it, and what must hold of both.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use parking_lot::RwLock;

use super::node::{Aggregate, NodeRow, NodeWrite};
use super::*;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::l3::absent::AbsentArchive;
use crate::l3::{ArchiveError, ArchiveStore, KeyRange, MetaKey, Opened, Planner, RowAction};

pub(super) const SMALL: TreeLimits = TreeLimits {
    split_above: 8,
    fold_below: 4,
};

/// Rows, nodes as stored, and the tree.
pub(super) struct World {
    pub rows: BTreeMap<Key, Leaf>,
    pub stored: BTreeMap<Vec<u8>, NodeRow>,
    pub tree: RwLock<Tree>,
    pub rows_read: AtomicU64,
    pub scans: AtomicU64,
}

impl World {
    pub fn new(limits: TreeLimits) -> Self {
        Self {
            rows: BTreeMap::new(),
            stored: BTreeMap::new(),
            tree: RwLock::new(Tree::with_limits(limits)),
            rows_read: AtomicU64::new(0),
            scans: AtomicU64::new(0),
        }
    }

    pub fn filled(limits: TreeLimits, rows: BTreeMap<Key, Leaf>) -> Self {
        let mut world = Self::new(limits);
        let changes: Vec<_> = rows
            .into_iter()
            .map(|(key, leaf)| (key, Some(leaf)))
            .collect();
        for batch in changes.chunks(10_000) {
            world.put(batch);
            world.maintain();
        }
        world
    }

    pub fn put(&mut self, changes: &[(Key, Option<Leaf>)]) {
        let digest = |key: &Key, leaf: &Leaf| leaf.digest(key.as_bytes());
        let changes: BTreeMap<&Key, &Option<Leaf>> = changes.iter().map(|(k, l)| (k, l)).collect();
        let planned: Vec<LeafChange<'_>> = changes
            .iter()
            .map(|(key, new)| LeafChange {
                key: key.as_bytes(),
                old: self.rows.get(*key).map(|leaf| digest(key, leaf)),
                new: new.as_ref().map(|leaf| digest(key, leaf)),
            })
            .collect();
        let delta = self.tree.read().plan(&planned).unwrap();
        for (key, new) in changes {
            match new {
                Some(leaf) => self.rows.insert(key.clone(), *leaf),
                None => self.rows.remove(key),
            };
        }
        self.store(delta);
    }

    pub fn store(&mut self, delta: TreeDelta) {
        for write in delta.writes() {
            match write {
                NodeWrite::Put(row) => self.stored.insert(row.prefix.clone(), row),
                NodeWrite::Delete(prefix) => Some(self.stored.remove(&prefix).expect("was stored")),
            };
        }
        self.tree.get_mut().apply(delta).unwrap();
    }

    pub fn job(&mut self) -> bool {
        let job = self.tree.read().next_job();
        let delta = match job {
            None => return false,
            Some(TreeJob::Fold(prefix)) => self.tree.read().plan_fold(&prefix).unwrap(),
            Some(TreeJob::Split(prefix)) => {
                let builder = wait(read::read_rest(&self.tree, self, &prefix)).unwrap();
                builder.unwrap().finish(&self.tree.read()).unwrap()
            }
        };
        assert!(
            !delta.writes().is_empty(),
            "a job that is due does something"
        );
        self.store(delta);
        true
    }

    pub fn maintain(&mut self) {
        let mut jobs = 0;
        while self.job() {
            jobs += 1;
            assert!(jobs < 100_000, "maintenance comes to an end");
        }
    }

    pub fn brute(&self, prefix: &[u8]) -> Aggregate {
        let mut total = Aggregate::default();
        let below = self
            .rows
            .iter()
            .filter(|(key, _)| key.as_bytes().starts_with(prefix));
        below.for_each(|(key, leaf)| total.insert(&leaf.digest(key.as_bytes())));
        total
    }

    pub fn check(&self) {
        let tree = self.tree.read();
        assert_eq!(tree.root(), self.brute(b""));
        let stored: Vec<NodeRow> = self.stored.values().cloned().collect();
        if tree.seq() > 0 && !stored.is_empty() {
            assert_eq!(tree.rows(), stored);
        }
        let loaded = Tree::load_with_limits(stored, tree.seq(), tree.limits).unwrap();
        assert_eq!(loaded.rows(), tree.rows());
        assert_eq!(loaded.next_job().is_some(), tree.next_job().is_some());
        tree.rows()
            .iter()
            .for_each(|row| assert_eq!(row.aggregate, self.brute(&row.prefix)));
    }

    pub fn answer(&self, prefix: &[u8], detail: Detail) -> Summary {
        wait(read::summarize(&self.tree, self, prefix, detail)).unwrap()
    }

    /// The keys under `prefix` that each of the answer's entries speaks of: each key exactly once, with the right sums.
    pub fn check_partition(&self, prefix: &[u8], summary: &Summary) {
        let mut told = 0;
        for group in &summary.groups {
            assert!(group.prefix.len() > prefix.len() && group.prefix.starts_with(prefix));
            assert_eq!(
                *group,
                Group::new(group.prefix.clone(), &self.brute(&group.prefix))
            );
            told += group.count;
        }
        for pair in summary.groups.windows(2) {
            assert!(
                pair[0].prefix < pair[1].prefix && !pair[1].prefix.starts_with(&pair[0].prefix)
            );
        }
        for (key, leaf) in &summary.leaves {
            assert_eq!(*leaf, ShortLeaf::from(&self.rows[key]));
            assert!(
                summary
                    .groups
                    .iter()
                    .all(|group| !key.as_bytes().starts_with(&group.prefix))
            );
        }
        assert_eq!(told + summary.leaves.len() as u64, self.brute(prefix).count);
    }
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

#[async_trait]
impl ArchiveStore for World {
    async fn scan_leaves(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        // The bounds of a range may cut a character; the first key at or behind the longest whole part is a start.
        let whole = match std::str::from_utf8(&range.start) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&range.start[..e.valid_up_to()]).unwrap(),
        };
        let from = self
            .rows
            .range::<str, _>((Bound::Included(whole), Bound::Unbounded));
        let inside = from.skip_while(|(key, _)| key.as_bytes() < &range.start[..]);
        let inside = inside.take_while(|(key, _)| range.contains(key.as_bytes()));
        let page: Vec<(Key, Leaf)> = inside.take(limit).map(|(k, l)| (k.clone(), *l)).collect();
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.rows_read
            .fetch_add(page.len() as u64, Ordering::Relaxed);
        Ok(page)
    }

    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError> {
        Ok(keys.iter().map(|key| self.rows.get(key).copied()).collect())
    }

    async fn open(&self) -> Result<Opened, ArchiveError> {
        AbsentArchive.open().await
    }

    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        AbsentArchive.commit(records, plan).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError> {
        AbsentArchive.get_many(keys).await
    }

    async fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, ArchiveError> {
        AbsentArchive.scan(range, limit, bytes_max).await
    }

    async fn count_live(&self, range: &KeyRange, now_ms: i64) -> Result<u64, ArchiveError> {
        AbsentArchive.count_live(range, now_ms).await
    }

    async fn expired(&self, now_ms: i64, limit: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        AbsentArchive.expired(now_ms, limit).await
    }

    async fn tombstones(
        &self,
        until: HlcTime,
        after: Option<&(Key, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError> {
        AbsentArchive.tombstones(until, after, limit).await
    }

    async fn load_tree(&self) -> Result<(Vec<NodeRow>, u64), ArchiveError> {
        Ok((
            self.stored.values().cloned().collect(),
            self.tree.read().seq(),
        ))
    }

    async fn rebuild_tree(&self) -> Result<(), ArchiveError> {
        AbsentArchive.rebuild_tree().await
    }

    async fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError> {
        AbsentArchive.meta(key).await
    }

    async fn set_meta(&self, key: MetaKey, value: Vec<u8>) -> Result<(), ArchiveError> {
        AbsentArchive.set_meta(key, value).await
    }

    async fn raise_clock_bound(&self, bound: HlcTime) -> Result<(), ArchiveError> {
        AbsentArchive.raise_clock_bound(bound).await
    }

    async fn ping(&self) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn is_configured(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    async fn close(&self) -> Result<(), ArchiveError> {
        Ok(())
    }
}
