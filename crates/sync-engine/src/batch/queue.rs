//! The batch that writers fill and the flusher empties.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{BatchLimits, FlushReason, HybridBatcher};
use crate::env::Env;
use crate::item::key::Key;
use crate::limits::{COMMIT_BYTES_MAX, COMMIT_RECORDS_MAX};

/// A [`HybridBatcher`] shared between tasks.
pub(crate) struct Queue {
    batch: Mutex<HybridBatcher>,
    changed: Notify,
}

impl Queue {
    pub(crate) fn new(limits: BatchLimits) -> Self {
        Self {
            batch: Mutex::new(HybridBatcher::new(limits)),
            changed: Notify::new(),
        }
    }

    pub(crate) fn set_limits(&self, limits: BatchLimits) {
        self.batch.lock().set_limits(limits);
        self.changed.notify_one();
    }

    pub(crate) fn push(&self, keys: impl IntoIterator<Item = (Key, usize)>, now: Duration) {
        let wake = {
            let mut batch = self.batch.lock();
            let was_empty = batch.is_empty();
            for (key, bytes) in keys {
                batch.push(key, bytes, now);
            }
            (was_empty && !batch.is_empty()) || batch.poll(now).is_some()
        };
        if wake {
            self.changed.notify_one();
        }
    }

    /// Flushes what is there without waiting for a threshold.
    pub(crate) fn force(&self) {
        self.batch.lock().force();
        self.changed.notify_one();
    }

    /// Takes whatever waits, up to one commit's worth.
    pub(crate) fn take(&self) -> Vec<Key> {
        self.batch.lock().take(COMMIT_RECORDS_MAX, COMMIT_BYTES_MAX)
    }

    /// Waits until a batch is due. Cancel-safe: nothing is taken out.
    pub(crate) async fn due(&self, env: &dyn Env) -> FlushReason {
        loop {
            let changed = self.changed.notified();
            let (reason, wait) = {
                let batch = self.batch.lock();
                let now = env.monotonic();
                (batch.poll(now), batch.due_in(now))
            };
            if let Some(reason) = reason {
                return reason;
            }
            match wait {
                None => changed.await,
                Some(wait) => {
                    let changed = std::pin::pin!(changed);
                    futures_util::future::select(changed, env.sleep(wait)).await;
                }
            }
        }
    }
}
