//! Aggregates of subtrees.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::item::hash::LeafDigest;

/// Count and 256-bit wrapping sum of the leaf digests of a set of keys.
///
/// The sum does not depend on the order of writes and takes single leaves in and out, so a write is a delta to each of
/// its ancestors (cf. Bellare & Micciancio, "A New Paradigm for Collision-Free Hashing", 1997). Additive hashing of this width
/// holds against accident, not against a peer that searches for collisions; see docs/decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Aggregate {
    /// How many leaves, tombstones among them.
    pub count: u64,
    sum: Sum,
}

/// A 256-bit number, least significant word first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Sum([u64; 4]);

impl Sum {
    fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (word, more) in self.0.iter_mut().zip(other.0) {
            let (partial, first) = word.overflowing_add(more);
            let (total, second) = partial.overflowing_add(u64::from(carry));
            *word = total;
            carry = first || second;
        }
    }

    fn sub(&mut self, other: &Self) {
        let mut borrow = false;
        for (word, less) in self.0.iter_mut().zip(other.0) {
            let (partial, first) = word.overflowing_sub(less);
            let (total, second) = partial.overflowing_sub(u64::from(borrow));
            *word = total;
            borrow = first || second;
        }
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b));
        }
        Self(words)
    }

    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

impl Aggregate {
    /// Takes a leaf in.
    pub fn insert(&mut self, leaf: &LeafDigest) {
        self.count = self.count.wrapping_add(1);
        self.sum.add(&Sum::from_bytes(&leaf.0));
    }

    /// Takes a leaf out that was in.
    pub fn remove(&mut self, leaf: &LeafDigest) {
        self.count = self.count.wrapping_sub(1);
        self.sum.sub(&Sum::from_bytes(&leaf.0));
    }

    /// Takes in all leaves of another, disjoint set.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum.add(&other.sum);
    }

    /// Takes out all leaves of a subset. The exact opposite of [`Aggregate::merge`].
    pub fn take_out(&mut self, other: &Self) {
        self.count = self.count.wrapping_sub(other.count);
        self.sum.sub(&other.sum);
    }

    /// Whether no set of leaves can have this aggregate: more taken out than were in, or no leaf and yet a sum.
    pub fn is_impossible(&self) -> bool {
        self.count > u64::MAX / 2 || (self.count == 0 && self.sum != Sum::default())
    }

    /// The lowest 32 bits of the sum: those of the leaves' digests, added up.
    pub fn low(&self) -> u32 {
        let [lowest, ..] = self.sum.0;
        lowest as u32
    }

    /// The hash shown and compared: SHA-256(sum ‖ count).
    pub fn hash(&self) -> NodeHash {
        let mut hasher = Sha256::new();
        hasher.update(self.sum.to_bytes());
        hasher.update(self.count.to_be_bytes());
        NodeHash(hasher.finalize().into())
    }

    /// 40 bytes: count, sum.
    pub fn to_bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.count.to_be_bytes());
        bytes[8..].copy_from_slice(&self.sum.to_bytes());
        bytes
    }

    /// The aggregate of [`Aggregate::to_bytes`].
    pub fn from_bytes(bytes: &[u8; 40]) -> Self {
        let mut count = [0; 8];
        let mut sum = [0; 32];
        count.copy_from_slice(&bytes[..8]);
        sum.copy_from_slice(&bytes[8..]);
        Self {
            count: u64::from_be_bytes(count),
            sum: Sum::from_bytes(&sum),
        }
    }
}

/// The hash of a subtree; hex when shown. Equal hashes: equal sets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeHash(pub [u8; 32]);

impl NodeHash {
    /// The 16 bytes that go over the wire: enough against accident, half the size.
    pub fn short(&self) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0[..16]);
        short
    }
}

impl fmt::Display for NodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for NodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A materialized node as it is stored: the keys that begin with `prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// The subtree's prefix, in bytes of the key.
    pub prefix: Vec<u8>,
    /// Count and sum of the subtree.
    pub aggregate: Aggregate,
    /// Whether it has materialized children.
    pub split: bool,
}

impl NodeRow {
    /// The smallest tree of a set: its root, which the tree's upkeep splits again. None for the empty set.
    pub fn root_alone(aggregate: Aggregate) -> Option<Self> {
        (aggregate.count > 0).then(|| Self {
            prefix: Vec::new(),
            aggregate,
            split: false,
        })
    }
}

/// A change to the stored nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeWrite {
    /// Insert or replace.
    Put(NodeRow),
    /// Remove the node of this prefix.
    Delete(Vec<u8>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_does_not_matter_and_removal_undoes(leaves: Vec<[u8; 32]>, extra: [u8; 32]) {
            let mut forward = Aggregate::default();
            leaves.iter().for_each(|l| forward.insert(&LeafDigest(*l)));
            let mut backward = Aggregate::default();
            backward.insert(&LeafDigest(extra));
            leaves.iter().rev().for_each(|l| backward.insert(&LeafDigest(*l)));
            prop_assert_ne!(forward.hash(), backward.hash());
            backward.remove(&LeafDigest(extra));
            prop_assert_eq!(forward, backward);
            prop_assert_eq!(Aggregate::from_bytes(&forward.to_bytes()), forward);
        }

        #[test]
        fn merged_halves_are_the_whole(left: Vec<[u8; 32]>, right: Vec<[u8; 32]>) {
            let of = |leaves: &[[u8; 32]]| leaves.iter().fold(Aggregate::default(), |mut a, l| { a.insert(&LeafDigest(*l)); a });
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(merged, of(&[left, right].concat()));
        }
    }
}
