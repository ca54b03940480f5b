//! Knows what each node has acknowledged of the keys that it alone keeps, in its log and its Redis, and says what must be
//! true of them.
//!
//! Of such a key no reader ever gets an older state than one that was acknowledged, or that readers before him have got:
//! restarts included, as long as the log is there. What a Redis loses that nobody else has is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sync_engine::SyncItem;
use sync_engine::item::Stored;
use sync_engine::item::hash::ContentHash;
use sync_engine::item::key::Key;
use sync_engine::item::stamp::Stamp;

use crate::oracle::Oracle;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// To store this.
    Put {
        /// The content's hash; contents are never tried twice.
        hash: ContentHash,
        /// For how many milliseconds, if it ends by itself.
        lives_ms: Option<i64>,
    },
    /// To delete.
    Delete,
}

#[derive(Default)]
struct Account {
    tried: Vec<(Deed, Option<Stamp>)>,
    /// Nothing below this may be read.
    floor: Option<Stamp>,
    /// The node lost its clock with its disks, and its Redis may know stamps from the future: nothing is promised any more.
    is_given_up: bool,
    /// Redis lost something: until the next acknowledged write what is read promises nothing.
    is_shaky: bool,
}

/// The accounts of all nodes, shared.
#[derive(Clone)]
pub struct Private {
    accounts: Arc<Mutex<BTreeMap<Key, Account>>>,
    oracle: Oracle,
}

/// Whether a node alone keeps items of this key. Their deletes reach the other nodes.
pub fn is_own(key: &Key) -> bool {
    key.starts_with("own.")
}

/// Where the names of a node's own keys begin.
pub fn prefix(node: usize) -> String {
    format!("own.n{node}.")
}

impl Private {
    /// Knows nothing yet.
    pub fn new(oracle: &Oracle) -> Self {
        Self {
            accounts: Arc::default(),
            oracle: oracle.clone(),
        }
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        let accounts = self.accounts.lock();
        let tried = accounts.values().flat_map(|account| &account.tried);
        tried.filter(|(_, stamp)| stamp.is_some()).count()
    }

    /// Every key of this node that was ever written.
    pub fn keys(&self, node: usize) -> Vec<Key> {
        let (accounts, prefix) = (self.accounts.lock(), prefix(node));
        let keys = accounts.keys().filter(|key| key.starts_with(&prefix));
        keys.cloned().collect()
    }

    /// A write begins; gives its number among those of its key.
    pub fn begin(&self, key: &Key, deed: Deed) -> usize {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry(key.clone()).or_default();
        account.tried.push((deed, None));
        account.tried.len() - 1
    }

    /// It was acknowledged, with this stamp.
    pub fn acknowledge(&self, key: &Key, number: usize, stamp: Stamp) {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry(key.clone()).or_default();
        if let Some(one) = account.tried.get_mut(number) {
            one.1 = Some(stamp);
        }
        if !account.is_given_up {
            account.floor = account.floor.max(Some(stamp));
            account.is_shaky = false;
        }
    }

    /// What a reader may not get less than.
    pub fn floor(&self, key: &Key) -> Option<Stamp> {
        let accounts = self.accounts.lock();
        accounts.get(key).and_then(|account| account.floor)
    }

    /// A reader who began at `began_ms` by the node's clock, when the floor was `floor`, got this.
    pub fn on_read(&self, key: &Key, floor: Option<Stamp>, got: Option<&SyncItem>, began_ms: i64) {
        let mut accounts = self.accounts.lock();
        let Some(account) = accounts.get_mut(key) else {
            return;
        };
        // A loss since then has made it less.
        let floor = floor.min(account.floor);
        let judged = match got {
            Some(item) => account.judge(floor, item, began_ms),
            None => account.judge_absence(floor),
        };
        if let (Some(item), false) = (got, account.is_shaky) {
            account.floor = account.floor.max(Some(item.stamp));
        }
        drop(accounts);
        if let Err(what) = judged {
            self.oracle.violation(format!("{key}: {what}"));
        }
    }

    /// The node's Redis held `before`, and holds `after`. What it had confirmed, the log may have let go at once.
    pub fn on_redis_loss(&self, before: &[Stored], after: &[Stored]) {
        let mut accounts = self.accounts.lock();
        for held in before {
            let Some(account) = accounts.get_mut(held.key()) else {
                continue;
            };
            let left = after.iter().find(|left| left.key() == held.key());
            let left = left.map(Stored::stamp);
            if left < Some(held.stamp()) && account.floor <= Some(held.stamp()) {
                account.floor = left.min(account.floor);
                account.is_shaky = true;
            }
        }
    }

    /// The node's disks were replaced, and its Redis was not.
    pub fn give_up(&self, node: usize) {
        let prefix = prefix(node);
        let mut accounts = self.accounts.lock();
        for (key, account) in accounts.iter_mut() {
            if key.starts_with(&prefix) {
                (account.floor, account.is_shaky) = (None, true);
                account.is_given_up = true;
            }
        }
    }

    /// The node lost what it had, but for `kept`.
    pub fn on_loss(&self, node: usize, kept: &[Stored]) {
        let prefix = prefix(node);
        let mut accounts = self.accounts.lock();
        for (key, account) in accounts.iter_mut() {
            if !key.starts_with(&prefix) {
                continue;
            }
            let left = kept.iter().filter(|stored| stored.key() == key);
            let left = left.map(Stored::stamp).max();
            if left < account.floor {
                account.floor = left;
                account.is_shaky = true;
            }
        }
    }
}

impl Account {
    fn judge(&self, floor: Option<Stamp>, item: &SyncItem, began_ms: i64) -> Result<(), String> {
        if Some(item.stamp) < floor {
            return Err(format!("I1/I2/I3: {} was read after {floor:?}", item.stamp));
        }
        let wrote = self.tried.iter().find_map(|(deed, _)| match deed {
            Deed::Put { hash, lives_ms } if *hash == item.content_hash => Some(*lives_ms),
            _ => None,
        });
        let Some(lives_ms) = wrote.filter(|_| ContentHash::of(&item.content) == item.content_hash)
        else {
            return Err(format!("I7: {} was read, which nobody wrote", item.stamp));
        };
        let ends = lives_ms.map(|lives_ms| item.stamp.time.ms().saturating_add(lives_ms));
        match ends {
            Some(ends) if ends < began_ms => Err(format!(
                "{} was read at {began_ms}, and ended at {ends}",
                item.stamp
            )),
            _ => Ok(()),
        }
    }

    /// Something that makes the key absent must have been tried, and not be older than what was acknowledged.
    fn judge_absence(&self, floor: Option<Stamp>) -> Result<(), String> {
        let ends = |deed: &Deed| !matches!(deed, Deed::Put { lives_ms: None, .. });
        let may_be = floor.is_none()
            || self
                .tried
                .iter()
                .any(|(deed, stamp)| ends(deed) && (stamp.is_none() || *stamp >= floor));
        match may_be {
            true => Ok(()),
            false => Err(format!("I1/I2/I13: {floor:?} is said to be absent")),
        }
    }
}
