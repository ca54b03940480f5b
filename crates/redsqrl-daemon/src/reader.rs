//! Reading items for clients, never more at once than the budget has room for.

use std::str::from_utf8;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sync_engine::{ScanPage, StorageError, SyncEngine, SyncItem};

use crate::budget::{Budget, Held, NoRoom};
use crate::limits::{CLIENT_BYTES, PORTION_BYTES};

/// The items of an engine, as far as clients have to do with them.
pub struct Reader {
    engine: Arc<SyncEngine>,
    budget: Arc<Budget>,
    /// The most bytes that an item was ever seen to have: the limit may have been higher once.
    largest: AtomicUsize,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The engine refused or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Too many read at once.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// The items of the first of some keys, at least of one, and the room they take until this is dropped.
#[derive(Debug)]
pub struct Found {
    /// In the order of the keys; `None`: there is none.
    pub items: Vec<Option<SyncItem>>,
    /// `None`: they take none worth counting.
    pub room: Option<Held>,
}

impl Found {
    /// The item of the first key.
    #[must_use]
    pub fn first(&self) -> Option<&SyncItem> {
        self.items.first()?.as_ref()
    }
}

impl Reader {
    /// Reads from this engine, within this budget.
    #[must_use]
    pub fn new(engine: Arc<SyncEngine>, budget: Arc<Budget>) -> Self {
        Self {
            engine,
            budget,
            largest: AtomicUsize::new(0),
        }
    }

    /// The items of the first of these keys, to be looked at and dropped soon. Under a key that cannot be stored there is
    /// nothing.
    ///
    /// # Errors
    /// Storage could not be asked, or too many ask at once.
    pub async fn look<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Found, ReadError> {
        let (mut look, room) = self.begin(keys).await?;
        look.cut(self.count_in(room.as_ref()));
        let items = look.finish(&self.engine).await?;
        let sizes = items.iter().map(size_of);
        self.largest
            .fetch_max(sizes.max().unwrap_or(0), Ordering::Relaxed);
        Ok(Found { items, room })
    }

    /// The items of the first of these keys, to be sent to a client however long that takes.
    ///
    /// # Errors
    /// As [`Reader::look`], or too many bytes are on their way to clients.
    pub async fn portion<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Found, ReadError> {
        let (mut keys, mut room) = (keys, None);
        loop {
            match self.try_portion(keys, room.take()).await? {
                Ok(found) => return Ok(found),
                Err(bytes) => {
                    room = Some(self.wait_to_send(bytes).await?);
                    keys = keys.get(..1).unwrap_or(keys);
                }
            }
        }
    }

    /// As [`Reader::portion`], but does not wait for room among the replies; `waited` is some that was. If there is none
    /// for the first one: how much that one takes, to be waited for with [`Reader::wait_to_send`] and nothing held.
    ///
    /// # Errors
    /// As [`Reader::look`].
    pub async fn try_portion<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        waited: Option<Held>,
    ) -> Result<Result<Found, usize>, ReadError> {
        let found = self.look(keys).await?;
        Ok(self.for_sending(found, waited))
    }

    /// Waits for room among the replies.
    ///
    /// # Errors
    /// Too many bytes are on their way to clients.
    pub async fn wait_to_send(&self, bytes: usize) -> Result<Held, ReadError> {
        Ok(self.budget.replies.take(bytes).await?)
    }

    /// Up to `limit` items whose keys begin with `prefix`, behind the key `after`; and the room they take.
    ///
    /// # Errors
    /// As [`Reader::look`].
    pub async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(ScanPage, Held), ReadError> {
        let bytes = PORTION_BYTES.saturating_add(self.item_bytes_max());
        let room = self.budget.lookups.take(bytes).await?;
        let page = self
            .engine
            .scan_prefix_page(prefix, after, limit, PORTION_BYTES);
        Ok((page.await?, room))
    }

    /// Room for the engine to look up the first of these keys, and how many these are: at least one.
    ///
    /// # Errors
    /// Too many ask at once.
    pub async fn room_for(&self, ids: &[&str]) -> Result<(usize, Option<Held>), ReadError> {
        let (look, room) = self.begin(ids).await?;
        Ok((look.reach(self.count_in(room.as_ref())), room))
    }

