//! Reading many items without holding many at once.

use sync_engine::SyncItem;

use super::Executor;
use super::fault::Fault;
use crate::budget::Held;
use crate::limits::PORTION_BYTES;
use crate::reader::Found;
use crate::resp::special::Place;

/// Keys looked up with one call, at the most…
const KEYS_MAX: usize = 64;

/// … and at first, while the size of the items is unknown.
const KEYS_FIRST: usize = 16;

/// A walk over keys, so many at once that their items are not too much.
pub(super) struct Walk<'k, K> {
    rest: &'k [K],
    at_once: usize,
}

impl<'k, K> Walk<'k, K> {
    pub(super) fn over(keys: &'k [K]) -> Self {
        Walk {
            rest: keys,
            at_once: KEYS_FIRST,
        }
    }

    /// The keys to look up next; `None`: all have been passed.
    pub(super) fn ahead(&self) -> Option<&'k [K]> {
        let ahead = self.rest.get(..self.at_once).unwrap_or(self.rest);
        (!ahead.is_empty()).then_some(ahead)
    }

    /// Goes past the keys that were looked up.
    pub(super) fn pass(&mut self, found: &Found) {
        self.skip(found.items.len());
        let sizes = found.items.iter().flatten().map(|item| item.content.len());
        self.at_once = match sizes.max() {
            None | Some(0) => KEYS_MAX,
            Some(largest) => (PORTION_BYTES / largest).clamp(1, KEYS_MAX),
        };
    }

    /// Goes past so many keys.
    pub(super) fn skip(&mut self, keys: usize) {
        self.rest = self.rest.get(keys..).unwrap_or_default();
    }

    /// Looks up only one next.
    pub(super) fn slow_down(&mut self) {
        self.at_once = 1;
    }
}

/// What was found under one key, and the room it takes until this is dropped.
pub(super) struct One {
    pub item: Option<SyncItem>,
    pub room: Option<Held>,
}

impl From<Found> for One {
    fn from(mut found: Found) -> Self {
        One {
            item: found.items.pop().flatten(),
            room: found.room,
        }
    }
}

impl Executor<'_> {
    /// The items of the first of these keys, at least of one, to be looked at.
    pub(super) async fn look<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Found, Fault> {
        let found = self.shared.reader.look(keys).await?;
        Ok(self.counted(found))
    }

    /// The same, to be sent.
    pub(super) async fn portion<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Found, Fault> {
        let found = self.shared.reader.portion(keys).await?;
        Ok(self.counted(found))
    }

    /// The item of this key, to be sent, without waiting for room: see [`Reader::try_portion`].
    ///
    /// [`Reader::try_portion`]: crate::reader::Reader::try_portion
    pub(super) async fn try_one(
        &self,
        key: &[u8],
        waited: Option<Held>,
    ) -> Result<Result<One, usize>, Fault> {
        let found = self.shared.reader.try_portion(&[key], waited).await?;
        Ok(found.map(|found| self.counted(found).into()))
    }

    /// The item of this key, which is a key of items, to be looked at.
    pub(super) async fn item_of(&self, key: &[u8]) -> Result<One, Fault> {
        Ok(self.look(&[key]).await?.into())
    }

    /// As [`Executor::item_of`], for any key: a stream is of the wrong type.
    pub(super) async fn string_item(&self, key: &[u8]) -> Result<One, Fault> {
        let nothing = One {
            item: None,
            room: None,
        };
        match self.shared.place(key) {
            Place::Item => self.item_of(key).await,
            Place::Root => Err(Fault::OwnKey),
            Place::Changes | Place::Mail if self.is_stream(key) => Err(Fault::WrongType),
            Place::Changes | Place::Mail => Ok(nothing),
        }
    }

    /// Deletes an item; says whether there was one.
    pub(super) async fn delete(&self, id: &str) -> Result<bool, Fault> {
        let (_, _room) = self.shared.reader.room_for(&[id]).await?;
        Ok(self.shared.engine.delete(id).await?)
    }

    /// Answers with a value, and holds its room until it is on its way.
    pub(super) async fn send_value(&mut self, one: One) -> Result<(), Fault> {
        match &one.item {
            Some(item) => self.reply().value(&item.content),
            None => self.reply().null(),
        }
        self.output.holds(one.room.as_ref());
        self.output.relieve().await?;
        Ok(())
    }

    fn counted(&self, found: Found) -> Found {
        let hits = found.items.iter().flatten().count();
        self.shared.stats.hits.add(hits);
        self.shared.stats.misses.add(found.items.len() - hits);
        found
    }

    pub(super) fn is_stream(&self, key: &[u8]) -> bool {
        self.shared
            .streams
            .with(|store| store.source(key).is_some())
    }

    /// The root of the tree as it is now, the way peers read it; `None` on a node that shows none.
    pub(super) fn root(&self) -> Result<Option<String>, Fault> {
        match self.shared.shows_root() {
            true => Ok(Some(self.shared.engine.merkle_root()?.to_string())),
            false => Ok(None),
        }
    }
}
