//! What goes out: dirty entries on their way to the tiers.

use crate::item::Stored;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::wal::WalPos;

use super::dirty::{Due, Settled};
use super::{Entry, L1, tag};

/// A snapshot of a dirty entry for the flusher.
#[derive(Clone, Debug)]
pub struct Flight {
    /// The write.
    pub stored: Stored,
    /// What is due.
    pub due: Due,
    /// What was due and turned out to be needless: done without doing.
    pub spared: Due,
    /// Where it is in the log; `None` once the log need not keep it.
    pub pos: Option<WalPos>,
    /// Epoch milliseconds until which the cache tier is to keep it.
    pub cache_until: Option<i64>,
    /// See [`Entry::is_passing`].
    pub is_passing: bool,
}

impl L1 {
    /// The flusher takes a queued key: from here to [`L1::settle`] the entry is in flight.
    ///
    /// `None`: it is gone, there is nothing to do, or it is in flight already; then the end of that flight queues it again.
    pub fn begin_flush(&self, key: &str) -> Option<Flight> {
        let hash = self.hash(key);
        self.change(self.shard(hash), 0, |slab| {
            let at = slab.find(tag(hash), key)?;
            let mut pin = *slab.pin(at)?;
            let taken = pin.begin();
            slab.set_pin(at, Some(pin));
            // A pin that was taken holds, so that the entry has not moved.
            taken.then(|| Flight {
                stored: slab.slots[at].stored(),
                due: pin.due(),
                spared: Due::none(),
                pos: pin.pos(),
                cache_until: slab.slots[at].cache_until(),
                is_passing: pin.is_passing(),
            })
        })
    }

    /// The flusher is done with a key, whether it went well or not: `done` says what the tiers now have of the write
    /// with this stamp. It counts if the entry still is that write. What was only passing is gone with the last that was due.
    pub fn settle(&self, key: &str, stamp: Stamp, done: Due) -> Settled {
        let hash = self.hash(key);
        let (settled, leftover) = self.change(self.shard(hash), 0, |slab| {
            // A look-up that began before the flush may have seen the tiers without this write, and now it may be evicted.
            self.tickets.bump(hash);
            let at = slab.find(tag(hash), key);
            let Some((at, mut pin)) = at.and_then(|at| Some((at, *slab.pin(at)?))) else {
                return (Settled::default(), None);
            };
            let same = slab.slots[at].leaf().stamp == stamp;
            let item = slab.slots[at].item();
            let is_archived = item.is_none_or(|item| item.submit_options.sql);
            let settled = pin.settle(same, done, is_archived);
            let at = slab.set_pin(at, Some(pin));
            let has_passed = pin.is_passing() && !pin.holds();
            (settled, has_passed.then(|| slab.remove(at)))
        });
        drop(leftover);
        self.trim();
        settled
    }

    /// How many entries the log keeps, and their bytes.
    pub fn logged(&self) -> (u64, u64) {
        let (mut records, mut bytes) = (0, 0);
        for shard in self.shards.iter() {
            let slab = shard.slab.read();
            let pinned = slab.pins.iter().zip(&slab.slots);
            for (_, slot) in pinned.filter(|(pin, _)| pin.pos().is_some()) {
                records += 1;
                bytes += u64::from(slot.weight);
            }
        }
        (records, bytes)
    }

    /// The entries that the log keeps below `pos`, and where.
    pub fn logged_below(&self, pos: WalPos) -> Vec<(Stored, WalPos)> {
        let mut found = Vec::new();
        for shard in self.shards.iter() {
            let slab = shard.slab.read();
            let pinned = slab.pins.iter().zip(&slab.slots);
            found.extend(pinned.filter_map(|(pin, slot)| {
                let at = pin.pos().filter(|at| *at < pos)?;
                Some((slot.stored(), at))
            }));
        }
        found
    }

    /// The log has the write with this stamp at `new` too now. Gives back the position that needs no more keeping: `old`,
    /// or `new` if the entry is another write or the log need not keep it any more.
    pub fn renew(&self, key: &str, stamp: Stamp, old: WalPos, new: WalPos) -> WalPos {
        let hash = self.hash(key);
        let renewed = self.change(self.shard(hash), 0, |slab| {
            let at = slab.find(tag(hash), key)?;
            let mut pin = *slab.pin(at)?;
            let is_same = slab.slots[at].leaf().stamp == stamp && pin.renew(old, new);
            slab.set_pin(at, Some(pin));
            is_same.then_some(old)
        });
        renewed.unwrap_or(new)
    }

    /// Drops the entry if it still is the write with this stamp and nothing pins it: its time is over, or it is damaged.
    pub fn remove_clean(&self, key: &str, stamp: Stamp) -> bool {
        let hash = self.hash(key);
        let removed = self.change(self.shard(hash), 0, |slab| {
            let at = slab.find(tag(hash), key)?;
            let fits = slab.pin(at).is_none() && slab.slots[at].leaf().stamp == stamp;
            if fits {
                self.tickets.bump(hash);
            }
            fits.then(|| slab.remove(at))
        });
        removed.is_some()
    }

    /// The tiers may have a newer write of the key than the entry, and may not: nobody was told.
    pub fn doubt(&self, key: &str, stamp: Stamp) {
        self.tickets.bump(self.hash(key));
        self.remove_older(key, stamp);
    }

    /// Drops the entry if it is an older write than the one with this stamp, and nothing pins it.
    pub fn remove_older(&self, key: &str, stamp: Stamp) {
        let Some(entry) = self.peek(key).filter(|e| e.stored.stamp() < stamp) else {
            return;
        };
        self.remove_clean(key, entry.stored.stamp());
    }

    /// Drops every entry that may be dropped, and voids every ticket: somebody else changed the tiers, and which keys is not
    /// known.
    pub fn forget_clean(&self) {
        self.tickets.bump_all();
        for shard in self.shards.iter() {
            let dropped = self.change(shard, 0, |slab| {
                let mut dropped = Vec::new();
                // Pinned entries stand at the front.
                while slab.slots.len() > slab.pins.len() {
                    dropped.push(slab.remove(slab.slots.len() - 1));
                }
                dropped
            });
            drop(dropped);
        }
    }

    /// Calls `f` with the key of every entry that has something due. Keys that become dirty meanwhile may be missed.
    /// No lock is held while `f` runs.
    pub fn for_each_dirty(&self, f: &mut dyn FnMut(&Key)) {
        for shard in self.shards.iter() {
            let keys: Vec<Key> = {
                let slab = shard.slab.read();
                let dirty = slab.pins.iter().zip(&slab.slots);
                dirty
                    .filter(|(pin, _)| !pin.due().is_empty())
                    .map(|(_, slot)| slot.key().clone())
                    .collect()
            };
            keys.iter().for_each(&mut *f);
        }
    }

    /// The entries with something due whose key starts with `prefix`, in no order. Looks at pinned entries alone.
    pub fn prefix_dirty(&self, prefix: &str) -> Vec<Entry> {
        let mut found = Vec::new();
        for shard in self.shards.iter() {
            let slab = shard.slab.read();
            for (at, pin) in slab.pins.iter().enumerate() {
                let fits = slab.slots[at].key().starts_with(prefix);
                if fits && !pin.due().is_empty() {
                    found.push(slab.entry(at));
                }
            }
        }
        found
    }
}
