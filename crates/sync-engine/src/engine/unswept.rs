//! Expired rows whose removal the archive refuses: left alone for a while, so that the sweep gets at those behind them.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::commit::Fate;
use crate::batch::plan::ArchiveWrite;
use crate::item::Leaf;
use crate::item::key::Key;
use crate::limits::UNSWEPT_PAUSE;

/// The keys, and until when, in monotonic time. Bounded: past [`crate::limits::UNSWEPT_MAX`] of them nothing is swept.
#[derive(Default)]
pub(crate) struct UnsweptRows {
    until: Mutex<HashMap<Key, Duration>>,
}

impl UnsweptRows {
    /// How many are left alone now.
    pub(super) fn len_at(&self, now: Duration) -> usize {
        let mut rows = self.until.lock();
        rows.retain(|_, until| *until > now);
        rows.len()
    }

    /// Takes out those that are left alone, and all past `max`.
    pub(super) fn sift(&self, expired: &mut Vec<(Key, Leaf)>, max: usize) {
        let rows = self.until.lock();
        expired.retain(|(key, _)| !rows.contains_key(key));
        expired.truncate(max);
    }

    /// Notes what was refused.
    pub(super) fn note(&self, writes: &[ArchiveWrite], fates: &[Fate], now: Duration) {
        let fated = writes.iter().zip(fates);
        let refused = fated.filter(|(_, fate)| matches!(fate, Fate::Refused(_)));
        let keys = refused.map(|(write, _)| write.stored.key().clone());
        self.until
            .lock()
            .extend(keys.map(|key| (key, now + UNSWEPT_PAUSE)));
    }
}
