//! Knows every write that was tried and every one that was acknowledged, and says what must be true of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use sync_engine::SyncItem;
use sync_engine::item::hash::ContentHash;
use sync_engine::item::key::Key;
use sync_engine::item::stamp::{Origin, Stamp};
use sync_engine::item::{Leaf, Stored};

use crate::log::Log;
use crate::private;

/// What was tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Try {
    /// To store this.
    Put {
        /// The content's hash; contents are never tried twice.
        hash: ContentHash,
        /// Whether it ends by itself.
        expires_at: Option<i64>,
    },
    /// To delete.
    Delete,
}

/// An attempt to write.
struct Attempt {
    what: Try,
    /// What its node knew of the key before.
    over: Option<Stamp>,
    /// Given when it was acknowledged.
    acked: Option<Stamp>,
}

/// What must hold of a key on one node, or anywhere: it is never below this.
type Floors = BTreeMap<Key, Stamp>;

#[derive(Default)]
struct Book {
    tried: BTreeMap<Key, Vec<Attempt>>,
    /// Who gave stamps under an origin; `None`: one that lost or copied its disks since, and does not know which.
    origins: BTreeMap<Origin, Option<usize>>,
    /// What each node has acknowledged for good.
    promised: BTreeMap<usize, Floors>,
    /// What each node was seen to hold since it last lost something.
    seen: BTreeMap<usize, Floors>,
    /// What readers of each node have got since then.
    read: BTreeMap<usize, Floors>,
    /// What the mesh must have in the end.
    global: Floors,
    violations: Vec<String>,
}

/// The oracle, shared.
#[derive(Clone)]
pub struct Oracle(Arc<Mutex<Book>>, Log);

fn raise(floors: &mut Floors, key: &Key, stamp: Stamp) {
    let floor = floors.entry(key.clone()).or_insert(stamp);
    *floor = stamp.max(*floor);
}

fn newest(rows: impl IntoIterator<Item = Stored>) -> Floors {
    let mut floors = Floors::new();
    for stored in rows {
        raise(&mut floors, stored.key(), stored.stamp());
    }
    floors
}

impl Oracle {
    /// Knows nothing yet.
    pub fn new(log: &Log) -> Self {
        Self(Arc::default(), log.clone())
    }

    /// Something that may not be.
    pub fn violation(&self, what: String) {
        self.1.note(format_args!("VIOLATION {what}"));
        self.0.lock().violations.push(what);
    }

    /// Everything that may not be and was.
    pub fn violations(&self) -> Vec<String> {
        self.0.lock().violations.clone()
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        let book = self.0.lock();
        let tries = book.tried.values().flatten();
        tries.filter(|tried| tried.acked.is_some()).count()
    }

    /// Every key that was ever written.
    pub fn keys(&self) -> Vec<Key> {
        self.0.lock().tried.keys().cloned().collect()
    }

    /// A write begins on this node; gives its number among those of its key.
    pub fn begin(&self, node: usize, key: &Key, what: Try) -> usize {
        let over = self.floor(node, key);
        let mut book = self.0.lock();
        let tries = book.tried.entry(key.clone()).or_default();
        tries.push(Attempt {
            what,
            over,
            acked: None,
        });
        tries.len() - 1
    }

    /// It was acknowledged by this node, with this stamp.
    pub fn acknowledge(&self, node: usize, key: &Key, number: usize, stamp: Stamp) {
        let mut book = self.0.lock();
        let book_now = &mut *book;
        let owner = book_now.origins.entry(stamp.origin).or_insert(Some(node));
        let is_foreign = *owner != Some(node);
        let tries = book_now.tried.entry(key.clone()).or_default();
        let is_spent = tries.iter().any(|tried| tried.acked == Some(stamp));
        let mut over = None;
        if let Some(one) = tries.get_mut(number) {
            one.acked = Some(stamp);
            over = one.over.filter(|over| *over >= stamp);
        }
        drop(book);
        if is_spent {
            self.violation(format!(
                "I3: node {node} gave {stamp} to {key}, which has had it"
            ));
        }
        if is_foreign {
            self.violation(format!(
                "I3: node {node} gave {stamp} to {key} under an origin that is not its own"
            ));
        }
        if let Some(over) = over {
            self.violation(format!(
                "I3: node {node} gave {stamp} to {key}, which it knew at {over}"
            ));
        }
        self.promise(node, key, stamp);
    }

