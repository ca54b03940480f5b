//! Arithmetic of byte prefixes.

use crate::l3::KeyRange;

/// Length of the longest common prefix.
pub fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// What remains of `outer` when the keys under each of `holes` are left out. Holes are disjoint, ascending prefixes.
pub fn gaps<'a>(outer: &KeyRange, holes: impl Iterator<Item = &'a [u8]>) -> Vec<KeyRange> {
    let mut gaps = Vec::new();
    let mut start = outer.start.clone();
    for hole in holes {
        if start[..] < *hole {
            gaps.push(KeyRange {
                start,
                end: Some(hole.to_vec()),
            });
        }
        match KeyRange::prefix(hole).end {
            Some(end) => start = end,
            None => return gaps,
        }
    }
    if outer.end.as_ref().is_none_or(|end| start < *end) {
        gaps.push(KeyRange {
            start,
            end: outer.end.clone(),
        });
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gaps_and_holes_are_the_whole(
            outer in prop::collection::vec(0..3u8, 0..3),
            holes in prop::collection::btree_set(prop::collection::vec(prop_oneof![0..3u8, Just(255)], 1..4), 0..5),
            key in prop::collection::vec(prop_oneof![0..3u8, Just(255)], 0..7),
        ) {
            let mut disjoint: Vec<Vec<u8>> = Vec::new();
            for hole in holes {
                let hole = [outer.clone(), hole].concat();
                if disjoint.last().is_none_or(|last| !hole.starts_with(last)) {
                    disjoint.push(hole);
                }
            }
            let range = KeyRange::prefix(&outer);
            let gaps = gaps(&range, disjoint.iter().map(Vec::as_slice));
            let inside = gaps.iter().filter(|gap| gap.contains(&key)).count();
            let holed = disjoint.iter().any(|hole| key.starts_with(hole));
            prop_assert_eq!(inside, usize::from(range.contains(&key) && !holed));
        }
    }
}
