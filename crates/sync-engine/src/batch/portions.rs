//! Which part of a batch is tried next after some of it was refused. Pure.

use std::ops::Range;

/// A batch that is tried in parts, until every write that is refused stands alone and all others are stored.
#[derive(Debug)]
pub struct Portions {
    /// What is left to try, the next one last.
    open: Vec<Range<usize>>,
    /// Where the suspects begin.
    suspects: usize,
    /// How many more may turn out to be refused before the rest is left for another time.
    alone_left: usize,
}

impl Portions {
    /// A batch of `len` writes. The last `suspects` of them were refused before: each is tried alone, after the others. Once
    /// `alone_max` others are found to be refused, what is left of them is not tried any more: it may be all of them.
    pub fn new(len: usize, suspects: usize, alone_max: usize) -> Self {
        let others = len.saturating_sub(suspects);
        let mut open: Vec<Range<usize>> = (others..len).rev().map(|at| at..at + 1).collect();
        if others > 0 {
            open.push(0..others);
        }
        Self {
            open,
            suspects: others,
            alone_left: alone_max,
        }
    }

    /// The part to try next.
    pub fn next_part(&mut self) -> Option<Range<usize>> {
        self.open.pop()
    }

    /// The part was refused: tries its halves, unless it is a single write.
    pub fn refused(&mut self, part: Range<usize>) {
        if part.len() > 1 {
            let middle = part.start + part.len() / 2;
            self.open.push(middle..part.end);
            self.open.push(part.start..middle);
            return;
        }
        if part.start < self.suspects {
            self.alone_left = self.alone_left.saturating_sub(1);
        }
        if self.alone_left == 0 {
            self.open.retain(|part| part.start >= self.suspects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What is stored, what is found to be refused, and in how many tries.
    fn run(mut portions: Portions, bad: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>, usize) {
        let (mut stored, mut alone, mut tries) = (Vec::new(), Vec::new(), 0);
        while let Some(part) = portions.next_part() {
            tries += 1;
            if !part.clone().any(|at| bad.contains(&at)) {
                stored.extend(part);
                continue;
            }
            if part.len() == 1 {
                alone.push(part.start);
            }
            portions.refused(part);
        }
        (stored, alone, tries)
    }

    proptest! {
        #[test]
        fn every_write_is_stored_or_found_to_be_refused(
            len in 0..300usize, suspects in 0..20usize, bad in prop::collection::btree_set(0..300usize, 0..10),
        ) {
            let suspects = suspects.min(len);
            let bad: BTreeSet<usize> = bad.into_iter().filter(|at| *at < len).collect();
            let (mut stored, alone, tries) = run(Portions::new(len, suspects, usize::MAX), &bad);
            prop_assert_eq!(&alone, &bad.iter().copied().collect::<Vec<_>>());
            stored.extend(alone);
            stored.sort_unstable();
            prop_assert_eq!(stored, (0..len).collect::<Vec<_>>());
            prop_assert!(tries <= 1 + suspects + bad.len() * 2 * 9, "{} tries", tries);
        }

        #[test]
        fn where_all_are_refused_the_rest_is_left_alone(len in 1..5_000usize, suspects in 0..5usize) {
            let bad = (0..len).collect();
            let (stored, alone, tries) = run(Portions::new(len, suspects.min(len), 8), &bad);
            prop_assert!(stored.is_empty());
            prop_assert!(alone.len() <= 8 + suspects);
            prop_assert!(tries <= 8 * 13 + suspects, "{} tries", tries);
        }
    }
}
