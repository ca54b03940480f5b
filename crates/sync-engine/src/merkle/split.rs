//! Jobs that materialize nodes and give them up again.

use std::collections::BTreeMap;

use super::arena::NodeId;
use super::delta::{TreeDelta, TreeError};
use super::node::{Aggregate, NodeRow, NodeWrite};
use super::prefix::shared_len;
use super::tree::Tree;
use crate::item::hash::LeafDigest;
use crate::l3::KeyRange;

/// Takes the rest of a node in, key by key in any order, and plans new children for it. Holds sums only: at most 256 of them.
#[derive(Clone, Debug)]
pub struct SplitBuilder {
    prefix: Vec<u8>,
    total: Aggregate,
    groups: BTreeMap<u8, Family>,
}

/// Keys of the rest that go on with the same byte.
#[derive(Clone, Debug)]
struct Family {
    prefix: Vec<u8>,
    aggregate: Aggregate,
}

impl SplitBuilder {
    /// For the node of this prefix.
    pub fn new(prefix: &[u8]) -> Self {
        Self {
            prefix: prefix.to_vec(),
            total: Aggregate::default(),
            groups: BTreeMap::new(),
        }
    }

    /// Takes in one key of the rest.
    pub fn push(&mut self, key: &[u8], digest: &LeafDigest) {
        self.total.insert(digest);
        let Some(byte) = key.get(self.prefix.len()) else {
            return; // The key that is the prefix: it always stays in the rest.
        };
        let family = self.groups.entry(*byte).or_insert_with(|| Family {
            prefix: key.to_vec(),
            aggregate: Aggregate::default(),
        });
        family.aggregate.insert(digest);
        family.prefix.truncate(shared_len(&family.prefix, key));
    }

    /// The change that makes the largest families children of their own, until half of a full rest remains.
    ///
    /// Refused with [`TreeError::Stale`] when what was pushed is not the node's rest as it is now.
    pub fn finish(self, tree: &Tree) -> Result<TreeDelta, TreeError> {
        let Some(id) = tree.nodes.find(&self.prefix) else {
            return Err(TreeError::NoSuchNode(self.prefix));
        };
        if tree.nodes.get(id).rest != self.total {
            return Err(TreeError::Stale(self.prefix));
        }
        let mut families: Vec<Family> = self.groups.into_values().collect();
        families.sort_by_key(|family| std::cmp::Reverse(family.aggregate.count));
        let mut left = self.total.count;
        let mut delta = tree.structural();
        for family in families {
            if left <= tree.limits.split_above / 2 {
                break;
            }
            left = left.saturating_sub(family.aggregate.count);
            let row = tree.row_over(id, family);
            delta.added.push((row.prefix.clone(), row.aggregate));
            delta.writes.push(NodeWrite::Put(row));
        }
        if !delta.added.is_empty() {
            delta.writes.push(tree.row_as(id, true));
        }
        Ok(delta)
    }
}

impl Tree {
    /// The ranges that hold exactly the keys of a node's rest; `None` when there is no such node.
    pub fn rest_ranges(&self, prefix: &[u8]) -> Option<Vec<KeyRange>> {
        let id = self.nodes.find(prefix)?;
        Some(self.nodes.rest_ranges(id))
    }

    /// The change that gives up this node's smallest children for as long as the rest stays small. Needs no scan.
    pub fn plan_fold(&self, prefix: &[u8]) -> Result<TreeDelta, TreeError> {
        let Some(id) = self.nodes.find(prefix) else {
            return Err(TreeError::NoSuchNode(prefix.to_vec()));
        };
        let node = self.nodes.get(id);
        let mut children: Vec<NodeId> = node.children.iter().map(|(_, child)| *child).collect();
        children.sort_by_key(|child| self.nodes.get(*child).rest.count);
        let mut delta = self.structural();
        let (mut rest, mut kept) = (node.rest.count, children.len());
        for child in children
            .into_iter()
            .filter(|child| self.is_foldable(id, *child))
        {
            let lower = self.nodes.get(child);
            if rest + lower.rest.count >= self.limits.fold_below {
                break;
            }
            rest += lower.rest.count;
            kept -= usize::from(lower.children.is_empty());
            delta.removed.push(child);
            delta.writes.push(NodeWrite::Delete(lower.prefix.to_vec()));
        }
        if kept == 0 && !delta.removed.is_empty() {
            delta.writes.push(self.row_as(id, false));
        }
        Ok(delta)
    }

    fn structural(&self) -> TreeDelta {
        TreeDelta {
            seq: self.seq() + 1,
            updates: Vec::new(),
            removed: Vec::new(),
            added: Vec::new(),
            writes: Vec::new(),
        }
    }

    fn row_as(&self, id: NodeId, split: bool) -> NodeWrite {
        let node = self.nodes.get(id);
        NodeWrite::Put(NodeRow {
            prefix: node.prefix.to_vec(),
            aggregate: node.aggregate,
            split,
        })
    }

    /// The node for a family: it also covers the child that goes on with the same byte, if there is one.
    fn row_over(&self, parent: NodeId, family: Family) -> NodeRow {
        let Family {
            mut prefix,
            mut aggregate,
        } = family;
        let below = self.nodes.child_towards(parent, &prefix);
        if let Some(below) = below {
            let lower = self.nodes.get(below);
            prefix.truncate(shared_len(&prefix, &lower.prefix));
            aggregate.merge(&lower.aggregate);
        }
        NodeRow {
            prefix,
            aggregate,
            split: below.is_some(),
        }
    }
}
