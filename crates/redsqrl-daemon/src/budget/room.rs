//! Bytes that many tasks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::limits::CLIENT_BYTES;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The unit in which room is counted. Whatever is taken is rounded up to it.
const GRAIN: usize = 1 << 10;

/// So many bytes, of which tasks take some and give them back. Whoever waits longest is served first.
#[derive(Debug)]
pub struct Room {
    what: &'static str,
    patience: Duration,
    grains: usize,
    free: Arc<Semaphore>,
    most: AtomicUsize,
}

/// There was no room, and none became free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many bytes are {0} at once; slow down and retry")]
pub struct NoRoom(&'static str);

impl Room {
    /// Room for so many bytes, for which somebody waits so long. `what` says of bytes what they are doing here.
    #[must_use]
    pub fn new(what: &'static str, bytes: usize, patience: Duration) -> Self {
        let grains = bytes.div_ceil(GRAIN).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            what,
            patience,
            grains,
            free: Arc::new(Semaphore::new(grains)),
            most: AtomicUsize::new(0),
        }
    }

    /// Takes room, and waits for it where need be. More than all there is means all there is.
    ///
    /// # Errors
    /// None became free in time.
    pub async fn take(&self, bytes: usize) -> Result<Held, NoRoom> {
        let grains = self.grains_of(bytes);
        let wait = timeout(self.patience, self.free.clone().acquire_many_owned(grains));
        match wait.await {
            Ok(Ok(permit)) => Ok(self.held(permit)),
            // Nobody closes the semaphore.
            Err(_) | Ok(Err(_)) => Err(NoRoom(self.what)),
        }
    }

    /// Takes room that is free now.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        let grains = self.grains_of(bytes);
        let permit = self.free.clone().try_acquire_many_owned(grains).ok()?;
        Some(self.held(permit))
    }

    /// Takes room for something that tells how much it needs only when it is there. `read` is told how many bytes there is
    /// room for, and gives what it read and how many bytes that keeps. It is called again, with nothing held in between,
    /// when that is more. At first there is room for [`CLIENT_BYTES`], which count for nothing, or for `wanted` where so
    /// much is free.
    ///
    /// # Errors
    /// As [`Room::take`].
    pub async fn fit<T>(
        &self,
        wanted: usize,
        mut read: impl FnMut(usize) -> (T, usize),
    ) -> Result<(T, Option<Held>), NoRoom> {
        let mut room = match wanted {
            ..=CLIENT_BYTES => None,
            wanted => self.try_take(wanted),
        };
        loop {
            let granted = room.as_ref().map_or(CLIENT_BYTES, Held::bytes);
            let (found, bytes) = read(granted);
            if bytes <= CLIENT_BYTES {
                return Ok((found, None));
            }
            if bytes.min(self.total_bytes()) <= granted {
                room.iter_mut().for_each(|room| room.shrink_to(bytes));
                return Ok((found, room));
            }
            drop((found, room.take()));
            room = Some(self.take(bytes).await?);
        }
    }

    /// All there is, in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.grains.saturating_mul(GRAIN)
    }

    /// Bytes that are taken now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let taken = self.grains.saturating_sub(self.free.available_permits());
        taken.saturating_mul(GRAIN)
    }

    /// The most bytes that were ever taken at once.
    #[must_use]
    pub fn most_held_bytes(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    fn grains_of(&self, bytes: usize) -> u32 {
        let grains = bytes.div_ceil(GRAIN).min(self.grains);
        u32::try_from(grains).unwrap_or(u32::MAX)
    }

    fn held(&self, permit: OwnedSemaphorePermit) -> Held {
        self.most.fetch_max(self.held_bytes(), Ordering::Relaxed);
        Held(permit)
    }
}

/// Room that was taken, until this is dropped.
#[derive(Debug)]
pub struct Held(OwnedSemaphorePermit);

