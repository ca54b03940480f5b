//! The meshes that are looked at.

use model::Flaw;
use model::step::Bounds;

/// Everybody asks everybody.
pub const MESH: fn(usize, usize) -> bool = |_, _| true;

/// The node in the middle is all that the others can ask.
pub const CHAIN: fn(usize, usize) -> bool = |a, b| a.abs_diff(b) == 1;

/// All that may happen.
pub const BOUNDS: Bounds = Bounds {
    writes: 4,
    wipes: 1,
    expulsions: 2,
    is_linked: MESH,
    is_slow: true,
    keys: 2,
    flaw: Flaw::None,
};
