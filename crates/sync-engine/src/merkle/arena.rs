//! The materialized nodes in memory: a compressed radix tree in one vector.

use super::node::Aggregate;
use crate::l3::KeyRange;

/// Where a node lies in the vector. Ids are handed out and taken back by [`Nodes`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u32);

/// The node of the empty prefix. Always there.
pub(super) const ROOT: NodeId = NodeId(0);

/// A materialized node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// All keys below begin with it.
    pub prefix: Box<[u8]>,
    /// All leaves below.
    pub aggregate: Aggregate,
    /// The leaves below that lie in no child.
    pub rest: Aggregate,
    /// `None` for the root.
    pub parent: Option<NodeId>,
    /// By the byte that follows the prefix, ascending; each byte at most once.
    pub children: Vec<(u8, NodeId)>,
}

/// Another child of the parent begins with the same byte, and is not below the new node.
#[derive(Debug)]
pub(super) struct Crossing;

#[derive(Clone, Debug)]
pub(super) struct Nodes {
    slots: Vec<Node>,
    free: Vec<NodeId>,
}

impl Nodes {
    pub fn new(root: Aggregate) -> Self {
        let root = Node {
            prefix: Box::default(),
            aggregate: root,
            rest: root,
            parent: None,
            children: Vec::new(),
        };
        Self {
            slots: vec![root],
            free: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Cannot fail: an id lives in no set longer than its node (see `Tree::apply`), and the vector never shrinks.
    pub fn get(&self, id: NodeId) -> &Node {
        &self.slots[id.0 as usize]
    }

    pub fn get_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.slots[id.0 as usize]
    }

    /// All nodes, parents before children, in the order of their prefixes.
    pub fn in_order(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.len());
        let mut stack = vec![ROOT];
        while let Some(id) = stack.pop() {
            order.push(id);
            stack.extend(self.get(id).children.iter().rev().map(|(_, child)| *child));
        }
        order
    }

    /// The child that the byte of `key` after this node's prefix leads to; it need not contain the key.
    pub fn child_towards(&self, id: NodeId, key: &[u8]) -> Option<NodeId> {
        let node = self.get(id);
        let byte = key.get(node.prefix.len())?;
        let at = node.children.binary_search_by_key(byte, |(b, _)| *b).ok()?;
        node.children.get(at).map(|(_, child)| *child)
    }

    /// Every node above or at `key`, from the root down.
    pub fn ancestors<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = NodeId> + 'a {
        std::iter::successors(Some(ROOT), move |id| {
            let child = self.child_towards(*id, key)?;
            // Up to the parent's prefix they agree already.
            let known = self.get(*id).prefix.len();
            let (tail, wanted) = (key.get(known..)?, self.get(child).prefix.get(known..)?);
            tail.starts_with(wanted).then_some(child)
        })
    }

    /// The deepest node whose prefix `key` begins with.
    pub fn deepest(&self, key: &[u8]) -> NodeId {
        self.ancestors(key).last().unwrap_or(ROOT)
    }

    /// The node of exactly this prefix.
    pub fn find(&self, prefix: &[u8]) -> Option<NodeId> {
        let id = self.deepest(prefix);
        (*self.get(id).prefix == *prefix).then_some(id)
    }

    /// Puts a new node below the deepest one above it, over the child that lies below it, if any.
    pub fn attach(&mut self, prefix: &[u8], aggregate: Aggregate) -> Result<NodeId, Crossing> {
        let parent = self.deepest(prefix);
        let byte = *prefix.get(self.get(parent).prefix.len()).ok_or(Crossing)?;
        let below = self.child_towards(parent, prefix);
        if below.is_some_and(|id| !self.get(id).prefix.starts_with(prefix)) {
            return Err(Crossing);
        }
        let mut node = Node {
            prefix: prefix.into(),
            aggregate,
            rest: aggregate,
            parent: Some(parent),
            children: Vec::new(),
        };
        if let Some(below) = below {
            let lower = self.get(below);
            if let Some(next) = lower.prefix.get(prefix.len()) {
                node.children.push((*next, below));
            }
            node.rest.take_out(&lower.aggregate);
        }
        let taken = node.rest;
        let id = self.insert(node);
        if let Some(below) = below {
            self.get_mut(below).parent = Some(id);
        }
        let upper = self.get_mut(parent);
        upper.rest.take_out(&taken);
        match upper.children.binary_search_by_key(&byte, |(b, _)| *b) {
            Ok(at) => upper.children[at].1 = id,
            Err(at) => upper.children.insert(at, (byte, id)),
        }
        Ok(id)
    }

    /// Takes a node with at most one child out; the child moves up, the rest joins the parent's.
    pub fn detach(&mut self, id: NodeId) {
        let node = self.get(id);
        let Some(parent) = node.parent else { return };
        let rest = node.rest;
        let heir = node.children.first().map(|(_, child)| *child);
        if let Some(heir) = heir {
            self.get_mut(heir).parent = Some(parent);
        }
        let upper = self.get_mut(parent);
        upper.rest.merge(&rest);
        match heir {
            Some(heir) => upper
                .children
                .iter_mut()
                .filter(|(_, child)| *child == id)
                .for_each(|(_, child)| *child = heir),
            None => upper.children.retain(|(_, child)| *child != id),
        }
        let gone = self.get_mut(id);
        gone.prefix = Box::default();
        gone.children = Vec::new();
        self.free.push(id);
    }

    /// The ranges of a node's keys that lie in no child.
    pub fn rest_ranges(&self, id: NodeId) -> Vec<KeyRange> {
        let node = self.get(id);
        let holes = node
            .children
            .iter()
            .map(|(_, child)| &*self.get(*child).prefix);
        super::prefix::gaps(&KeyRange::prefix(&node.prefix), holes)
    }

    fn insert(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.free.pop() {
            *self.get_mut(id) = node;
            return id;
        }
        // 2³² nodes would need more memory than any machine has.
        let id = NodeId(self.slots.len() as u32);
        self.slots.push(node);
        id
    }
}
