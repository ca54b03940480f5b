//! Which positions of the log are still needed.

use std::collections::VecDeque;
use std::ops::Range;

use super::WalPos;

/// Positions in one word of the set.
const WORD: u64 = 64;

/// The positions that must stay in the log, because what they hold is not yet stored and published.
///
/// A position is settled once, by [`done`](Self::done). A position nobody has reported counts as needed; so whoever appends reports each record, also when its own caller went away.
///
/// One bit and the size of its record for each position between the floor and the highest reported one.
#[derive(Clone, Debug)]
pub struct Outstanding {
    /// The lowest position that is not settled, as a number among those that are not in a gap.
    low: u64,
    /// The words from that of `low` on. A position past the last word is not settled.
    words: VecDeque<Word>,
    /// How many were appended and not settled.
    len: u64,
    /// Bytes of the records appended at `low` and above.
    bytes: u64,
    /// Ranges that hold no record, ascending: the gaps that repairs leave. They may be huge, so that they have no bits: the others are
    /// counted without them.
    gaps: Vec<Range<WalPos>>,
}

/// [`WORD`] positions.
#[derive(Clone, Copy, Debug)]
struct Word {
    /// Set bit: settled.
    settled: u64,
    /// Bytes of the record at each position; 0 before it is reported.
    sizes: [u32; WORD as usize],
}

impl Word {
    const NEW: Self = Self {
        settled: 0,
        sizes: [0; WORD as usize],
    };
}

impl Outstanding {
    /// Nothing is needed below `next`, the position of the first append.
    pub fn new(next: WalPos) -> Self {
        Self {
            low: next,
            words: VecDeque::new(),
            len: 0,
            bytes: 0,
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

    /// A record of so many bytes was written at this position and is needed. In any order, each once.
    pub fn appended(&mut self, pos: WalPos, bytes: usize) {
        self.len += 1;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Below the floor it was settled before it was reported.
        if let Some((word, at)) = self.place(pos) {
            word.sizes[at] = bytes;
            self.bytes += u64::from(bytes);
        }
    }

    /// An appended position is no longer needed. Gives whether it was needed until now: each counts once.
    pub fn done(&mut self, pos: WalPos) -> bool {
        let is_new = self.place(pos).is_some_and(|(word, at)| {
            let before = word.settled;
            word.settled |= 1 << at;
            word.settled != before
        });
        if is_new {
            self.len = self.len.saturating_sub(1);
            self.raise_floor();
        }
        is_new
    }

    /// The lowest position still needed: everything below may be freed.
    pub fn floor(&self) -> WalPos {
        self.with_gaps(self.low)
    }

    /// Positions from the floor up to `next`, whether needed or not; gaps are not counted.
    pub fn span(&self, next: WalPos) -> u64 {
        self.without_gaps(next).saturating_sub(self.low)
    }

    /// Bytes of the records reported at the floor and above, whether needed or not.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many appended positions are still needed.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no appended position is needed any more.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The word of a position and its place there, which is less than [`WORD`]; `None` below the floor.
    fn place(&mut self, pos: WalPos) -> Option<(&mut Word, usize)> {
        let number = self.without_gaps(pos);
        if number < self.low {
            return None;
        }
        let at = (number / WORD - self.low / WORD) as usize;
        if at >= self.words.len() {
            self.words.resize(at + 1, Word::NEW);
        }
        Some((self.words.get_mut(at)?, (number % WORD) as usize))
    }

    fn raise_floor(&mut self) {
        while let Some(word) = self.words.front() {
            let at = (self.low % WORD) as usize;
            if word.settled & (1 << at) == 0 {
                break;
            }
            self.bytes -= u64::from(word.sizes[at]);
            self.low += 1;
            if at + 1 == WORD as usize {
                self.words.pop_front();
            }
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
        positions.appended(12, 1);
        assert!(positions.done(12));
        assert_eq!((positions.floor(), positions.len()), (10, 0));
        positions.appended(10, 1);
        positions.appended(11, 1);
        assert!(positions.done(10));
        assert_eq!((positions.floor(), positions.len()), (11, 1));
        assert!(positions.done(11));
        assert_eq!((positions.floor(), positions.len()), (13, 0));
    }

    #[test]
    fn a_position_counts_once() {
        let mut positions = Outstanding::new(100);
        positions.appended(100, 1);
        positions.appended(101, 1);
        assert!(positions.done(101));
        assert!(!positions.done(101));
        assert!(!positions.done(3), "below the first append");
        assert_eq!((positions.floor(), positions.len()), (100, 1));
    }

    #[test]
    fn memory_follows_the_span_not_the_history() {
        let mut positions = Outstanding::new(0);
        for pos in 0..1_000_000 {
            positions.appended(pos, 1);
            positions.done(pos);
        }
        assert_eq!(positions.floor(), 1_000_000);
        assert!(positions.words.len() <= 1);
        assert_eq!(positions.bytes(), 0);
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
            let (mut unsettled, mut reported) = (BTreeSet::new(), BTreeSet::new());
            let mut positions = Outstanding::new(start);
            for (length, gap) in lengths {
                ranges.push(end..end + length);
                unsettled.extend(end..end + length);
                end += length;
                positions.skip(end..end + gap);
                end += gap;
            }
            let all = unsettled.clone();
            let mut needed = BTreeSet::new();
            random.shuffle(&mut ranges);
            for range in ranges {
                range.clone().for_each(|pos| positions.appended(pos, pos as usize % 100));
                reported.extend(range.clone());
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
                let floor = positions.floor();
                prop_assert_eq!(positions.bytes(), reported.range(floor..).map(|pos| pos % 100).sum::<u64>());
                prop_assert_eq!(positions.span(end), all.range(floor..).count() as u64);
            }
        }
    }
}
