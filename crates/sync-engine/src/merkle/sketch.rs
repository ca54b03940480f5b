//! A sketch of a whole set: two nodes that hold nearly the same find what differs by comparing as many of its cells as there
//! are differences, whatever the size of the sets.
//!
//! A cell holds the marks that fall into it, added up by XOR. What both sides have cancels out; where one difference is left
//! alone in a cell it can be read, and taken out of the others ([`peel`]). Any first part of the cells is a sketch, too:
//! the coded symbols of Yang, Gilad and Alizadeh (SIGCOMM 2024), of which so many are kept at hand, changed by each write.
//!
//! It holds against accident. Whoever may choose keys can choose some that do not peel: then the trees are compared.

use super::mark::{Mark, Places};
use super::node::Aggregate;
use crate::item::Leaf;
use crate::item::hash::LeafDigest;

/// Cells of a sketch: 7 MB, for up to some 45,000 marks that differ (a changed record is two, the old and the new).
pub const SKETCH_CELLS: usize = 1 << 16;

/// The first cell of each group of samples; see [`Sketch::samples`].
const SAMPLED: [usize; 11] = [
    64,
    128,
    256,
    512,
    1024,
    2048,
    4096,
    8192,
    16384,
    32768,
    SKETCH_CELLS - SAMPLES_EACH,
];

/// Samples in a group: the estimate made from them is off by a tenth, as a rule.
const SAMPLES_EACH: usize = 48;

/// Numbers in a list of samples.
pub const SKETCH_SAMPLES: usize = SAMPLED.len() * SAMPLES_EACH;

/// Fewest cells that are asked for or sent: enough for some thirty differences, and for a wrong estimate of few.
const CELLS_MIN: usize = 48;

/// Cells for each estimated difference: 1.35 to 1.7 are needed, and the estimate may be low.
const CELLS_EACH: f64 = 1.6;

/// Most estimated differences for which all cells are likely to be enough.
const DIFFERENCES_MAX: f64 = SKETCH_CELLS as f64 * 0.75;

/// The marks that fall into one place, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// How many, modulo 256: a difference of one is told by its sign.
    pub(super) count: u8,
    /// Their hashes.
    pub(super) check: u32,
    pub(super) mark: Mark,
}

impl Cell {
    fn change(&mut self, mark: &Mark, hash: u64, count: u8) {
        self.count = self.count.wrapping_add(count);
        self.check ^= hash as u32;
        self.mark.toggle(mark);
    }

    fn without(&self, other: &Self) -> Self {
        let mut left = *self;
        left.count = self.count.wrapping_sub(other.count);
        left.check ^= other.check;
        left.mark.toggle(&other.mark);
        left
    }

    /// The hash of the only mark in it, if it looks like one.
    fn alone(&self) -> Option<u64> {
        let hash = self.mark.hash();
        (matches!(self.count, 1 | u8::MAX) && self.check == hash as u32).then_some(hash)
    }
}

/// All cells of a set.
#[derive(Clone, Debug)]
pub struct Sketch {
    cells: Vec<Cell>,
    aggregate: Aggregate,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            cells: vec![Cell::default(); SKETCH_CELLS],
            aggregate: Aggregate::default(),
        }
    }
}

impl Sketch {
    /// Takes a leaf in.
    pub fn insert(&mut self, key: &[u8], leaf: &Leaf, digest: &LeafDigest) {
        self.aggregate.insert(digest);
        self.change(&Mark::new(key, leaf, digest), 1);
    }

    /// Takes a leaf out that was in.
    pub fn remove(&mut self, key: &[u8], leaf: &Leaf, digest: &LeafDigest) {
        self.aggregate.remove(digest);
        self.change(&Mark::new(key, leaf, digest), u8::MAX);
    }

    fn change(&mut self, mark: &Mark, count: u8) {
        let hash = mark.hash();
        for at in Places::of(hash) {
            let Some(cell) = self.cells.get_mut(at) else {
                return;
            };
            cell.change(mark, hash, count);
        }
    }

    /// Count and sum of the leaves that are in.
    pub fn aggregate(&self) -> &Aggregate {
        &self.aggregate
    }

