//! Where the aggregate of a prefix, or the parts of an answer about it, are to be had.

use super::arena::NodeId;
use super::node::Aggregate;
use super::prefix::gaps;
use super::tree::Tree;
use crate::l3::KeyRange;

/// What the tree knows of a prefix, and what it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The materialized part of the aggregate.
    pub known: Aggregate,
    /// Where the leaves lie that are to be added: at most two ranges, of about `split_above` keys together. Empty: `known` is all.
    pub scan: Vec<KeyRange>,
}

/// A part of an answer about a prefix. The parts of an answer hold each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A materialized node.
    Known {
        /// Its prefix.
        prefix: Vec<u8>,
        /// Its aggregate.
        aggregate: Aggregate,
    },
    /// Leaves that must be read.
    Scan(KeyRange),
}

impl Tree {
    /// Where to find the aggregate of any prefix.
    pub fn lookup(&self, prefix: &[u8]) -> Located {
        let (above, below) = self.position(prefix);
        let upper = self.nodes.get(above);
        if *upper.prefix == *prefix {
            return Located {
                known: upper.aggregate,
                scan: Vec::new(),
            };
        }
        Located {
            known: below.map_or_else(Aggregate::default, |id| self.nodes.get(id).aggregate),
            scan: self.rest_within(above, prefix, below),
        }
    }

    /// The parts of an answer about `prefix` in key order: about `groups_max` nodes at most (the first division is free),
    /// and scans of a few full rests. What holds at most `leaves_max` keys is one scan.
    pub fn pieces(&self, prefix: &[u8], groups_max: usize, leaves_max: u64) -> Vec<Piece> {
        let (above, below) = self.position(prefix);
        let upper = self.nodes.get(above);
        let is_node = *upper.prefix == *prefix;
        let top = if is_node { Some(above) } else { below };
        let mut front = Front {
            tree: self,
            nodes: Vec::new(),
            scans: Vec::new(),
            groups_max,
            leaves_max,
            rows_left: 2 * self.limits.split_above,
        };
        if !is_node {
            front.scans = self.rest_within(above, prefix, below);
        }
        let rest = if is_node { 0 } else { upper.rest.count };
        let Some(top) = top else {
            return front.into_pieces();
        };
        if self.nodes.get(top).aggregate.count.saturating_add(rest) <= leaves_max {
            return vec![Piece::Scan(KeyRange::prefix(prefix))];
        }
        front.divide(top);
        while let Some(at) = front.largest_divisible() {
            let id = front.nodes.swap_remove(at);
            front.divide(id);
        }
        front.into_pieces()
    }

    /// The deepest node at or above the prefix, and the topmost one strictly below it (at most one when none is at it).
    fn position(&self, prefix: &[u8]) -> (NodeId, Option<NodeId>) {
        let above = self.nodes.deepest(prefix);
        let below = self.nodes.child_towards(above, prefix);
        (
            above,
            below.filter(|id| self.prefix(*id).starts_with(prefix)),
        )
    }

    fn rest_within(&self, above: NodeId, prefix: &[u8], below: Option<NodeId>) -> Vec<KeyRange> {
        if self.nodes.get(above).rest.count == 0 {
            return Vec::new();
        }
        gaps(
            &KeyRange::prefix(prefix),
            below.iter().map(|id| self.prefix(*id)),
        )
    }
}

/// The boundary of an answer while it is being pushed down.
struct Front<'a> {
    tree: &'a Tree,
    nodes: Vec<NodeId>,
    scans: Vec<KeyRange>,
    groups_max: usize,
    leaves_max: u64,
    rows_left: u64,
}

impl Front<'_> {
    fn divide(&mut self, id: NodeId) {
        let node = self.tree.nodes.get(id);
        self.nodes
            .extend(node.children.iter().map(|(_, child)| *child));
        if node.rest.count > 0 {
            self.scans.extend(self.tree.nodes.rest_ranges(id));
            self.rows_left = self.rows_left.saturating_sub(node.rest.count);
        }
    }

    fn largest_divisible(&self) -> Option<usize> {
        let divisible = |id: NodeId| {
            let node = self.tree.nodes.get(id);
            // A bucket gives about a dozen groups; when there are many groups already it is not worth its scan.
            let parts = node.children.len().max(8);
            node.aggregate.count > self.leaves_max
                && node.rest.count <= self.rows_left
                && self.nodes.len() - 1 + parts <= self.groups_max
        };
        let count = |at: &usize| self.tree.nodes.get(self.nodes[*at]).aggregate.count;
        let at = (0..self.nodes.len()).max_by_key(count)?;
        divisible(self.nodes[at]).then_some(at)
    }

    fn into_pieces(self) -> Vec<Piece> {
        let known = self.nodes.iter().map(|id| {
            let node = self.tree.nodes.get(*id);
            Piece::Known {
                prefix: node.prefix.to_vec(),
                aggregate: node.aggregate,
            }
        });
        let mut pieces: Vec<Piece> = known.collect();
        pieces.extend(self.scans.into_iter().map(Piece::Scan));
        pieces.sort_by(|a, b| a.start().cmp(b.start()));
        pieces
    }
}

impl Piece {
    fn start(&self) -> &[u8] {
        match self {
            Self::Known { prefix, .. } => prefix,
            Self::Scan(range) => &range.start,
        }
    }
}
