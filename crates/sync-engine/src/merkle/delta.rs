//! A change to the tree: planned, then written with the rows, then applied in memory.

use super::arena::NodeId;
use super::node::{Aggregate, NodeWrite};
use crate::item::hash::LeafDigest;

/// What a commit does to one key. A key stands at most once in a batch of changes.
#[derive(Clone, Copy, Debug)]
pub struct LeafChange<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its leaf until now; `None` if it had no row.
    pub old: Option<LeafDigest>,
    /// Its leaf from now on; `None` if the row goes (a collected tombstone).
    pub new: Option<LeafDigest>,
}

/// A planned change of one [`super::Tree`], good for exactly the state it was planned from.
#[derive(Clone, Debug)]
#[must_use = "a planned change is written in the commit and then applied"]
pub struct TreeDelta {
    pub(super) seq: u64,
    pub(super) updates: Vec<Update>,
    /// Longest prefixes first.
    pub(super) removed: Vec<NodeId>,
    pub(super) added: Vec<(Vec<u8>, Aggregate)>,
    pub(super) writes: Vec<NodeWrite>,
}

/// New sums of a node that stays where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    pub id: NodeId,
    pub aggregate: Aggregate,
    pub rest: Aggregate,
}

impl TreeDelta {
    /// The stored nodes to change, in the transaction of the rows.
    pub fn writes(&self) -> Vec<NodeWrite> {
        self.writes.clone()
    }

    /// The tree's number once this change is applied.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// Nodes, rows or plans that contradict each other. Shown prefixes are cut short and escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// There are rows, but no nodes.
    #[error("there are rows, but no nodes")]
    NoNodes,
    /// Two stored nodes have one prefix.
    #[error("two nodes have the prefix \"{}\"", shown(.0))]
    Duplicate(Vec<u8>),
    /// There are nodes, but none of the empty prefix.
    #[error("there are nodes, but no root")]
    NoRoot,
    /// Two stored nodes lie side by side where a node between them and their parent must be.
    #[error("the node \"{}\" overlaps with a sibling", shown(.0))]
    Crossing(Vec<u8>),
    /// A node's sum cannot be: less than its children together, or no leaf and yet a sum.
    #[error("the sum of the node \"{}\" contradicts its leaves or children", shown(.0))]
    Sum(Vec<u8>),
    /// A stored node says it has children and has none, or the other way round.
    #[error("the node \"{}\" is stored with the wrong kind", shown(.0))]
    Kind(Vec<u8>),
    /// There is no materialized node of this prefix (any more).
    #[error("there is no node \"{}\"", shown(.0))]
    NoSuchNode(Vec<u8>),
    /// The scanned rows are not the rows of the node: something was written meanwhile. Scan again; if nothing was
    /// written, then tree and rows have come apart, and the tree must be rebuilt.
    #[error("the rows scanned under \"{}\" are not those of the node", shown(.0))]
    Stale(Vec<u8>),
    /// The change was planned from another state of the tree.
    #[error("the change leads to number {delta}, the tree has number {tree}")]
    OutOfTurn {
        /// The number the change leads to.
        delta: u64,
        /// The tree's number.
        tree: u64,
    },
}

fn shown(prefix: &[u8]) -> String {
    prefix.escape_ascii().take(64).map(char::from).collect()
}
