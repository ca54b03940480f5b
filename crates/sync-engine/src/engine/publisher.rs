//! From the archive to the change stream: a bounded backlog that never makes a writer wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::core::Core;
use crate::cdc::ChangeLog;
use crate::guard::RetryConfig;
use crate::item::Stored;
use crate::limits::{
    BACKLOG_BYTES_MAX, BACKLOG_CHANGES_MAX, PUBLISH_BYTES_MAX, PUBLISH_CHANGES_MAX,
};
use crate::wal::WalPos;

/// A change that the archive has and the stream has not.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub stored: Stored,
    /// The log position to free once it is published.
    pub pos: Option<WalPos>,
}

#[derive(Default)]
struct Backlog {
    changes: VecDeque<Change>,
    bytes: usize,
    /// Changes were dropped: the stream must begin a new epoch.
    lost: bool,
}

/// The way to the change stream.
pub(crate) struct Publisher {
    log: Arc<dyn ChangeLog>,
    backlog: Mutex<Backlog>,
    wake: Notify,
    dropped: AtomicU64,
    /// One publication at a time: order is kept, and who comes second knows how the first one ended.
    turn: tokio::sync::Mutex<()>,
}

impl Publisher {
    pub(super) fn new(log: Arc<dyn ChangeLog>) -> Self {
        Self {
            log,
            backlog: Mutex::default(),
            wake: Notify::new(),
            dropped: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.log.is_enabled()
    }

    /// Changes given up so far because the stream could not be reached.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.backlog.lock().changes.len()
    }

    /// Takes changes in the order in which the archive has them. Gives back the log positions that need no more keeping,
    /// because nothing is published, or because the backlog overflowed (`most` changes, at the most
    /// [`BACKLOG_CHANGES_MAX`]) and was given up.
    pub(super) fn push(&self, changes: Vec<Change>, most: usize) -> Vec<WalPos> {
        if !self.is_enabled() {
            return changes.into_iter().filter_map(|c| c.pos).collect();
        }
        let mut backlog = self.backlog.lock();
        backlog.bytes += changes.iter().map(|c| c.stored.size_bytes()).sum::<usize>();
        backlog.changes.extend(changes);
        let mut freed = Vec::new();
        let most = most.min(BACKLOG_CHANGES_MAX);
        if backlog.changes.len() > most || backlog.bytes > BACKLOG_BYTES_MAX {
            self.dropped
                .fetch_add(backlog.changes.len() as u64, Ordering::Relaxed);
            freed.extend(backlog.changes.drain(..).filter_map(|c| c.pos));
            backlog.bytes = 0;
            backlog.lost = true;
        }
        drop(backlog);
        self.wake.notify_one();
        freed
    }

    fn take(&self) -> (Vec<Change>, bool) {
        let mut backlog = self.backlog.lock();
        let mut bytes = 0usize;
        let mut count = 0;
        for change in backlog.changes.iter().take(PUBLISH_CHANGES_MAX) {
            bytes += change.stored.size_bytes();
            if count > 0 && bytes > PUBLISH_BYTES_MAX {
                break;
            }
            count += 1;
        }
        let changes: Vec<Change> = backlog.changes.drain(..count).collect();
        let taken: usize = changes.iter().map(|c| c.stored.size_bytes()).sum();
        backlog.bytes = backlog.bytes.saturating_sub(taken);
        (changes, std::mem::take(&mut backlog.lost))
    }

    fn put_back(&self, changes: Vec<Change>, lost: bool) {
        let mut backlog = self.backlog.lock();
        backlog.bytes += changes.iter().map(|c| c.stored.size_bytes()).sum::<usize>();
        for change in changes.into_iter().rev() {
            backlog.changes.push_front(change);
        }
        backlog.lost |= lost;
    }

    /// Publishes one portion. `Ok(false)`: there was nothing to do.
    pub(super) async fn publish_some(&self, core: &Core) -> Result<bool, crate::cdc::PublishError> {
        let _turn = self.turn.lock().await;
        let (changes, lost) = self.take();
        if changes.is_empty() && !lost {
            return Ok(false);
        }
        if lost {
            self.log.new_epoch().await;
        }
        let stored: Vec<Stored> = changes.iter().map(|c| c.stored.clone()).collect();
        match self.log.publish(&stored).await {
            Ok(()) => {
                core.metrics.published.increment(stored.len() as u64);
                core.release_positions(changes.into_iter().filter_map(|c| c.pos));
                Ok(true)
            }
            Err(error) => {
                // Order is kept; whether some of them are there already does not matter to readers.
                self.put_back(changes, lost);
                Err(error)
            }
        }
    }

    pub(super) async fn publish_root(&self, root: &str) -> Result<(), crate::cdc::PublishError> {
        self.log.publish_root(root).await
    }

    pub(super) async fn withdraw_root(&self) -> Result<(), crate::cdc::PublishError> {
        self.log.withdraw_root().await
    }

    /// Publishes until the engine stops.
    pub(super) async fn run(core: Arc<Core>) {
        let publisher = &core.publisher;
        let mut failures = 0u32;
        loop {
            match publisher.publish_some(&core).await {
                Ok(true) => failures = 0,
                Ok(false) => publisher.wake.notified().await,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(%error, failures, "the change stream cannot be written; changes wait");
                    let delay = RetryConfig::daemon().delay(failures, core.env.random());
                    core.env.sleep(delay.unwrap_or_default()).await;
                }
            }
        }
    }
}
