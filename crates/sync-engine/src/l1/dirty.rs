//! What an entry still owes the tiers, and when it may be forgotten. Pure.

use crate::item::stamp::Stamp;
use crate::wal::WalPos;

/// What still has to be done with an entry before it may be evicted.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Due(u8);

impl Due {
    /// The archive (L3) does not have it yet.
    pub const ARCHIVE: Self = Self(1);
    /// The cache (L2) does not have it yet.
    pub const CACHE: Self = Self(2);
    /// No tier keeps it: it stays in memory until a newer write replaces it.
    pub const HOLD: Self = Self(4);

    /// Nothing.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without what `done` names.
    #[must_use]
    pub const fn remove(self, done: Self) -> Self {
        Self(self.0 & !done.0)
    }

    /// What both name.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether everything that `other` names is due.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is due.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a flush can do something about it; [`Due::HOLD`] alone is nothing to flush.
    pub const fn is_work(self) -> bool {
        !self.remove(Self::HOLD).is_empty()
    }
}

impl std::fmt::Debug for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (Self::ARCHIVE, "archive"),
            (Self::CACHE, "cache"),
            (Self::HOLD, "hold"),
        ];
        f.debug_set()
            .entries(
                names
                    .iter()
                    .filter(|(bit, _)| self.contains(*bit))
                    .map(|(_, name)| name),
            )
            .finish()
    }
}

/// What became of a write. The default: nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Written {
    /// The write is the key's newest and is in memory.
    pub accepted: bool,
    /// The key is not queued yet: the caller pushes it to the batch.
    pub enqueue: bool,
    /// The log position that needs no more keeping: that of the superseded write, or of this one when it was not accepted.
    pub freed_pos: Option<WalPos>,
    /// Bytes that the caller counted for a write and that are no longer dirty: those of the superseded write, or of
    /// this one when it was not accepted.
    pub released: usize,
    /// The write lost to a newer one that no archive keeps, with this stamp.
    pub outlived_by: Option<Stamp>,
}

/// What the end of a flight means. The default: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Settled {
    /// Something is still due, or a newer write came: the caller pushes the key to the batch again.
    pub requeue: bool,
    /// The log position that needs no more keeping.
    pub freed_pos: Option<WalPos>,
    /// Bytes that the caller counted for the write and that are no longer dirty.
    pub released: usize,
}

/// Where a pinned entry is on its way to the tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody works on it: there is nothing to flush.
    Idle,
    /// Its key is in the batch, or on the way there.
    Queued,
    /// A flusher has a snapshot of it.
    InFlight,
}

/// Why an entry may not be evicted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    due: Due,
    phase: Phase,
    pos: Option<WalPos>,
    /// Bytes the caller counted as dirty for this write; given back once.
    charged: usize,
    /// See [`Entry::is_passing`](super::Entry::is_passing).
    passing: bool,
}

impl Pin {
    /// The pin of an entry that nothing pins yet.
    pub(super) const NONE: Self = Self {
        due: Due::none(),
        phase: Phase::Idle,
        pos: None,
        charged: 0,
        passing: false,
    };

    /// The pin of a write that takes the place of `old`. The log position and the bytes of the old one come back.
    pub(super) fn succeed(
        old: Option<Pin>,
        due: Due,
        pos: Option<WalPos>,
        charged: usize,
    ) -> (Self, Written) {
        let mut pin = Self {
            due: Due::none(),
            phase: old.map_or(Phase::Idle, |old| old.phase),
            pos,
            charged,
            passing: false,
        };
        let written = Written {
            accepted: true,
            enqueue: pin.add(due),
            freed_pos: old.and_then(|old| old.pos),
            released: old.map_or(0, |old| old.charged),
            outlived_by: None,
        };
        (pin, written)
    }

    /// Adds work; true when the key has to be pushed to the batch.
    pub(super) fn add(&mut self, due: Due) -> bool {
        self.due = self.due.union(due);
        let push = self.phase == Phase::Idle && self.due.is_work();
        if push {
            self.phase = Phase::Queued;
        }
        push
    }

    /// A flusher asks for the entry; true when it gets it. In flight already: the end of that flight queues it again.
    pub(super) fn begin(&mut self) -> bool {
        if self.phase == Phase::InFlight {
            return false;
        }
        let work = self.due.is_work();
        self.phase = if work { Phase::InFlight } else { Phase::Idle };
        work
    }

