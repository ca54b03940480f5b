//! What a commit does with each row, decided from what the rows are. Pure.

use super::sketch::RowChange;
use crate::batch::plan::{ArchiveWrite, Over};
use crate::item::Leaf;
use crate::item::decide::{Decision, decide, is_collision};
use crate::item::hash::LeafDigest;
use crate::item::key::Key;
use crate::item::stamp::HlcTime;
use crate::l3::{CommitPlan, RowAction};
use crate::merkle::delta::{LeafChange, TreeDelta, TreeError};
use crate::merkle::tree::Tree;

/// A write, with its leaf digested.
pub(super) struct New {
    key: Key,
    leaf: Leaf,
    digest: LeafDigest,
    over: Over,
}

impl New {
    pub(super) fn of(write: &ArchiveWrite) -> Self {
        let leaf = write.stored.leaf();
        let key = write.stored.key().clone();
        Self {
            digest: leaf.digest(key.as_bytes()),
            key,
            leaf,
            over: write.over,
        }
    }

    /// Whether it counts, where this is the row.
    pub(super) fn decide(&self, old: Option<&Leaf>, collected: HlcTime) -> Decision {
        let is_in_vain = match self.over {
            Over::Anything => false,
            Over::Uncollected => old.is_none() && was_collected(&self.leaf, collected),
            Over::Live => old.is_none_or(|old| old.hash.is_none()),
            Over::Itself if old == Some(&self.leaf) => return Decision::Take,
            Over::Itself => true,
        };
        if is_in_vain {
            return Decision::Keep;
        }
        if let Some(old) = old.filter(|old| is_collision(old, &self.leaf)) {
            tracing::error!(key = %self.key, stamp = %old.stamp, "two different writes carry one stamp");
        }
        decide(old, &self.leaf)
    }

    /// What becomes of the row.
    fn action(&self, decision: Decision) -> RowAction {
        match decision {
            Decision::Keep | Decision::Same => RowAction::Leave,
            Decision::Take if self.over == Over::Itself => RowAction::Remove,
            Decision::Take => RowAction::Put,
        }
    }

    /// What the row is after that, if there is one.
    fn after(&self) -> Option<(Leaf, LeafDigest)> {
        (self.over != Over::Itself).then_some((self.leaf, self.digest))
    }
}

/// Whether a write of this node that has no row had one. All that this node wrote up to what was collected has been in the
/// archive; tombstones may go at any time, and come again.
pub(super) fn was_collected(leaf: &Leaf, collected: HlcTime) -> bool {
    leaf.hash.is_some() && leaf.stamp.time <= collected
}

/// What the commit does to rows, for the sketch.
pub(super) fn row_changes(
    news: &[New],
    olds: &[Option<Leaf>],
    decisions: &[Decision],
) -> Vec<RowChange> {
    let rows = news.iter().zip(olds).zip(decisions);
    let taken = rows.filter(|(_, decision)| **decision == Decision::Take);
    let change = |((new, old), _): ((&New, &Option<Leaf>), _)| RowChange {
        key: new.key.clone(),
        old: old.map(|old| (old, old.digest(new.key.as_bytes()))),
        new: new.after(),
    };
    taken.map(change).collect()
}

/// What the commit does to rows and nodes, and the change of the tree that it is, if any.
pub(super) fn plan_commit(
    tree: &Tree,
    news: &[New],
    olds: &[Option<Leaf>],
    decisions: &[Decision],
) -> Result<(CommitPlan, Option<TreeDelta>), TreeError> {
    let decided = || news.iter().zip(decisions);
    let rows: Vec<RowAction> = decided().map(|(new, d)| new.action(*d)).collect();
    let gone = decided().filter(|(new, d)| new.action(**d) == RowAction::Remove);
    let collected = gone.map(|(new, _)| new.leaf.stamp.time).max();
    let changes: Vec<LeafChange<'_>> = decided()
        .zip(olds)
        .filter(|((_, decision), _)| **decision == Decision::Take)
        .map(|((new, _), old)| LeafChange {
            key: new.key.as_bytes(),
            old: old.as_ref().map(|old| old.digest(new.key.as_bytes())),
            new: new.after().map(|(_, digest)| digest),
        })
        .collect();
    if changes.is_empty() {
        let unchanged = CommitPlan {
            rows,
            tree_seq: tree.seq(),
            ..CommitPlan::default()
        };
        return Ok((unchanged, None));
    }
    let delta = tree.plan(&changes)?;
    let plan = CommitPlan {
        rows,
        nodes: delta.writes(),
        tree_seq: delta.seq(),
        collected: collected.unwrap_or_default(),
        ..CommitPlan::default()
    };
    Ok((plan, Some(delta)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::stamp::{Origin, Stamp};
    use crate::item::{Stored, SyncItem};

    fn stamp(time: u64) -> Stamp {
        Stamp {
            time: HlcTime(time),
            origin: Origin::default(),
        }
    }

    fn live(time: u64) -> Stored {
        let item = SyncItem::new("k", b"x".to_vec());
        Stored::Live(item.edit(|fields| fields.stamp = stamp(time)))
    }

    fn dead(time: u64) -> Stored {
        Stored::Tombstone {
            key: "k".into(),
            stamp: stamp(time),
        }
    }

    fn decided(stored: &Stored, over: Over, row: Option<Stored>) -> RowAction {
        let stored = stored.clone();
        let new = New::of(&ArchiveWrite { stored, over });
        let row = row.as_ref().map(Stored::leaf);
        new.action(new.decide(row.as_ref(), HlcTime(5)))
    }

    #[test]
    fn a_row_goes_only_as_the_tombstone_that_was_to_go() {
        let goes = |row| decided(&dead(3), Over::Itself, row);
        assert_eq!(goes(Some(dead(3))), RowAction::Remove);
        for row in [Some(dead(2)), Some(dead(4)), Some(live(3)), None] {
            assert_eq!(goes(row.clone()), RowAction::Leave, "{row:?}");
        }
    }

    #[test]
    fn a_write_of_this_node_that_was_collected_is_not_written_again() {
        let own = |write: &Stored, row| decided(write, Over::Uncollected, row);
        assert_eq!(own(&live(5), None), RowAction::Leave);
        // Later ones, those over a row, and deletes are.
        assert_eq!(own(&live(6), None), RowAction::Put);
        assert_eq!(own(&live(5), Some(live(4))), RowAction::Put);
        assert_eq!(own(&dead(5), None), RowAction::Put);
        // Who sends what he has knows what he does.
        let theirs = decided(&live(5), Over::Anything, None);
        assert_eq!(theirs, RowAction::Put);
    }

    #[test]
    fn what_takes_a_row_away_is_written_over_a_live_one_alone() {
        let over = |row| decided(&dead(5), Over::Live, row);
        assert_eq!(over(Some(live(4))), RowAction::Put);
        for row in [Some(live(6)), Some(dead(4)), None] {
            assert_eq!(over(row.clone()), RowAction::Leave, "{row:?}");
        }
    }
}
