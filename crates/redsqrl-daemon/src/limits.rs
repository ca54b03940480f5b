//! What the clients of a node may have it hold, all of them together: and for how long.

use std::time::Duration;

const MIB: usize = 1 << 20;

/// Bounds of a [`Budget`](crate::budget::Budget): bytes, and how long somebody waits for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimits {
    /// For items that are being looked up: as much as they may turn out to have, which is a whole payload each.
    pub lookups: usize,
    /// For replies on their way to clients.
    pub replies: usize,
    /// For requests on their way from clients.
    pub requests: usize,
    /// How long somebody waits for room before being told that there is none.
    pub patience: Duration,
}

impl BudgetLimits {
    /// Bounds for a node whose items have at most `payload_bytes_max` bytes: several of them fit.
    #[must_use]
    pub fn for_payload(payload_bytes_max: usize) -> Self {
        let several = payload_bytes_max.saturating_mul(4);
        Self {
            lookups: several.max(512 * MIB),
            replies: several.max(256 * MIB),
            requests: several.saturating_add(MIB).max(256 * MIB),
            patience: PATIENCE,
        }
    }
}

impl Default for BudgetLimits {
    fn default() -> Self {
        Self::for_payload(16 * MIB)
    }
}

/// See [`BudgetLimits::patience`].
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What one client may hold without asking for room: replies are sent once they are this long, values that are shorter
/// are copied.
pub const CLIENT_BYTES: usize = 256 << 10;

/// Items are read and sent in portions of about so many bytes; a single larger item comes alone.
pub const PORTION_BYTES: usize = 8 * MIB;

/// A client that is waited for takes at least so many bytes a second (128 kbit/s), or it is cut off: see
/// [`Pace`](crate::pace::Pace).
pub const PACE_BYTES_PER_SEC: f64 = 16_384.0;

/// … and whatever room it holds within about so many seconds.
pub const PACE_HELD_SECS: f64 = 60.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i8_the_budget_has_room_for_the_largest_items() {
        let usual = BudgetLimits::default();
        assert_eq!((usual.lookups, usual.replies), (512 * MIB, 256 * MIB));
        let large = BudgetLimits::for_payload(512 * MIB);
        assert_eq!((large.lookups, large.replies), (2048 * MIB, 2048 * MIB));
    }
}
