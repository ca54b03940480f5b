//! What flows: an item, or the tombstone of one, with the stamp that orders it.

pub mod key;

pub mod hash;

pub mod stamp;

pub mod clock;

pub mod options;

pub mod decide;

pub mod codec;

mod sync_item;

pub(crate) use sync_item::DEFAULT_STATE;
pub use sync_item::{ContentType, ItemFields, SyncItem};

use hash::{ContentHash, LeafDigest};
use key::Key;
use stamp::Stamp;

/// One accepted write of one key: a live item, or the tombstone of a delete. Both carry a stamp.
///
/// It is what every tier stores and what replicas exchange. Cloning copies no payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// The key holds this item.
    Live(SyncItem),
    /// The key was deleted at this stamp. Absence without a tombstone means nothing.
    Tombstone {
        /// The deleted key.
        key: Key,
        /// When, and by whom.
        stamp: Stamp,
    },
}

impl Stored {
    /// The key this write is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Live(item) => &item.object_id,
            Self::Tombstone { key, .. } => key,
        }
    }

    /// The stamp that orders this write among all writes of its key.
    pub fn stamp(&self) -> Stamp {
        match self {
            Self::Live(item) => item.stamp,
            Self::Tombstone { stamp, .. } => *stamp,
        }
    }

    /// The item, unless this is a tombstone. Says nothing of expiry: see [`Stored::live_at`].
    pub fn item(&self) -> Option<&SyncItem> {
        match self {
            Self::Live(item) => Some(item),
            Self::Tombstone { .. } => None,
        }
    }

    /// The item as a reader at `now_ms` sees it: `None` for a tombstone and for an item past its `expires_at`.
    pub fn live_at(&self, now_ms: i64) -> Option<&SyncItem> {
        self.item().filter(|item| !item.is_expired(now_ms))
    }

    /// What the Merkle tree and the merge need to know of this write.
    pub fn leaf(&self) -> Leaf {
        match self {
            Self::Live(item) => Leaf {
                stamp: item.stamp,
                hash: Some(item.content_hash),
            },
            Self::Tombstone { stamp, .. } => Leaf {
                stamp: *stamp,
                hash: None,
            },
        }
    }

    /// Bytes of key and payload; the measure for batches and budgets.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Live(item) => item.size_bytes(),
            Self::Tombstone { key, .. } => key.len(),
        }
    }

    /// Whether the archive (L3) holds this write, and with it the tree and the peers.
    pub fn is_archived(&self) -> bool {
        match self {
            Self::Live(item) => item.submit_options.sql,
            Self::Tombstone { .. } => true,
        }
    }
}

/// The identity of one write without its payload: what replicas compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leaf {
    /// The write's stamp.
    pub stamp: Stamp,
    /// Content hash of a live item; `None` for a tombstone.
    pub hash: Option<ContentHash>,
}

impl Leaf {
    /// The digest that stands for this write in the Merkle sums.
    pub fn digest(&self, key: &[u8]) -> LeafDigest {
        LeafDigest::of(key, self)
    }
}
