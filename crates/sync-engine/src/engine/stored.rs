//! Waiting until the archive has a write.

use std::collections::HashMap;

use super::core::Core;
use crate::env::timeout;
use crate::error::{StorageError, Tier};
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::l1::Due;
use crate::l3::ArchiveStore;
use crate::limits::STORED_PATIENCE;

impl Core {
    /// Waits until the archive has each of these writes, or newer ones; an error if it refuses one.
    pub(super) async fn wait_stored(&self, writes: Vec<(Key, Stamp)>) -> Result<(), StorageError> {
        let mut flushed = self.flushed.subscribe();
        let wait = async {
            let mut left = writes;
            loop {
                left.retain(|(key, _)| !self.is_archived_now(key));
                self.forget_overtaken(&mut left).await;
                if left.is_empty() {
                    return Ok(());
                }
                self.check_refused(&left)?;
                self.queue.force();
                if flushed.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        timeout(&*self.env, STORED_PATIENCE, wait)
            .await
            .map_err(|elapsed| StorageError::unavailable(Tier::Archive, "store", elapsed))?
    }

    /// Takes out the writes whose keys were written again and of which the archive has them or newer ones: such a key may
    /// never be clean, as long as others write it on.
    pub(super) async fn forget_overtaken(&self, writes: &mut Vec<(Key, Stamp)>) {
        let mut keys = Vec::new();
        writes.retain(|(key, stamp)| match self.l1.peek(key) {
            Some(entry) if entry.stored.stamp() > *stamp => {
                keys.extend(entry.stored.is_archived().then(|| key.clone()));
                entry.stored.is_archived()
            }
            _ => true,
        });
        if keys.is_empty() {
            return;
        }
        // Where the archive does not answer, it is asked again after the next flush.
        let Ok(leaves) = self.archive.leaves_of(&keys).await else {
            return;
        };
        let archived: HashMap<&Key, Stamp> = keys
            .iter()
            .zip(leaves)
            .filter_map(|(key, leaf)| Some((key, leaf?.stamp)))
            .collect();
        writes.retain(|(key, stamp)| archived.get(key).is_none_or(|archived| archived < stamp));
    }

    fn is_archived_now(&self, key: &Key) -> bool {
        let entry = self.l1.peek(key);
        entry.is_none_or(|entry| !entry.due.contains(Due::ARCHIVE))
    }
}
