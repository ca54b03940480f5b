//! Nodes that are peers of each other.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use testbed::Fault;

use super::eventually;
use super::node::{Node, Paths, Tiers};

pub struct Mesh {
    pub nodes: Vec<Node>,
}

impl Index<usize> for Mesh {
    type Output = Node;
    fn index(&self, at: usize) -> &Node {
        &self.nodes[at]
    }
}

impl IndexMut<usize> for Mesh {
    fn index_mut(&mut self, at: usize) -> &mut Node {
        &mut self.nodes[at]
    }
}

impl Mesh {
    /// Nodes that know each other and do not run yet.
    pub fn prepare(tiers: impl IntoIterator<Item = Tiers>, paths: Paths) -> Self {
        let named = tiers.into_iter().enumerate();
        let nodes: Vec<Node> = named
            .map(|(at, tiers)| Node::prepare(format!("node-{at}"), tiers))
            .collect();
        for (at, node) in nodes.iter().enumerate() {
            let others = nodes.iter().enumerate().filter(|(other, _)| *other != at);
            node.settings(&others.map(|(_, other)| other).collect::<Vec<_>>(), paths);
        }
        Self { nodes }
    }

    /// Nodes that run.
    pub fn start(tiers: impl IntoIterator<Item = Tiers>) -> Self {
        Self::start_with(tiers, Paths::Both)
    }

    pub fn start_with(tiers: impl IntoIterator<Item = Tiers>, paths: Paths) -> Self {
        let mut mesh = Self::prepare(tiers, paths);
        mesh.nodes.iter_mut().for_each(Node::start);
        mesh
    }

    /// The same fault on all ways between the nodes.
    pub fn network(&self, fault: Fault) {
        for node in &self.nodes {
            node.proxy.set(fault).unwrap();
        }
    }

    /// Waits until all roots are equal and stand for `rows` rows.
    pub fn roots_equal(&self, rows: u64) {
        eventually("the roots are equal", || self.equal_roots(rows));
    }

    fn equal_roots(&self, rows: u64) -> Result<(), String> {
        let roots: Vec<_> = self.nodes.iter().map(Node::root).collect();
        match roots.iter().all(|root| root.1 == rows && *root == roots[0]) {
            true => Ok(()),
            false => Err(format!("{roots:?}; {}", self.nodes[0].peers())),
        }
    }

    /// Waits until all roots are equal and all items are the same; gives them.
    ///
    /// Roots alone may be equal a moment too early: a root stands for what is in the database, a listing shows the
    /// writes on their way there too.
    pub fn converged(&self, rows: u64) -> Items {
        self.converged_to(|| rows)
    }

    /// As [`Mesh::converged`], to however many rows there are in the end: a write whose acknowledgement a kill cut off may
    /// still turn up.
    pub fn converged_somewhere(&self) -> Items {
        self.converged_to(|| self.nodes[0].root().1)
    }

    fn converged_to(&self, rows: impl Fn() -> u64) -> Items {
        eventually("the items are the same", || {
            let rows = rows();
            self.equal_roots(rows)?;
            let first = self.nodes[0].items();
            for node in &self.nodes[1..] {
                same(&first, &node.items())?;
            }
            self.equal_roots(rows)?;
            Ok(first)
        })
    }
}

type Items = BTreeMap<String, serde_json::Value>;

fn same(one: &Items, other: &Items) -> Result<(), String> {
    if !one.keys().eq(other.keys()) {
        return Err(format!(
            "{} items and {} items, of different names",
            one.len(),
            other.len()
        ));
    }
    let mut pairs = one.values().zip(other.values());
    let differing = pairs.find(|(one, other)| one != other);
    differing.map_or(Ok(()), |pair| Err(format!("{pair:?}")))
}