impl Held {
    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.num_permits().saturating_mul(GRAIN)
    }

    /// Gives back all but so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let spare = self.0.num_permits().saturating_sub(bytes.div_ceil(GRAIN));
        drop(self.0.split(spare));
    }

    /// These bytes, which take this room as long as anybody has them.
    #[must_use]
    pub fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept { bytes, _room: self })
    }

    /// Adds room that was taken of the same room.
    pub fn add(&mut self, more: Held) {
        self.0.merge(more.0);
    }
}

struct Kept {
    bytes: Bytes,
    _room: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_taken_and_given_back() {
        let room = Room::new("here", 10 * GRAIN, Duration::ZERO);
        let mut held = room.take(7 * GRAIN - 1).await.unwrap();
        assert_eq!((held.bytes(), room.held_bytes()), (7 * GRAIN, 7 * GRAIN));
        assert!(room.try_take(3 * GRAIN + 1).is_none());
        held.add(room.try_take(3 * GRAIN).unwrap());
        held.shrink_to(GRAIN);
        held.shrink_to(5 * GRAIN);
        assert_eq!((held.bytes(), room.held_bytes()), (GRAIN, GRAIN));
        let kept = held.keep(Bytes::from_static(b"kept"));
        let part = kept.slice(1..2);
        drop(kept);
        assert_eq!((&part[..], room.held_bytes()), (&b"e"[..], GRAIN));
        drop(part);
        assert_eq!((room.held_bytes(), room.most_held_bytes()), (0, 10 * GRAIN));
        // More than there is: all of it, alone.
        let all = room.take(usize::MAX).await.unwrap();
        assert_eq!(all.bytes(), room.total_bytes());
        assert!(room.try_take(1).is_none() && room.try_take(0).is_some());
    }

    #[tokio::test]
    async fn what_is_read_fits() {
        const KIB: usize = 1 << 10;
        let room = Room::new("here", 2 * CLIENT_BYTES, Duration::ZERO);
        let read = async |wanted, sizes: &[usize]| {
            let (mut sizes, mut granted) = (sizes.iter(), Vec::new());
            let fitted = room.fit(wanted, |bytes| {
                granted.push(bytes / KIB);
                ((), *sizes.next().unwrap())
            });
            let held = fitted
                .await
                .map(|((), held)| held.map_or(0, |held| held.bytes()));
            (held.ok(), granted)
        };
        let (little, much) = (CLIENT_BYTES, CLIENT_BYTES + KIB);
        assert_eq!(read(0, &[little]).await, (Some(0), vec![256]));
        assert_eq!(read(0, &[much, much]).await, (Some(much), vec![256, 257]));
        // It has grown meanwhile, or is now little.
        let grown = read(0, &[much, much + KIB, much + KIB]).await;
        assert_eq!(grown, (Some(much + KIB), vec![256, 257, 258]));
        assert_eq!(read(0, &[much, little]).await, (Some(0), vec![256, 257]));
        // As much as is wanted, where that is free.
        assert_eq!(read(much, &[much - 1]).await, (Some(much), vec![257]));
        let _held = room.take(much).await.unwrap();
        assert_eq!(read(much, &[little]).await, (Some(0), vec![256]));
        assert_eq!(read(0, &[much]).await, (None, vec![256]));
        assert_eq!(room.held_bytes(), much);
    }

    #[tokio::test]
    async fn who_waits_gets_room_or_is_told() {
        let room = Room::new("under way", GRAIN, Duration::from_millis(1));
        let held = room.take(1).await.unwrap();
        let refused = room.take(1).await.unwrap_err().to_string();
        assert!(
            refused.contains("too many bytes are under way"),
            "{refused}"
        );
        drop(held);
        let room = Arc::new(Room::new("under way", GRAIN, Duration::from_secs(60)));
        let held = room.take(1).await.unwrap();
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.take(1).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(held);
        waiting.await.unwrap().unwrap();
    }
}
