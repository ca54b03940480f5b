//! Reading the Merkle tree.

use std::collections::BTreeMap;

use super::SyncEngine;
use crate::error::StorageError;
use crate::l3::{ArchiveStore, KeyRange};
use crate::merkle::node::{Aggregate, NodeHash};
use crate::merkle::summary::{Detail, Summary};
use crate::merkle::walk::{Descent, MerkleDiff, OurView, WalkBudget};
use crate::merkle::{path, read};

/// Most children listed for one path.
const CHILDREN_MAX: usize = 10_000;

/// A path's subtree: the item of that name and everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleNode {
    /// The path, segments between dots; empty: everything.
    pub path: String,
    /// Rows in the subtree, tombstones among them.
    pub count: u64,
    /// Hash of the subtree.
    pub hash: NodeHash,
}

impl MerkleNode {
    fn new(path: impl Into<String>, aggregate: &Aggregate) -> Self {
        Self {
            path: path.into(),
            count: aggregate.count,
            hash: aggregate.hash(),
        }
    }
}

/// What the root is made of: changes in one transaction with the rows, so it is never behind or ahead of them.
impl SyncEngine {
    /// Count and sum of all rows of L3: equal on two nodes exactly when their sets are.
    ///
    /// # Errors
    /// `Closed` when the engine is not running.
    pub fn merkle_aggregate(&self) -> Result<Aggregate, StorageError> {
        Ok(self.core("merkle_root")?.tree.read().root())
    }

    /// The root's hash.
    ///
    /// # Errors
    /// `Closed` when the engine is not running.
    pub fn merkle_root(&self) -> Result<NodeHash, StorageError> {
        Ok(self.merkle_aggregate()?.hash())
    }

    /// The roots of several paths, in the order asked.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn merkle_roots(&self, paths: &[&str]) -> Result<Vec<NodeHash>, StorageError> {
        let mut roots = Vec::with_capacity(paths.len());
        for path in paths {
            roots.push(self.get_merkle_hash(path).await?);
        }
        Ok(roots)
    }

    /// As [`SyncEngine::merkle_root`].
    ///
    /// # Errors
    /// `Closed` when the engine is not running.
    pub fn get_merkle_root(&self) -> Result<NodeHash, StorageError> {
        self.merkle_root()
    }

    /// The hash of a path's subtree.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn get_merkle_hash(&self, path: &str) -> Result<NodeHash, StorageError> {
        Ok(self.get_merkle_node(path).await?.hash)
    }

    /// A path's subtree.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn get_merkle_node(&self, path: &str) -> Result<MerkleNode, StorageError> {
        let core = self.core("get_merkle_node")?;
        let aggregate = path::aggregate(&core.tree, &core.archive, path).await?;
        Ok(MerkleNode::new(path, &aggregate))
    }

    /// The subtrees right below a path, in the order of their names; at most 10,000.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn get_merkle_children(&self, path: &str) -> Result<Vec<MerkleNode>, StorageError> {
        let core = self.core("get_merkle_children")?;
        let children: BTreeMap<String, Aggregate> =
            path::children(&core.tree, &core.archive, path, CHILDREN_MAX).await?;
        let full = |segment: &str| format!("{}{segment}", path::below(path));
        Ok(children
            .iter()
            .map(|(segment, aggregate)| MerkleNode::new(full(segment), aggregate))
            .collect())
    }

    /// The paths right below `path` whose subtrees differ from `theirs`, or that `theirs` lacks or has alone.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn find_divergent_paths(
        &self,
        path: &str,
        theirs: &[MerkleNode],
    ) -> Result<Vec<String>, StorageError> {
        let ours = self.get_merkle_children(path).await?;
        let ours: BTreeMap<&str, NodeHash> =
            ours.iter().map(|n| (n.path.as_str(), n.hash)).collect();
        let theirs: BTreeMap<&str, NodeHash> =
            theirs.iter().map(|n| (n.path.as_str(), n.hash)).collect();
        let mut paths: Vec<&str> = ours.keys().chain(theirs.keys()).copied().collect();
        paths.sort_unstable();
        paths.dedup();
        Ok(paths
            .into_iter()
            .filter(|p| ours.get(p) != theirs.get(p))
            .map(Into::into)
            .collect())
    }

    /// What a peer is told about the keys that begin with `prefix`.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn merkle_summary(
        &self,
        prefix: &[u8],
        detail: Detail,
    ) -> Result<Summary, StorageError> {
        let core = self.core("merkle_summary")?;
        Ok(read::summarize(&core.tree, &core.archive, prefix, detail).await?)
    }

    /// What this engine holds where a peer's summary speaks.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn merkle_view(&self, theirs: &Summary) -> Result<OurView, StorageError> {
        let core = self.core("merkle_view")?;
        Ok(read::our_view(&core.tree, &core.archive, theirs).await?)
    }

    /// Compares the keys under `prefix` with another engine in this process: the keys for which the other is ahead.
    ///
    /// # Errors
    /// `Unavailable` when either archive cannot be asked.
    pub async fn drill_down_divergence(
        &self,
        other: &SyncEngine,
        prefix: &str,
    ) -> Result<MerkleDiff, StorageError> {
        let mut descent = Descent::new(prefix.as_bytes().to_vec(), WalkBudget::default());
        while !descent.is_done() {
            let (questions, detail) = descent.next_questions(16);
            for prefix in questions {
                let theirs = other.merkle_summary(&prefix, detail).await?;
                let ours = self.merkle_view(&theirs).await?;
                // An answer of our own code that does not fit ends this branch, and the result says that it is not whole.
                if let Err(error) = descent.on_summary(&prefix, &theirs, &ours) {
                    tracing::warn!(%error, "a summary does not fit its question");
                }
            }
        }
        Ok(descent.finish())
    }

    /// Whether every key of L3 may be contained by the filter's word, and the tree's sums are those of the rows:
    /// reads every row. For operators and tests.
    ///
    /// # Errors
    /// `Unavailable` when the archive cannot be asked.
    pub async fn verify_filter(&self) -> Result<Verification, StorageError> {
        let core = self.core("verify_filter")?;
        let _order = core.commit_order.lock().await;
        core.reload_tree_if_outdated().await?;
        let (mut seen, mut found) = (Aggregate::default(), Verification::default());
        let mut range = KeyRange::all();
        loop {
            let page = core
                .archive
                .scan_leaves(&range, crate::limits::SCAN_ROWS)
                .await?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last.as_bytes());
            for (key, leaf) in &page {
                seen.insert(&leaf.digest(key.as_bytes()));
                found.denied += u64::from(!core.filter.may_contain(key));
            }
        }
        found.rows = seen.count;
        found.root_is_honest = seen == core.tree.read().root();
        Ok(found)
    }
}

/// What [`SyncEngine::verify_filter`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Rows read.
    pub rows: u64,
    /// Rows whose key the filter denies: always 0.
    pub denied: u64,
    /// Whether the tree's root is the sum of the rows: always true.
    pub root_is_honest: bool,
}