    /// A look-up, and room to ask for some of what memory does not have. Nothing is held while waiting for it.
    async fn begin<'k, K: AsRef<[u8]>>(
        &self,
        keys: &'k [K],
    ) -> Result<(Look<'k>, Option<Held>), ReadError> {
        let mut waited = None;
        loop {
            let look = Look::begin(&self.engine, keys)?;
            let below = look.below.len();
            let room = waited.take().or_else(|| self.try_room_for(below));
            if room.is_some() || below == 0 {
                return Ok((look, room));
            }
            drop(look);
            waited = Some(self.budget.lookups.take(self.item_bytes_max()).await?);
        }
    }

    /// Room to look up as many of so many items as there is room for now; at least for one.
    fn try_room_for(&self, items: usize) -> Option<Held> {
        let mut items = items;
        while items > 0 {
            let room = self
                .budget
                .lookups
                .try_take(self.item_bytes_max().saturating_mul(items));
            if room.is_some() {
                return room;
            }
            items /= 2;
        }
        None
    }

    /// The most bytes that one item may turn out to have.
    #[must_use]
    pub fn item_bytes_max(&self) -> usize {
        let allowed = self.engine.config().max_payload_bytes;
        allowed.max(self.largest.load(Ordering::Relaxed)).max(1)
    }

    /// How many items may be looked up with this room.
    fn count_in(&self, room: Option<&Held>) -> usize {
        room.map_or(0, |room| (room.bytes() / self.item_bytes_max()).max(1))
    }

    /// As many of the items as there is room for among the replies, `waited` included; if there is none for the first one,
    /// how much that one takes.
    fn for_sending(&self, found: Found, mut waited: Option<Held>) -> Result<Found, usize> {
        let sizes: Vec<usize> = found.items.iter().map(size_of).collect();
        let replies = &self.budget.replies;
        for bytes_max in [PORTION_BYTES, CLIENT_BYTES] {
            let count = leading(&sizes, bytes_max);
            let bytes: usize = sizes.iter().take(count).sum();
            let room = match waited.take() {
                _ if bytes <= CLIENT_BYTES => None,
                Some(room) if room.bytes() >= bytes.min(replies.total_bytes()) => Some(room),
                _ => match replies.try_take(bytes) {
                    Some(room) => Some(room),
                    None => continue,
                },
            };
            let mut items = found.items;
            items.truncate(count);
            return Ok(Found { items, room });
        }
        Err(sizes.first().copied().unwrap_or(0))
    }
}

/// A look-up: what memory could answer at once, and what has to be asked of the tiers below.
struct Look<'k> {
    items: Vec<Option<SyncItem>>,
    /// Places among the items, and the keys.
    below: Vec<(usize, &'k str)>,
}

impl<'k> Look<'k> {
    fn begin<K: AsRef<[u8]>>(engine: &SyncEngine, keys: &'k [K]) -> Result<Self, StorageError> {
        let mut look = Look {
            items: Vec::with_capacity(keys.len()),
            below: Vec::new(),
        };
        for key in keys {
            let item = match from_utf8(key.as_ref()) {
                Err(_) => None,
                Ok(id) => engine.get_resident(id)?.unwrap_or_else(|| {
                    look.below.push((look.items.len(), id));
                    None
                }),
            };
            look.items.push(item);
        }
        Ok(look)
    }

    /// How many keys are answered when so many are asked below.
    fn reach(&self, below: usize) -> usize {
        self.below
            .get(below)
            .map_or(self.items.len(), |(at, _)| *at)
    }

    /// Asks below for no more than so many.
    fn cut(&mut self, below: usize) {
        self.items.truncate(self.reach(below));
        self.below.truncate(below);
    }

    async fn finish(mut self, engine: &SyncEngine) -> Result<Vec<Option<SyncItem>>, StorageError> {
        let ids: Vec<&str> = self.below.iter().map(|(_, id)| *id).collect();
        let found = match ids.as_slice() {
            [] => return Ok(self.items),
            // Those who ask for the same one share the answer.
            [one] => vec![engine.get(one).await?],
            many => engine.get_many(many).await?,
        };
        for ((at, _), item) in self.below.iter().zip(found) {
            if let Some(slot) = self.items.get_mut(*at) {
                *slot = item;
            }
        }
        Ok(self.items)
    }
}

fn size_of(item: &Option<SyncItem>) -> usize {
    item.as_ref().map_or(0, |item| item.content.len())
}

/// How many sizes, from the first on, make no more than `bytes_max` together; at least one.
fn leading(sizes: &[usize], bytes_max: usize) -> usize {
    let sums = sizes.iter().scan(0usize, |sum, size| {
        *sum = sum.saturating_add(*size);
        Some(*sum)
    });
    let fitting = sums.take_while(|sum| *sum <= bytes_max).count();
    fitting.max(1).min(sizes.len())
}
