//! Keeping the tree: read again when it is behind the archive, rebuilt when it contradicts the rows, split and folded as it grows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::core::Core;
use crate::guard::archive::GuardedArchive;
use crate::l2::CacheStore;
use crate::l3::{ArchiveError, ArchiveStore, CommitPlan, CommitView, KeyRange, Planner};
use crate::merkle::delta::{TreeDelta, TreeError};
use crate::merkle::read;
use crate::merkle::tree::{Tree, TreeJob};

/// Tries with a tree that does not fit: only other engines on the same database can cause more than three.
const TRIES: u32 = 5;

/// The tree as the archive has it.
async fn load_tree(archive: &GuardedArchive) -> Result<Tree, ArchiveError> {
    let (nodes, seq) = archive.load_tree().await?;
    if nodes.is_empty() && !archive.scan_leaves(&KeyRange::all(), 1).await?.is_empty() {
        return Err(tree_fault(TreeError::NoNodes));
    }
    Tree::load(nodes, seq).map_err(tree_fault)
}

/// The tree as the archive has it, and whether it had to be rebuilt, because what is stored is no tree.
pub(super) async fn load_or_rebuild(
    archive: &GuardedArchive,
) -> Result<(Tree, bool), ArchiveError> {
    match load_tree(archive).await {
        Err(error @ ArchiveError::TreeBroken { .. }) => {
            rebuild(archive, &error).await?;
            Ok((load_tree(archive).await?, true))
        }
        loaded => Ok((loaded?, false)),
    }
}

/// Has the archive sum up its rows.
async fn rebuild(archive: &GuardedArchive, why: &ArchiveError) -> Result<(), ArchiveError> {
    tracing::error!(error = %why, "somebody changed the archive's tables: the Merkle tree is rebuilt from the rows; writes wait");
    metrics::counter!("sync_engine_merkle_rebuilds_total").increment(1);
    archive.rebuild_tree().await?;
    tracing::warn!("the Merkle tree is rebuilt");
    Ok(())
}

/// A plan that contradicts the tree means that the tree is not that of the archive, or that the archive's is not that of the rows.
pub(super) fn tree_fault(error: TreeError) -> ArchiveError {
    ArchiveError::TreeBroken {
        source: Box::new(error),
    }
}

impl Core {
    /// Makes the tree fit after `error`, if that is about the tree: the next [`Core::reload_tree_if_outdated`] reads it again, and
    /// what was read again and still does not fit is rebuilt. Gives the error back when it is about something else, or for good.
    ///
    /// To be called with `commit_order` held.
    pub(super) async fn mend_tree(
        &self,
        error: ArchiveError,
        failed: &mut u32,
    ) -> Result<(), ArchiveError> {
        *failed += 1;
        let is_broken = matches!(error, ArchiveError::TreeBroken { .. });
        if *failed >= TRIES || !(is_broken || matches!(error, ArchiveError::TreeOutdated)) {
            return Err(error);
        }
        // What was read again just now is broken for sure, unless another engine wrote since.
        if is_broken && *failed > 1 && self.is_tree_current().await? {
            rebuild(&self.archive, &error).await?;
            self.doubt_everything_clean();
        }
        self.tree_outdated.store(true, Ordering::Release);
        Ok(())
    }

    async fn is_tree_current(&self) -> Result<bool, ArchiveError> {
        Ok(self.archive.tree_seq().await? == self.tree.read().seq())
    }

    /// Somebody changed the tables, and which rows is not known: what this engine concluded from them is not believed any more.
    fn doubt_everything_clean(&self) {
        self.filter.distrust();
        self.l1.forget_clean();
        if self.cache.is_configured() {
            self.give_up_cache();
        }
    }

    /// Notices what other engines wrote to an archive that is not this engine's alone: their writes are in its rows, and
    /// neither in this tree nor in this L1.
    pub(super) async fn follow_other_engines(&self) -> Result<(), ArchiveError> {
        if self.archive.is_exclusive() {
            return Ok(());
        }
        let _order = self.commit_order.lock().await;
        if !self.is_tree_current().await? {
            self.tree_outdated.store(true, Ordering::Release);
        }
        self.reload_tree_if_outdated().await
    }

    /// Reads the tree again if a commit went wrong, or another engine committed.
    pub(super) async fn reload_tree_if_outdated(&self) -> Result<(), ArchiveError> {
        if !self.tree_outdated.load(Ordering::Acquire) {
            return Ok(());
        }
        let (tree, is_rebuilt) = load_or_rebuild(&self.archive).await?;
        let is_moved = tree.seq() != self.tree.read().seq();
        self.sketch.forget();
        *self.tree.write() = tree;
        if is_rebuilt {
            self.doubt_everything_clean();
        } else if is_moved && !self.archive.is_exclusive() {
            self.filter.distrust();
            self.l1.forget_clean();
        }
        self.tree_outdated.store(false, Ordering::Release);
        Ok(())
    }

    /// One step of the tree's upkeep: splits a bucket that has grown, or folds one that has shrunk.
    /// `false`: nothing was due.
    pub(super) async fn tend_tree(self: &Arc<Self>) -> Result<bool, ArchiveError> {
        let _order = self.commit_order.lock().await;
        let mut failed = 0;
        loop {
            self.reload_tree_if_outdated().await?;
            match self.try_to_tend().await {
                Err(error) => self.mend_tree(error, &mut failed).await?,
                done => return done,
            }
        }
    }

    async fn try_to_tend(self: &Arc<Self>) -> Result<bool, ArchiveError> {
        let job = self.tree.read().next_job();
        let delta = match job {
            None => return Ok(false),
            Some(TreeJob::Fold(prefix)) => {
                Some(self.tree.read().plan_fold(&prefix).map_err(tree_fault)?)
            }
            Some(TreeJob::Split(prefix)) => self.plan_split(&prefix).await?,
        };
        let Some(delta) = delta else {
            return Ok(false);
        };
        self.commit_delta(delta).await?;
        Ok(true)
    }

    /// Commits a change of nodes alone.
    async fn commit_delta(self: &Arc<Self>, delta: TreeDelta) -> Result<(), ArchiveError> {
        let planned = Arc::new(Mutex::new(Some(delta)));
        let (core, taken) = (self.clone(), planned.clone());
        let planner: Planner = Box::new(move |view: CommitView| {
            let delta = taken.lock();
            let Some(delta) = delta
                .as_ref()
                .filter(|_| view.tree_seq == core.tree.read().seq())
            else {
                return Err(ArchiveError::TreeOutdated);
            };
            Ok(CommitPlan {
                nodes: delta.writes(),
                tree_seq: delta.seq(),
                clock_bound: core.clock.last(),
                ..CommitPlan::default()
            })
        });
        if let Err(error) = self.archive.commit(Vec::new(), planner).await {
            self.tree_outdated.store(true, Ordering::Release);
            return Err(error);
        }
        let delta = planned.lock().take();
        if let Some(delta) = delta {
            self.follow(delta);
        }
        Ok(())
    }

    async fn plan_split(&self, prefix: &[u8]) -> Result<Option<TreeDelta>, ArchiveError> {
        let builder = read::read_rest(&self.tree, &self.archive, prefix).await?;
        let Some(builder) = builder else {
            return Ok(None);
        };
        builder
            .finish(&self.tree.read())
            .map(Some)
            .map_err(tree_fault)
    }
}
