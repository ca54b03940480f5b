//! Stage 3: collect writes into batches.
//!
//! The batch holds keys, not values: a key written a hundred times in one window is flushed once, with its newest value.

mod hybrid;

pub mod plan;

pub mod portions;

pub(crate) mod queue;

pub use hybrid::{BatchLimits, FlushReason, HybridBatcher};
