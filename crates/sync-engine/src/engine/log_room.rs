//! Room in the log: how much it may hold, and who has to make way when it is full.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::core::Core;
use crate::config::SyncEngineConfig;
use crate::error::StorageError;
use crate::ingest::admit::{Budget, Permit};
use crate::limits::{LOG_BYTES_PER_L1_BYTE, WRITE_PATIENCE};
use crate::wal::WalPos;
use crate::wal::outstanding::Outstanding;

/// The bounds of the log.
///
/// Positions are freed from the oldest on, so that one record that stays needed keeps all behind it in the log: what counts
/// is the span from the oldest needed record on, not the number of needed ones.
pub(crate) struct LogRoom {
    records: Arc<Budget>,
    bytes: Arc<Budget>,
    /// When it was last looked whether the backlog has to make way, in monotonic time.
    looked_at: Mutex<Option<Duration>>,
}

/// A place in the log for records on their way there.
pub(super) struct LogPermit {
    _records: Permit,
    _bytes: Permit,
}

impl LogRoom {
    pub(super) fn new(config: &SyncEngineConfig) -> Self {
        let (records, bytes) = limits(config);
        Self {
            records: Budget::new(records),
            bytes: Budget::new(bytes),
            looked_at: Mutex::default(),
        }
    }

    pub(super) fn set_limits(&self, config: &SyncEngineConfig) {
        let (records, bytes) = limits(config);
        self.records.set_limit(records);
        self.bytes.set_limit(bytes);
    }

    pub(super) fn records_max(&self) -> usize {
        self.records.limit()
    }

    /// Whether it is time to look at the backlog again: from `now` on it is not, for a while.
    fn is_look_due(&self, now: Duration) -> bool {
        let mut looked_at = self.looked_at.lock();
        let is_due = looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK_INTERVAL);
        if is_due {
            *looked_at = Some(now);
        }
        is_due
    }

    /// The greater of both shares of their bounds.
    pub(super) fn share(&self, (records, bytes): (u64, u64)) -> f64 {
        let share = |used: u64, budget: &Budget| used as f64 / budget.limit().max(1) as f64;
        share(records, &self.records).max(share(bytes, &self.bytes))
    }
}

/// Most records, and most bytes.
fn limits(config: &SyncEngineConfig) -> (usize, usize) {
    let records = config.wal_max_items.unwrap_or(u64::MAX);
    let bytes = config.l1_max_bytes.saturating_mul(LOG_BYTES_PER_L1_BYTE);
    (usize::try_from(records).unwrap_or(usize::MAX), bytes)
}

impl Core {
    /// Waits for room in the log, up to a limit.
    pub(super) async fn admit_to_log(
        &self,
        records: usize,
        bytes: usize,
    ) -> Result<LogPermit, StorageError> {
        let room = &self.log_room;
        let used = || self.log_used(&self.outstanding.lock());
        if room.share(used()) + room.share((records as u64, bytes as u64)) > 1.0 {
            self.spare_the_log();
        }
        let (held, env) = (|| at_most_usize(used().0), &*self.env);
        let records = room.records.take(env, records, WRITE_PATIENCE, held).await;
        let records = records
            .map_err(|_| self.overloaded("the write-ahead log has reached wal_max_items"))?;
        let held = || at_most_usize(used().1);
        let bytes = room.bytes.take(env, bytes, WRITE_PATIENCE, held).await;
        let bytes = bytes
            .map_err(|_| self.overloaded("the write-ahead log has reached its bound in bytes"))?;
        Ok(LogPermit {
            _records: records,
            _bytes: bytes,
        })
    }

    /// Records and bytes from the oldest needed record on.
    pub(super) fn log_used(&self, outstanding: &Outstanding) -> (u64, u64) {
        let (_, next) = self.wal.bounds();
        (outstanding.span(next), outstanding.bytes())
    }

    /// How full the log is: 1 at its bound.
    pub(super) fn log_fullness(&self) -> f64 {
        match self.wal.is_durable() {
            true => self.log_room.share(self.log_used(&self.outstanding.lock())),
            false => 0.0,
        }
    }

    /// Log positions that need no more keeping.
    pub(super) fn release_positions(&self, positions: impl IntoIterator<Item = WalPos>) {
        if !self.wal.is_durable() {
            return;
        }
        let floor = {
            let mut outstanding = self.outstanding.lock();
            let mut any = false;
            for pos in positions {
                outstanding.done(pos);
                any = true;
            }
            any.then(|| outstanding.floor())
        };
        if let Some(floor) = floor {
            self.wal.free_below(floor);
            self.log_room.records.freed();
            self.log_room.bytes.freed();
        }
    }

    /// Writers never wait for the stream: what waits to be published is given up once that frees more than a quarter of
    /// what the log may hold. A look takes time in proportion to the log, so that many of them share one; a writer that comes
    /// between two waits for the next.
    pub(super) fn spare_the_log(&self) {
        let is_filling = self.log_fullness() > BACKLOG_SHARE_MAX;
        if !is_filling || !self.log_room.is_look_due(self.env.monotonic()) {
            return;
        }
        let freed = self.publisher.give_up_if(|held| {
            let mut without = self.outstanding.lock().clone();
            let used = self.log_used(&without);
            for pos in held {
                without.done(pos);
            }
            let left = self.log_used(&without);
            let gain = (used.0.saturating_sub(left.0), used.1.saturating_sub(left.1));
            self.log_room.share(gain) > BACKLOG_SHARE_MAX
        });
        self.release_positions(freed);
    }
}

/// Most of the log that is kept only because it waits to be published.
const BACKLOG_SHARE_MAX: f64 = 0.25;

/// Time between two looks at the backlog.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

fn at_most_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
