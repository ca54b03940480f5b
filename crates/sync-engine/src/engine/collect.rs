//! Letting tombstones go.

use std::sync::Arc;

use super::SyncEngine;
use super::commit::Fate;
use super::core::Core;
use crate::batch::plan::{ArchiveWrite, Over};
use crate::batch::portions::Portions;
use crate::error::StorageError;
use crate::item::decide::Decision;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::l3::ArchiveStore;
use crate::limits::{COLLECT_ROWS, REFUSED_ALONE_MAX};

/// What a collection of tombstones came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Tombstones that are gone.
    pub removed: u64,
    /// Keys that were written again before their tombstone went.
    pub kept: u64,
    /// Tombstones that the archive refuses to let go.
    pub refused: u64,
}

impl Collected {
    fn add(&mut self, more: Self) {
        self.removed += more.removed;
        self.kept += more.kept;
        self.refused += more.refused;
    }
}

impl SyncEngine {
    /// Removes the tombstones whose stamp's time is at or before `until` and before
    /// [`stored_until`](SyncEngine::stored_until), rows and Merkle nodes in one transaction, a portion after the other. Others
    /// write meanwhile; what dies while it runs may be left for the next call, which finds what an earlier one left.
    ///
    /// Nothing calls it yet. Whoever does must know that no older write of these keys comes any more, from anywhere: without its
    /// tombstone it would be taken. Every engine that writes to this archive has told `until`, or more, as its `stored_until`.
    ///
    /// # Errors
    /// As [`SyncEngine::stored_until`]; `Unavailable` when the archive is away. Then a part of them may be gone, which does no
    /// harm.
    pub async fn collect_tombstones(&self, until: HlcTime) -> Result<Collected, StorageError> {
        let core = self.core("collect_tombstones")?;
        // What the log brings back after a crash is told from what was never stored by this.
        let until = until.min(core.stored_until().await?);
        let (mut all, mut last) = (Collected::default(), None);
        loop {
            let listed = core.archive.tombstones(until, last.as_ref(), COLLECT_ROWS);
            let portion = listed.await?;
            let Some(end) = portion.last().cloned() else {
                return Ok(all);
            };
            last = Some(end);
            let collector = core.clone();
            // What the archive has let go must leave L1 too, whether the caller waits for it or not.
            let work = async move { collector.collect(portion).await };
            let done = core.to_the_end("collect", work).await;
            all.add(done.ok_or_else(|| Core::ended("collect_tombstones"))??);
        }
    }
}

impl Core {
    async fn collect(
        self: &Arc<Self>,
        doomed: Vec<(Key, Stamp)>,
    ) -> Result<Collected, StorageError> {
        let removals: Vec<ArchiveWrite> = doomed
            .iter()
            .map(|(key, stamp)| ArchiveWrite::tombstone(key, *stamp, Over::Itself))
            .collect();
        let portions = Portions::new(removals.len(), 0, REFUSED_ALONE_MAX);
        let committed = self.commit_each(&removals, portions).await;
        let mut done = Collected::default();
        for ((key, stamp), fate) in doomed.iter().zip(&committed.fates) {
            match fate {
                Fate::Decided(Decision::Take) => {
                    self.let_go(key, *stamp);
                    done.removed += 1;
                }
                Fate::Decided(_) => done.kept += 1,
                Fate::Refused(_) | Fate::Open => done.refused += 1,
            }
        }
        self.metrics.collected.increment(done.removed);
        // The root has changed.
        self.settled();
        committed.error.map_or(Ok(done), |error| Err(error.into()))
    }

    /// The tombstone leaves L1, if it is clean. The cache keeps it for minutes, and is not asked to let it go: a live item that
    /// the cache alone keeps has the same stamp as the tombstone that it left in the archive, and a removal takes that out too.
    fn let_go(&self, key: &Key, stamp: Stamp) {
        let entry = self.l1.peek(key);
        if entry.is_some_and(|entry| entry.stored.item().is_none()) {
            self.l1.remove_clean(key, stamp);
        }
    }
}
