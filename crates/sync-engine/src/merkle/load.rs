//! The tree of stored nodes, checked.

use super::arena::{NodeId, Nodes, ROOT};
use super::delta::TreeError;
use super::node::NodeRow;
use super::tree::{Tree, TreeLimits};

impl Tree {
    /// The tree of these stored nodes, in any order. No rows: the empty tree.
    pub fn load(rows: Vec<NodeRow>, seq: u64) -> Result<Self, TreeError> {
        Self::load_with_limits(rows, seq, TreeLimits::default())
    }

    /// As [`Tree::load`], with other limits than the usual ones.
    pub fn load_with_limits(
        mut rows: Vec<NodeRow>,
        seq: u64,
        limits: TreeLimits,
    ) -> Result<Self, TreeError> {
        rows.sort_unstable_by(|a, b| a.prefix.cmp(&b.prefix));
        let mut tree = Self::with_limits(limits);
        tree.seq = seq;
        let mut rows = rows.into_iter();
        let Some(root) = rows.next() else {
            return Ok(tree);
        };
        if !root.prefix.is_empty() {
            return Err(TreeError::NoRoot);
        }
        tree.nodes = Nodes::new(root.aggregate);
        let mut split = vec![(ROOT, root.split)];
        for row in rows {
            if tree.nodes.find(&row.prefix).is_some() {
                return Err(TreeError::Duplicate(row.prefix));
            }
            match tree.nodes.attach(&row.prefix, row.aggregate) {
                Ok(id) => split.push((id, row.split)),
                Err(_) => return Err(TreeError::Crossing(row.prefix)),
            }
        }
        for (id, split) in split {
            tree.check_loaded(id, split)?;
            tree.note_due(id);
        }
        Ok(tree)
    }

    fn check_loaded(&self, id: NodeId, split: bool) -> Result<(), TreeError> {
        let node = self.nodes.get(id);
        let empty = node.aggregate.count == 0 && id != ROOT;
        if empty || node.aggregate.is_impossible() || node.rest.is_impossible() {
            return Err(TreeError::Sum(node.prefix.to_vec()));
        }
        if split == node.children.is_empty() {
            return Err(TreeError::Kind(node.prefix.to_vec()));
        }
        Ok(())
    }
}
