//! The sketch of the archive's rows: made from a scan when somebody wants it, and kept in step with every commit from then on.
//!
//! It is kept for as long as its sum is the tree's, and made anew when the tree had to be read again. While there is none,
//! comparisons go down the tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::SyncEngine;
use super::core::Core;
use crate::error::StorageError;
use crate::item::Leaf;
use crate::item::hash::LeafDigest;
use crate::item::key::Key;
use crate::l3::{ArchiveError, ArchiveStore, KeyRange};
use crate::limits::{SCAN_ROWS, SKETCH_ROWS_MAX};
use crate::merkle::Sketch;
use crate::merkle::node::Aggregate;

/// Rows read at once: writes to the archive wait meanwhile.
const ROWS: usize = 4 * SCAN_ROWS;

/// How long one round of upkeep works on a sketch.
const ROUND: Duration = Duration::from_millis(200);

/// What a commit did to a row.
pub(super) struct RowChange {
    pub key: Key,
    pub old: Option<(Leaf, LeafDigest)>,
    /// `None`: it is gone.
    pub new: Option<(Leaf, LeafDigest)>,
}

/// The sketch, as far as there is one. Changed with `commit_order` held.
#[derive(Default)]
pub(super) struct SketchKeeper {
    state: Mutex<State>,
    wanted: AtomicBool,
}

#[derive(Default)]
enum State {
    #[default]
    Absent,
    /// All rows are in but those of this range.
    Growing(Arc<Sketch>, KeyRange),
    Whole(Arc<Sketch>),
}

impl SketchKeeper {
    /// The sketch; if there is none, one will be made.
    fn get(&self) -> Option<Arc<Sketch>> {
        match &*self.state.lock() {
            State::Whole(sketch) => Some(sketch.clone()),
            State::Absent | State::Growing(..) => {
                self.wanted.store(true, Ordering::Release);
                None
            }
        }
    }

    /// Whether commits are to say what they change.
    pub(super) fn is_kept(&self) -> bool {
        !matches!(*self.state.lock(), State::Absent)
    }

    /// There is no telling what the rows are: the next one is made when somebody wants it.
    pub(super) fn forget(&self) {
        self.wanted.store(false, Ordering::Release);
        *self.state.lock() = State::Absent;
    }

    /// A commit has changed these rows; the tree's sum is this one now.
    pub(super) fn follow(&self, changes: &[RowChange], root: &Aggregate) {
        let mut state = self.state.lock();
        let (sketch, rest) = match &mut *state {
            State::Absent => return,
            State::Growing(sketch, rest) => (sketch, Some(&*rest)),
            State::Whole(sketch) => (sketch, None),
        };
        // Whoever still reads the sketch as it was keeps a copy.
        let changed = Arc::make_mut(sketch);
        let is_in = |change: &&RowChange| rest.is_none_or(|r| !r.contains(change.key.as_bytes()));
        for RowChange { key, old, new } in changes.iter().filter(is_in) {
            if let Some((leaf, digest)) = old {
                changed.remove(key.as_bytes(), leaf, digest);
            }
            if let Some((leaf, digest)) = new {
                changed.insert(key.as_bytes(), leaf, digest);
            }
        }
        if rest.is_none() && changed.aggregate() != root {
            *state = State::Absent;
        }
    }

    /// The range that is to be read next, if a sketch is wanted.
    fn missing(&self) -> Option<KeyRange> {
        if !self.wanted.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        if let State::Absent = *state {
            *state = State::Growing(Arc::default(), KeyRange::all());
        }
        match &*state {
            State::Growing(_, rest) => Some(rest.clone()),
            State::Absent | State::Whole(_) => None,
        }
    }

    /// Takes in the next rows of the missing range; fewer than were asked for are the last.
    fn grow(&self, rows: &[(Key, Leaf)], asked: usize, root: &Aggregate) {
        let mut state = self.state.lock();
        let State::Growing(sketch, rest) = &mut *state else {
            return;
        };
        let grown = Arc::make_mut(sketch);
        for (key, leaf) in rows {
            grown.insert(key.as_bytes(), leaf, &leaf.digest(key.as_bytes()));
        }
        match rows.last() {
            Some((last, _)) if rows.len() >= asked => *rest = rest.after(last.as_bytes()),
            _ => {
                self.wanted.store(false, Ordering::Release);
                let is_honest = grown.aggregate() == root;
                let sketch = sketch.clone();
                // Another engine may have written meanwhile.
                *state = match is_honest {
                    true => State::Whole(sketch),
                    false => State::Absent,
                };
            }
        }
    }
}

impl Core {
    /// Works on the sketch for a while, if one is wanted.
    pub(super) async fn tend_sketch_for_a_while(self: &Arc<Self>) -> Result<(), ArchiveError> {
        let begun = self.env.monotonic();
        while self.env.monotonic() - begun < ROUND {
            // Between commits, so that each row is seen either by the scan or by the commit that changes it.
            let _order = self.commit_order.lock().await;
            self.reload_tree_if_outdated().await?;
            let root = self.tree.read().root();
            if root.count > SKETCH_ROWS_MAX {
                return Ok(());
            }
            let Some(range) = self.sketch.missing() else {
                return Ok(());
            };
            let rows = self.archive.scan_leaves(&range, ROWS).await?;
            self.sketch.grow(&rows, ROWS, &root);
        }
        Ok(())
    }
}

impl SyncEngine {
    /// A sketch of all rows of L3, if there is one; if not, one is made in the background.
    ///
    /// # Errors
    /// `Closed` when the engine is not running.
    pub fn merkle_sketch(&self) -> Result<Option<Arc<Sketch>>, StorageError> {
        Ok(self.core("merkle_sketch")?.sketch.get())
    }
}
