//! The archive in memory: for tests and simulations, with faults to switch on.

mod faults;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

pub use self::faults::{ArchiveOp, InjectedFault};
use self::faults::{Faults, failed};
use super::{
    ArchiveError, ArchiveStore, CommitPlan, CommitView, KeyRange, MetaKey, Opened, Planner,
    RowAction,
};
use crate::item::decide::{Decision, decide};
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::merkle::node::{Aggregate, NodeRow, NodeWrite};

/// An archive that forgets with its last handle. It keeps the contract of the lasting ones, or breaks it on command.
#[derive(Debug, Default)]
pub struct MemoryArchive {
    disk: Arc<Mutex<Disk>>,
    closed: AtomicBool,
}

/// What outlives a restart.
#[derive(Clone, Debug, Default)]
struct Disk {
    rows: BTreeMap<Vec<u8>, Stored>,
    nodes: BTreeMap<Vec<u8>, NodeRow>,
    meta: HashMap<MetaKey, Vec<u8>>,
    tree_seq: u64,
    clock_bound: HlcTime,
    collected: HlcTime,
    faults: Faults,
}

impl MemoryArchive {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same rows behind a new handle, as after a restart; faults that are switched on stay on.
    pub fn restarted(&self) -> Self {
        Self {
            disk: self.disk.clone(),
            closed: AtomicBool::new(false),
        }
    }

    /// Another archive that holds now what this one holds, as a backup does.
    pub fn copy(&self) -> Self {
        Self {
            disk: Arc::new(Mutex::new(self.disk.lock().clone())),
            closed: AtomicBool::new(false),
        }
    }

    /// Lets the next call of `op` fail, without effect.
    pub fn fail_next(&self, op: ArchiveOp) {
        self.disk.lock().faults.once.insert(op);
    }

    /// Lets the next commit happen, and then fail all the same.
    pub fn fail_after_next_commit(&self) {
        self.disk.lock().faults.lost_reply = true;
    }

    /// Lets every call fail, without effect, until it is switched off.
    pub fn set_down(&self, down: bool) {
        self.disk.lock().faults.down = down;
    }

    /// Lets every commit with a record of this key be refused, until it is switched off.
    pub fn refuse(&self, key: &Key, refuse: bool) {
        let refused = &mut self.disk.lock().faults.refused;
        match refuse {
            true => refused.insert(key.clone()),
            false => refused.remove(key),
        };
    }

    fn with<T>(
        &self,
        op: ArchiveOp,
        work: impl FnOnce(&mut Disk) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(ArchiveError::Closed);
        }
        let mut disk = self.disk.lock();
        disk.faults.meet(op)?;
        work(&mut disk)
    }
}

impl Disk {
    fn leaf(&self, key: &Key) -> Option<Leaf> {
        self.rows.get(key.as_bytes()).map(Stored::leaf)
    }

    fn commit(
        &mut self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        let olds = records.iter().map(|record| self.leaf(record.key()));
        let plan = plan(CommitView {
            olds: olds.collect(),
            tree_seq: self.tree_seq,
        })?;
        plan.check_length(records.len())?;
        Ok(self.apply(records, plan))
    }

    fn apply(&mut self, records: Vec<Stored>, plan: CommitPlan) -> Vec<RowAction> {
        for (record, action) in records.into_iter().zip(&plan.rows) {
            let (ours, theirs) = (self.leaf(record.key()), record.leaf());
            let wins = decide(ours.as_ref(), &theirs) == Decision::Take;
            let tombstone = Leaf {
                hash: None,
                ..theirs
            };
            match action {
                RowAction::Put if wins => {
                    self.rows.insert(record.key().as_bytes().to_vec(), record);
                }
                RowAction::Remove if ours == Some(tombstone) => {
                    self.rows.remove(record.key().as_bytes());
                }
                RowAction::Put | RowAction::Remove | RowAction::Leave => {}
            }
        }
        for node in plan.nodes {
            match node {
                NodeWrite::Put(node) => self.nodes.insert(node.prefix.clone(), node),
                NodeWrite::Delete(prefix) => self.nodes.remove(&prefix),
            };
        }
        self.tree_seq = plan.tree_seq;
        self.clock_bound = self.clock_bound.max(plan.clock_bound);
        self.collected = self.collected.max(plan.collected);
        plan.rows
    }

