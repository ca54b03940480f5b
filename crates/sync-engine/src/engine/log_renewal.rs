//! Keeping the log short: it is freed from its oldest record on, so that one which stays needed keeps all that follow.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::error::StorageError;
use crate::item::Stored;
use crate::l1::L1;
use crate::wal::WalPos;

/// How full the log is when what keeps it so is looked into.
const RENEW_ABOVE: f64 = 0.5;

/// Most of what the log keeps that may be needed for it to be worth writing anew.
const RENEW_SHARE_MAX: f64 = 0.25;

/// Bytes written anew at once.
const RENEW_BYTES: usize = 8 << 20;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

impl Core {
    /// Keeps the log short, until the engine stops: a record that stays needed, in an outage or because the archive refuses it,
    /// must not keep all that was written behind it.
    pub(super) async fn run_log(self: Arc<Self>) {
        while self.wal.is_durable() && self.wal.failure().is_none() {
            self.env.sleep(INTERVAL).await;
            self.spare_the_log();
            if let Err(error) = self.renew_log().await {
                tracing::warn!(%error, "the oldest records of the log could not be written anew");
            }
        }
    }

    /// Writes the older ones of the needed records anew, behind all others, if they are a small part of a log that is half full.
    /// What only waits to be published does not count: it makes way by itself, once nothing older holds its place.
    async fn renew_log(self: &Arc<Self>) -> Result<(), StorageError> {
        let used = self.log_used(&self.outstanding.lock());
        let full = self.log_room.share(used);
        if full < RENEW_ABOVE || self.log_room.share(self.l1.logged()) > full * RENEW_SHARE_MAX {
            return Ok(());
        }
        let middle = self.wal.bounds().1.saturating_sub(used.0 / 2);
        loop {
            let core = self.clone();
            // Once the records are in the log they must be known, also when the engine stops.
            let renewed = self.to_the_end("renew", async move { core.renew_below(middle).await });
            if !renewed.await.unwrap_or_else(|| Err(Self::ended("renew")))? {
                return Ok(());
            }
        }
    }

    /// Writes some of the records below `middle` anew; false: there are none. Writers wait meanwhile.
    async fn renew_below(&self, middle: WalPos) -> Result<bool, StorageError> {
        // Every write that the log has is in L1, and none comes in: what L1 has of a key is the last that the log has of it.
        let _order = self.log_order.write().await;
        let mut bytes = 0;
        let mut old = self.l1.logged_below(middle);
        let mut fits = |(stored, _): &(Stored, WalPos)| {
            let fits = bytes < RENEW_BYTES;
            bytes += L1::weight_of(stored);
            fits
        };
        let some = old.iter().take_while(|one| fits(one)).count();
        old.truncate(some);
        if old.is_empty() {
            return Ok(false);
        }
        let records: Vec<Stored> = old.iter().map(|(stored, _)| stored.clone()).collect();
        let first = self.wal.append(Box::new(records)).await?;
        {
            let mut outstanding = self.outstanding.lock();
            for (new, (stored, _)) in (first..).zip(&old) {
                outstanding.appended(new, L1::weight_of(stored));
            }
        }
        let free = (first..)
            .zip(old)
            .map(|(new, (stored, old))| self.l1.renew(stored.key(), stored.stamp(), old, new));
        self.release_positions(free);
        Ok(true)
    }
}
