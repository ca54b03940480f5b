//! Commands that write values.

use std::iter;

use bytes::Bytes;
use sync_engine::engine::BatchResult;
use sync_engine::{InvalidItem, Key, StorageError, SyncItem};

use super::Executor;
use super::fault::Fault;
use super::values::One;
use crate::resp::command::{Lifetime, Set, SetIf, SetReply};
use crate::resp::key_locks::{Exclusive, KeyLocks};

impl Executor<'_> {
    /// SETs that follow each other and depend on nothing: one wait for the log.
    pub(super) async fn sets(&mut self, sets: Vec<Set>) {
        let shared = self.shared.clone();
        let now_ms = shared.env().now_ms();
        let _held = shared
            .locks
            .shared(sets.iter().map(|set| set.key.as_ref()))
            .await;
        let mut marks = Vec::with_capacity(sets.len());
        let mut items = Vec::with_capacity(sets.len());
        for set in sets {
            let item = self.item(&set.key, &set.value);
            marks.push(item.map(|item| {
                let item = item.with_expires_at(expires_at(set.lifetime, None, now_ms));
                let mark = (item.object_id.clone(), item.content.len());
                items.push(item);
                mark
            }));
        }
        let result = submit(&shared.engine, items).await;
        let mut errors = result.errors.into_iter().peekable();
        for mark in marks {
            let refused = match mark {
                Err(fault) => Some(fault),
                Ok((key, bytes)) => errors
                    .next_if(|(id, error)| *id == key && concerns(error, bytes))
                    .map(|(_, error)| Fault::from(error)),
            };
            match refused {
                None => self.reply().ok(),
                Some(fault) => self.fault(&fault),
            }
        }
    }

    /// MSET: all or, if one of the items cannot be stored, none.
    pub(super) async fn mset(&mut self, pairs: &[(Bytes, Bytes)]) -> Result<(), Fault> {
        let payload_max = self.shared.engine.config().max_payload_bytes;
        let mut items = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            self.check_writable(key)?;
            let item = self.item(key, value)?;
            if value.len() > payload_max {
                return Err(too_large(&item, payload_max).into());
            }
            items.push(item);
        }
        let keys = pairs.iter().map(|(key, _)| key.as_ref());
        let _held = self.shared.locks.shared(keys).await;
        let result = submit(&self.shared.engine, items).await;
        match result.errors.into_iter().next() {
            Some((_, error)) => Err(error.into()),
            None => {
                self.reply().ok();
                Ok(())
            }
        }
    }

    /// SET that depends on what is there, or that goes to a key of the node's own.
    pub(super) async fn set(&mut self, set: Set) -> Result<(), Fault> {
        self.check_writable(&set.key)?;
        let item = self.item(&set.key, &set.value)?;
        let shared = self.shared.clone();
        let (lock, old) = match set.reply {
            SetReply::OldValue => self.lock_to_send(&shared.locks, &set.key).await?,
            SetReply::Status | SetReply::Flag => {
                let lock = shared.locks.exclusive(&set.key).await;
                (lock, self.item_of(&set.key).await?)
            }
        };
        let is_due = match set.condition {
            None => true,
            Some(SetIf::Absent) => old.item.is_none(),
            Some(SetIf::Present) => old.item.is_some(),
        };
        if is_due {
            let expires_at = expires_at(set.lifetime, old.item.as_ref(), shared.env().now_ms());
            shared
                .engine
                .submit(item.with_expires_at(expires_at))
                .await?;
        }
        // A client that takes its time holds up no other.
        drop(lock);
        match (set.reply, is_due) {
            (SetReply::Status, true) => self.reply().ok(),
            (SetReply::Status, false) => self.reply().null(),
            (SetReply::Flag, is_due) => self.reply().integer(is_due.into()),
            (SetReply::OldValue, _) => self.send_value(old).await?,
        }
        Ok(())
    }

    pub(super) async fn getdel(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.check_writable(key)?;
        let shared = self.shared.clone();
        let (lock, old) = self.lock_to_send(&shared.locks, key).await?;
        if let Some(old) = &old.item {
            self.delete(&old.object_id).await?;
        }
        drop(lock);
        self.send_value(old).await
    }

    /// Locks a key, and finds what is there, to be sent. The key is free while there is no room for that: whoever reads
    /// slowly would hold up who writes.
    async fn lock_to_send<'l>(
        &self,
        locks: &'l KeyLocks,
        key: &[u8],
    ) -> Result<(Exclusive<'l>, One), Fault> {
        let mut room = None;
        loop {
            let lock = locks.exclusive(key).await;
            match self.try_one(key, room.take()).await? {
                Ok(one) => return Ok((lock, one)),
                Err(bytes) => {
                    drop(lock);
                    room = Some(self.shared.reader.wait_to_send(bytes).await?);
                }
            }
        }
    }
}

/// When the item ends that this SET writes over `old`.
fn expires_at(lifetime: Lifetime, old: Option<&SyncItem>, now_ms: i64) -> Option<i64> {
    match lifetime {
        Lifetime::Unbounded => None,
        Lifetime::Keep => old.and_then(|old| old.expires_at),
        Lifetime::Ends(expiry) => Some(expiry.deadline_ms(now_ms)),
    }
}

/// Submits; a failure of the whole is one of each item.
async fn submit(engine: &sync_engine::engine::SyncEngine, mut items: Vec<SyncItem>) -> BatchResult {
    let keys: Vec<Key> = items.iter().map(|item| item.object_id.clone()).collect();
    let failed = |error: StorageError| {
        let error = std::sync::Arc::new(error);
        let each = iter::repeat_with(|| StorageError::Shared(error.clone()));
        BatchResult {
            total: keys.len(),
            failed: keys.len(),
            errors: keys.iter().cloned().zip(each).collect(),
            ..BatchResult::default()
        }
    };
    let submitted = match (items.pop(), items.len()) {
        (None, _) => return BatchResult::default(),
        (Some(one), 0) => engine.submit(one).await.map(|_| BatchResult::default()),
        (Some(last), _) => {
            items.push(last);
            engine.submit_many(items).await
        }
    };
    submitted.unwrap_or_else(failed)
}

/// Whether an error of this key is about the write of so many bytes: a pipeline may write a key
/// twice, once too large.
fn concerns(error: &StorageError, payload_bytes: usize) -> bool {
    match error {
        StorageError::InvalidItem {
            reason: InvalidItem::PayloadTooLarge { bytes, .. },
            ..
        } => *bytes == payload_bytes,
        _ => true,
    }
}

fn too_large(item: &SyncItem, limit: usize) -> StorageError {
    StorageError::InvalidItem {
        id: item.object_id.clone(),
        reason: InvalidItem::PayloadTooLarge {
            bytes: item.content.len(),
            limit,
        },
    }
}
