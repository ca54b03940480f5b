//! Taking back what the log holds, and opening an archive that was away at the start.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use super::found::settle_identity;
use super::generation::Persisted;
use super::row_plan::was_collected;
use crate::error::StorageError;
use crate::item::decide::{Decision, decide};
use crate::item::key::Key;
use crate::item::{Leaf, Stored};
use crate::l1::L1;
use crate::l3::{ArchiveStore, MetaKey};
use crate::wal::WalPos;

impl Core {
    /// Takes what the log holds into L1, dirty, to be stored like any other write.
    pub(super) async fn replay(self: &Arc<Self>) -> Result<(), StorageError> {
        // An archive that is away cannot be asked for its clock bound, and one that does not exist has none.
        self.clock.observe(self.wal.clock_bound());
        let (mut pos, end) = self.wal.bounds();
        let page_records = self.config().wal_drain_batch_size;
        let mut seen = 0u64;
        while pos < end {
            let page = self.wal.read_from(pos, page_records).await?;
            if page.is_empty() {
                break;
            }
            seen += page.len() as u64;
            let archived = self.archived_leaves(&page).await?;
            for ((at, stored), archived) in page.into_iter().zip(archived) {
                // Positions that a repair has left empty will never be reported.
                self.outstanding.lock().skip(pos..at);
                pos = at + 1;
                let weight = L1::weight_of(&stored);
                self.outstanding.lock().appended(at, weight);
                self.observe(&stored);
                let is_gone = archived.is_none()
                    && stored.is_archived()
                    && was_collected(&stored.leaf(), self.collected());
                let decision = match is_gone {
                    true => Decision::Keep,
                    false => decide(archived.as_ref(), &stored.leaf()),
                };
                match decision {
                    // Readers must not see it again, not even until it is flushed and loses.
                    Decision::Keep => self.release_positions([at]),
                    Decision::Take | Decision::Same => self.enter_replayed(stored, at),
                }
            }
            // Without an archive a flush cannot help: what was accepted before fits into the budget again.
            let room = match self.archive_is_open() {
                true => self.budget.limit() / 2,
                false => self.budget.limit(),
            };
            if self.l1.dirty_bytes() > room {
                match self.flush_until_clean().await {
                    // It waited in the log before, and goes on waiting in L1.
                    Err(StorageError::Refused { .. }) | Ok(()) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.outstanding.lock().skip(pos..end);
        if seen > 0 {
            tracing::info!(records = seen, "took back what the write-ahead log held");
        }
        if let Some(damage) = self.wal.damage() {
            tracing::error!(%damage, "the write-ahead log was damaged; what could be read was taken back");
        }
        Ok(())
    }

    /// What the archive has for the keys of a page of the log; nothing while it does not answer.
    async fn archived_leaves(
        &self,
        page: &[(WalPos, Stored)],
    ) -> Result<Vec<Option<Leaf>>, StorageError> {
        if !self.archive_is_open() {
            return Ok(vec![None; page.len()]);
        }
        let keys: Vec<Key> = page.iter().map(|(_, s)| s.key().clone()).collect();
        Ok(self.archive.leaves_of(&keys).await?)
    }

    pub(super) fn archive_is_open(&self) -> bool {
        self.archive_open.load(Ordering::Acquire)
    }

    /// Opens an archive that did not answer at the start.
    pub(super) async fn open_late(&self) -> Result<(), StorageError> {
        let _order = self.commit_order.lock().await;
        if self.archive_is_open() {
            return Ok(());
        }
        let opened = self.archive.open().await?;
        // For the next run: this one began without knowing it, and stamps under an origin of its own until it ends.
        settle_identity(&self.archive, &self.config(), &opened, self.env.random()).await?;
        self.clock.observe(opened.clock_bound);
        self.note_collected(opened.collected);
        self.begin_generation().await?;
        self.reload_tree_if_outdated().await?;
        self.archive_open.store(true, Ordering::Release);
        tracing::info!("the archive answers; what was logged is being stored");
        Ok(())
    }

    pub(super) async fn begin_generation(&self) -> Result<(), StorageError> {
        let stored = self
            .archive
            .meta(MetaKey::Generation)
            .await?
            .unwrap_or_default();
        let run = Persisted::from_bytes(&stored).next_run(self.env.random());
        for generation in [&self.generation, &self.generation_persisted] {
            generation.store(run.generation, Ordering::Release);
        }
        *self.cache_life.lock() = run.life.clone();
        self.archive
            .set_meta(MetaKey::Generation, run.to_bytes())
            .await?;
        Ok(())
    }
}
