//! A write-ahead log on a disk that may lose what was not synced.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use sync_engine::env::SharedEnv;
use sync_engine::item::Stored;
use sync_engine::item::stamp::HlcTime;
use sync_engine::wal::{Appending, Wal, WalError, WalPos};
use tokio::sync::oneshot;

/// What outlives a crash.
#[derive(Clone, Debug)]
pub struct WalDisk(Arc<Mutex<Platter>>);

#[derive(Clone, Debug)]
struct Platter {
    records: BTreeMap<WalPos, Stored>,
    next: WalPos,
    synced: WalPos,
    /// What lies below is freed.
    floor: WalPos,
    /// The floor that a start finds: freeing reaches the disk later, or never.
    floor_on_disk: WalPos,
    clock: HlcTime,
    clock_synced: HlcTime,
    /// One sync in so many fails; 0: none.
    sync_fails_once_in: u64,
    rng: fastrand::Rng,
}

impl Platter {
    /// As often as not, what is freed leaves the disk.
    fn forget(&mut self) {
        if self.rng.bool() {
            let floor = self.floor.min(self.synced);
            self.floor_on_disk = floor;
            self.records = self.records.split_off(&floor);
        }
    }
}

impl WalDisk {
    /// An empty disk.
    pub fn new(rng: fastrand::Rng) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            records: BTreeMap::new(),
            next: 1,
            synced: 1,
            floor: 1,
            floor_on_disk: 1,
            clock: HlcTime::default(),
            clock_synced: HlcTime::default(),
            sync_fails_once_in: 0,
            rng,
        })))
    }

    /// The machine lost power: of what was not synced, a random part from the front is there.
    pub fn lose_tail(&self) {
        let mut disk = self.0.lock();
        let (synced, next) = (disk.synced, disk.next);
        let kept = disk.rng.u64(synced..=next);
        disk.records.split_off(&kept);
        disk.next = kept;
        disk.synced = kept;
        disk.clock = disk.clock_synced;
        disk.floor_on_disk = disk.floor_on_disk.min(kept);
    }

    /// Nothing is left on it.
    pub fn wipe(&self) {
        let mut disk = self.0.lock();
        let rng = disk.rng.fork();
        let fresh = Self::new(rng);
        *disk = fresh.0.lock().clone();
    }

    /// A copy of everything, as a backup has it.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// Puts a copy in the place of what is there.
    pub fn put_back(&self, copy: &Self) {
        let copy = copy.0.lock().clone();
        *self.0.lock() = copy;
    }

    /// From now on one sync in so many fails; 0: none.
    pub fn fail_syncs(&self, once_in: u64) {
        self.0.lock().sync_fails_once_in = once_in;
    }

    /// The records that are needed and synced.
    pub fn records(&self) -> Vec<Stored> {
        let disk = self.0.lock();
        disk.records
            .range(disk.floor.min(disk.synced)..disk.synced)
            .map(|(_, stored)| stored.clone())
            .collect()
    }

    /// Opens it: what is read from here on is on the disk. Some of what was freed is there again.
    pub fn open(&self, env: SharedEnv) -> Arc<SimWal> {
        let mut disk = self.0.lock();
        disk.floor = disk.floor_on_disk;
        disk.synced = disk.next;
        disk.clock_synced = disk.clock;
        drop(disk);
        let inner = Inner {
            disk: self.clone(),
            unsynced: Mutex::default(),
            is_poisoned: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        };
        Arc::new(SimWal {
            inner: Arc::new(inner),
            env,
        })
    }

    /// Writes records behind all others, not synced: where they begin and end, and how long a sync of them takes.
    fn write(&self, records: &[Stored]) -> (WalPos, WalPos, Duration) {
        let mut disk = self.0.lock();
        let first = disk.next;
        for stored in records {
            disk.clock = disk.clock.max(stored.stamp().time);
            let pos = disk.next;
            disk.records.insert(pos, stored.clone());
            disk.next += 1;
        }
        let takes = Duration::from_micros(disk.rng.u64(50..5_000));
        (first, disk.next, takes)
    }

    /// All that stands before `end` is on the disk, and perhaps also what is freed.
    fn synced(&self, end: WalPos) {
        let mut disk = self.0.lock();
        disk.synced = end;
        disk.clock_synced = disk.clock;
        disk.forget();
    }

    /// How long a caller waits for his place: as often as not another one overtakes him.
    fn hesitates(&self) -> Option<Duration> {
        let mut disk = self.0.lock();
        let hesitates = disk.rng.u8(..4) == 0;
        hesitates.then(|| Duration::from_micros(disk.rng.u64(1..2_000)))
    }

    fn sync_fails(&self) -> bool {
        let mut disk = self.0.lock();
        let once_in = disk.sync_fails_once_in;
        once_in > 0 && disk.rng.u64(..once_in) == 0
    }
}

