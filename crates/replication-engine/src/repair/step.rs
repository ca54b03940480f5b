//! What a comparison decides. Pure.

use sync_engine::Key;
use sync_engine::item::Leaf;
use sync_engine::item::decide::Decision;
use sync_engine::merkle::ShortLeaf;
use sync_engine::merkle::mark::Mark;
use sync_engine::merkle::node::Aggregate;

use crate::limits::{BOOTSTRAP_LEAVES_MIN, MOVING_CYCLES_MAX};

/// Two roots, taken at about the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Ours.
    pub ours: String,
    /// The peer's: published, or asked for; `None`: none is published yet.
    pub theirs: Option<String>,
}

impl Roots {
    /// Whether both sets are the same.
    pub fn are_equal(&self) -> bool {
        self.theirs.as_ref() == Some(&self.ours)
    }
}

/// What two looks at the roots, a moment apart, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The sets are the same.
    InSync,
    /// They differ and are changing: the hot path is at work, look again later.
    Moving,
    /// They differ: compare.
    Differ,
}

/// Judges two looks. `moving_before`: how many comparisons in a row ended with [`Look::Moving`]; `is_forced`: something is
/// known to be missing.
pub fn look(first: &Roots, second: &Roots, moving_before: u32, is_forced: bool) -> Look {
    match (second.are_equal(), first == second) {
        (true, _) => Look::InSync,
        (false, true) => Look::Differ,
        (false, false) if is_forced || moving_before >= MOVING_CYCLES_MAX => Look::Differ,
        (false, false) => Look::Moving,
    }
}

/// Where a fill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Not begun, or ended.
    Idle,
    /// Begun, and not ended: it is gone on with.
    UnderWay,
    /// The last one could not go on. What is missing is to be found by comparing.
    Stuck,
}

/// How to make up a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// There is none.
    Equal,
    /// The peer has nothing to give.
    Nothing,
    /// Go down the tree.
    Descend,
    /// Take everything the peer has, in key order.
    Fill,
}

/// Chooses the way. A fill that was begun is ended, as long as it goes on.
pub fn way(ours: &Aggregate, theirs: &Aggregate, fill: Fill) -> Way {
    let is_far_behind = theirs.count.saturating_sub(ours.count) >= BOOTSTRAP_LEAVES_MIN
        && theirs.count / 4 >= ours.count;
    match fill {
        _ if ours == theirs => Way::Equal,
        _ if theirs.count == 0 => Way::Nothing,
        Fill::Stuck => Way::Descend,
        Fill::UnderWay => Way::Fill,
        Fill::Idle if ours.count == 0 || is_far_behind => Way::Fill,
        Fill::Idle => Way::Descend,
    }
}

/// What is known of the peer's write of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// By a summary.
    Leaf(ShortLeaf),
    /// By a sketch.
    Mark(Mark),
}

impl Told {
    fn is_ahead_of(&self, key: &Key, ours: Option<&Leaf>) -> bool {
        match self {
            Self::Leaf(theirs) => theirs.against(ours) == Decision::Take,
            Self::Mark(theirs) => theirs.is_ahead_of(key.as_bytes(), ours),
        }
    }
}

/// Those keys for which the peer is ahead of these leaves of ours.
pub fn ahead(told: Vec<(Key, Told)>, ours: &[Option<Leaf>]) -> Vec<(Key, Told)> {
    let pairs = told.into_iter().zip(ours);
    let ahead = pairs.filter(|((key, theirs), ours)| theirs.is_ahead_of(key, ours.as_ref()));
    ahead.map(|(told, _)| told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_engine::ContentHash;
    use sync_engine::item::stamp::{HlcTime, Origin, Stamp};

    fn roots(ours: &str, theirs: &str) -> Roots {
        Roots {
            ours: ours.into(),
            theirs: Some(theirs.into()),
        }
    }

    fn aggregate(count: u64) -> Aggregate {
        let mut aggregate = Aggregate::default();
        for n in 0..count {
            let stamp = Stamp {
                time: HlcTime(n),
                origin: Origin::from_raw(2),
            };
            let hash = Some(ContentHash::of(b""));
            aggregate.insert(&Leaf { stamp, hash }.digest(&n.to_be_bytes()));
        }
        aggregate
    }

    #[test]
    fn only_a_still_difference_is_compared() {
        let same = roots("a", "a");
        let differ = roots("a", "b");
        assert_eq!(look(&differ, &same, 0, true), Look::InSync);
        assert_eq!(look(&differ, &differ, 0, false), Look::Differ);
        assert_eq!(look(&differ, &roots("a", "c"), 0, false), Look::Moving);
        assert_eq!(look(&differ, &roots("a", "c"), 0, true), Look::Differ);
        assert_eq!(
            look(&differ, &roots("a", "c"), MOVING_CYCLES_MAX, false),
            Look::Differ
        );
    }

    #[test]
    fn i5_an_empty_peer_gives_nothing_and_takes_nothing() {
        let way = |ours, theirs, fill| way(&aggregate(ours), &aggregate(theirs), fill);
        assert_eq!(way(9, 0, Fill::Idle), Way::Nothing);
        assert_eq!(way(0, 9, Fill::Idle), Way::Fill);
        assert_eq!(way(8, 9, Fill::Idle), Way::Descend);
        assert_eq!(way(8, 9, Fill::UnderWay), Way::Fill);
        assert_eq!(way(9, 9, Fill::UnderWay), Way::Equal);
        assert_eq!(way(500, 2600, Fill::Idle), Way::Fill);
        assert_eq!(way(0, 2600, Fill::Stuck), Way::Descend);
    }

    #[test]
    fn only_keys_for_which_the_peer_is_still_ahead_are_fetched() {
        let leaf = |ms| Leaf {
            stamp: Stamp {
                time: HlcTime::from_ms(ms),
                origin: Origin::from_raw(2),
            },
            hash: Some(ContentHash::of(b"")),
        };
        let keys = ["newer", "same", "older", "unknown"].map(Key::from);
        let ours = [Some(leaf(4)), Some(leaf(5)), Some(leaf(6)), None];
        let by_leaf = |_: &Key| Told::Leaf(ShortLeaf::from(&leaf(5)));
        let by_mark = |key: &Key| {
            let digest = leaf(5).digest(key.as_bytes());
            Told::Mark(Mark::new(key.as_bytes(), &leaf(5), &digest))
        };
        for told in [&by_leaf as &dyn Fn(&Key) -> Told, &by_mark] {
            let found = keys.iter().map(|key| (key.clone(), told(key))).collect();
            let ahead = ahead(found, &ours).into_iter().map(|(key, _)| key);
            assert!(ahead.eq(["newer", "unknown"].map(Key::from)));
        }
    }
}