    fn range(&self, range: &KeyRange) -> impl Iterator<Item = &Stored> {
        // The map takes it ill when a range ends before it starts.
        let empty = range.end.as_ref().is_some_and(|end| *end <= range.start);
        let limit = if empty { 0 } else { usize::MAX };
        let end = match &range.end {
            Some(end) if !empty => Bound::Excluded(&end[..]),
            _ => Bound::Unbounded,
        };
        let start = Bound::Included(&range.start[..]);
        let rows = self.rows.range::<[u8], _>((start, end));
        rows.map(|(_, stored)| stored).take(limit)
    }
}

#[async_trait]
impl ArchiveStore for MemoryArchive {
    async fn open(&self) -> Result<Opened, ArchiveError> {
        self.with(ArchiveOp::Open, |disk| {
            Ok(Opened {
                clock_bound: disk.clock_bound,
                collected: disk.collected,
                fingerprint: None,
            })
        })
    }

    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        self.with(ArchiveOp::Commit, |disk| {
            disk.faults.meet_records(&records)?;
            let written = disk.commit(records, plan)?;
            match std::mem::take(&mut disk.faults.lost_reply) {
                true => Err(failed(ArchiveOp::Commit, InjectedFault::LostReply)),
                false => Ok(written),
            }
        })
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError> {
        self.with(ArchiveOp::GetMany, |disk| {
            let found = keys
                .iter()
                .map(|key| disk.rows.get(key.as_bytes()).cloned());
            Ok(found.collect())
        })
    }

    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError> {
        self.with(ArchiveOp::LeavesOf, |disk| {
            Ok(keys.iter().map(|key| disk.leaf(key)).collect())
        })
    }

    async fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, ArchiveError> {
        self.with(ArchiveOp::Scan, |disk| {
            let mut bytes = 0usize;
            let fits = disk.range(range).take_while(|stored| {
                let before = bytes;
                bytes = bytes.saturating_add(stored.size_bytes());
                before == 0 || before <= bytes_max
            });
            Ok(fits.take(limit).cloned().collect())
        })
    }

    async fn scan_leaves(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        self.with(ArchiveOp::ScanLeaves, |disk| {
            let leaves = disk.range(range).map(|row| (row.key().clone(), row.leaf()));
            Ok(leaves.take(limit).collect())
        })
    }

    async fn count_live(&self, range: &KeyRange, now_ms: i64) -> Result<u64, ArchiveError> {
        self.with(ArchiveOp::CountLive, |disk| {
            let live = disk
                .range(range)
                .filter(|row| row.live_at(now_ms).is_some());
            Ok(live.count() as u64)
        })
    }

    async fn expired(&self, now_ms: i64, limit: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        self.with(ArchiveOp::Expired, |disk| {
            let past = |row: &&Stored| row.item().is_some_and(|item| item.is_expired(now_ms));
            let mut found: Vec<&Stored> = disk.rows.values().filter(past).collect();
            found.sort_by_key(|row| row.item().and_then(|item| item.expires_at));
            let found = found.into_iter().take(limit);
            Ok(found.map(|row| (row.key().clone(), row.leaf())).collect())
        })
    }

