//! The tree in memory: which aggregates are kept, and how a commit changes them.
//!
//! A node keeps the aggregate of its prefix. Keys of a node that lie in none of its children are its *rest*: no row names
//! them, the rest's sum is the node's minus its children's. A commit only ever changes sums along the paths of its keys;
//! nodes come and go by jobs of their own ([`Tree::next_job`]): a rest that has grown large is split, one that has become
//! small takes its children in. Nodes exist for speed alone: the aggregate of a prefix does not depend on them.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::arena::{NodeId, Nodes, ROOT};
use super::delta::{LeafChange, TreeDelta, TreeError, Update};
use super::node::{Aggregate, NodeRow, NodeWrite};
use crate::limits;

/// When nodes come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLimits {
    /// A rest of more rows than this is split. At least 1.
    pub split_above: u64,
    /// A node whose rest together with a child's has fewer rows than this takes the child in. At most half of `split_above`.
    pub fold_below: u64,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self {
            split_above: limits::TREE_SPLIT_ABOVE,
            fold_below: limits::TREE_FOLD_BELOW,
        }
    }
}

/// Maintenance that is due. It changes nodes, never an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeJob {
    /// Scan the node's rest ([`Tree::rest_ranges`]) into a [`super::SplitBuilder`] and commit what it finishes with.
    Split(Vec<u8>),
    /// Commit [`Tree::plan_fold`] of this prefix.
    Fold(Vec<u8>),
}

/// The materialized nodes. Pure: no clock, no I/O.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) nodes: Nodes,
    pub(super) limits: TreeLimits,
    pub(super) seq: u64,
    splits_due: BTreeSet<NodeId>,
    folds_due: BTreeSet<NodeId>,
}

impl Tree {
    /// The tree of no keys, number 0.
    pub fn empty() -> Self {
        Self::with_limits(TreeLimits::default())
    }

    /// As [`Tree::empty`], with other limits than the usual ones.
    pub fn with_limits(limits: TreeLimits) -> Self {
        Self {
            nodes: Nodes::new(Aggregate::default()),
            limits,
            seq: 0,
            splits_due: BTreeSet::new(),
            folds_due: BTreeSet::new(),
        }
    }

    /// The number of the last applied change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The aggregate of all keys.
    pub fn root(&self) -> Aggregate {
        self.nodes.get(ROOT).aggregate
    }

    /// How many nodes are materialized.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Every node as it is stored, in the order of prefixes.
    pub fn rows(&self) -> Vec<NodeRow> {
        let order = self.nodes.in_order();
        let row = |id: NodeId| {
            let node = self.nodes.get(id);
            NodeRow {
                prefix: node.prefix.to_vec(),
                aggregate: node.aggregate,
                split: !node.children.is_empty(),
            }
        };
        order.into_iter().map(row).collect()
    }

