//! No cache tier.

use async_trait::async_trait;

use super::{CacheError, CacheStore, CacheWrite, Generation, Lookup};
use crate::item::key::Key;
use crate::item::stamp::Stamp;

/// The cache of an engine without `redis_url`: always empty, takes everything, keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AbsentCache;

#[async_trait]
impl CacheStore for AbsentCache {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError> {
        Ok(keys.iter().map(|_| Lookup::Absent).collect())
    }

    async fn put_many(
        &self,
        _generation: Generation,
        _writes: &[CacheWrite],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        Ok(Vec::new())
    }

    async fn remove_many(
        &self,
        _generation: Generation,
        _ends: &[(Key, Stamp)],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        Ok(Vec::new())
    }

    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        Ok(vec![false; keys.len()])
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }

    fn is_configured(&self) -> bool {
        false
    }
}
