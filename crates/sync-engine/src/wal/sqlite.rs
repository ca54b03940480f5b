//! The log in a local SQLite file. One thread owns the file; many writers share each sync.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Appending, Wal, WalError, WalPos};
use crate::env::SharedEnv;
use crate::item::Stored;
use crate::item::stamp::HlcTime;

mod aside;
mod file;
mod free;
mod identity;
mod layout;
mod open;
mod rebuild;
mod row;
mod tail;
mod writer;

use writer::{Append, Job, Packed, Reply, Writer};

/// Calls that may wait for the thread; more wait for room.
const QUEUE_CALLS_MAX: usize = 4096;
/// Bytes of records that may wait for the thread; more wait for room. A single larger call goes alone.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Bytes of records after which a transaction takes no further call.
const GROUP_BYTES: usize = 4 << 20;
/// Bytes of a row above which it takes no further record: what one read or one free touches at the least.
const ROW_BYTES: usize = 256 << 10;
/// Largest record, in bytes: SQLite's limit for a row, less some room for its other columns.
const RECORD_BYTES_MAX: usize = 1_000_000_000 - 4096;
/// Bytes of rows that one answer to `read_from` gathers before it stops.
const READ_BYTES: usize = 8 << 20;
/// Rows and bytes that one transaction frees.
const FREE_ROWS: u32 = 32;
const FREE_BYTES: u64 = 8 << 20;
/// Page size of the file, in bytes: what a small commit writes at the least.
const PAGE_BYTES: usize = 4096;
/// Bytes in the `-wal` file after which they are copied into the database.
const CHECKPOINT_BYTES: usize = 16 << 20;
/// What is said when the thread is gone and nobody told it to go.
const THREAD_ENDED: &str = "the thread that writes it has ended";
/// Pages (16 MiB) above which an empty log gives its file back to the system.
const SHRINK_ABOVE_PAGES: i64 = 4096;

/// The write-ahead log in a SQLite file.
///
/// - Group commit: while one transaction is synced, further appends gather for the next one.
/// - What was freed is deleted along with later appends, or when nothing else is to do, and its space is used again.
/// - Beside the file stand `<path>-wal`, `<path>.lock` and, after damage, `<path>.damaged-<n>` and its like.
///
/// Dropping it writes out what is queued in the background; [`close`](Wal::close) waits for that.
#[derive(Debug)]
pub struct SqliteWal {
    jobs: mpsc::Sender<Job>,
    /// Held while an append is placed and sent, so that both happen in one order.
    order: Mutex<()>,
    /// Room for bytes in the queue.
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
    damage: Option<String>,
}

/// What callers and thread both see.
#[derive(Debug)]
struct Shared {
    path: String,
    /// Everything below may be freed, and is not shown any more.
    floor: AtomicU64,
    /// The position after the last one written.
    next: AtomicU64,
    /// The greatest time of a stamp that was ever appended.
    clock: AtomicU64,
    /// How many transactions were synced.
    commits: AtomicU64,
    /// Whether the thread was told that there is something to free.
    wake_sent: AtomicBool,
    closed: AtomicBool,
    /// Why nothing is written any more.
    poison: OnceLock<String>,
    lock: Mutex<Option<File>>,
}

impl Shared {
    fn floor(&self) -> WalPos {
        self.floor.load(Ordering::Acquire)
    }

    fn clock(&self) -> HlcTime {
        HlcTime(self.clock.load(Ordering::Acquire))
    }

    fn committed(&self, next: WalPos) {
        self.next.store(next, Ordering::Release);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    fn woken(&self) {
        self.wake_sent.store(false, Ordering::Release);
    }

    /// Lets other processes in. Said in so many words and not left to closing the file, because a child process that is just being
    /// started may hold the file open for another moment.
    fn release(&self) {
        let lock = self.lock.lock().take();
        if let Some(Err(error)) = lock.map(|file| file.unlock()) {
            tracing::warn!(%error, "the log's lock was not released");
        }
    }

    fn damaged(&self, source: impl Into<crate::error::Source>) -> WalError {
        WalError::Damaged {
            path: self.path.clone(),
            source: source.into(),
        }
    }

    /// The thread is gone: it was told to go, or it failed in a way it could not tell.
    fn gone(&self) -> WalError {
        match self.closed.load(Ordering::Acquire) {
            true => WalError::Closed,
            false => WalError::Poisoned(THREAD_ENDED.into()),
        }
    }
}

impl From<rusqlite::Error> for WalError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Io(Box::new(error))
    }
}

impl From<std::io::Error> for WalError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Box::new(error))
    }
}

