//! One entry, kept small.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::item::{Leaf, Stored, SyncItem};

use super::score::{Heat, Moment};

/// Stands for "no time" in a slot, which is kept small.
const NO_TIME: i64 = i64::MIN;

/// A write without its key. The stamp of a tombstone is boxed, since a slot is as large as its largest body.
enum Body {
    Live(SyncItem),
    Tombstone(Box<Stamp>),
}

/// One entry.
pub(super) struct Slot {
    /// Beside the body, so that a look-up need not wait for the item to compare its key.
    key: Key,
    body: Body,
    cache_until: i64,
    heat: AtomicU64,
    /// The lower half of the key's hash.
    pub(super) tag: u32,
    pub(super) weight: u32,
}

impl Slot {
    pub(super) fn new(stored: Stored, tag: u32, weight: u32, cache_until: Option<i64>) -> Self {
        let (key, body) = match stored {
            Stored::Live(item) => (item.object_id.clone(), Body::Live(item)),
            Stored::Tombstone { key, stamp } => (key, Body::Tombstone(stamp.into())),
        };
        Self {
            key,
            body,
            cache_until: cache_until.unwrap_or(NO_TIME),
            heat: AtomicU64::new(0),
            tag,
            weight,
        }
    }

    #[inline]
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// The item, unless this is a tombstone.
    #[inline]
    pub(super) fn item(&self) -> Option<&SyncItem> {
        match &self.body {
            Body::Live(item) => Some(item),
            Body::Tombstone(_) => None,
        }
    }

    /// The write; copies no payload.
    #[inline]
    pub(super) fn stored(&self) -> Stored {
        match &self.body {
            Body::Live(item) => Stored::Live(item.clone()),
            Body::Tombstone(stamp) => Stored::Tombstone {
                key: self.key.clone(),
                stamp: **stamp,
            },
        }
    }

    pub(super) fn leaf(&self) -> Leaf {
        match &self.body {
            Body::Live(item) => Leaf {
                stamp: item.stamp,
                hash: Some(item.content_hash),
            },
            Body::Tombstone(stamp) => Leaf {
                stamp: **stamp,
                hash: None,
            },
        }
    }

    pub(super) fn heat(&self) -> Heat {
        Heat::unpack(self.heat.load(Ordering::Relaxed))
    }

    /// Counts a read. A load and a store: of two reads at the same instant one may go uncounted.
    pub(super) fn touch(&self, now: Moment) {
        self.warm(self.heat().touched(now));
    }

    /// Sets how often it was read.
    pub(super) fn warm(&self, heat: Heat) {
        self.heat.store(heat.pack(), Ordering::Relaxed);
    }

    pub(super) fn cache_until(&self) -> Option<i64> {
        Some(self.cache_until).filter(|until| *until != NO_TIME)
    }
}
