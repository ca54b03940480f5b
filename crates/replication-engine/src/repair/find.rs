//! For which keys the peer is ahead: by sketches of both sets where there are such and not much differs, down the tree where
//! not.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use sync_engine::Key;
use sync_engine::merkle::codec::{CodecError as MerkleError, decode_summary};
use sync_engine::merkle::mark::Mark;
use sync_engine::merkle::node::Aggregate;
use sync_engine::merkle::sketch::{Difference, peel};
use sync_engine::merkle::{Descent, MerkleDiff, Summary, WalkBudget};

use super::cycle::Cycle;
use super::step::{Told, ahead};
use crate::error::RepairError;
use crate::limits::{ASK_CELLS_TIMES_MAX, ASK_PREFIXES_MAX, BRANCHES_AT_ONCE, LOOK_UP_KEYS_MAX};

/// Most prefixes that one comparison asks about.
const QUESTIONS_MAX: usize = 100_000;

/// Keys for which the peer may be ahead.
#[derive(Default)]
pub(super) struct Found {
    pub behind: Vec<(Key, Told)>,
    /// Whether there are more.
    pub is_truncated: bool,
}

impl Cycle<'_> {
    /// The peer's count and sum, and what differs. `None`: sketches do not say, the trees are to be compared.
    pub(super) async fn compare_sketches(
        &self,
    ) -> Result<(Aggregate, Option<Difference>), RepairError> {
        let Some(ours) = self.store.merkle_sketch().await? else {
            // Asked for cells, the peer makes a sketch as well.
            let (theirs, _) = self.asker.cells(0, 0, Vec::new()).await?;
            return Ok((theirs, None));
        };
        let (theirs, mut cells) = self.asker.cells(0, 0, ours.samples()).await?;
        for _ in 1..ASK_CELLS_TIMES_MAX {
            if cells.is_empty() {
                return Ok((theirs, None));
            }
            if let Some(found) = peel(ours.first(cells.len()), &cells) {
                let fits = found.fits(ours.aggregate(), &theirs);
                return Ok((theirs, fits.then_some(found)));
            }
            // The estimate was low.
            let (from, count) = (cells.len(), cells.len() / 2);
            let (again, more) = self.asker.cells(from, count, Vec::new()).await?;
            if again != theirs {
                return Ok((again, None));
            }
            cells.extend(more);
        }
        Ok((theirs, None))
    }

    /// The keys for which the peer may be ahead, at most as many as one comparison repairs.
    pub(super) async fn find(&self, difference: Option<Difference>) -> Result<Found, RepairError> {
        let everything = || BTreeSet::from([Vec::new()]);
        let Some(difference) = difference else {
            return self.descend(everything(), self.items_max).await;
        };
        let (cut, whole): (Vec<Mark>, Vec<Mark>) =
            difference.theirs.into_iter().partition(Mark::is_cut);
        let told = whole.into_iter().map(|mark| {
            let key = Key::parse(&mark.key()).ok()?;
            Some((key, Told::Mark(mark)))
        });
        let Some(told) = told.collect::<Option<Vec<_>>>() else {
            // No set of keys has such marks.
            return self.descend(everything(), self.items_max).await;
        };
        let mut behind = self.still_behind(told).await?;
        if behind.len() > self.items_max {
            behind.truncate(self.items_max);
            let is_truncated = true;
            return Ok(Found {
                behind,
                is_truncated,
            });
        }
        // Of long keys the sketch knows the beginning.
        let prefixes = cut.iter().map(Mark::key).collect();
        let mut found = self
            .descend(prefixes, self.items_max - behind.len())
            .await?;
        found.behind.append(&mut behind);
        Ok(found)
    }

    /// Those keys for which the peer is still ahead.
    pub(super) async fn still_behind(
        &self,
        mut told: Vec<(Key, Told)>,
    ) -> Result<Vec<(Key, Told)>, RepairError> {
        let mut behind = Vec::new();
        while !told.is_empty() {
            let rest = told.split_off(told.len().min(LOOK_UP_KEYS_MAX));
            let keys: Vec<Key> = told.iter().map(|(key, _)| key.clone()).collect();
            let ours = self.store.leaves_of(&keys).await?;
            behind.extend(ahead(told, &ours));
            told = rest;
        }
        Ok(behind)
    }

    async fn descend(
        &self,
        prefixes: BTreeSet<Vec<u8>>,
        keys_max: usize,
    ) -> Result<Found, RepairError> {
        let budget = WalkBudget {
            keys_max,
            questions_max: QUESTIONS_MAX,
        };
        let mut descent = Descent::among(prefixes, budget);
        while !descent.is_done() {
            let (mut prefixes, detail) = descent.next_questions(ASK_PREFIXES_MAX);
            if prefixes.is_empty() {
                break;
            }
            prefixes.sort_unstable();
            let answers = self.asker.summaries(&prefixes, detail).await?;
            let unanswered = prefixes.split_off(answers.len());
            let mut answers = answers.into_iter();
            for branches in prefixes.chunks(BRANCHES_AT_ONCE) {
                let summaries = branches.iter().zip(answers.by_ref());
                let summaries = summaries
                    .map(|(prefix, bytes)| decode_summary(prefix, &bytes))
                    .collect::<Result<Vec<Summary>, _>>()
                    .map_err(malformed)?;
                let ours = summaries
                    .iter()
                    .map(|theirs| self.store.merkle_our_view(theirs));
                let ours = try_join_all(ours).await?;
                for ((prefix, theirs), ours) in branches.iter().zip(&summaries).zip(&ours) {
                    descent.on_summary(prefix, theirs, ours)?;
                }
            }
            for prefix in &unanswered {
                descent.on_silence(prefix)?;
            }
        }
        let MerkleDiff { behind, truncated } = descent.finish();
        let told = |(key, leaf)| (key, Told::Leaf(leaf));
        Ok(Found {
            behind: behind.into_iter().map(told).collect(),
            is_truncated: truncated,
        })
    }
}

fn malformed(error: MerkleError) -> RepairError {
    RepairError::Answer(error.into())
}
