//! Writing to the archive: rows and tree in one transaction, decided by the one merge function.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::core::Core;
use super::row_plan::{New, plan_commit, row_changes};
use super::sketch::RowChange;
use super::tree::tree_fault;
use crate::batch::plan::{ArchiveWrite, Over};
use crate::batch::portions::Portions;
use crate::item::Stored;
use crate::item::decide::Decision;
use crate::item::stamp::HlcTime;
use crate::l3::{ArchiveError, ArchiveStore, CommitPlan, CommitView, Planner};
use crate::merkle::delta::TreeDelta;

/// A commit under way, counted at both ends.
struct UnderWay<'a>(&'a AtomicU64);

impl<'a> UnderWay<'a> {
    fn begin(commits: &'a AtomicU64) -> Self {
        commits.fetch_add(1, Ordering::SeqCst);
        Self(commits)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What became of a write given to [`Core::commit_each`].
#[derive(Debug)]
pub(super) enum Fate {
    /// It was committed, and this was decided: `Take` and `Same` mean that the archive has it, or is rid of what was to go.
    Decided(Decision),
    /// The archive does not take it as it is.
    Refused(Arc<ArchiveError>),
    /// It was not tried, or what came of it is not known.
    Open,
}

impl Fate {
    /// The decision, if the archive has the write.
    pub(super) fn taken(&self) -> Option<Decision> {
        match self {
            Self::Decided(decision) if *decision != Decision::Keep => Some(*decision),
            _ => None,
        }
    }
}

/// Hears what a commit has done, before the next commit begins: so that L1 hears of two writes of a key in the order in which
/// the archive did.
pub(super) type OnCommit<'a> = &'a mut (dyn FnMut(&[ArchiveWrite], &[Decision]) + Send);

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// For each write.
    pub fates: Vec<Fate>,
    /// The outage that ended it.
    pub error: Option<ArchiveError>,
}

/// What the planner leaves behind for the time after the transaction.
#[derive(Default)]
struct Planned {
    decisions: Vec<Decision>,
    delta: Option<TreeDelta>,
    /// The greatest stamp time of what goes.
    collected: HlcTime,
    /// For the sketch, if there is one.
    changes: Vec<RowChange>,
}

impl Core {
    /// Commits the writes, each key at most once: in one transaction, or in several, so that the archive takes all but those that
    /// it refuses.
    pub(super) async fn commit_each(
        self: &Arc<Self>,
        writes: &[ArchiveWrite],
        portions: Portions,
    ) -> Committed {
        self.commit_each_and(writes, portions, &mut |_, _| {}).await
    }

    /// As [`Core::commit_each`], and tells of each commit.
    pub(super) async fn commit_each_and(
        self: &Arc<Self>,
        writes: &[ArchiveWrite],
        mut portions: Portions,
        on_commit: OnCommit<'_>,
    ) -> Committed {
        let mut fates: Vec<Fate> = writes.iter().map(|_| Fate::Open).collect();
        let mut ended = None;
        while let Some(part) = portions.next_part() {
            // The parts lie within the batch.
            let (Some(chosen), Some(places)) =
                (writes.get(part.clone()), fates.get_mut(part.clone()))
            else {
                break;
            };
            match self.commit(chosen, on_commit).await {
                Ok(decisions) => {
                    let decided = decisions.into_iter().map(Fate::Decided);
                    places
                        .iter_mut()
                        .zip(decided)
                        .for_each(|(place, fate)| *place = fate);
                }
                Err(error @ ArchiveError::Refused { .. }) => {
                    if let [alone] = places {
                        *alone = Fate::Refused(Arc::new(error));
                        self.metrics.refusals.increment(1);
                    }
                    portions.refused(part);
                }
                Err(error) => {
                    ended = Some(error);
                    break;
                }
            }
        }
        Committed {
            fates,
            error: ended,
        }
    }

