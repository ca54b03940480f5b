//! A node's Redis as L2.

use std::sync::Arc;

use async_trait::async_trait;
use sync_engine::item::key::Key;
use sync_engine::item::stamp::Stamp;
use sync_engine::l2::{CacheError, CacheStore, CacheWrite, Generation, Lookup};

use crate::redis::SimRedis;

#[async_trait]
impl CacheStore for SimRedis {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError> {
        let keys = keys.to_vec();
        self.call(keys.len(), false, move |memory, now, _| {
            let look = |key| match memory.get(now, key) {
                Some(record) => Lookup::Hit(record.stored.clone(), record.generation),
                None => Lookup::Absent,
            };
            keys.iter().map(look).collect()
        })
        .await
    }

    async fn put_many(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        let writes = writes.to_vec();
        self.call(writes.len(), true, move |memory, now, done| {
            let put = |write| memory.put(now, generation, write);
            writes[..done].iter().filter_map(put).collect()
        })
        .await
    }

    async fn remove_many(
        &self,
        generation: Generation,
        ends: &[(Key, Stamp)],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        let ends = ends.to_vec();
        self.call(ends.len(), false, move |memory, now, done| {
            let remove = |end| memory.remove(now, generation, end);
            ends[..done].iter().filter_map(remove).collect()
        })
        .await
    }

    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        let keys = keys.to_vec();
        self.call(keys.len(), false, move |memory, now, _| {
            let is_live = |key| {
                memory
                    .get(now, key)
                    .is_some_and(|record| record.stored.item().is_some())
            };
            keys.iter().map(is_live).collect()
        })
        .await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.call(0, false, |_, _, _| ()).await
    }

    fn life(&self) -> Option<Arc<str>> {
        Some(self.life_now())
    }

    fn is_configured(&self) -> bool {
        true
    }
}
