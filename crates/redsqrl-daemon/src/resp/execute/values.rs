//! Reading many items without holding many at once.

use sync_engine::SyncItem;

use super::fault::Fault;
use super::{Executor, readable};
use crate::resp::special::Place;

/// Keys looked up with one call, at the most. Their items are in memory together, and each may
/// be as large as a payload…
const KEYS_MAX: usize = 64;

/// … and at first, while the size of the items is unknown.
const KEYS_FIRST: usize = 16;

/// Keys are looked up together as long as their items have about so many bytes.
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// How many keys to look up next, after a look-up whose largest item had so many bytes.
pub(super) fn keys_at_once(largest: usize) -> usize {
    match largest {
        0 => KEYS_MAX,
        _ => (BYTES_AT_ONCE / largest).clamp(1, KEYS_MAX),
    }
}

/// See [`keys_at_once`].
pub(super) fn keys_first() -> usize {
    KEYS_FIRST
}

/// The most bytes one of the items has.
pub(super) fn largest<'a>(items: impl Iterator<Item = &'a Option<SyncItem>>) -> usize {
    let sizes = items.flatten().map(|item| item.content.len());
    sizes.max().unwrap_or(0)
}

impl Executor<'_> {
    /// The items of these keys, which are keys of items, in order.
    pub(super) async fn items<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
    ) -> Result<Vec<Option<SyncItem>>, Fault> {
        let ids: Vec<Option<&str>> = keys.iter().map(|key| readable(key.as_ref())).collect();
        let asked: Vec<&str> = ids.iter().flatten().copied().collect();
        let found = match asked.as_slice() {
            [] => Vec::new(),
            [one] => vec![self.shared.engine.get(one).await?],
            many => self.shared.engine.get_many(many).await?,
        };
        let mut found = found.into_iter();
        let items = ids.iter().map(|id| match id {
            Some(_) => found.next().flatten(),
            None => None,
        });
        Ok(self.counted(items.collect()))
    }

    /// The item of this key, which is a key of items.
    pub(super) async fn item_of(&self, key: &[u8]) -> Result<Option<SyncItem>, Fault> {
        Ok(self.items(&[key]).await?.pop().flatten())
    }

    /// As [`Executor::item_of`], for any key: a stream is of the wrong type.
    pub(super) async fn string_item(&self, key: &[u8]) -> Result<Option<SyncItem>, Fault> {
        match self.shared.place(key) {
            Place::Item => self.item_of(key).await,
            Place::Root => Err(Fault::OwnKey),
            Place::Changes | Place::Mail if self.is_stream(key) => Err(Fault::WrongType),
            Place::Changes | Place::Mail => Ok(None),
        }
    }

    fn counted(&self, items: Vec<Option<SyncItem>>) -> Vec<Option<SyncItem>> {
        let hits = items.iter().flatten().count();
        self.shared.stats.hits.add(hits);
        self.shared.stats.misses.add(items.len() - hits);
        items
    }

    pub(super) fn is_stream(&self, key: &[u8]) -> bool {
        self.shared
            .streams
            .with(|store| store.source(key).is_some())
    }

    /// The root of the tree as it is now, the way peers read it.
    pub(super) fn root(&self) -> Result<String, Fault> {
        Ok(self.shared.engine.merkle_root()?.to_string())
    }
}
