//! The guard of fills: what was read from L2 or L3 may be out of date by the time it arrives here.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counters; keys share them by hash. A clash only refuses a fill.
const COUNTERS: usize = 4096;

/// Taken before a look-up in L2 or L3, shown when its result is to enter L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct Ticket {
    at: u16,
    seen: u32,
}

/// One counter a group of keys, raised whenever one of the keys changes in a tier.
pub(super) struct Tickets(Box<[AtomicU32; COUNTERS]>);

impl Tickets {
    /// All counters at zero.
    pub(super) fn new() -> Self {
        Self(Box::new([const { AtomicU32::new(0) }; COUNTERS]))
    }

    /// A ticket for the keys with this hash.
    pub(super) fn take(&self, hash: u64) -> Ticket {
        Ticket {
            at: place(hash) as u16,
            seen: self.0[place(hash)].load(Ordering::Acquire),
        }
    }

    /// Makes every ticket for the keys with this hash worthless.
    pub(super) fn bump(&self, hash: u64) {
        self.0[place(hash)].fetch_add(1, Ordering::AcqRel);
    }

    /// Makes every ticket worthless.
    pub(super) fn bump_all(&self) {
        for counter in self.0.iter() {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Whether nothing changed since the ticket was taken; false for a ticket of another key.
    pub(super) fn is_valid(&self, hash: u64, ticket: Ticket) -> bool {
        self.take(hash) == ticket
    }
}

fn place(hash: u64) -> usize {
    // The shard is told by the upper bits, the place in it by the lower half.
    (hash >> 32) as usize % COUNTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_voids_the_tickets_of_its_key_alone() {
        let tickets = Tickets::new();
        let (a, b) = (7 << 32, 8 << 32);
        let (of_a, of_b) = (tickets.take(a), tickets.take(b));
        assert!(tickets.is_valid(a, of_a) && !tickets.is_valid(b, of_a));
        tickets.bump(a);
        assert!(!tickets.is_valid(a, of_a) && tickets.is_valid(b, of_b));
    }
}
