//! The asking side of a comparison: which prefixes to ask a peer about, and which of its keys are newer than ours.
//!
//! Only what the peer *has* counts. A key that the peer does not name says nothing (absence is not a delete).

use std::collections::BTreeSet;

use super::node::Aggregate;
use super::summary::{Detail, Group, ShortLeaf, Summary};
use crate::item::Leaf;
use crate::item::decide::Decision;
use crate::item::key::Key;
use crate::limits::KEY_BYTES_MAX;

/// Questions open at once up to which the finest answers are asked for.
const FINE_QUESTIONS_MAX: usize = 16;

/// What one comparison may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkBudget {
    /// Most keys to find.
    pub keys_max: usize,
    /// Most prefixes to ask about.
    pub questions_max: usize,
}

impl Default for WalkBudget {
    fn default() -> Self {
        Self {
            keys_max: 10_000,
            questions_max: 100_000,
        }
    }
}

/// What we hold where the peer's answer speaks, item by item in its order.
#[derive(Clone, Debug, Default)]
pub struct OurView {
    /// Our aggregates of the answer's groups.
    pub groups: Vec<Aggregate>,
    /// Our leaves of the answer's keys.
    pub leaves: Vec<Option<Leaf>>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MerkleDiff {
    /// Keys for which the peer has a newer write than we have, with that write. In no particular order.
    pub behind: Vec<(Key, ShortLeaf)>,
    /// Whether the budget ended the comparison before everything was compared.
    pub truncated: bool,
}

/// An answer that no correct peer gives. It is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// Nobody asked about this prefix, or it was answered already.
    #[error("an answer to a question that is not open")]
    NotAsked,
    /// A group or key of the answer does not lie under the prefix asked about, or is no narrower.
    #[error("the answer speaks of keys that were not asked about")]
    Outside,
    /// Our view does not have an entry for each of the answer's.
    #[error("our view does not match the answer: {got} entries, {expected} expected")]
    View {
        /// Entries needed.
        expected: usize,
        /// Entries given.
        got: usize,
    },
}

/// A comparison in progress. Pure: the caller carries questions to the peer and answers back.
///
/// It goes in key order, narrow prefixes before wide ones behind them, so that it holds little whatever the size of the
/// difference.
#[derive(Clone, Debug)]
pub struct Descent {
    open: BTreeSet<Vec<u8>>,
    asked: BTreeSet<Vec<u8>>,
    behind: Vec<(Key, ShortLeaf)>,
    budget: WalkBudget,
    questions: usize,
    truncated: bool,
}

impl Descent {
    /// Compares the keys under `prefix` (the empty one: all keys).
    pub fn new(prefix: Vec<u8>, budget: WalkBudget) -> Self {
        Self::among(BTreeSet::from([prefix]), budget)
    }

    /// Compares the keys under any of these prefixes, which do not overlap.
    pub fn among(prefixes: BTreeSet<Vec<u8>>, budget: WalkBudget) -> Self {
        Self {
            open: prefixes,
            asked: BTreeSet::new(),
            behind: Vec::new(),
            budget,
            questions: 0,
            truncated: false,
        }
    }

    /// Up to `max` prefixes to ask about now, ascending, and how finely they should be answered. None: wait for answers, or done.
    pub fn next_questions(&mut self, max: usize) -> (Vec<Vec<u8>>, Detail) {
        let detail = match self.open.len() {
            ..=FINE_QUESTIONS_MAX => Detail::FINEST,
            _ => Detail::COARSE,
        };
        let left = self.budget.questions_max - self.questions;
        if left == 0 && !self.open.is_empty() {
            self.give_up();
        }
        let count = max.min(left).min(self.open.len());
        let questions: Vec<Vec<u8>> = std::iter::from_fn(|| self.open.pop_first())
            .take(count)
            .collect();
        self.questions += questions.len();
        self.asked.extend(questions.iter().cloned());
        (questions, detail)
    }

    /// Takes the peer's answer in. After an error the question counts as answered and the result as truncated.
    pub fn on_summary(
        &mut self,
        prefix: &[u8],
        theirs: &Summary,
        ours: &OurView,
    ) -> Result<(), WalkError> {
        if !self.asked.remove(prefix) {
            return Err(WalkError::NotAsked);
        }
        if let Err(error) = check(prefix, theirs, ours) {
            self.truncated = true;
            return Err(error);
        }
        for ((key, theirs), ours) in theirs.leaves.iter().zip(&ours.leaves) {
            if theirs.against(ours.as_ref()) == Decision::Take {
                if self.behind.len() >= self.budget.keys_max {
                    self.give_up();
                    return Ok(());
                }
                self.behind.push((key.clone(), *theirs));
            }
        }
        if self.behind.len() >= self.budget.keys_max && self.truncated {
            return Ok(());
        }
        let differs = |(theirs, ours): &(&Group, &Aggregate)| {
            theirs.count != ours.count || theirs.hash != ours.hash().short()
        };
        let pairs = theirs.groups.iter().zip(&ours.groups);
        let differing = pairs.filter(differs).map(|(group, _)| group.prefix.clone());
        self.open.extend(differing);
        // What cannot be asked any more need not be held: the last in order go.
        let left = self.budget.questions_max - self.questions;
        while self.open.len() > left {
            self.truncated = true;
            self.open.pop_last();
        }
        Ok(())
    }

    /// The peer did not answer: the question is open again.
    pub fn on_silence(&mut self, prefix: &[u8]) -> Result<(), WalkError> {
        let question = self.asked.take(prefix).ok_or(WalkError::NotAsked)?;
        self.open.insert(question);
        Ok(())
    }

    /// Whether no question is open or under way.
    pub fn is_done(&self) -> bool {
        self.open.is_empty() && self.asked.is_empty()
    }

    /// How many prefixes wait to be asked about.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// The keys found so far.
    pub fn found(&self) -> &[(Key, ShortLeaf)] {
        &self.behind
    }

    /// What was found; truncated when it was not done.
    pub fn finish(self) -> MerkleDiff {
        MerkleDiff {
            truncated: self.truncated || !self.is_done(),
            behind: self.behind,
        }
    }

    fn give_up(&mut self) {
        self.truncated = true;
        self.open.clear();
    }
}

fn check(asked: &[u8], theirs: &Summary, ours: &OurView) -> Result<(), WalkError> {
    let narrower = |group: &Group| {
        let length = group.prefix.len();
        // Strictly longer each time, and no longer than a key: so every descent ends.
        length > asked.len() && length <= KEY_BYTES_MAX && group.prefix.starts_with(asked)
    };
    let inside = |(key, _): &(Key, ShortLeaf)| key.as_bytes().starts_with(asked);
    if !theirs.groups.iter().all(narrower) || !theirs.leaves.iter().all(inside) {
        return Err(WalkError::Outside);
    }
    let expected = theirs.groups.len() + theirs.leaves.len();
    let got = ours.groups.len() + ours.leaves.len();
    if theirs.groups.len() != ours.groups.len() || theirs.leaves.len() != ours.leaves.len() {
        return Err(WalkError::View { expected, got });
    }
    Ok(())
}
