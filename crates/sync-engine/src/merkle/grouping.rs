//! Divides a sorted list of nodes and leaves into groups.

use std::collections::BinaryHeap;
use std::ops::Range;

use super::node::Aggregate;
use super::prefix::shared_len;
use super::summary::{Detail, Group, ShortLeaf, Summary};
use crate::item::Leaf;
use crate::item::key::Key;

/// A part of the answer, as far as it is known.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// Keys known by their sum.
    Sum(Vec<u8>, Aggregate),
    /// A key.
    Leaf(Key, Leaf),
}

impl Part {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sum(prefix, _) => prefix,
            Self::Leaf(key, _) => key.as_bytes(),
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Sum(_, aggregate) => aggregate.count,
            Self::Leaf(..) => 1,
        }
    }

    fn add_to(&self, total: &mut Aggregate) {
        match self {
            Self::Sum(_, aggregate) => total.merge(aggregate),
            Self::Leaf(key, leaf) => total.insert(&leaf.digest(key.as_bytes())),
        }
    }
}

/// Parts with a common prefix that no other part has.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    count: u64,
    start: usize,
    end: usize,
}

impl Run {
    fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Divides the parts: the largest group first, as long as the number of groups allows it.
struct Grouping<'a> {
    parts: &'a [Part],
    open: BinaryHeap<Run>,
    done: Vec<Run>,
}

impl Grouping<'_> {
    fn run(&self, range: Range<usize>) -> Run {
        Run {
            count: self.parts[range.clone()].iter().map(Part::count).sum(),
            start: range.start,
            end: range.end,
        }
    }

    /// Length of the longest common prefix of the parts, which are sorted.
    fn shared(&self, range: Range<usize>) -> usize {
        match &self.parts[range] {
            [] => 0,
            [only] => only.bytes().len(),
            [first, .., last] => shared_len(first.bytes(), last.bytes()),
        }
    }

    /// The run by the byte that follows the common prefix; itself alone if it cannot be divided.
    fn divide(&self, run: &Run) -> Vec<Run> {
        let parts = &self.parts[run.range()];
        let shared = self.shared(run.range());
        let whole = |part: &Part| matches!(part, Part::Sum(prefix, _) if prefix.len() == shared);
        if parts.len() < 2
            || parts
                .iter()
                .take_while(|p| p.bytes().len() == shared)
                .any(whole)
        {
            return vec![self.run(run.range())];
        }
        let mut runs = Vec::new();
        let mut start = run.start;
        for same in parts.chunk_by(|a, b| a.bytes().get(shared) == b.bytes().get(shared)) {
            runs.push(self.run(start..start + same.len()));
            start += same.len();
        }
        runs
    }

    fn divide_all(&mut self, groups_max: usize, leaves_max: u64) {
        let top = self.run(0..self.parts.len());
        self.open.extend(self.divide(&top));
        while let Some(run) = self.open.pop() {
            let fits = self.open.len() + self.done.len() + 1;
            let runs = match run.count > leaves_max {
                true => self.divide(&run),
                false => Vec::new(),
            };
            if runs.len() > 1 && fits + runs.len() - 1 <= groups_max {
                self.open.extend(runs);
            } else {
                self.done.push(run);
            }
        }
        self.done.sort_unstable_by_key(|run| run.start);
    }
}

/// Groups of the parts as parts again, at most about `groups_max`.
pub(super) fn condense(parts: Vec<Part>, groups_max: usize) -> Vec<Part> {
    divided(&parts, groups_max, 1)
        .into_iter()
        .map(|(prefix, range)| match &parts[range] {
            [only] => only.clone(),
            many => Part::Sum(prefix, total(many)),
        })
        .collect()
}

/// The answer that these parts make. Sorts them.
pub(super) fn summary_of(mut parts: Vec<Part>, detail: Detail) -> Summary {
    parts.sort_by(|a, b| a.bytes().cmp(b.bytes()));
    let leaves_max = u64::from(detail.leaves_max);
    let mut summary = Summary::default();
    let is_short =
        parts.len() as u64 <= leaves_max && parts.iter().all(|p| matches!(p, Part::Leaf(..)));
    let runs = match is_short {
        true => (0..parts.len())
            .map(|at| (Vec::new(), at..at + 1))
            .collect(),
        false => divided(&parts, usize::from(detail.groups_max), leaves_max),
    };
    for (prefix, range) in runs {
        match &parts[range] {
            [Part::Leaf(key, leaf)] => summary.leaves.push((key.clone(), ShortLeaf::from(leaf))),
            many => summary.groups.push(Group::new(prefix, &total(many))),
        }
    }
    summary
}

fn divided(parts: &[Part], groups_max: usize, leaves_max: u64) -> Vec<(Vec<u8>, Range<usize>)> {
    let mut grouping = Grouping {
        parts,
        open: BinaryHeap::new(),
        done: Vec::new(),
    };
    if parts.is_empty() {
        return Vec::new();
    }
    grouping.divide_all(groups_max, leaves_max);
    let prefix = |run: &Run| {
        let shared = grouping.shared(run.range());
        parts[run.start].bytes()[..shared].to_vec()
    };
    grouping
        .done
        .iter()
        .map(|run| (prefix(run), run.range()))
        .collect()
}

fn total(parts: &[Part]) -> Aggregate {
    let mut total = Aggregate::default();
    parts.iter().for_each(|part| part.add_to(&mut total));
    total
}
