//! What only the cache keeps, met by an older write of its key that came late: it takes away what the archive has, as if the
//! older write had come first.

use std::sync::Arc;

use super::core::Core;
use super::publisher::Change;
use super::stale::Missed;
use crate::batch::plan::{ArchiveWrite, Over};
use crate::batch::portions::Portions;
use crate::error::StorageError;
use crate::item::decide::Decision;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::l2::{CacheStore, Lookup};
use crate::l3::ArchiveStore;
use crate::limits::REFUSED_ALONE_MAX;

impl Core {
    /// The cache has kept these writes out, because it alone keeps newer ones. Where that cannot be followed up now, the keys are
    /// stale, and their repair comes here again.
    pub(super) async fn follow_outlived(self: &Arc<Self>, outlived: Vec<(Key, Stamp)>) {
        if outlived.is_empty() || !self.archive.is_configured() {
            return;
        }
        let followed = match self.unarchived_in_cache(&outlived).await {
            Ok(newer) => self.overrule(newer).await,
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            tracing::warn!(%error, "older rows beside what only the cache keeps are still there; it is tried again");
            self.mark_stale(outlived.into_iter().map(|(key, stamp)| {
                let missed = Missed {
                    stamp,
                    archive_knows: false,
                };
                (key, missed)
            }));
        }
    }

    /// The stamps of what only the cache keeps of these keys.
    async fn unarchived_in_cache(
        &self,
        outlived: &[(Key, Stamp)],
    ) -> Result<Vec<(Key, Stamp)>, StorageError> {
        let mut newer = Vec::new();
        // One by one, and whole: each may be as large as an item can be, and what is damaged has no word. There are hardly any.
        for (key, _) in outlived {
            for lookup in self.cache.get_many(std::slice::from_ref(key)).await? {
                match lookup {
                    Lookup::Hit(stored, _)
                        if !stored.is_archived() && !self.is_from_the_future(&stored) =>
                    {
                        self.observe(&stored);
                        newer.push((key.clone(), stored.stamp()));
                    }
                    _ => {}
                }
            }
        }
        Ok(newer)
    }

    /// Writes of these stamps, which no archive keeps, take away older live rows, here and on the peers.
    pub(super) async fn overrule(
        self: &Arc<Self>,
        newer: Vec<(Key, Stamp)>,
    ) -> Result<(), StorageError> {
        let writes: Vec<ArchiveWrite> = newer
            .iter()
            .map(|(key, stamp)| ArchiveWrite::tombstone(key, *stamp, Over::Live))
            .collect();
        if writes.is_empty() {
            return Ok(());
        }
        let portions = Portions::new(writes.len(), 0, REFUSED_ALONE_MAX);
        let committed = self.commit_each(&writes, portions).await;
        for (key, stamp) in &newer {
            self.l1.remove_older(key, *stamp);
        }
        let fated = writes.into_iter().zip(committed.fates);
        let taken = fated.filter(|(_, fate)| fate.taken() == Some(Decision::Take));
        let changes = taken.map(|(write, _)| Change {
            stored: write.stored,
            pos: None,
        });
        let freed = self.publisher.push(changes.collect());
        self.release_positions(freed);
        committed.error.map_or(Ok(()), |error| Err(error.into()))
    }
}
