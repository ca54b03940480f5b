//! The keys that are no items: the change stream, the tree's root, the questions of peers.

use sync_engine::cdc::keys::SpecialKeys;

/// What lives under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// An item of the engine, or none.
    Item,
    /// The change stream: read only.
    Changes,
    /// The root of the Merkle tree, a string: read only.
    Root,
    /// A stream of questions or answers of peers.
    Mail,
}

impl Place {
    /// Whether a stream may live here.
    pub(super) fn holds_streams(self) -> bool {
        matches!(self, Place::Changes | Place::Mail)
    }
}

/// The special keys of this node, ready to compare.
#[derive(Debug)]
pub(super) struct Places {
    keys: SpecialKeys,
    changes: String,
    root: String,
}

impl Places {
    pub(super) fn new(keys: SpecialKeys) -> Self {
        Places {
            changes: keys.cdc(),
            root: keys.merkle_root(),
            keys,
        }
    }

    /// What lives under `key`.
    pub(super) fn of(&self, key: &[u8]) -> Place {
        if !self.keys.contains(key) {
            Place::Item
        } else if key == self.changes.as_bytes() {
            Place::Changes
        } else if key == self.root.as_bytes() {
            Place::Root
        } else {
            Place::Mail
        }
    }

    pub(super) fn keys(&self) -> &SpecialKeys {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_place() {
        let places = Places::new(SpecialKeys::new(Some("app:")));
        assert_eq!(places.of(b"app:cdc"), Place::Changes);
        assert_eq!(places.of(b"app:merkle:root"), Place::Root);
        assert_eq!(places.of(b"app:sync:req"), Place::Mail);
        assert_eq!(places.of(b"app:sync:resp:uk.node"), Place::Mail);
        for key in ["cdc", "app:", "app:cdc:x", "__local__:cdc", ""] {
            assert_eq!(places.of(key.as_bytes()), Place::Item, "{key}");
        }
    }
}
