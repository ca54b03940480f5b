//! Locks by key, so that a command that reads and then writes a key is atomic on this node.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A fixed number of locks, each standing for many keys: two keys may share one, which costs
/// time and never correctness.
///
/// The rule: plain writes hold their keys shared (they do not mind each other, the engine orders
/// them); a command whose write depends on what it read holds its one key exclusively.
#[derive(Debug)]
pub(super) struct KeyLocks {
    stripes: Vec<RwLock<()>>,
}

const STRIPES: usize = 256;

/// A key that is locked, until this is dropped.
pub(super) type Exclusive<'l> = Option<RwLockWriteGuard<'l, ()>>;

impl KeyLocks {
    pub(super) fn new() -> Self {
        KeyLocks {
            stripes: (0..STRIPES).map(|_| RwLock::new(())).collect(),
        }
    }

    /// Holds all of these keys for plain writes.
    pub(super) async fn shared<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Vec<RwLockReadGuard<'_, ()>> {
        let mut wanted: Vec<usize> = keys.map(stripe_of).collect();
        // In one order for all, so that nobody waits in a circle; and each once, since a second
        // read of a lock for which a writer queues would wait for itself.
        wanted.sort_unstable();
        wanted.dedup();
        let mut guards = Vec::with_capacity(wanted.len());
        for stripe in wanted.into_iter().filter_map(|at| self.stripes.get(at)) {
            guards.push(stripe.read().await);
        }
        guards
    }

    /// Holds one key for a command that reads it before it writes it.
    pub(super) async fn exclusive(&self, key: &[u8]) -> Exclusive<'_> {
        match self.stripes.get(stripe_of(key)) {
            Some(stripe) => Some(stripe.write().await),
            None => None, // cannot happen: a stripe number is below their count
        }
    }
}

fn stripe_of(key: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % STRIPES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_writes_share_and_conditional_ones_do_not() {
        let locks = KeyLocks::new();
        let keys: Vec<Vec<u8>> = (0..1000u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let all = || keys.iter().map(Vec::as_slice);
        let first = locks.shared(all()).await;
        let second = locks.shared(all()).await;
        assert!(first.len() <= STRIPES && second.len() == first.len());
        let exclusive = locks.exclusive(&keys[0]);
        let mut exclusive = std::pin::pin!(exclusive);
        tokio::select! {
            biased;
            _ = &mut exclusive => panic!("taken while shared"),
            () = std::future::ready(()) => {}
        }
        drop((first, second));
        assert!(exclusive.await.is_some());
    }
}
