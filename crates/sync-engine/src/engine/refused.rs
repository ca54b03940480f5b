//! Rows that the archive refuses. They stay in the log and in L1, where readers see them, and are tried again; the others of
//! their batches are stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::core::Core;
use crate::error::StorageError;
use crate::guard::RetryConfig;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::l3::ArchiveError;
use crate::limits::{REFUSED_AGAIN_MAX, REFUSED_SHOWN_MAX};

/// The refused rows: no more than there are unstored writes in L1.
#[derive(Default)]
pub(crate) struct RefusedRows {
    rows: Mutex<HashMap<Key, Row>>,
}

struct Row {
    /// The write that was refused.
    stamp: Stamp,
    why: Arc<ArchiveError>,
    failures: u32,
    /// When its key is queued again, in monotonic time; `None`: it is.
    again_at: Option<Duration>,
}

/// A row that the archive refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its key.
    pub key: Key,
    /// Why, in words that show no content.
    pub reason: String,
}

impl RefusedRows {
    pub(super) fn len(&self) -> usize {
        self.rows.lock().len()
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.rows.lock().contains_key(key)
    }

    /// Some of them, in the order of their keys.
    pub(super) fn some(&self) -> Vec<RefusedRow> {
        let rows = self.rows.lock();
        let mut keys: Vec<&Key> = rows.keys().collect();
        keys.sort_unstable();
        let named = keys.into_iter().take(REFUSED_SHOWN_MAX);
        let shown = named.filter_map(|key| {
            Some(RefusedRow {
                key: key.clone(),
                reason: rows.get(key)?.why.to_string(),
            })
        });
        shown.collect()
    }

    /// The write was refused (once more); its key is queued again after a while.
    fn note(&self, key: &Key, stamp: Stamp, why: &Arc<ArchiveError>, now: Duration, random: u64) {
        let mut rows = self.rows.lock();
        let failures = rows.get(key).map_or(0, |row| row.failures) + 1;
        let delay = RetryConfig::daemon().delay(failures, random);
        let row = Row {
            stamp,
            why: why.clone(),
            failures,
            again_at: Some(now + delay.unwrap_or_default()),
        };
        rows.insert(key.clone(), row);
        drop(rows);
        if failures == 1 {
            tracing::error!(%key, error = %why, "the archive refuses a row; it stays in the log, and is tried again");
        }
    }

    /// The key is stored, or there is nothing left to store of it.
    fn forget(&self, key: &Key) {
        let known = self.rows.lock().remove(key);
        if known.is_some() {
            tracing::info!(%key, "a row that the archive refused is settled");
        }
    }

    /// Up to `max` keys whose time has come, to be queued.
    fn due(&self, now: Duration, max: usize) -> Vec<Key> {
        let mut rows = self.rows.lock();
        let due = rows
            .iter_mut()
            .filter(|(_, row)| row.again_at.is_some_and(|at| at <= now));
        let due = due.take(max).map(|(key, row)| {
            row.again_at = None;
            key.clone()
        });
        due.collect()
    }

    /// Why this write, or a newer one of its key, is not stored, if it waits for its next try.
    fn why(&self, (key, stamp): &(Key, Stamp)) -> Option<StorageError> {
        let rows = self.rows.lock();
        let row = rows.get(key)?;
        let waits = row.again_at.is_some() && row.stamp >= *stamp;
        waits.then(|| refusal(key.clone(), row.why.clone()))
    }
}

impl Core {
    /// Keeps a refused write until it is tried again.
    pub(super) fn hold_refused(&self, key: &Key, stamp: Stamp, why: &Arc<ArchiveError>) {
        let (now, random) = (self.env.monotonic(), self.env.random());
        self.refused.note(key, stamp, why, now, random);
    }

    /// These keys are stored, or there is nothing left to store of them.
    pub(super) fn release_refused<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        if self.refused.len() > 0 {
            keys.into_iter().for_each(|key| self.refused.forget(key));
        }
    }

    /// Queues the refused writes whose time has come.
    pub(super) fn retry_refused(&self) {
        let due = self.refused.due(self.env.monotonic(), REFUSED_AGAIN_MAX);
        self.enqueue(due.into_iter().map(|key| (key, 0)));
    }

    /// Queues all of them, whenever their time is.
    pub(super) fn retry_all_refused(&self) {
        let due = self.refused.due(Duration::MAX, usize::MAX);
        self.enqueue(due.into_iter().map(|key| (key, 0)));
    }

    /// An error if the archive refuses one of these writes.
    pub(super) fn check_refused(&self, writes: &[(Key, Stamp)]) -> Result<(), StorageError> {
        let refused = writes.iter().find_map(|write| self.refused.why(write));
        refused.map_or(Ok(()), Err)
    }

    /// An error if the archive refuses all of these writes, so that there is nothing to wait for.
    pub(super) fn check_all_refused(&self, writes: &[(Key, Stamp)]) -> Result<(), StorageError> {
        let why: Option<Vec<StorageError>> =
            writes.iter().map(|write| self.refused.why(write)).collect();
        let first = why.and_then(|why| why.into_iter().next());
        first.map_or(Ok(()), Err)
    }
}

/// The error of a refused write.
pub(super) fn refusal(id: Key, why: Arc<ArchiveError>) -> StorageError {
    StorageError::Refused {
        id,
        source: Box::new(why),
    }
}
