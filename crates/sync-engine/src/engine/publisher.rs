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
    /// In the order in which the archive has them. The first `under_way` of them are just being published.
    changes: VecDeque<Change>,
    under_way: usize,
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
    /// because nothing is published, or because the backlog overflowed and was given up.
    pub(super) fn push(&self, changes: Vec<Change>) -> Vec<WalPos> {
        if !self.is_enabled() {
            return changes.into_iter().filter_map(|c| c.pos).collect();
        }
        let mut backlog = self.backlog.lock();
        backlog.bytes += changes.iter().map(|c| c.stored.size_bytes()).sum::<usize>();
        backlog.changes.extend(changes);
        let is_over =
            backlog.changes.len() > BACKLOG_CHANGES_MAX || backlog.bytes > BACKLOG_BYTES_MAX;
        let freed = match is_over {
            true => self.give_up(&mut backlog),
            false => Vec::new(),
        };
        drop(backlog);
        self.wake.notify_one();
        freed
    }

    /// Gives the backlog up if `should` says so of the log positions that it holds, and gives those back.
    pub(super) fn give_up_if(
        &self,
        should: impl FnOnce(&mut dyn Iterator<Item = WalPos>) -> bool,
    ) -> Vec<WalPos> {
        let mut backlog = self.backlog.lock();
        let mut held = backlog.changes.iter().filter_map(|c| c.pos).peekable();
        if held.peek().is_none() || !should(&mut held) {
            return Vec::new();
        }
        let freed = self.give_up(&mut backlog);
        drop(backlog);
        self.wake.notify_one();
        freed
    }

    fn give_up(&self, backlog: &mut Backlog) -> Vec<WalPos> {
        self.dropped
            .fetch_add(backlog.changes.len() as u64, Ordering::Relaxed);
        let freed = backlog.changes.drain(..).filter_map(|c| c.pos).collect();
        (backlog.bytes, backlog.under_way) = (0, 0);
        backlog.lost = true;
        freed
    }

    /// The next portion to publish, which stays in the backlog until [`Self::published`], and whether a new epoch is due
    /// before it.
    fn begin(&self) -> (Vec<Stored>, bool) {
        let mut backlog = self.backlog.lock();
        let mut bytes = 0usize;
        let mut portion = Vec::new();
        for change in backlog.changes.iter().take(PUBLISH_CHANGES_MAX) {
            bytes += change.stored.size_bytes();
            if !portion.is_empty() && bytes > PUBLISH_BYTES_MAX {
                break;
            }
            portion.push(change.stored.clone());
        }
        backlog.under_way = portion.len();
        (portion, std::mem::take(&mut backlog.lost))
    }

    /// The portion under way is in the stream: gives back its log positions, unless it was given up meanwhile.
    fn published(&self) -> Vec<WalPos> {
        let mut backlog = self.backlog.lock();
        let under_way = std::mem::take(&mut backlog.under_way);
        let done: Vec<Change> = backlog.changes.drain(..under_way).collect();
        backlog.bytes -= done.iter().map(|c| c.stored.size_bytes()).sum::<usize>();
        done.into_iter().filter_map(|c| c.pos).collect()
    }

    /// The portion under way may or may not be in the stream: it stays, and so does the need for a new epoch.
    fn not_published(&self, lost: bool) {
        let mut backlog = self.backlog.lock();
        backlog.under_way = 0;
        backlog.lost |= lost;
    }

    /// Publishes one portion. `Ok(false)`: there was nothing to do.
    pub(super) async fn publish_some(&self, core: &Core) -> Result<bool, crate::cdc::PublishError> {
        let _turn = self.turn.lock().await;
        let (portion, lost) = self.begin();
        if portion.is_empty() && !lost {
            return Ok(false);
        }
        if lost {
            self.log.new_epoch().await;
        }
        match self.log.publish(&portion).await {
            Ok(()) => {
                core.metrics.published.increment(portion.len() as u64);
                core.release_positions(self.published());
                Ok(true)
            }
            Err(error) => {
                // Order is kept; whether some of them are there already does not matter to readers.
                self.not_published(lost);
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
