//! No archive tier.

use async_trait::async_trait;

use super::{
    ArchiveError, ArchiveStore, CommitView, KeyRange, MetaKey, Opened, Planner, RowAction,
};
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::merkle::node::NodeRow;

/// The archive of an engine without `sql_url`: always empty, takes everything, keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AbsentArchive;

#[async_trait]
impl ArchiveStore for AbsentArchive {
    async fn open(&self) -> Result<Opened, ArchiveError> {
        Ok(Opened::default())
    }

    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        let olds = vec![None; records.len()];
        Ok(plan(CommitView { olds, tree_seq: 0 })?.rows)
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError> {
        Ok(vec![None; keys.len()])
    }

    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError> {
        Ok(vec![None; keys.len()])
    }

    async fn scan(&self, _: &KeyRange, _: usize, _: usize) -> Result<Vec<Stored>, ArchiveError> {
        Ok(Vec::new())
    }

    async fn scan_leaves(&self, _: &KeyRange, _: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        Ok(Vec::new())
    }

    async fn count_live(&self, _: &KeyRange, _: i64) -> Result<u64, ArchiveError> {
        Ok(0)
    }

    async fn expired(&self, _: i64, _: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        Ok(Vec::new())
    }

    async fn tombstones(
        &self,
        _: HlcTime,
        _: Option<&(Key, Stamp)>,
        _: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError> {
        Ok(Vec::new())
    }

    async fn load_tree(&self) -> Result<(Vec<NodeRow>, u64), ArchiveError> {
        Ok((Vec::new(), 0))
    }

    async fn rebuild_tree(&self) -> Result<(), ArchiveError> {
        Ok(())
    }

    async fn meta(&self, _: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError> {
        Ok(None)
    }

    async fn set_meta(&self, _: MetaKey, _: Vec<u8>) -> Result<(), ArchiveError> {
        Ok(())
    }

    async fn raise_clock_bound(&self, _: HlcTime) -> Result<(), ArchiveError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn is_configured(&self) -> bool {
        false
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    async fn close(&self) -> Result<(), ArchiveError> {
        Ok(())
    }
}
