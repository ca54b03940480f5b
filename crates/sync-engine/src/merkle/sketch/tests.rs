use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::item::hash::ContentHash;
use crate::item::stamp::{HlcTime, Origin, Stamp};

fn leaf(n: usize, round: u64) -> Leaf {
    Leaf {
        stamp: Stamp {
            time: HlcTime((1_700_000_000_000 + n as u64 * 7) << 16 | round),
            origin: Origin::from_raw(2),
        },
        hash: Some(ContentHash::of(b"")),
    }
}

fn key(n: usize) -> Vec<u8> {
    format!("uk.nhs.{n:06}").into_bytes()
}

fn put(sketch: &mut Sketch, n: usize, round: u64) {
    let (key, leaf) = (key(n), leaf(n, round));
    sketch.insert(&key, &leaf, &leaf.digest(&key));
}

fn take(sketch: &mut Sketch, n: usize, round: u64) {
    let (key, leaf) = (key(n), leaf(n, round));
    sketch.remove(&key, &leaf, &leaf.digest(&key));
}

/// Two sketches of `common` leaves, of which they have written the first `changed` again, and we have `alone` more.
fn pair(common: usize, changed: usize, alone: usize) -> (Sketch, Sketch) {
    let mut ours = Sketch::default();
    (0..common).for_each(|n| put(&mut ours, n, 0));
    let mut theirs = ours.clone();
    for n in 0..changed {
        take(&mut theirs, n, 0);
        put(&mut theirs, n, 1);
    }
    (common..common + alone).for_each(|n| put(&mut ours, n, 0));
    (ours, theirs)
}

fn keys(marks: &[Mark]) -> BTreeSet<Vec<u8>> {
    marks.iter().map(Mark::key).collect()
}

#[test]
fn differences_are_found_in_as_many_cells_as_are_sent() {
    for (changed, alone) in [(0, 0), (1, 0), (0, 1), (30, 10), (500, 20), (2_000, 0)] {
        let (ours, theirs) = pair(5_000, changed, alone);
        let cells = theirs.cells_for(&ours.samples()).unwrap();
        let differ = 2 * changed + alone;
        assert!(
            cells <= differ * 5 / 2 + 2 * CELLS_MIN,
            "{cells} cells for {differ}"
        );
        let found = peel(ours.first(cells), theirs.first(cells)).unwrap();
        assert_eq!(keys(&found.theirs), (0..changed).map(key).collect());
        assert_eq!(found.ours.len(), changed + alone);
        assert!(found.fits(ours.aggregate(), theirs.aggregate()));
        assert!(found.fits(&Aggregate::default(), theirs.aggregate()) == (5_000 + alone == 0));
    }
}

#[test]
fn too_few_cells_and_too_many_differences_are_told() {
    let (ours, theirs) = pair(2_000, 1_000, 0);
    assert_eq!(peel(ours.first(1_500), theirs.first(1_500)), None);
    let mut other = Sketch::default();
    (100_000..170_000).for_each(|n| put(&mut other, n, 0));
    assert_eq!(other.cells_for(&ours.samples()), None);
    assert_eq!(other.cells_for(&[]), None);
}

#[test]
fn a_sketch_follows_the_set_in_any_order() {
    let (mut ours, theirs) = pair(300, 200, 0);
    for n in (0..200).rev() {
        put(&mut ours, n, 1);
        take(&mut ours, n, 0);
    }
    assert_eq!(ours.cells, theirs.cells);
    assert_eq!(ours.aggregate(), theirs.aggregate());
}

proptest! {
    #[test]
    fn i12_any_cells_are_peeled_or_not_and_that_ends(
        cells in prop::collection::vec((0..3u8, any::<bool>(), 0..4u32, 0..3u64, prop::option::of(0..4u8)), 0..64)
    ) {
        let cell = |(count, is_sound, tag, time, key): (u8, bool, u32, u64, Option<u8>)| {
            let mut mark = Mark { tag, time, ..Mark::default() };
            mark.put_key_byte(0, key.unwrap_or(0));
            let check = if is_sound { mark.hash() as u32 } else { tag };
            Cell { count: count.wrapping_sub(1), check, mark }
        };
        let cells: Vec<Cell> = cells.into_iter().map(cell).collect();
        let none = vec![Cell::default(); cells.len()];
        if let Some(found) = peel(&none, &cells) {
            prop_assert!(found.theirs.len() + found.ours.len() <= cells.len());
        }
    }
}
