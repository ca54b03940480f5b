//! What comes in: writes of this node, writes of peers, and what was read from L2 and L3.

use crate::item::Stored;
use crate::item::decide::{Decision, decide};
use crate::wal::WalPos;

use super::dirty::{Due, Pin, Written};
use super::room::Need;
use super::slab::Slab;
use super::slot::Slot;
use super::ticket::Ticket;
use super::{L1, tag};

/// A write on its way into a shard, with what it owes.
struct Arrival {
    slot: Slot,
    due: Due,
    pos: Option<WalPos>,
    /// Bytes the caller counted as dirty for it.
    charged: usize,
    /// See [`Entry::is_passing`](super::Entry::is_passing).
    passing: bool,
}

/// A slot that nobody needs any more: its memory is freed after the lock.
type Leftover = Option<Slot>;

impl L1 {
    /// A write accepted by this node, or replayed from its log at `pos`. The caller has counted
    /// [`L1::weight_of`] bytes as dirty for it, and gets them back with `released`, once, here or from [`L1::settle`].
    ///
    /// It enters if it wins by its stamp, and stays until it is settled. The same write come again is accepted again,
    /// and what it owes is added. A write that owes nothing has no other home, and is held.
    pub fn write(
        &self,
        stored: Stored,
        due: Due,
        pos: WalPos,
        cache_until: Option<i64>,
    ) -> Written {
        let weight = Self::weight_of(&stored);
        let hash = self.hash(stored.key());
        let due = if due.is_empty() { Due::HOLD } else { due };
        let mut arrival = Arrival {
            slot: Slot::new(stored, tag(hash), weight as u32, cache_until),
            due,
            pos: Some(pos),
            charged: weight,
            passing: false,
        };
        let refused = Written {
            freed_pos: Some(pos),
            released: weight,
            ..Written::default()
        };
        if self.loses(hash, &arrival.slot).is_some() {
            return refused;
        }
        self.reserve(weight, Need::Must);
        let (written, leftover) = self.change(self.shard(hash), weight, |slab| {
            self.tickets.bump(hash);
            let at = slab.find(arrival.slot.tag, arrival.slot.key());
            match verdict(slab, at, &arrival.slot) {
                Decision::Take => {}
                Decision::Same => arrival.due = arrival.due.union(due_of(slab, at)),
                Decision::Keep => return (refused, Some(arrival.slot)),
            }
            self.place(slab, at, arrival)
        });
        drop(leftover);
        written
    }

    /// A write merged from a peer; the archive has it. `due` is what is left to do. Its bytes are not counted by the
    /// caller, so that `released` speaks of the superseded write alone.
    ///
    /// It replaces an entry with a smaller stamp, dirty or not. Where there is none it enters only with something due, and is
    /// [passing](super::Entry::is_passing). When the entry is this very write already, what is due is added to it.
    pub fn merge(&self, stored: Stored, due: Due) -> Written {
        let weight = Self::weight_of(&stored);
        let hash = self.hash(stored.key());
        let mut arrival = Arrival {
            slot: Slot::new(stored, tag(hash), weight as u32, None),
            due,
            pos: None,
            charged: 0,
            passing: true,
        };
        if let Some(lost) = self.loses(hash, &arrival.slot) {
            return lost;
        }
        self.reserve(weight, Need::Must);
        let (written, leftover) = self.change(self.shard(hash), weight, |slab| {
            self.tickets.bump(hash);
            let at = slab.find(arrival.slot.tag, arrival.slot.key());
            // Over what readers believe it is the newest there is.
            arrival.passing = at.is_none_or(|at| slab.is_passing(at));
            if arrival.passing {
                // Else it would stay as if nobody had to look below it.
                arrival.due = arrival.due.union(due_of(slab, at));
            }
            match (at, verdict(slab, at, &arrival.slot)) {
                (None, _) if due.is_empty() => (Written::default(), Some(arrival.slot)),
                (_, Decision::Take) => self.place(slab, at, arrival),
                (Some(at), Decision::Same) => {
                    let again = Written {
                        enqueue: slab.add_due(at, due),
                        ..Written::default()
                    };
                    (again, Some(arrival.slot))
                }
                (at, Decision::Same | Decision::Keep) => (lost_to(slab, at), Some(arrival.slot)),
            }
        });
        drop(leftover);
        self.trim();
        written
    }