    /// This node has acknowledged that the key is at least at this stamp.
    pub fn promise(&self, node: usize, key: &Key, stamp: Stamp) {
        let mut book = self.0.lock();
        raise(&mut book.global, key, stamp);
        raise(book.promised.entry(node).or_default(), key, stamp);
    }

    /// The latest stamp that this node has promised.
    pub fn latest(&self, node: usize) -> Option<Stamp> {
        let book = self.0.lock();
        book.promised.get(&node)?.values().max().copied()
    }

    /// What a reader of this node may not get less than: what was acknowledged there, and what readers have got.
    pub fn floor(&self, node: usize, key: &Key) -> Option<Stamp> {
        let book = self.0.lock();
        let of = |floors: &BTreeMap<usize, Floors>| floors.get(&node)?.get(key).copied();
        of(&book.promised).max(of(&book.read))
    }

    /// What this node may not hold less than.
    pub fn held_floor(&self, node: usize, key: &Key) -> Option<Stamp> {
        let book = self.0.lock();
        let of = |floors: &BTreeMap<usize, Floors>| floors.get(&node)?.get(key).copied();
        of(&book.promised).max(of(&book.seen))
    }

    /// This node has shown what it holds for a key.
    pub fn on_seen(&self, node: usize, key: &Key, stamp: Stamp) {
        let mut book = self.0.lock();
        raise(book.seen.entry(node).or_default(), key, stamp);
    }

    /// This node lost what it had promised, but for `kept`; `anywhere` is what all the nodes have
    /// on their disks.
    pub fn on_loss(&self, node: usize, kept: Vec<Stored>, anywhere: Vec<Stored>) {
        let (kept, anywhere) = (newest(kept), newest(anywhere));
        let mut book = self.0.lock();
        let book = &mut *book;
        book.seen.remove(&node);
        book.read.remove(&node);
        let promised = book.promised.entry(node).or_default();
        promised.retain(|key, floor| kept.get(key).is_some_and(|kept| kept >= floor));
        let mut global = Floors::new();
        for (key, floor) in &book.global {
            let promises = book.promised.values().filter_map(|floors| floors.get(key));
            let left = promises.chain(anywhere.get(key)).max();
            if let Some(left) = left {
                raise(&mut global, key, *left.min(floor));
            }
        }
        book.global = global;
        // What is nowhere any more may have left its stamp to another write.
        for (key, tries) in &mut book.tried {
            let left = anywhere.get(key).copied();
            for tried in tries.iter_mut() {
                tried.acked = tried.acked.filter(|stamp| {
                    book.origins.get(&stamp.origin) != Some(&Some(node)) || Some(*stamp) == left
                });
            }
        }
    }

    /// What readers of this node got says nothing of what readers get from here on.
    pub fn forget_reads(&self, node: usize) {
        self.0.lock().read.remove(&node);
    }

    /// This node's disks were replaced: what it has stamped under is nobody's to stamp under.
    pub fn on_replaced(&self, node: usize) {
        let mut book = self.0.lock();
        let owners = book.origins.values_mut();
        owners
            .filter(|owner| **owner == Some(node))
            .for_each(|owner| *owner = None);
    }