/// The log, open.
pub struct SimWal {
    inner: Arc<Inner>,
    env: SharedEnv,
}

struct Inner {
    disk: WalDisk,
    /// Who hears of what is written and not synced, by first position.
    unsynced: Mutex<BTreeMap<WalPos, Box<dyn Appending>>>,
    is_poisoned: AtomicBool,
    is_closed: AtomicBool,
}

/// An append under way. A crash drops it wherever it waits, and with it what would hear of the sync: that knows the engine,
/// and the engine knows the log.
struct Open(Arc<Inner>, WalPos);

impl Drop for Open {
    fn drop(&mut self) {
        let unheard = self.0.unsynced.lock().remove(&self.1);
        drop(unheard);
    }
}

impl Inner {
    /// Syncs what stands before `end`, with all that was written before it.
    fn sync(&self, end: WalPos) -> Result<(), WalError> {
        if self.disk.0.lock().synced >= end {
            return Ok(());
        }
        self.check()?;
        if self.disk.sync_fails() {
            self.is_poisoned.store(true, Ordering::SeqCst);
            self.unsynced.lock().clear();
            return Err(WalError::Poisoned("the sync failed".into()));
        }
        let rest = self.unsynced.lock().split_off(&end);
        let synced = std::mem::replace(&mut *self.unsynced.lock(), rest);
        self.disk.synced(end);
        for (first, records) in synced {
            records.logged(first);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), WalError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(WalError::Closed);
        }
        match self.is_poisoned.load(Ordering::SeqCst) {
            true => Err(WalError::Poisoned("an earlier sync failed".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Wal for SimWal {
    async fn append(&self, mut records: Box<dyn Appending>) -> Result<WalPos, WalError> {
        if let Some(pause) = self.inner.disk.hesitates() {
            self.env.sleep(pause).await;
        }
        self.inner.check()?;
        records.placed();
        let (first, end, takes) = self.inner.disk.write(records.records());
        self.inner.unsynced.lock().insert(first, records);
        let (reply, answer) = oneshot::channel();
        let (open, env) = (Open(self.inner.clone(), first), self.env.clone());
        // Whoever is placed hears of it, also when the caller goes away.
        let sync = async move {
            env.sleep(takes).await;
            drop(reply.send(open.0.sync(end).map(|()| first)));
        };
        self.env.spawn("sync", Box::pin(sync));
        answer.await.unwrap_or(Err(WalError::Closed))
    }

    fn free_below(&self, pos: WalPos) {
        let mut disk = self.inner.disk.0.lock();
        let floor = pos.min(disk.next);
        disk.floor = disk.floor.max(floor);
    }

    async fn read_from(
        &self,
        pos: WalPos,
        limit: usize,
    ) -> Result<Vec<(WalPos, Stored)>, WalError> {
        self.inner.check()?;
        let disk = self.inner.disk.0.lock();
        let found = disk.records.range(pos..).take(limit);
        Ok(found.map(|(pos, stored)| (*pos, stored.clone())).collect())
    }

    fn bounds(&self) -> (WalPos, WalPos) {
        let disk = self.inner.disk.0.lock();
        (disk.floor, disk.next)
    }

    fn clock_bound(&self) -> HlcTime {
        self.inner.disk.0.lock().clock
    }

    fn is_durable(&self) -> bool {
        true
    }

    async fn close(&self) -> Result<(), WalError> {
        self.inner.check()?;
        let end = self.inner.disk.0.lock().next;
        self.inner.sync(end)?;
        self.inner.disk.0.lock().forget();
        self.inner.is_closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}
