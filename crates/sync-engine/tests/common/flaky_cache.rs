//! A cache in memory whose verbs fail and dawdle on command.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sync_engine::l2::{CacheError, CacheStore, CacheWrite, Generation, Lookup};
use sync_engine::{Key, Stamp, Stored};
use tokio::sync::watch;

use super::hold::Hold;

/// Keeps the contract of a cache, without lifetimes.
#[derive(Default)]
pub struct FlakyCache {
    records: Mutex<HashMap<Key, (Stored, Generation)>>,
    pub fail_puts: AtomicBool,
    pub fail_removes: AtomicBool,
    /// Whether it answers, and takes no writes.
    pub is_read_only: AtomicBool,
    /// Holds an answer on its way back.
    pub answers: Hold,
    /// Whether puts wait.
    pub puts_wait: watch::Sender<bool>,
}

impl FlakyCache {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn look(&self, keys: &[Key]) -> Vec<Lookup> {
        let records = self.records.lock().unwrap();
        let look = |key| match records.get(key) {
            Some((stored, generation)) => Lookup::Hit(stored.clone(), *generation),
            None => Lookup::Absent,
        };
        keys.iter().map(look).collect()
    }

    fn check_writable(&self, op: &'static str) -> Result<(), CacheError> {
        match self.is_read_only.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(CacheError::ReadOnly {
                op,
                source: "it takes no writes".into(),
            }),
        }
    }

    pub fn holds(&self, id: &str) -> bool {
        self.records.lock().unwrap().contains_key(&Key::from(id))
    }
}

fn refused_if(flag: &AtomicBool, op: &'static str) -> Result<(), CacheError> {
    match flag.load(Ordering::SeqCst) {
        false => Ok(()),
        true => Err(CacheError::Unavailable {
            op,
            source: "switched off".into(),
        }),
    }
}

/// The record there, if it is newer.
fn kept_by(
    held: Option<&(Stored, Generation)>,
    generation: Generation,
    (stamp, is_live): (Stamp, bool),
) -> Option<&Stored> {
    let is_newer = |(old, at): &&(Stored, Generation)| match old.is_archived() {
        true => *at >= generation && old.stamp() > stamp,
        false => old.stamp() > stamp || old.stamp() == stamp && !is_live,
    };
    held.filter(is_newer).map(|(stored, _)| stored)
}

#[async_trait]
impl CacheStore for FlakyCache {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError> {
        let found = self.look(keys);
        self.answers.pass().await;
        Ok(found)
    }

    async fn put_many(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        let mut waits = self.puts_wait.subscribe();
        waits.wait_for(|waits| !waits).await.expect("it is ours");
        refused_if(&self.fail_puts, "put")?;
        self.check_writable("put")?;
        let mut records = self.records.lock().unwrap();
        let mut kept = Vec::new();
        for write in writes {
            let key = write.stored.key();
            match kept_by(
                records.get(key),
                generation,
                (write.stored.stamp(), write.stored.item().is_some()),
            ) {
                None => drop(records.insert(key.clone(), (write.stored.clone(), generation))),
                Some(newer) => {
                    kept.extend((!newer.is_archived()).then(|| (key.clone(), write.stored.stamp())))
                }
            }
        }
        Ok(kept)
    }

    async fn remove_many(
        &self,
        generation: Generation,
        ends: &[(Key, Stamp)],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        refused_if(&self.fail_removes, "remove")?;
        self.check_writable("remove")?;
        let mut records = self.records.lock().unwrap();
        let mut kept = Vec::new();
        for (key, stamp) in ends {
            match kept_by(records.get(key), generation, (*stamp, false)) {
                None => drop(records.remove(key)),
                Some(newer) => kept.extend((!newer.is_archived()).then(|| (key.clone(), *stamp))),
            }
        }
        Ok(kept)
    }

    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        let records = self.records.lock().unwrap();
        let live = |key| records.get(key).is_some_and(|(s, _)| s.item().is_some());
        Ok(keys.iter().map(live).collect())
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }

    fn is_configured(&self) -> bool {
        true
    }
}
