//! L1 against a model that keeps books: every log position and every dirty byte comes back once, nothing due is
//! forgotten, and the newest write stays.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::item::SyncItem;
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::wal::WalPos;

pub(super) const BOTH: Due = Due::ARCHIVE.union(Due::CACHE);
const KEYS: u8 = 4;

#[derive(Clone, Debug)]
enum Step {
    Write {
        key: u8,
        time: u64,
        size: usize,
        due: Due,
    },
    Merge {
        key: u8,
        time: u64,
        size: usize,
        due: Due,
    },
    Ticket {
        key: u8,
    },
    Fill {
        key: u8,
        time: u64,
    },
    Mark {
        key: u8,
        due: Due,
    },
    Begin,
    Settle {
        done: Due,
    },
    RemoveClean {
        key: u8,
    },
    /// Looks up where the log has the key.
    Locate {
        key: u8,
    },
    /// Tells that what was looked up was written anew, whatever happened since.
    Renew {
        key: u8,
    },
    Get {
        key: u8,
    },
}

fn due() -> impl Strategy<Value = Due> {
    prop_oneof![
        4 => Just(BOTH),
        2 => Just(Due::ARCHIVE),
        2 => Just(Due::CACHE),
        1 => Just(Due::none()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    // Few times, so that equal stamps occur.
    let time = 1..12u64;
    let size = 0..600usize;
    prop_oneof![
        6 => (key.clone(), time.clone(), size.clone(), due())
            .prop_map(|(key, time, size, due)| Step::Write { key, time, size, due }),
        3 => (key.clone(), time.clone(), size, due())
            .prop_map(|(key, time, size, due)| Step::Merge { key, time, size, due }),
        2 => key.clone().prop_map(|key| Step::Ticket { key }),
        2 => (key.clone(), time).prop_map(|(key, time)| Step::Fill { key, time }),
        2 => (key.clone(), due()).prop_map(|(key, due)| Step::Mark { key, due }),
        6 => Just(Step::Begin),
        6 => due().prop_map(|done| Step::Settle { done }),
        1 => key.clone().prop_map(|key| Step::RemoveClean { key }),
        2 => key.clone().prop_map(|key| Step::Locate { key }),
        2 => key.clone().prop_map(|key| Step::Renew { key }),
        1 => key.prop_map(|key| Step::Get { key }),
    ]
}

pub(super) fn name(key: u8) -> String {
    format!("k{key}")
}

/// The same stamp always has the same content, as of a correct node.
pub(super) fn stored(key: u8, time: u64, size: usize) -> Stored {
    let stamp = Stamp {
        time: HlcTime(time),
        origin: Origin::from_raw(0),
    };
    if time.is_multiple_of(5) {
        return Stored::Tombstone {
            key: name(key).into(),
            stamp,
        };
    }
    let item = SyncItem::new(name(key), time.to_be_bytes().to_vec());
    let content = vec![b'x'; size];
    Stored::Live(item.edit(|fields| {
        fields.stamp = stamp;
        // Weighs, and is not part of what `decide` compares.
        fields.batch_id = Some(String::from_utf8_lossy(&content).into());
    }))
}

/// The books.
struct Book {
    l1: L1,
    pos: WalPos,
    /// Positions given to L1 and not back yet.
    positions: BTreeSet<WalPos>,
    /// Dirty bytes counted and not given back yet.
    charged: usize,
    /// The batch: keys pushed and not taken.
    batch: Vec<String>,
    flights: Vec<Flight>,
    tickets: BTreeMap<u8, Ticket>,
    located: BTreeMap<u8, (Stamp, WalPos)>,
}

impl Book {
    fn new(bytes_max: usize) -> Self {
        let limits = L1Limits {
            bytes_max,
            warn: 0.7,
            critical: 0.9,
        };
        Self {
            l1: L1::new(limits, 42),
            pos: 0,
            positions: BTreeSet::new(),
            charged: 0,
            batch: Vec::new(),
            flights: Vec::new(),
            tickets: BTreeMap::new(),
            located: BTreeMap::new(),
        }
    }

    fn free(&mut self, pos: Option<WalPos>, released: usize) {
        if let Some(pos) = pos {
            assert!(self.positions.remove(&pos), "{pos} was freed twice");
        }
        self.charged = self.charged.checked_sub(released).expect("released twice");
    }

    /// Enters what came of a write of `key`, before which `before` was resident.
    fn written(&mut self, key: u8, stamp: Stamp, before: Option<Stamp>, written: Written) {
        self.free(written.freed_pos, written.released);
        if written.enqueue {
            self.batch.push(name(key));
        }
        let after = self.resident(key);
        match written.accepted {
            true => {
                assert!(
                    before.is_none_or(|before| before <= stamp),
                    "an older write won"
                );
                // `None`: merged with nothing due, and there was no room.
                assert!(after.is_none_or(|after| after == stamp));
            }
            // `None`: what was here had to leave.
            false => assert!(
                after.is_none_or(|after| after >= stamp),
                "a newer write lost"
            ),
        }
    }

    fn resident(&self, key: u8) -> Option<Stamp> {
        self.l1.peek(&name(key)).map(|entry| entry.stored.stamp())
    }

    fn on(&mut self, step: Step) {
        match step {
            Step::Write {
                key,
                time,
                size,
                due,
            } => {
                let stored = stored(key, time, size);
                let stamp = stored.stamp();
                self.pos += 1;
                self.positions.insert(self.pos);
                self.charged += L1::weight_of(&stored);
                let before = self.resident(key);
                let written = self.l1.write(stored, due, self.pos, None);
                assert_eq!(written.accepted, written.freed_pos != Some(self.pos));
                assert!(!written.accepted || self.resident(key) == Some(stamp));
                self.written(key, stamp, before, written);
            }
            Step::Merge {
                key,
                time,
                size,
                due,
            } => {
                let stored = stored(key, time, size);
                let stamp = stored.stamp();
                let before = self.resident(key);
                let written = self.l1.merge(stored, due);
                self.written(key, stamp, before, written);
            }
            Step::Ticket { key } => {
                self.tickets.insert(key, self.l1.ticket(&name(key)));
            }
            Step::Fill { key, time } => self.fill(key, time),
            Step::Mark { key, due } => {
                if self.l1.mark(&name(key), due) {
                    self.batch.push(name(key));
                }
            }
            Step::Begin => {
                if !self.batch.is_empty() {
                    let key = self.batch.remove(0);
                    self.flights.extend(self.l1.begin_flush(&key));
                }
            }
            Step::Settle { done } => self.settle(done),
            Step::RemoveClean { key } => {
                if let Some(entry) = self.l1.peek(&name(key))
                    && self.l1.remove_clean(&name(key), entry.stored.stamp())
                {
                    assert!(entry.due.is_empty());
                }
            }
            Step::Locate { key } => {
                let logged = self.l1.logged_below(self.pos + 1).into_iter();
                let of_key = logged.filter(|(stored, _)| **stored.key() == *name(key));
                self.located
                    .extend(of_key.map(|(stored, pos)| (key, (stored.stamp(), pos))));
            }
            Step::Renew { key } => self.renew(key),
            Step::Get { key } => {
                self.l1.get(&name(key), 1);
            }
        }
    }

    fn fill(&mut self, key: u8, time: u64) {
        let Some(ticket) = self.tickets.get(&key) else {
            return;
        };
        let stored = stored(key, time, 0);
        let (stamp, before) = (stored.stamp(), self.l1.peek(&name(key)));
        if self.l1.fill(stored, *ticket, None) {
            if let Some(before) = before {
                assert!(before.due.is_empty() && before.stored.stamp() < stamp);
            }
            assert_eq!(self.resident(key), Some(stamp));
        }
    }

    fn renew(&mut self, key: u8) {
        if let Some((stamp, old)) = self.located.remove(&key) {
            self.pos += 1;
            self.positions.insert(self.pos);
            let freed = self.l1.renew(&name(key), stamp, old, self.pos);
            self.free(Some(freed), 0);
        }
    }

    fn settle(&mut self, done: Due) {
        if self.flights.is_empty() {
            return;
        }
        let flight = self.flights.remove(0);
        let key = flight.stored.key().clone();
        let settled = self.l1.settle(&key, flight.stored.stamp(), done);
        self.free(settled.freed_pos, settled.released);
        if settled.requeue {
            self.batch.push(key.to_string());
        }
    }

    /// What must be true after every step.
    fn check(&self) {
        let stats = self.l1.stats();
        let entries: Vec<Entry> = (0..KEYS)
            .filter_map(|key| self.l1.peek(&name(key)))
            .collect();
        let weigh = |entry: &Entry| L1::weight_of(&entry.stored);
        let dirty: Vec<&Entry> = entries
            .iter()
            .filter(|entry| !entry.due.is_empty())
            .collect();
        assert_eq!(
            self.l1.used_bytes(),
            entries.iter().map(weigh).sum::<usize>()
        );
        assert_eq!(stats.bytes, self.l1.used_bytes());
        assert_eq!(
            (stats.entries, self.l1.len()),
            (entries.len(), entries.len())
        );
        assert_eq!(
            self.l1.dirty_bytes(),
            dirty.iter().map(|entry| weigh(entry)).sum::<usize>()
        );
        assert_eq!(
            (stats.dirty, self.l1.dirty_len()),
            (dirty.len(), dirty.len())
        );
        assert_eq!(self.l1.prefix_dirty("k").len(), dirty.len());
        for entry in &entries {
            let found = self.l1.get_present(entry.stored.key(), 1).is_some();
            assert_ne!(found, entry.is_passing, "what is passing is no answer");
            assert!(!entry.is_passing || entry.due.is_work(), "it stays");
        }
        let mut seen = 0;
        self.l1.for_each_dirty(&mut |_| seen += 1);
        assert_eq!(seen, dirty.len());
        for entry in dirty.iter().filter(|entry| entry.due.is_work()) {
            let key = entry.stored.key();
            let queued = self.batch.iter().any(|queued| *queued == **key);
            let flying = self
                .flights
                .iter()
                .filter(|flight| flight.stored.key() == key)
                .count();
            assert!(
                queued || flying > 0,
                "{key} is dirty and nobody will flush it"
            );
            assert!(flying <= 1, "{key} is in flight twice");
        }
    }

    /// Flushes what the batch names until nothing is left, and compares the books.
    fn close(mut self) {
        while !self.batch.is_empty() || !self.flights.is_empty() {
            self.on(Step::Begin);
            self.on(Step::Settle { done: BOTH });
        }
        // What owed nothing was held for want of another home; only such writes still have a position.
        let held: Vec<Entry> = self.l1.prefix_dirty("");
        assert!(held.iter().all(|entry| entry.due == Due::HOLD), "{held:?}");
        let weight: usize = held.iter().map(|entry| L1::weight_of(&entry.stored)).sum();
        assert_eq!(self.charged, weight);
        assert!(
            self.positions.len() <= held.len(),
            "{:?} never came back",
            self.positions
        );
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_books_balance_whatever_the_order(steps in prop::collection::vec(step(), 1..120), roomy: bool) {
        // A cap of about three entries evicts all the time.
        let mut book = Book::new(if roomy { 1 << 20 } else { 2500 });
        for step in steps {
            book.on(step);
            book.check();
        }
        book.close();
    }
}
