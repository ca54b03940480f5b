//! The one merge function: last writer wins, by stamp.

use super::Leaf;

/// What to do with a write that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Theirs wins: store it.
    Take,
    /// Ours wins: drop theirs.
    Keep,
    /// Both are the same write.
    Same,
}

/// Which of two writes of one key survives. Commutative, associative and idempotent.
///
/// The greater stamp wins. Equal stamps with different content cannot come from a correct node
/// (see [`is_collision`]); then a live item beats a tombstone and the greater content hash wins, so that all replicas still agree.
pub fn decide(ours: Option<&Leaf>, theirs: &Leaf) -> Decision {
    let Some(ours) = ours else {
        return Decision::Take;
    };
    match (theirs.stamp, theirs.hash).cmp(&(ours.stamp, ours.hash)) {
        std::cmp::Ordering::Greater => Decision::Take,
        std::cmp::Ordering::Equal => Decision::Same,
        std::cmp::Ordering::Less => Decision::Keep,
    }
}

/// Equal stamps with different content: a bug somewhere in the mesh, worth an alarm.
pub fn is_collision(a: &Leaf, b: &Leaf) -> bool {
    a.stamp == b.stamp && a.hash != b.hash
}

#[cfg(test)]
mod tests {
    use super::super::hash::ContentHash;
    use super::super::stamp::{HlcTime, Origin, Stamp};
    use super::*;
    use proptest::prelude::*;

    fn leaf() -> impl Strategy<Value = Leaf> {
        (0..4u64, 0..3u64, prop::option::of(0..3u8)).prop_map(|(time, origin, hash)| Leaf {
            stamp: Stamp {
                time: HlcTime(time),
                origin: Origin::from_raw(origin),
            },
            hash: hash.map(|b| ContentHash([b; 32])),
        })
    }

    fn merge(ours: Option<Leaf>, theirs: Leaf) -> Option<Leaf> {
        match decide(ours.as_ref(), &theirs) {
            Decision::Take => Some(theirs),
            Decision::Keep | Decision::Same => ours,
        }
    }

    proptest! {
        #[test]
        fn merge_is_a_join(a in leaf(), b in leaf(), c in leaf()) {
            let of = |xs: &[Leaf]| xs.iter().fold(None, |ours, x| merge(ours, *x));
            prop_assert_eq!(of(&[a, b]), of(&[b, a]));
            prop_assert_eq!(of(&[a, a]), of(&[a]));
            prop_assert_eq!(of(&[a, b, c]), of(&[c, a, b]));
            prop_assert_eq!(of(&[a, b, c]), of(&[b, c, a]));
        }
    }
}