    /// Commits the writes in one transaction. Gives a decision for each.
    async fn commit(
        self: &Arc<Self>,
        writes: &[ArchiveWrite],
        on_commit: OnCommit<'_>,
    ) -> Result<Vec<Decision>, ArchiveError> {
        let _order = self.commit_order.lock().await;
        // Others are written only over a row, and that one is in the filter already.
        let may_be_new = |over| matches!(over, Over::Anything | Over::Uncollected);
        for write in writes.iter().filter(|write| may_be_new(write.over)) {
            // Before the rows can be seen, so that the filter never denies one.
            self.filter.insert(write.stored.key());
        }
        let mut failed = 0;
        loop {
            self.reload_tree_if_outdated().await?;
            match self.try_commit(writes).await {
                Err(error) => self.mend_tree(error, &mut failed).await?,
                Ok(decisions) => {
                    on_commit(writes, &decisions);
                    return Ok(decisions);
                }
            }
        }
    }

    async fn try_commit(
        self: &Arc<Self>,
        writes: &[ArchiveWrite],
    ) -> Result<Vec<Decision>, ArchiveError> {
        let records: Vec<Stored> = writes.iter().map(|w| w.stored.clone()).collect();
        let planned = Arc::new(Mutex::new(Planned::default()));
        let planner = self.planner(writes, planned.clone());
        let result = {
            let _under_way = UnderWay::begin(&self.commits);
            self.archive.commit(records, planner).await
        };
        if let Err(error @ ArchiveError::Refused { .. }) = result {
            // Nothing has happened.
            return Err(error);
        }
        if let Err(error) = result {
            // Unknown outcome: what the archive holds now must be read again before the next plan is made.
            self.tree_outdated.store(true, Ordering::Release);
            return Err(error);
        }
        let planned = std::mem::take(&mut *planned.lock());
        if let Some(delta) = planned.delta {
            self.follow(delta);
            self.sketch
                .follow(&planned.changes, &self.tree.read().root());
        }
        self.note_collected(planned.collected);
        let mut persisted = self.clock_persisted.lock();
        *persisted = (*persisted).max(self.clock.last());
        Ok(planned.decisions)
    }

    fn planner(self: &Arc<Self>, writes: &[ArchiveWrite], planned: Arc<Mutex<Planned>>) -> Planner {
        let core = self.clone();
        // Hashing is done here, outside of the transaction.
        let news: Vec<New> = writes.iter().map(New::of).collect();
        Box::new(move |view: CommitView| {
            let tree = core.tree.read();
            if view.tree_seq != tree.seq() {
                return Err(ArchiveError::TreeOutdated);
            }
            let decisions: Vec<Decision> = news
                .iter()
                .zip(&view.olds)
                .map(|(new, old)| new.decide(old.as_ref(), core.collected()))
                .collect();
            let (plan, delta) =
                plan_commit(&tree, &news, &view.olds, &decisions).map_err(tree_fault)?;
            let changes = match core.sketch.is_kept() {
                true => row_changes(&news, &view.olds, &decisions),
                false => Vec::new(),
            };
            *planned.lock() = Planned {
                decisions,
                delta,
                collected: plan.collected,
                changes,
            };
            Ok(CommitPlan {
                clock_bound: core.clock.last(),
                ..plan
            })
        })
    }

    /// The greatest stamp time of a tombstone that was removed from the archive.
    pub(super) fn collected(&self) -> HlcTime {
        HlcTime(self.collected.load(Ordering::Acquire))
    }

    pub(super) fn note_collected(&self, time: HlcTime) {
        self.collected.fetch_max(time.0, Ordering::AcqRel);
    }

    /// The commit is done: the tree in memory follows.
    pub(super) fn follow(&self, delta: TreeDelta) {
        if let Err(error) = self.tree.write().apply(delta) {
            tracing::error!(%error, "the Merkle tree in memory could not follow a commit; it is read again");
            self.tree_outdated.store(true, Ordering::Release);
        }
    }
}
