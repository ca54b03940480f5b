//! The life of the cache: which of its records may be believed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use crate::error::StorageError;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::l2::{CacheStore, Generation};
use crate::l3::{ArchiveStore, MetaKey};

/// Generations that one run may use: those it begins by giving the cache up are persisted a little later, and after a
/// crash in between the next run must not begin one of them again.
const STEP: Generation = 1 << 10;

/// Stale keys repaired at once.
const REPAIR_KEYS: usize = 1_000;

/// What is persisted: the generation in force, whether the last stop left nothing stale, and which life of the server it
/// speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Persisted {
    pub generation: Generation,
    pub clean: bool,
    pub life: Option<Arc<str>>,
}

impl Persisted {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.generation.to_be_bytes().to_vec();
        bytes.push(u8::from(self.clean));
        bytes.extend(self.life.as_deref().unwrap_or_default().as_bytes());
        bytes
    }

    /// Anything unreadable counts as a stop that was not clean.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let generation = bytes.first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
        let life = bytes.get(9..).and_then(|b| std::str::from_utf8(b).ok());
        Self {
            generation,
            clean: bytes.get(8) == Some(&1),
            life: life.filter(|life| !life.is_empty()).map(Into::into),
        }
    }

    /// The generation of the run that begins: the same after a clean stop, else one above all of the last run; the first one
    /// of an archive begins with what is `random`.
    pub(super) fn next_run(self, random: u64) -> Self {
        Self {
            generation: match (self.generation, self.clean) {
                (0, _) => random & !u64::from(u32::MAX) | STEP,
                (kept, true) => kept,
                (kept, false) => kept.wrapping_add(STEP),
            },
            clean: false,
            ..self
        }
    }
}

impl Core {
    /// Gives up everything that the cache holds of archived items: too much of it is stale.
    pub(super) fn give_up_cache(&self) {
        let generation = self
            .generation
            .fetch_add(1, Ordering::AcqRel)
            .wrapping_add(1);
        self.stale.clear();
        tracing::warn!(
            generation,
            "the cache lost or missed writes; what it holds of archived items is no longer believed"
        );
    }

    /// Takes note of the cache's server: another life of it may hold what was overwritten long ago.
    pub(super) fn follow_cache_life(&self) {
        let Some(life) = self.cache.life() else {
            return;
        };
        let mut known = self.cache_life.lock();
        if known.as_ref() == Some(&life) {
            return;
        }
        let is_first = known.replace(life).is_none();
        drop(known);
        if !is_first {
            self.give_up_cache();
        }
    }

    /// Takes stale keys out of the cache. `false`: none were left.
    pub(super) async fn repair_cache(self: &Arc<Self>) -> Result<bool, StorageError> {
        if self.stale.len() == 0 {
            return Ok(false);
        }
        let alone = self.cache_order.write().await;
        // Those that were written successfully in the meantime are no longer in it.
        let ends: Vec<(Key, Stamp)> = self.stale.some(REPAIR_KEYS);
        let outlived = self.cache.remove_many(self.generation(), &ends).await?;
        self.stale.forget(&ends);
        drop(alone);
        self.follow_outlived(outlived).await;
        Ok(!ends.is_empty())
    }

    /// Persists the generation that giving the cache up has begun.
    pub(super) async fn keep_generation(&self) -> Result<(), StorageError> {
        let generation = self.generation();
        if self.generation_persisted.load(Ordering::Acquire) == generation {
            return Ok(());
        }
        self.persist_generation(false).await?;
        self.generation_persisted
            .store(generation, Ordering::Release);
        Ok(())
    }

    pub(super) async fn persist_generation(&self, clean: bool) -> Result<(), StorageError> {
        let persisted = Persisted {
            generation: self.generation(),
            // Of other engines on the archive nobody here knows what they left stale.
            clean: clean && self.archive.is_exclusive(),
            life: self.cache_life.lock().clone(),
        };
        self.archive
            .set_meta(MetaKey::Generation, persisted.to_bytes())
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l2::is_believed;

    #[test]
    fn only_a_clean_stop_keeps_the_generation() {
        let stop = |clean| Persisted {
            generation: 7,
            clean,
            life: Some("run".into()),
        };
        assert_eq!(Persisted::from_bytes(&stop(true).to_bytes()), stop(true));
        assert_eq!(stop(true).next_run(9), stop(false));
        assert_eq!(stop(false).next_run(9).generation, 7 + STEP);
        let first = |random| Persisted::from_bytes(b"").next_run(random).generation;
        assert!(!is_believed(first(1 << 32), first(2 << 32)));
        assert!(!is_believed(first(2 << 32), first(1 << 32)));
        assert!(is_believed(first(1 << 32), first(1 << 32)));
    }
}
