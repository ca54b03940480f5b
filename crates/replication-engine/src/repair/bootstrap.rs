//! The fill of a node that is empty, or nearly: everything the peer has, in key order, at full speed. Live traffic goes on.
//!
//! It is resumable: the last key applied is kept beside the cursor. What the peer writes behind that key meanwhile comes by
//! the hot path; a comparison after the end finds what is left.

use super::cycle::{Cycle, read_records};
use super::question::place_behind;
use crate::error::RepairError;
use crate::tail::cursors::CursorStore;

/// Told of a fill's progress.
pub trait FillProgress: Send + Sync {
    /// So many records were applied, up to this key.
    fn advanced(&self, records: usize, last: &[u8]);
}

impl Cycle<'_> {
    /// Takes everything after the position kept for `peer`. Ends when nothing follows.
    ///
    /// # Errors
    /// [`RepairError::FillStuck`]: asking again would bring the same page.
    pub async fn fill(
        &self,
        peer: &str,
        cursors: &dyn CursorStore,
        progress: &dyn FillProgress,
    ) -> Result<(), RepairError> {
        let mut after = cursors.fill(peer).await?;
        // From the first moment on: a fill that was cut off is gone on with, whatever the counts say then.
        cursors
            .save_fill(peer, Some(after.as_deref().unwrap_or_default()))
            .await?;
        after = after.filter(|after| !after.is_empty());
        let mut answer = self.asker.range(after.clone()).await?;
        loop {
            let (is_done, records) = answer;
            if is_done && records.is_empty() {
                break;
            }
            let count = records.len();
            let last = place_behind(&records).map(|key| key.as_bytes().to_vec());
            let records = read_records(records, self.sink);
            let last = last.filter(|last| after.as_ref().is_none_or(|after| last > after));
            let last = last.ok_or_else(|| stuck(after.as_deref()))?;
            // The next page travels while this one is stored.
            let next = self.asker.range(Some(last.clone()));
            let (applied, next) = futures_util::future::join(self.apply(records), next).await;
            applied?;
            cursors.save_fill(peer, Some(&last)).await?;
            progress.advanced(count, &last);
            after = Some(last);
            answer = match is_done {
                true => break,
                false => next?,
            };
        }
        cursors.save_fill(peer, None).await?;
        Ok(())
    }
}

fn stuck(after: Option<&[u8]>) -> RepairError {
    RepairError::FillStuck {
        after: after.unwrap_or_default().escape_ascii().to_string(),
    }
}
