//! Which positions of the log are still needed.

use std::collections::VecDeque;
use std::ops::Range;

use super::WalPos;

/// Positions in one word of the set.
const WORD: u64 = 64;

/// The positions that must stay in the log, because what they hold is not yet stored and published.
///
/// A position is settled once, by [`done`](Self::done). A position nobody has reported counts as needed, since appends end in any order; so whoever appends reports each range, also when its own caller went away.
///
/// One bit a position, between the floor and the highest settled one.
#[derive(Clone, Debug)]
pub struct Outstanding {
    /// The position of the first bit of `settled`, a multiple of [`WORD`].
    base: WalPos,
    /// Set bit: settled. A position past the last word is not.
    settled: VecDeque<u64>,
    /// How many were appended and not settled.
    len: u64,
    /// Ranges that hold no record, ascending: the gaps that repairs leave. They may be huge, so that they have no bits: the others are
    /// counted without them.
    gaps: Vec<Range<WalPos>>,
}

impl Outstanding {
    /// Nothing is needed below `next`, the position of the first append.
    pub fn new(next: WalPos) -> Self {
        let base = next - next % WORD;
        let below = (1u64 << (next % WORD)) - 1;
        Self {
            base,
            settled: VecDeque::from([below]),
            len: 0,
            gaps: Vec::new(),
        }
    }

    /// These positions hold no record. Known before anything at or above them is reported, and in ascending order.
    pub fn skip(&mut self, gap: Range<WalPos>) {
        if !gap.is_empty() {
            self.gaps.push(gap);
        }
    }

    /// The position's number among those that are not in a gap.
    fn without_gaps(&self, pos: WalPos) -> u64 {
        let below = self.gaps.iter().filter(|gap| gap.end <= pos);
        pos - below.map(|gap| gap.end - gap.start).sum::<u64>()
    }

    fn with_gaps(&self, number: u64) -> WalPos {
        let over = |pos, gap: &Range<WalPos>| match pos >= gap.start {
            true => pos + (gap.end - gap.start),
            false => pos,
        };
        self.gaps.iter().fold(number, over)
    }

    /// These positions were written and are needed. In any order, each once.
    pub fn appended(&mut self, range: Range<WalPos>) {
        self.len += range.end.saturating_sub(range.start);
    }

    /// An appended position is no longer needed. Gives whether it was needed until now: each counts once.
    pub fn done(&mut self, pos: WalPos) -> bool {
        let settled = self.settle(pos);
        if settled {
            self.len = self.len.saturating_sub(1);
            self.drop_settled_words();
        }
        settled
    }

    /// The lowest position still needed: everything below may be freed.
    pub fn floor(&self) -> WalPos {
        let ones = self.settled.front().map_or(0, |word| word.trailing_ones());
        self.with_gaps(self.base + u64::from(ones))
    }

    /// How many appended positions are still needed.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no appended position is needed any more.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn settle(&mut self, pos: WalPos) -> bool {
        let Some(offset) = self.without_gaps(pos).checked_sub(self.base) else {
            return false;
        };
        let word = (offset / WORD) as usize;
        if word >= self.settled.len() {
            self.settled.resize(word + 1, 0);
        }
        let bit = 1 << (offset % WORD);
        match self.settled.get_mut(word) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }

    fn drop_settled_words(&mut self) {
        while self.settled.front() == Some(&u64::MAX) {
            self.settled.pop_front();
            self.base += WORD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_gap_nobody_reported_holds_the_floor() {
        let mut positions = Outstanding::new(10);
        positions.appended(12..13);
        assert!(positions.done(12));
        assert_eq!((positions.floor(), positions.len()), (10, 0));
        positions.appended(10..12);
        assert!(positions.done(10));
        assert_eq!((positions.floor(), positions.len()), (11, 1));
        assert!(positions.done(11));
        assert_eq!((positions.floor(), positions.len()), (13, 0));
    }

    #[test]
    fn a_position_counts_once() {
        let mut positions = Outstanding::new(100);
        positions.appended(100..102);
        assert!(positions.done(101));
        assert!(!positions.done(101));
        assert!(!positions.done(3), "below the first append");
        assert_eq!((positions.floor(), positions.len()), (100, 1));
    }

    #[test]
    fn memory_follows_the_span_not_the_history() {
        let mut positions = Outstanding::new(0);
        for pos in 0..1_000_000 {
            positions.appended(pos..pos + 1);
            positions.done(pos);
        }
        assert_eq!(positions.floor(), 1_000_000);
        assert!(positions.settled.len() <= 1);
    }

    proptest! {
        /// The model: appends of several ranges reported and settled in any order, between gaps.
        #[test]
        fn agrees_with_a_plain_set(
            start in 0..200u64,
            lengths in prop::collection::vec((1..40u64, prop_oneof![3 => Just(0u64), 1 => 1..70u64, 1 => Just(1 << 48)]), 1..12),
            order: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(order);
            let mut ranges = Vec::new();
            let mut end = start;
            let mut unsettled: BTreeSet<u64> = BTreeSet::new();
            let mut positions = Outstanding::new(start);
            for (length, gap) in lengths {
                ranges.push(end..end + length);
                unsettled.extend(end..end + length);
                end += length;
                positions.skip(end..end + gap);
                end += gap;
            }
            let mut needed = BTreeSet::new();
            random.shuffle(&mut ranges);
            for range in ranges {
                positions.appended(range.clone());
                needed.extend(range);
                let mut some: Vec<u64> = needed.iter().copied().filter(|_| random.bool()).collect();
                random.shuffle(&mut some);
                for pos in some {
                    prop_assert!(positions.done(pos));
                    prop_assert!(!positions.done(pos));
                    needed.remove(&pos);
                    unsettled.remove(&pos);
                }
                prop_assert_eq!(positions.floor(), unsettled.first().copied().unwrap_or(end));
                prop_assert_eq!(positions.len(), needed.len() as u64);
            }
        }
    }
}