    async fn tombstones(
        &self,
        until: HlcTime,
        after: Option<&(Key, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError> {
        let after = after.map(|(key, stamp)| (stamp.time, key.clone()));
        self.with(ArchiveOp::Tombstones, |disk| {
            let dead = disk.rows.values().filter(|row| row.item().is_none());
            let mut found: Vec<(HlcTime, Key, Stamp)> = dead
                .map(|row| (row.stamp().time, row.key().clone(), row.stamp()))
                .filter(|(time, key, _)| *time <= until && Some((*time, key.clone())) > after)
                .collect();
            found.sort_unstable();
            let found = found.into_iter().take(limit);
            Ok(found.map(|(_, key, stamp)| (key, stamp)).collect())
        })
    }

    async fn load_tree(&self) -> Result<(Vec<NodeRow>, u64), ArchiveError> {
        self.with(ArchiveOp::LoadTree, |disk| {
            Ok((disk.nodes.values().cloned().collect(), disk.tree_seq))
        })
    }

    async fn rebuild_tree(&self) -> Result<(), ArchiveError> {
        self.with(ArchiveOp::RebuildTree, |disk| {
            let mut total = Aggregate::default();
            for (key, row) in &disk.rows {
                total.insert(&row.leaf().digest(key));
            }
            let root = NodeRow::root_alone(total).into_iter();
            disk.nodes = root.map(|root| (root.prefix.clone(), root)).collect();
            disk.tree_seq += 1;
            Ok(())
        })
    }

    async fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError> {
        self.with(ArchiveOp::Meta, |disk| Ok(disk.meta.get(&key).cloned()))
    }

    async fn set_meta(&self, key: MetaKey, value: Vec<u8>) -> Result<(), ArchiveError> {
        self.with(ArchiveOp::SetMeta, |disk| {
            disk.meta.insert(key, value);
            Ok(())
        })
    }

    async fn raise_clock_bound(&self, bound: HlcTime) -> Result<(), ArchiveError> {
        self.with(ArchiveOp::RaiseClockBound, |disk| {
            disk.clock_bound = disk.clock_bound.max(bound);
            Ok(())
        })
    }

    async fn ping(&self) -> Result<(), ArchiveError> {
        self.with(ArchiveOp::Ping, |_| Ok(()))
    }

    fn is_configured(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    async fn close(&self) -> Result<(), ArchiveError> {
        match self.closed.swap(true, Ordering::AcqRel) {
            true => Err(ArchiveError::Closed),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::SyncItem;
    use crate::item::stamp::{Origin, Stamp};
    use crate::l3::contract::{self, Bed};

    struct InMemory(MemoryArchive);

    #[async_trait]
    impl Bed for InMemory {
        async fn archive(&self) -> Arc<dyn ArchiveStore> {
            Arc::new(self.0.restarted())
        }
    }

    contract::archive_contract!(InMemory(MemoryArchive::new()));

    fn record() -> Stored {
        let stamp = Stamp {
            time: HlcTime(1),
            origin: Origin::default(),
        };
        Stored::Live(SyncItem::new("a", b"1".to_vec()).edit(|fields| fields.stamp = stamp))
    }

    #[tokio::test]
    async fn an_archive_that_is_down_answers_nothing_until_it_is_up() {
        let archive = MemoryArchive::new();
        archive.set_down(true);
        assert!(archive.ping().await.is_err());
        assert!(
            archive
                .commit(vec![record()], contract::honest(&[record()]))
                .await
                .is_err()
        );
        archive.set_down(false);
        assert_eq!(archive.get_many(&["a".into()]).await.unwrap(), [None]);
        archive.fail_next(ArchiveOp::GetMany);
        assert!(archive.get_many(&["a".into()]).await.is_err());
        assert!(archive.get_many(&["a".into()]).await.is_ok());
    }

    #[tokio::test]
    async fn a_lost_reply_leaves_the_commit_done() {
        let archive = MemoryArchive::new();
        archive.fail_after_next_commit();
        assert!(
            archive
                .commit(vec![record()], contract::honest(&[record()]))
                .await
                .is_err()
        );
        assert_eq!(
            archive.get_many(&["a".into()]).await.unwrap(),
            [Some(record())]
        );
    }
}
