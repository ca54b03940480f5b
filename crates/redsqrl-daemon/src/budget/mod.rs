//! What the clients of a node may have it hold, all of them together.
//!
//! The rule, so that nobody waits in a circle: room for replies is taken before room for look-ups, and whoever holds room
//! for look-ups waits for nothing but storage.

mod room;

pub use room::{Held, NoRoom, Room};

use metrics::gauge;

use crate::limits::BudgetLimits;

/// The rooms that all clients of a node share.
#[derive(Debug)]
pub struct Budget {
    /// For items that are being looked up. Held as long as storage takes to answer.
    pub lookups: Room,
    /// For replies. Held as long as the client takes to read them.
    pub replies: Room,
    /// For requests. Held as long as the client takes to send them, and the node to carry them out.
    pub requests: Room,
}

impl Budget {
    /// Rooms of these sizes.
    #[must_use]
    pub fn new(limits: BudgetLimits) -> Self {
        let room = |what, bytes| Room::new(what, bytes, limits.patience);
        Self {
            lookups: room("being looked up", limits.lookups),
            replies: room("on their way to clients", limits.replies),
            requests: room("on their way from clients", limits.requests),
        }
    }

    /// Tells what is held now: `redsqrl_held_bytes`, by what it is held for.
    pub fn update_gauges(&self) {
        for (room, name) in [
            (&self.lookups, "lookups"),
            (&self.replies, "replies"),
            (&self.requests, "requests"),
        ] {
            gauge!("redsqrl_held_bytes", "for" => name).set(room.held_bytes() as f64);
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(BudgetLimits::default())
    }
}
