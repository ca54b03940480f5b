//! A cache in memory whose verbs fail and dawdle on command.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sync_engine::l2::{CacheError, CacheStore, CacheWrite, Generation, Lookup};
use sync_engine::{Key, Stored};
use tokio::sync::watch;

/// Keeps the contract of a cache, without lifetimes.
#[derive(Default)]
pub struct FlakyCache {
    records: Mutex<HashMap<Key, (Stored, Generation)>>,
    pub fail_puts: AtomicBool,
    pub fail_removes: AtomicBool,
    /// Whether puts wait.
    pub puts_wait: watch::Sender<bool>,
}

impl FlakyCache {
    pub fn new() -> Arc<Self> {
        Arc::default()
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

#[async_trait]
impl CacheStore for FlakyCache {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError> {
        let records = self.records.lock().unwrap();
        let look = |key| match records.get(key) {
            Some((stored, generation)) => Lookup::Hit(stored.clone(), *generation),
            None => Lookup::Absent,
        };
        Ok(keys.iter().map(look).collect())
    }

    async fn put_many(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
    ) -> Result<(), CacheError> {
        let mut waits = self.puts_wait.subscribe();
        waits.wait_for(|waits| !waits).await.expect("it is ours");
        refused_if(&self.fail_puts, "put")?;
        let mut records = self.records.lock().unwrap();
        for write in writes {
            let newer = |(old, at): &(Stored, Generation)| {
                *at >= generation && old.stamp() > write.stored.stamp()
            };
            if !records.get(write.stored.key()).is_some_and(newer) {
                let record = (write.stored.clone(), generation);
                records.insert(write.stored.key().clone(), record);
            }
        }
        Ok(())
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<(), CacheError> {
        refused_if(&self.fail_removes, "remove")?;
        let mut records = self.records.lock().unwrap();
        for key in keys {
            records.remove(key);
        }
        Ok(())
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