impl SqliteWal {
    /// Opens the log at `path`, or makes one where there is nothing. Blocks: every record of the log is read and checked.
    ///
    /// Damage that can be repaired is put aside, repaired and told by [`damage`](Wal::damage).
    /// Errors: [`WalError::InUse`], [`WalError::Damaged`] when the file is not a log or nothing of it can be read, [`WalError::Io`].
    pub fn open(path: impl AsRef<Path>, env: SharedEnv) -> Result<Self, WalError> {
        let path = path.as_ref();
        let opened = open::open(path)?;
        let shared = Arc::new(Shared {
            path: path.display().to_string(),
            floor: opened.low.into(),
            next: opened.file.next().into(),
            clock: opened.clock.0.into(),
            commits: 0.into(),
            wake_sent: false.into(),
            closed: false.into(),
            poison: OnceLock::new(),
            lock: Mutex::new(Some(opened.lock)),
        });
        let (jobs, queue) = mpsc::channel(QUEUE_CALLS_MAX);
        let writer = Writer::new(opened.file, shared.clone());
        env.spawn_thread("wal", Box::new(move || writer.run(queue)))?;
        Ok(Self {
            jobs,
            order: Mutex::default(),
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            shared,
            damage: opened.damage,
        })
    }

    /// How many transactions, each with one sync, were written since it was opened.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Asks the thread and waits for its answer. Once the job is sent it is done, even if the caller goes away.
    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, WalError> {
        let (reply, answer) = oneshot::channel();
        if self.jobs.send(job(reply)).await.is_err() {
            return Err(self.shared.gone());
        }
        answer.await.unwrap_or_else(|_| Err(self.shared.gone()))
    }

    fn check_open(&self) -> Result<(), WalError> {
        match self.shared.closed.load(Ordering::Acquire) {
            true => Err(WalError::Closed),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Wal for SqliteWal {
    async fn append(&self, mut records: Box<dyn Appending>) -> Result<WalPos, WalError> {
        self.check_open()?;
        // Fits: QUEUE_BYTES_MAX is far below 2^32.
        let wanted = records.bytes().min(QUEUE_BYTES_MAX) as u32;
        let Ok(room) = self.room.clone().acquire_many_owned(wanted).await else {
            return Err(self.shared.gone());
        };
        let Ok(job) = self.jobs.reserve().await else {
            return Err(self.shared.gone());
        };
        let (packed, packs) = oneshot::channel();
        let (reply, answer) = oneshot::channel();
        {
            let _order = self.order.lock();
            records.placed();
            job.send(Job::Append(Append { packs, reply, room }));
        }
        // What is sent when the thread has gone is kept by the channel and answered by nobody.
        if self.jobs.is_closed() {
            return Err(self.shared.gone());
        }
        // From here to the packs there is no await: the thread waits for them. They are packed here, by the callers side by
        // side, and not by the one thread.
        let stored = records.records();
        let times = stored.iter().map(|record| record.stamp().time.0);
        let newest = times.max().unwrap_or_default();
        self.shared.clock.fetch_max(newest, Ordering::AcqRel);
        let packs = row::pack(stored).map_err(|error| WalError::Io(Box::new(error)))?;
        if packed.send(Packed { packs, records }).is_err() {
            return Err(self.shared.gone());
        }
        answer.await.unwrap_or_else(|_| Err(self.shared.gone()))
    }

    fn free_below(&self, pos: WalPos) {
        let pos = pos.min(self.shared.next.load(Ordering::Acquire));
        let before = self.shared.floor.fetch_max(pos, Ordering::AcqRel);
        if pos > before && !self.shared.wake_sent.swap(true, Ordering::AcqRel) {
            // A full queue has appends in it, and they free as well.
            if self.jobs.try_send(Job::Wake).is_err() {
                self.shared.woken();
            }
        }
    }

    async fn read_from(
        &self,
        pos: WalPos,
        limit: usize,
    ) -> Result<Vec<(WalPos, Stored)>, WalError> {
        self.check_open()?;
        self.ask(|reply| Job::Read { pos, limit, reply }).await
    }

    fn bounds(&self) -> (WalPos, WalPos) {
        // The floor first: it never passes a next position read after it.
        let floor = self.shared.floor();
        (floor, self.shared.next.load(Ordering::Acquire))
    }

    fn clock_bound(&self) -> HlcTime {
        self.shared.clock()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn damage(&self) -> Option<String> {
        self.damage.clone()
    }

    fn failure(&self) -> Option<String> {
        let ended = || self.jobs.is_closed() && !self.shared.closed.load(Ordering::Acquire);
        let poison = self.shared.poison.get().cloned();
        poison.or_else(|| ended().then(|| THREAD_ENDED.into()))
    }

    async fn close(&self) -> Result<(), WalError> {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return Err(WalError::Closed);
        }
        self.ask(Job::Close).await
    }
}

#[cfg(test)]
mod tests;
