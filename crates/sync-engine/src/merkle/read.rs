//! Aggregates and answers from the tree in memory and short scans of the archive.
//!
//! The tree is locked only to look up where to read, never while reading. What is written meanwhile may be seen in part;
//! such an answer differs from the peer's for a moment, which a comparison confirms before it acts.

use parking_lot::RwLock;

use super::grouping::{Part, condense, summary_of};
use super::locate::Piece;
use super::node::Aggregate;
use super::split::SplitBuilder;
use super::summary::{Detail, Summary};
use super::tree::Tree;
use super::walk::OurView;
use crate::item::Leaf;
use crate::item::key::Key;
use crate::l3::{ArchiveError, ArchiveStore, KeyRange};

/// Rows read at a time.
const PAGE_ROWS: usize = 1024;

/// Leaves held at once while an answer is made; more are condensed to sums.
const HELD_PARTS_MAX: usize = 16 * PAGE_ROWS;

/// Sums that held leaves are condensed to.
const CONDENSED_PARTS: usize = 512;

/// The aggregate of any prefix.
pub async fn aggregate(
    tree: &RwLock<Tree>,
    archive: &dyn ArchiveStore,
    prefix: &[u8],
) -> Result<Aggregate, ArchiveError> {
    let located = tree.read().lookup(prefix);
    let mut total = located.known;
    for range in located.scan {
        let mut pages = Pages::of(range);
        while let Some(page) = pages.next(archive).await? {
            for (key, leaf) in &page {
                total.insert(&leaf.digest(key.as_bytes()));
            }
        }
    }
    Ok(total)
}

/// The answer to a peer that asks about `prefix`.
pub async fn summarize(
    tree: &RwLock<Tree>,
    archive: &dyn ArchiveStore,
    prefix: &[u8],
    detail: Detail,
) -> Result<Summary, ArchiveError> {
    let detail = detail.bounded();
    let (groups_max, leaves_max) = (usize::from(detail.groups_max), u64::from(detail.leaves_max));
    let pieces = tree.read().pieces(prefix, groups_max, leaves_max);
    let mut parts = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Known { prefix, aggregate } => parts.push(Part::Sum(prefix, aggregate)),
            Piece::Scan(range) => read_parts(archive, range, &mut parts).await?,
        }
    }
    Ok(summary_of(parts, detail))
}

/// The answer made from a list of all keys under a prefix, in key order.
pub fn summarize_leaves(leaves: Vec<(Key, Leaf)>, detail: Detail) -> Summary {
    let parts = leaves.into_iter().map(|(key, leaf)| Part::Leaf(key, leaf));
    summary_of(parts.collect(), detail)
}

async fn read_parts(
    archive: &dyn ArchiveStore,
    range: KeyRange,
    parts: &mut Vec<Part>,
) -> Result<(), ArchiveError> {
    let mut pages = Pages::of(range);
    let mut held = Vec::new();
    while let Some(page) = pages.next(archive).await? {
        held.extend(page.into_iter().map(|(key, leaf)| Part::Leaf(key, leaf)));
        if held.len() >= HELD_PARTS_MAX {
            parts.extend(condense(std::mem::take(&mut held), CONDENSED_PARTS));
        }
    }
    if parts.len() + held.len() > HELD_PARTS_MAX {
        held = condense(held, CONDENSED_PARTS);
    }
    parts.append(&mut held);
    Ok(())
}

/// What this node holds where the peer's answer speaks: its own sums of the peer's groups, its own leaves of the peer's keys.
pub async fn our_view(
    tree: &RwLock<Tree>,
    archive: &dyn ArchiveStore,
    theirs: &Summary,
) -> Result<OurView, ArchiveError> {
    let mut view = OurView::default();
    for group in &theirs.groups {
        view.groups
            .push(aggregate(tree, archive, &group.prefix).await?);
    }
    if !theirs.leaves.is_empty() {
        let keys: Vec<Key> = theirs.leaves.iter().map(|(key, _)| key.clone()).collect();
        view.leaves = archive.leaves_of(&keys).await?;
    }
    Ok(view)
}

/// Reads the rest of a node for [`super::TreeJob::Split`]; `None` when the node is gone. No commit may come between this and
/// the commit of the split, or the split is refused as stale.
pub async fn read_rest(
    tree: &RwLock<Tree>,
    archive: &dyn ArchiveStore,
    prefix: &[u8],
) -> Result<Option<SplitBuilder>, ArchiveError> {
    let Some(ranges) = tree.read().rest_ranges(prefix) else {
        return Ok(None);
    };
    let mut builder = SplitBuilder::new(prefix);
    for range in ranges {
        let mut pages = Pages::of(range);
        while let Some(page) = pages.next(archive).await? {
            for (key, leaf) in &page {
                builder.push(key.as_bytes(), &leaf.digest(key.as_bytes()));
            }
        }
    }
    Ok(Some(builder))
}

/// A range, page by page.
struct Pages {
    left: Option<KeyRange>,
}

impl Pages {
    fn of(range: KeyRange) -> Self {
        Self { left: Some(range) }
    }

    async fn next(
        &mut self,
        archive: &dyn ArchiveStore,
    ) -> Result<Option<Vec<(Key, Leaf)>>, ArchiveError> {
        let Some(range) = self.left.take() else {
            return Ok(None);
        };
        let page = archive.scan_leaves(&range, PAGE_ROWS).await?;
        if page.len() >= PAGE_ROWS {
            self.left = page.last().map(|(key, _)| range.after(key.as_bytes()));
        }
        Ok((!page.is_empty()).then_some(page))
    }
}
