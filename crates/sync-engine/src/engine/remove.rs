//! Deleting: a delete is a write of a tombstone.

use std::sync::Arc;

use super::SyncEngine;
use super::core::Core;
use super::draft::Draft;
use crate::error::StorageError;
use crate::item::key::Key;
use crate::item::stamp::Stamp;

impl SyncEngine {
    /// Deletes the key: gone for this engine's readers at once, in every tier and on every peer soon after, for good.
    /// `false`: there was nothing to delete. When a tier could not be asked whether there is, the delete is done all the
    /// same, and the answer is `true`.
    ///
    /// # Errors
    /// As [`SyncEngine::submit`].
    pub async fn delete(&self, id: &str) -> Result<bool, StorageError> {
        Ok(self.delete_stamped(id).await?.is_some())
    }

    /// As [`SyncEngine::delete`]; gives the stamp that the delete got. `None`: there was nothing to delete.
    ///
    /// # Errors
    /// As [`SyncEngine::submit`].
    pub async fn delete_stamped(&self, id: &str) -> Result<Option<Stamp>, StorageError> {
        let core = self.core("delete")?;
        let key = Key::from(id);
        key.check()?;
        if !core.may_exist(&[id]).await.contains(&true) {
            return Ok(None);
        }
        let stamp = core.accept(vec![Draft::Delete(key)], core.config().ack());
        Ok(Some(stamp.await?))
    }

    /// Deletes many keys with one wait for the log; says for each whether it existed. See [`SyncEngine::delete`].
    ///
    /// # Errors
    /// As [`SyncEngine::submit`]; then some may have been deleted.
    pub async fn delete_many(&self, ids: &[&str]) -> Result<Vec<bool>, StorageError> {
        let core = self.core("delete")?;
        for id in ids {
            Key::from(*id).check()?;
        }
        let existed = core.may_exist(ids).await;
        let mut doomed: Vec<Key> = ids
            .iter()
            .zip(&existed)
            .filter(|(_, e)| **e)
            .map(|(id, _)| Key::from(*id))
            .collect();
        doomed.sort_unstable();
        doomed.dedup();
        let drafts = doomed.into_iter().map(Draft::Delete).collect();
        for part in core.portions(drafts) {
            core.accept(part, core.config().ack()).await?;
        }
        Ok(existed)
    }
}

impl Core {
    /// For each key whether it has an item; `true` when that cannot be told.
    async fn may_exist(self: &Arc<Self>, ids: &[&str]) -> Vec<bool> {
        let mut existing = Vec::with_capacity(ids.len());
        let mut unknown = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            let entry = self.l1.peek_present(id);
            existing.push(
                entry
                    .as_ref()
                    .is_none_or(|entry| self.visible(entry).is_some()),
            );
            if entry.is_none() {
                unknown.push((at, Key::from(*id)));
            }
        }
        let keys: Vec<Key> = unknown.iter().map(|(_, key)| key.clone()).collect();
        if keys.is_empty() {
            return existing;
        }
        if let Ok(found) = self.look_up(&keys).await {
            for ((at, _), item) in unknown.iter().zip(found) {
                if let Some(exists) = existing.get_mut(*at) {
                    *exists = item.is_some();
                }
            }
        }
        existing
    }
}