    /// A value read from L2 or L3 after `ticket` was taken: whether it was kept.
    ///
    /// It is not when its key changed since, when something as new is here, when the entry here is pinned, or when
    /// there is no room for it beside what is pinned.
    pub fn fill(&self, stored: Stored, ticket: Ticket, cache_until: Option<i64>) -> bool {
        let hash = self.hash(stored.key());
        let weight = Self::weight_of(&stored);
        let slot = Slot::new(stored, tag(hash), weight as u32, cache_until);
        let fits = |slab: &Slab, at: Option<usize>, slot: &Slot| {
            at.and_then(|at| slab.pin(at)).is_none()
                && verdict(slab, at, slot) == Decision::Take
                && self.tickets.is_valid(hash, ticket)
        };
        // Asked before room is made too, for the same reason as in `loses`.
        if !self.look_at(hash, &slot, fits) {
            return false;
        }
        self.totals.filling(|| {
            if !self.reserve(weight, Need::May) {
                return false;
            }
            let (kept, leftover) = self.change(self.shard(hash), weight, |slab| {
                let at = slab.find(slot.tag, slot.key());
                match fits(slab, at, &slot) {
                    true => (true, self.put(slab, at, slot).1),
                    false => (false, Some(slot)),
                }
            });
            drop(leftover);
            kept
        })
    }

    /// Adds work to an entry that is here, such as renewing it in the cache tier. True: the caller pushes the key to
    /// the batch.
    pub fn mark(&self, key: &str, due: Due) -> bool {
        let hash = self.hash(key);
        self.change(self.shard(hash), 0, |slab| {
            slab.find(tag(hash), key)
                .is_some_and(|at| slab.add_due(at, due))
        })
    }

    /// Whether a newer write is here. Asked before room is made, which could evict that very one and let this one in.
    fn loses(&self, hash: u64, slot: &Slot) -> Option<Written> {
        self.look_at(hash, slot, |slab, at, slot| {
            (verdict(slab, at, slot) == Decision::Keep).then(|| lost_to(slab, at))
        })
    }

    fn look_at<R>(
        &self,
        hash: u64,
        slot: &Slot,
        ask: impl Fn(&Slab, Option<usize>, &Slot) -> R,
    ) -> R {
        let slab = self.shard(hash).slab.read();
        let at = slab.find(slot.tag, slot.key());
        ask(&slab, at, slot)
    }

    fn place(&self, slab: &mut Slab, at: Option<usize>, arrival: Arrival) -> (Written, Leftover) {
        let old = at.and_then(|at| slab.pin(at)).copied();
        let (pin, written) = Pin::succeed(old, arrival.due, arrival.pos, arrival.charged);
        let (at, leftover) = self.put(slab, at, arrival.slot);
        let pin = match arrival.passing {
            true => pin.passing(),
            false => pin,
        };
        slab.set_pin(at, Some(pin));
        (written, leftover)
    }

    fn put(&self, slab: &mut Slab, at: Option<usize>, slot: Slot) -> (usize, Leftover) {
        let now = self.gauge.now();
        match at {
            Some(at) => (at, Some(slab.replace(at, slot, now))),
            None => {
                self.gauge.tick();
                (slab.insert(slot, now), None)
            }
        }
    }
}

impl Slab {
    fn add_due(&mut self, at: usize, due: Due) -> bool {
        let mut pin = self.pin(at).copied().unwrap_or(Pin::NONE);
        let push = pin.add(due);
        self.set_pin(at, Some(pin));
        push
    }
}

fn verdict(slab: &Slab, at: Option<usize>, slot: &Slot) -> Decision {
    let ours = at.map(|at| slab.slots[at].leaf());
    decide(ours.as_ref(), &slot.leaf())
}

/// A write lost to a newer one that is here.
fn lost_to(slab: &Slab, at: Option<usize>) -> Written {
    let newer = at.and_then(|at| slab.slots[at].item());
    let unarchived = newer.filter(|item| !item.submit_options.sql);
    Written {
        outlived_by: unarchived.map(|item| item.stamp),
        ..Written::default()
    }
}

fn due_of(slab: &Slab, at: Option<usize>) -> Due {
    at.and_then(|at| slab.pin(at)).map_or(Due::none(), Pin::due)
}