    /// The flight is over. `same`: the entry is still the write that was in flight, so that what is `done` counts.
    ///
    /// The log position is free once the archive has the write, if it `is_archived` at all, or once nothing is due.
    pub(super) fn settle(&mut self, same: bool, done: Due, is_archived: bool) -> Settled {
        let mut settled = Settled::default();
        if same {
            let cleared = self.due.intersection(done);
            self.due = self.due.remove(done);
            let is_kept = is_archived && cleared.contains(Due::ARCHIVE);
            if is_kept || self.due.is_empty() {
                settled.freed_pos = self.pos.take();
            }
            if self.due.is_empty() {
                settled.released = std::mem::take(&mut self.charged);
            }
        }
        if self.phase == Phase::InFlight {
            settled.requeue = self.due.is_work();
            self.phase = match settled.requeue {
                true => Phase::Queued,
                false => Phase::Idle,
            };
        }
        settled
    }

    /// The same pin of an entry that is only passing.
    pub(super) fn passing(self) -> Self {
        Self {
            passing: true,
            ..self
        }
    }

    /// Whether the entry is only passing.
    pub(super) fn is_passing(&self) -> bool {
        self.passing
    }

    /// What is due.
    pub(super) fn due(&self) -> Due {
        self.due
    }

    /// The position in the log, until it is freed.
    pub(super) fn pos(&self) -> Option<WalPos> {
        self.pos
    }

    /// Moves it from one position in the log to another; false when it is not there.
    pub(super) fn renew(&mut self, old: WalPos, new: WalPos) -> bool {
        let is_there = self.pos == Some(old);
        if is_there {
            self.pos = Some(new);
        }
        is_there
    }

    /// Whether the entry still has to stay.
    pub(super) fn holds(&self) -> bool {
        !self.due.is_empty() || self.phase == Phase::InFlight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Due = Due::ARCHIVE.union(Due::CACHE);

    #[test]
    fn a_write_is_queued_once_and_settled_once() {
        let (mut pin, first) = Pin::succeed(None, BOTH, Some(1), 10);
        assert!(first.enqueue && first.freed_pos.is_none() && first.released == 0);
        let (second, written) = Pin::succeed(Some(pin), BOTH, Some(2), 20);
        assert!(!written.enqueue);
        assert_eq!((written.freed_pos, written.released), (Some(1), 10));
        pin = second;
        assert!(pin.begin());
        assert!(!pin.begin());
        let settled = pin.settle(true, BOTH, true);
        assert_eq!(
            settled,
            Settled {
                requeue: false,
                freed_pos: Some(2),
                released: 20
            }
        );
        assert!(!pin.holds());
        assert_eq!(pin.settle(true, BOTH, true), Settled::default());
    }

    #[test]
    fn the_archive_frees_the_log_and_the_cache_still_pins() {
        let (mut pin, _) = Pin::succeed(None, BOTH, Some(1), 10);
        assert!(pin.begin());
        let settled = pin.settle(true, Due::ARCHIVE, true);
        assert_eq!(
            settled,
            Settled {
                requeue: true,
                freed_pos: Some(1),
                released: 0
            }
        );
        assert!(pin.begin());
        let settled = pin.settle(true, Due::CACHE, true);
        assert_eq!((settled.freed_pos, settled.released), (None, 10));
    }

    #[test]
    fn what_only_the_cache_keeps_stays_in_the_log_until_the_cache_has_it() {
        let (mut pin, _) = Pin::succeed(None, BOTH, Some(1), 10);
        assert!(pin.begin());
        assert_eq!(pin.settle(true, Due::ARCHIVE, false).freed_pos, None);
        assert!(pin.begin());
        assert_eq!(pin.settle(true, Due::CACHE, false).freed_pos, Some(1));
    }

    #[test]
    fn without_an_archive_the_cache_frees_the_log() {
        let (mut pin, _) = Pin::succeed(None, Due::CACHE, Some(1), 10);
        assert!(pin.begin());
        assert_eq!(pin.settle(true, Due::CACHE, true).freed_pos, Some(1));
    }

    #[test]
    fn a_write_during_a_flight_is_queued_by_its_end() {
        let (mut pin, _) = Pin::succeed(None, BOTH, Some(1), 10);
        assert!(pin.begin());
        let (mut pin, written) = Pin::succeed(Some(pin), BOTH, Some(2), 20);
        assert!(!written.enqueue);
        let settled = pin.settle(false, BOTH, true);
        assert_eq!(
            settled,
            Settled {
                requeue: true,
                freed_pos: None,
                released: 0
            }
        );
        assert!(pin.begin());
        assert_eq!(pin.settle(true, BOTH, true).freed_pos, Some(2));
    }

    #[test]
    fn what_no_tier_keeps_stays_and_is_nothing_to_flush() {
        let (mut pin, written) = Pin::succeed(None, Due::HOLD, Some(1), 10);
        assert!(!written.enqueue && !pin.begin() && pin.holds());
        assert_eq!(pin.settle(true, Due::none(), true), Settled::default());
        assert!(pin.add(Due::CACHE) && pin.begin());
        assert_eq!(pin.settle(true, Due::CACHE, true), Settled::default());
        assert!(pin.holds());
    }
}