    /// Whether readers see nothing where a node holds this.
    pub fn is_gone(&self, key: &Key, leaf: &Leaf, now_ms: i64) -> bool {
        let book = self.0.lock();
        let mut tries = book.tried.get(key).into_iter().flatten();
        let Some(held) = leaf.hash else { return true };
        tries.any(|tried| {
            let Try::Put { hash, expires_at } = &tried.what else {
                return false;
            };
            *hash == held && expires_at.is_some_and(|at| at <= now_ms)
        })
    }

    /// A read gave this item.
    pub fn on_item(&self, node: usize, key: &Key, floor: Option<Stamp>, item: &SyncItem) {
        if Some(item.stamp) < floor {
            let what = format!(
                "I1: node {node} read {key} at {} after {floor:?}",
                item.stamp
            );
            self.violation(what);
        }
        raise(self.0.lock().read.entry(node).or_default(), key, item.stamp);
        if let Err(what) = self.check(&Stored::Live(item.clone())) {
            self.violation(format!("node {node} read {what}"));
        }
    }

    /// Whether a record can be what somebody wrote.
    pub fn check(&self, stored: &Stored) -> Result<(), String> {
        let book = self.0.lock();
        let (key, stamp) = (stored.key(), stored.stamp());
        if private::is_own(key) && stored.item().is_none() {
            return Ok(());
        }
        let tries = book
            .tried
            .get(key)
            .ok_or_else(|| format!("{key}, which nobody wrote"))?;
        let known = tries.iter().find(|tried| tried.acked == Some(stamp));
        let fits = |what: &Try| match (what, stored.item()) {
            (Try::Put { hash, .. }, Some(item)) => {
                *hash == item.content_hash && ContentHash::of(&item.content) == *hash
            }
            (Try::Delete, None) => true,
            _ => false,
        };
        let is_expiry = || {
            stored.item().is_none()
                && tries.iter().any(|tried| {
                    let ends = matches!(
                        tried.what,
                        Try::Put {
                            expires_at: Some(_),
                            ..
                        }
                    );
                    ends && tried.acked.is_none_or(|acked| acked.of_expiry() == stamp)
                })
        };
        let is_fine = match known {
            Some(tried) => fits(&tried.what),
            // Not acknowledged: it may have happened all the same.
            None => {
                tries
                    .iter()
                    .any(|tried| tried.acked.is_none() && fits(&tried.what))
                    || is_expiry()
            }
        };
        match is_fine {
            true => Ok(()),
            false => Err(format!(
                "I7: {key} at {stamp}: nobody wrote that: {:?}",
                stored.leaf()
            )),
        }
    }

    /// What all nodes hold in the end.
    pub fn check_end(&self, rows: &[Stored]) {
        for stored in rows {
            if let Err(what) = self.check(stored) {
                self.violation(what);
            }
        }
        let held = newest(rows.to_vec());
        let mut book = self.0.lock();
        let book = &mut *book;
        for (key, floor) in &book.global {
            if held.get(key) < Some(floor) {
                let has = held.get(key).map_or("nothing".into(), ToString::to_string);
                let what = format!("I2/I3/I6: {key} was acknowledged at {floor}, and is at {has}");
                book.violations.push(what);
            }
        }
    }

    /// Two nodes that should be equal.
    pub fn check_equal(&self, ours: (usize, &[Stored]), theirs: (usize, &[Stored])) {
        let of = |rows: &[Stored]| -> BTreeMap<Key, Stored> {
            rows.iter()
                .map(|row| (row.key().clone(), row.clone()))
                .collect()
        };
        let (mine, others) = (of(ours.1), of(theirs.1));
        let keys: BTreeSet<&Key> = mine.keys().chain(others.keys()).collect();
        for key in keys {
            let leaf = |rows: &BTreeMap<Key, Stored>| rows.get(key).map(Stored::leaf);
            if leaf(&mine) != leaf(&others) {
                let (a, b) = (leaf(&mine), leaf(&others));
                self.violation(format!(
                    "I4: {key}: node {} has {a:?}, node {} has {b:?}",
                    ours.0, theirs.0
                ));
            }
        }
    }
}
