//! Stage 6: the Merkle tree over the ordered key space.

pub mod node;

pub mod tree;

pub mod walk;
