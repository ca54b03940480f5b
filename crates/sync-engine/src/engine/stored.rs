//! Waiting until the archive has what was written.

use std::collections::HashMap;

use super::SyncEngine;
use super::core::Core;
use super::write::Unable;
use crate::env::timeout;
use crate::error::{Source, StorageError, Tier};
use crate::guard::CircuitOpen;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::l1::Due;
use crate::l3::ArchiveStore;
use crate::limits::STORED_PATIENCE;

impl SyncEngine {
    /// A time of stamps up to which the archive has all that this engine wrote, or newer writes of the same keys; and this
    /// engine, or another run of it on this archive, stamps nothing at or below it ever again. What is written while the call is
    /// under way may be waited for; what is written after it has a greater stamp. A cache that is away does not matter.
    ///
    /// Two things have stamps below it all the same, of writes that were there before: the tombstone of an item that expires
    /// later, and what a write of the cache alone leaves of an older row that comes late.
    ///
    /// # Errors
    /// `Unavailable` when the archive is away or slower than 30 s, when there is none, or when the log has failed: what a failed
    /// log has is known after the next start. `Refused` when the archive refuses one of the writes.
    pub async fn stored_until(&self) -> Result<HlcTime, StorageError> {
        self.core("stored_until")?.stored_until().await
    }
}

impl Core {
    /// See [`SyncEngine::stored_until`].
    pub(super) async fn stored_until(&self) -> Result<HlcTime, StorageError> {
        let away =
            |source: Source| StorageError::unavailable(Tier::Archive, "stored_until", source);
        if !self.archive.is_configured() {
            return Err(away(Unable("no sql_url is configured").into()));
        }
        if !self.health().archive {
            return Err(away(CircuitOpen.into()));
        }
        // Whoever takes a stamp from here on gets a greater one.
        let time = self.clock.stamp(self.now_ms()).time;
        self.all_have_entered().await?;
        // Also what has a greater stamp: it may have taken the place of a write that was waiting to be stored.
        let dirty = self.l1.prefix_dirty("").into_iter();
        let unstored = dirty.filter(|entry| entry.due.contains(Due::ARCHIVE));
        let unstored = unstored.map(|e| (e.stored.key().clone(), e.stored.stamp()));
        self.wait_stored(unstored.collect()).await?;
        // A restart must not stamp at or below it, also when the clock was set back.
        self.archive.raise_clock_bound(time).await?;
        Ok(time)
    }

    /// Waits until whoever has taken a stamp by now has let its writes into L1, or never will.
    async fn all_have_entered(&self) -> Result<(), StorageError> {
        drop(self.entering.write());
        let entered = timeout(&*self.env, STORED_PATIENCE, self.log_order.write()).await;
        drop(entered.map_err(|late| StorageError::unavailable(Tier::Wal, "stored_until", late))?);
        match self.wal.failure() {
            // Writes that it did not confirm may be in it, and come back with their stamps.
            Some(_) => Err(StorageError::unavailable(
                Tier::Wal,
                "stored_until",
                Unable("the log has failed, and what it has is not known before the next start"),
            )),
            None => Ok(()),
        }
    }

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
