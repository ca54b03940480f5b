//! The filter's life: restored if it belongs to this very archive, else filled from it.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::error::{StorageError, Tier};
use crate::filter::{FilterManager, FilterTrust};
use crate::guard::archive::GuardedArchive;
use crate::l3::{ArchiveStore, KeyRange, MetaKey};
use crate::limits::FILTER_BYTES_MAX;
use crate::merkle::node::Aggregate;

/// A filter that denies nothing.
pub(super) fn unproven() -> Result<FilterManager, StorageError> {
    FilterManager::new(FILTER_BYTES_MAX)
        .map_err(|error| StorageError::unavailable(Tier::Archive, "make the filter", error))
}

/// The filter saved with exactly this state of the archive, or an empty one that trusts nothing yet.
pub(super) async fn restore(
    archive: &GuardedArchive,
    root: &Aggregate,
) -> Result<FilterManager, StorageError> {
    if !archive.is_exclusive() {
        return unproven();
    }
    let Some(saved) = archive.meta(MetaKey::Filter).await? else {
        return unproven();
    };
    match FilterManager::restore(&saved, root.hash(), root.count, FILTER_BYTES_MAX) {
        Ok(filter) => Ok(filter),
        Err(error) => {
            tracing::info!(%error, "the saved filter is not of this state of the archive; it is made anew");
            unproven()
        }
    }
}

impl Core {
    /// Fills the filter with every key of the archive, then trusts it. Where other processes can write to the archive it
    /// is never trusted.
    pub(super) async fn run_filter(self: Arc<Self>) {
        if !self.archive.is_configured() || !self.archive.is_exclusive() {
            return;
        }
        loop {
            if self.filter.trust() == FilterTrust::Unproven
                && let Err(error) = self.prove_filter().await
            {
                tracing::warn!(%error, "filling the filter failed; it will be tried again");
            }
            let interval = Duration::from_secs(self.config().cf_snapshot_interval_secs);
            self.env.sleep(interval).await;
            self.save_filter_if_grown().await;
        }
    }

    async fn prove_filter(&self) -> Result<(), StorageError> {
        let page_rows = self.config().cuckoo_warmup_batch_size;
        let proof = self.filter.begin_proof();
        let mut range = KeyRange::all();
        loop {
            let page = self.archive.scan_leaves(&range, page_rows).await?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last.as_bytes());
            page.iter().for_each(|(key, _)| self.filter.insert(key));
        }
        self.filter.prove(proof);
        Ok(())
    }

    async fn save_filter_if_grown(&self) {
        let rows = self.tree.read().root().count;
        let saved = self.filter_saved.load(std::sync::atomic::Ordering::Relaxed);
        if rows.abs_diff(saved) < self.config().cf_snapshot_insert_threshold {
            return;
        }
        if let Err(error) = self.save_filter().await {
            tracing::warn!(%error, "saving the filter failed; it will be tried again");
        }
    }

    /// Keeps the filter with the archive, for the next start.
    pub(super) async fn save_filter(&self) -> Result<(), StorageError> {
        let _order = self.commit_order.lock().await;
        let root = self.tree.read().root();
        if let Some(snapshot) = self.filter.snapshot(root.hash(), root.count) {
            self.archive.set_meta(MetaKey::Filter, snapshot).await?;
            self.filter_saved
                .store(root.count, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }
}