    /// The first `count` cells, or all.
    pub fn first(&self, count: usize) -> &[Cell] {
        self.cells.get(..count).unwrap_or(&self.cells)
    }

    /// Up to `count` cells from this one on.
    pub fn from(&self, start: usize, count: usize) -> &[Cell] {
        let end = start.saturating_add(count).min(SKETCH_CELLS);
        self.cells.get(start..end).unwrap_or_default()
    }

    /// The checks of some cells, by which another sketch tells how much differs.
    pub fn samples(&self) -> Vec<u32> {
        let groups = SAMPLED.iter().map(|at| self.from(*at, SAMPLES_EACH));
        groups.flatten().map(|cell| cell.check).collect()
    }

    /// How many cells to send to the owner of these samples: enough, as a rule. `None`: there are too few, or no samples.
    pub fn cells_for(&self, samples: &[u32]) -> Option<usize> {
        if samples.len() != SKETCH_SAMPLES {
            return None;
        }
        let ours = self.samples();
        let equal = ours.iter().zip(samples).filter(|(a, b)| a == b).count();
        let differences = estimate(equal);
        let cells = (differences * CELLS_EACH) as usize + CELLS_MIN;
        (differences <= DIFFERENCES_MAX).then_some(cells.min(SKETCH_CELLS))
    }
}

/// How many differences leave so many samples equal, on average.
fn estimate(equal: usize) -> f64 {
    let left = |differences: f64| -> f64 {
        let equal = |at: &usize| (1.0 - 1.0 / (1.0 + *at as f64 / 2.0)).powf(differences);
        SAMPLED.iter().map(equal).sum::<f64>() * SAMPLES_EACH as f64
    };
    let (mut low, mut high) = (0.0, 4.0 * SKETCH_CELLS as f64);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        match left(middle) > equal as f64 {
            true => low = middle,
            false => high = middle,
        }
    }
    low
}

/// What differs between two sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Only they have these.
    pub theirs: Vec<Mark>,
    /// Only we have these.
    pub ours: Vec<Mark>,
}

impl Difference {
    /// Whether it leads from the one set to the other, as far as marks tell: counts, and sums to 32 bits.
    pub fn fits(&self, ours: &Aggregate, theirs: &Aggregate) -> bool {
        let sum = |marks: &[Mark]| marks.iter().fold(0u32, |sum, m| sum.wrapping_add(m.tag));
        let count = |marks: &[Mark]| marks.len() as u64;
        let counts = ours.count.wrapping_sub(count(&self.ours));
        let sums = ours.low().wrapping_sub(sum(&self.ours));
        counts.wrapping_add(count(&self.theirs)) == theirs.count
            && sums.wrapping_add(sum(&self.theirs)) == theirs.low()
    }
}

/// What differs between two sets of which these are the first cells, the same number of both. `None`: they are too few.
///
/// Ends whatever the cells are: nothing is found that is not taken out of one, and no more than there are cells.
pub fn peel(ours: &[Cell], theirs: &[Cell]) -> Option<Difference> {
    let mut cells: Vec<Cell> = theirs.iter().zip(ours).map(|(t, o)| t.without(o)).collect();
    let mut alone: Vec<usize> = (0..cells.len()).collect();
    let (mut difference, mut left) = (Difference::default(), cells.len());
    while let Some(at) = alone.pop() {
        let cell = *cells.get(at)?;
        let Some(hash) = cell.alone() else { continue };
        left = left.checked_sub(1)?;
        match cell.count {
            1 => difference.theirs.push(cell.mark),
            _ => difference.ours.push(cell.mark),
        }
        for place in Places::of(hash) {
            let Some(other) = cells.get_mut(place) else {
                break;
            };
            other.change(&cell.mark, hash, cell.count.wrapping_neg());
            if other.alone().is_some() {
                alone.push(place);
            }
        }
    }
    let is_empty = |cell: &Cell| *cell == Cell::default();
    cells.iter().all(is_empty).then_some(difference)
}

#[cfg(test)]
mod tests;
