//! Writes on their way through the log into L1.

use std::sync::{Arc, OnceLock};

use tokio::sync::OwnedRwLockReadGuard;

use super::core::Core;
use super::draft::{Draft, stamped};
use super::log_room::LogPermit;
use crate::ingest::admit::Permit;
use crate::item::Stored;
use crate::item::stamp::Stamp;
use crate::wal::{Appending, WalPos};

/// What is held until the writes are in L1: the turn towards those who log records anew, and room.
type Held = (OwnedRwLockReadGuard<()>, (Permit, LogPermit));

/// Writes that are stamped in the order in which they are logged, and enter L1 in that order. So the last that the log has of
/// a key is the newest, whichever part of the log is left; and no older write of a key enters L1 when a newer one was there
/// and has left again.
pub(super) struct Incoming {
    core: Arc<Core>,
    drafts: Vec<Draft>,
    records: Vec<Stored>,
    bytes: usize,
    first: Arc<OnceLock<Stamp>>,
    _held: Held,
}

impl Incoming {
    /// Also gives where the first stamp is to be found once they are logged.
    pub(super) fn new(
        core: Arc<Core>,
        drafts: Vec<Draft>,
        held: Held,
    ) -> (Self, Arc<OnceLock<Stamp>>) {
        let first = Arc::<OnceLock<Stamp>>::default();
        let incoming = Self {
            bytes: drafts.iter().map(Draft::weight).sum(),
            core,
            drafts,
            records: Vec::new(),
            first: first.clone(),
            _held: held,
        };
        (incoming, first)
    }
}

impl Appending for Incoming {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn placed(&mut self) {
        let (core, count) = (&self.core, self.drafts.len() as u64);
        self.first
            .get_or_init(|| core.clock.reserve(core.now_ms(), count));
    }

    fn records(&mut self) -> &[Stored] {
        let drafts = std::mem::take(&mut self.drafts);
        if let (Some(first), false) = (self.first.get(), drafts.is_empty()) {
            self.records = stamped(drafts, *first);
            self.core.count(&self.records);
        }
        &self.records
    }

    fn logged(self: Box<Self>, first: WalPos) {
        self.core.enter(self.records, first);
    }
}
