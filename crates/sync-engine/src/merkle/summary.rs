//! What a peer is told about a prefix.

use super::node::Aggregate;
use crate::item::Leaf;
use crate::item::decide::Decision;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::limits;

/// How fine an answer should be. The asker wishes, the answerer bounds it ([`Detail::bounded`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// About how many groups at most. The first division of a prefix is always made, up to 256 ways.
    pub groups_max: u16,
    /// A prefix of at most this many keys is answered as a list of keys.
    pub leaves_max: u16,
}

impl Detail {
    /// The finest answer: fewest round trips, most bytes.
    pub const FINEST: Self = Self {
        groups_max: limits::TREE_GROUPS_MAX as u16,
        leaves_max: limits::TREE_LEAVES_MAX as u16,
    };

    /// For many questions at once: fewer bytes for each difference, a round trip more.
    pub const COARSE: Self = Self {
        groups_max: 16,
        leaves_max: 16,
    };

    /// A peer's wish within the limits of this engine.
    pub fn bounded(self) -> Self {
        Self {
            groups_max: self.groups_max.clamp(2, Self::FINEST.groups_max),
            leaves_max: self.leaves_max.min(Self::FINEST.leaves_max),
        }
    }
}

/// The keys under a prefix, told as groups and single keys: each key is in exactly one of them.
///
/// Groups come in the order of their prefixes and do not overlap; leaves come in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sets of keys, each told by its aggregate.
    pub groups: Vec<Group>,
    /// Keys told one by one.
    pub leaves: Vec<(Key, ShortLeaf)>,
}

/// The keys that begin with a prefix. Groups are equal exactly when count and hash are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Longer than the prefix that was asked about.
    pub prefix: Vec<u8>,
    /// How many keys, tombstones among them.
    pub count: u64,
    /// Short hash of the aggregate.
    pub hash: [u8; 16],
}

impl Group {
    /// The group of this prefix.
    pub fn new(prefix: Vec<u8>, aggregate: &Aggregate) -> Self {
        Self {
            prefix,
            count: aggregate.count,
            hash: aggregate.hash().short(),
        }
    }
}

/// A leaf with the first 8 bytes of its content hash.
///
/// Stamps alone order writes; the hash is needed only where equal stamps have different contents, which is a fault already.
/// There the short hash decides as the whole one would, unless the contents agree in it too (1 in 2⁶⁴).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShortLeaf {
    /// The write's stamp.
    pub stamp: Stamp,
    /// The beginning of the content hash; `None` for a tombstone.
    pub hash: Option<[u8; 8]>,
}

impl From<&Leaf> for ShortLeaf {
    fn from(leaf: &Leaf) -> Self {
        let shorten = |hash: [u8; 32]| {
            let mut short = [0; 8];
            short.copy_from_slice(&hash[..8]);
            short
        };
        Self {
            stamp: leaf.stamp,
            hash: leaf.hash.map(|hash| shorten(hash.0)),
        }
    }
}

impl ShortLeaf {
    /// [`crate::item::decide::decide`] with this leaf as theirs.
    pub fn against(&self, ours: Option<&Leaf>) -> Decision {
        let Some(ours) = ours.map(Self::from) else {
            return Decision::Take;
        };
        match (self.stamp, self.hash).cmp(&(ours.stamp, ours.hash)) {
            std::cmp::Ordering::Greater => Decision::Take,
            std::cmp::Ordering::Equal => Decision::Same,
            std::cmp::Ordering::Less => Decision::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::decide::decide;
    use crate::item::hash::ContentHash;
    use crate::item::stamp::{HlcTime, Origin};
    use proptest::prelude::*;

    fn leaf() -> impl Strategy<Value = Leaf> {
        (0..3u64, 0..3u64, prop::option::of(0..3u8)).prop_map(|(time, origin, hash)| Leaf {
            stamp: Stamp {
                time: HlcTime(time),
                origin: Origin::from_raw(origin),
            },
            hash: hash.map(|b| ContentHash([b; 32])),
        })
    }

    proptest! {
        #[test]
        fn a_short_leaf_decides_as_the_whole_one(ours in prop::option::of(leaf()), theirs in leaf()) {
            prop_assert_eq!(ShortLeaf::from(&theirs).against(ours.as_ref()), decide(ours.as_ref(), &theirs));
        }
    }
}
