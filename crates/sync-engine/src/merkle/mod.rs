//! Stage 6: the Merkle tree over the ordered key space.
//!
//! Every prefix of keys has an `Aggregate`, a function of the set of leaves alone. `Tree` keeps some of them
//! (few enough for memory), `read` computes the others from a short range scan, `walk` compares two sets by asking a peer. A
//! `Sketch` of the whole set finds what differs in one step, as long as that is not much.
//! It is *not* a search index, and knows nothing of contents.

pub mod node;

pub mod prefix;

mod arena;

pub mod delta;

pub mod tree;

mod load;

pub mod split;

pub mod locate;

pub mod summary;

mod grouping;

pub mod read;

pub mod walk;

pub mod mark;

pub mod sketch;

pub mod wire;

pub mod cells;

pub mod codec;

pub mod path;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests;

pub use delta::{LeafChange, TreeDelta, TreeError};
pub use locate::{Located, Piece};
pub use sketch::Sketch;
pub use split::SplitBuilder;
pub use summary::{Detail, Group, ShortLeaf, Summary};
pub use tree::{Tree, TreeJob, TreeLimits};
pub use walk::{Descent, MerkleDiff, OurView, WalkBudget, WalkError};