    /// What these changes do to the nodes. Costs one path per change, whatever lies beside it; changes nothing yet.
    ///
    /// An error means that the `old` leaves given are not those the tree was built from.
    pub fn plan(&self, changes: &[LeafChange<'_>]) -> Result<TreeDelta, TreeError> {
        let mut touched: HashMap<NodeId, Update, foldhash::fast::RandomState> = HashMap::default();
        for change in changes.iter().filter(|change| change.old != change.new) {
            let mut delta = Aggregate::default();
            change.old.iter().for_each(|old| delta.remove(old));
            change.new.iter().for_each(|new| delta.insert(new));
            let mut deepest = ROOT;
            for id in self.nodes.ancestors(change.key) {
                let update = touched.entry(id).or_insert_with(|| self.unchanged(id));
                update.aggregate.merge(&delta);
                deepest = id;
            }
            if let Some(update) = touched.get_mut(&deepest) {
                update.rest.merge(&delta);
            }
        }
        let mut updates: Vec<Update> = touched.into_values().collect();
        updates.sort_unstable_by(|a, b| self.prefix(a.id).cmp(self.prefix(b.id)));
        self.delta_of(updates)
    }

    fn unchanged(&self, id: NodeId) -> Update {
        let node = self.nodes.get(id);
        Update {
            id,
            aggregate: node.aggregate,
            rest: node.rest,
        }
    }

    fn delta_of(&self, updates: Vec<Update>) -> Result<TreeDelta, TreeError> {
        let is_gone = |update: &Update| update.aggregate.count == 0 && update.id != ROOT;
        let mut removed: Vec<NodeId> = updates
            .iter()
            .filter(|u| is_gone(u))
            .map(|u| u.id)
            .collect();
        // Children come behind their parents in key order, and must go before them.
        removed.reverse();
        let gone: BTreeSet<NodeId> = removed.iter().copied().collect();
        let mut writes = Vec::with_capacity(updates.len());
        for update in &updates {
            let node = self.nodes.get(update.id);
            if update.aggregate.is_impossible() || update.rest.is_impossible() {
                return Err(TreeError::Sum(node.prefix.to_vec()));
            }
            writes.push(if is_gone(update) {
                NodeWrite::Delete(node.prefix.to_vec())
            } else {
                NodeWrite::Put(NodeRow {
                    prefix: node.prefix.to_vec(),
                    aggregate: update.aggregate,
                    split: node.children.iter().any(|(_, child)| !gone.contains(child)),
                })
            });
        }
        Ok(TreeDelta {
            seq: self.seq + 1,
            updates,
            removed,
            added: Vec::new(),
            writes,
        })
    }

    /// Makes a committed change visible. Changes are applied in the order of their numbers.
    pub fn apply(&mut self, delta: TreeDelta) -> Result<(), TreeError> {
        if delta.seq != self.seq + 1 {
            return Err(TreeError::OutOfTurn {
                delta: delta.seq,
                tree: self.seq,
            });
        }
        let mut changed = Vec::with_capacity(delta.updates.len());
        for update in delta.updates {
            let node = self.nodes.get_mut(update.id);
            (node.aggregate, node.rest) = (update.aggregate, update.rest);
            changed.push(update.id);
        }
        for id in &delta.removed {
            changed.extend(self.nodes.get(*id).parent);
            self.nodes.detach(*id);
            self.splits_due.remove(id);
            self.folds_due.remove(id);
        }
        for (prefix, aggregate) in delta.added {
            let Ok(id) = self.nodes.attach(&prefix, aggregate) else {
                return Err(TreeError::Crossing(prefix));
            };
            changed.push(id);
            changed.extend(self.nodes.get(id).parent);
        }
        changed.retain(|id| !delta.removed.contains(id));
        changed.into_iter().for_each(|id| self.note_due(id));
        self.seq = delta.seq;
        Ok(())
    }

    /// Some maintenance that is due. It may wait, but reads get slower meanwhile.
    pub fn next_job(&self) -> Option<TreeJob> {
        if let Some(id) = self.splits_due.first() {
            return Some(TreeJob::Split(self.prefix(*id).to_vec()));
        }
        let id = self.folds_due.iter().find(|id| self.can_fold(**id))?;
        Some(TreeJob::Fold(self.prefix(*id).to_vec()))
    }

    pub(super) fn note_due(&mut self, id: NodeId) {
        let rest = self.nodes.get(id).rest.count;
        if rest > self.limits.split_above {
            self.splits_due.insert(id);
        } else {
            self.splits_due.remove(&id);
        }
        if self.can_fold(id) {
            self.folds_due.insert(id);
        } else {
            self.folds_due.remove(&id);
        }
        if let Some(parent) = self.nodes.get(id).parent
            && self.is_foldable(parent, id)
        {
            self.folds_due.insert(parent);
        }
    }

    fn can_fold(&self, id: NodeId) -> bool {
        let node = self.nodes.get(id);
        node.rest.count < self.limits.fold_below
            && node
                .children
                .iter()
                .any(|(_, child)| self.is_foldable(id, *child))
    }

    pub(super) fn is_foldable(&self, parent: NodeId, child: NodeId) -> bool {
        let (upper, lower) = (self.nodes.get(parent), self.nodes.get(child));
        // A node with more children than one holds them apart, so it stays until they are gone.
        lower.children.len() <= 1
            && upper.rest.count.saturating_add(lower.rest.count) < self.limits.fold_below
    }

    pub(super) fn prefix(&self, id: NodeId) -> &[u8] {
        &self.nodes.get(id).prefix
    }
}
