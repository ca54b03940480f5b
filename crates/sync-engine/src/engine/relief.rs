//! Keeping room in the cache.

use super::core::Core;
use crate::error::StorageError;
use crate::l2::CacheStore;

/// Most calls to the cache of one round; each has a budget of its own.
const CALLS_MAX: usize = 8;

impl Core {
    /// Drops cached copies before the cache's server drops what nobody else keeps.
    ///
    /// Only to be called while the archive answers: it has to serve what is dropped. Writers are not held up
    /// (`cache_order` is not taken): the cache drops a record only when it sees, in the same step, that the archive keeps
    /// such records, and what is not in the archive yet is answered by L1, where it stays until it is stored.
    pub(super) async fn relieve_cache(&self) -> Result<(), StorageError> {
        let config = self.config();
        if !config.redis_eviction_enabled {
            return Ok(());
        }
        let target = config.redis_eviction_target;
        let mut start = config.redis_eviction_start;
        for _ in 0..CALLS_MAX {
            let relief = self.cache.relieve(start, target).await?;
            self.metrics.relieved.increment(relief.dropped);
            if !relief.is_unfinished || relief.dropped == 0 {
                break;
            }
            // Once begun, all the way.
            start = target;
        }
        Ok(())
    }
}
