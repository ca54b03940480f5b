//! The one thread that touches the file: takes what is queued, writes it in one transaction, wakes all who wait.

use std::sync::Arc;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::file::LogFile;
use super::row::{Pack, Row};
use super::{GROUP_BYTES, READ_BYTES, Shared};
use crate::item::Stored;
use crate::wal::{Appending, WalError, WalPos};

/// An answer that is awaited, unless its caller went away.
pub type Reply<T> = oneshot::Sender<Result<T, WalError>>;

/// Records to append.
pub struct Append {
    /// They come as soon as they are packed; never, when they cannot be.
    pub packs: oneshot::Receiver<Packed>,
    /// Who waits for the first position.
    pub reply: Reply<WalPos>,
    /// Room in the queue, given back once written.
    pub room: OwnedSemaphorePermit,
}

/// Records as they are written.
pub struct Packed {
    /// The rows, or parts of them.
    pub packs: Vec<Pack>,
    /// Hears that they are written.
    pub records: Box<dyn Appending>,
}

/// One of a group that is written together.
struct Member {
    packed: Packed,
    reply: Reply<WalPos>,
    _room: OwnedSemaphorePermit,
}

/// What the thread is asked.
pub enum Job {
    /// Append records.
    Append(Append),
    /// Read up to `limit` records from `pos` on.
    Read {
        /// The first position asked for.
        pos: WalPos,
        /// How many at the most.
        limit: usize,
        /// Who waits.
        reply: Reply<Vec<(WalPos, Stored)>>,
    },
    /// There is something to free and perhaps no append to do it with.
    Wake,
    /// Finish.
    Close(Reply<()>),
    /// Makes the next write fail.
    #[cfg(test)]
    FillUp(Reply<()>),
}

/// The thread's state.
pub struct Writer {
    file: LogFile,
    shared: Arc<Shared>,
}

impl Writer {
    /// A writer of this file.
    pub fn new(file: LogFile, shared: Arc<Shared>) -> Self {
        Self { file, shared }
    }

    /// Works until it is told to close, or nobody can ask any more.
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut close = None;
        let mut group = Vec::new();
        while close.is_none() {
            let Some(job) = jobs.blocking_recv() else {
                break;
            };
            close = self.take(job, &mut group);
            while close.is_none() && bytes_of(&group) < GROUP_BYTES {
                let Ok(job) = jobs.try_recv() else { break };
                close = self.take(job, &mut group);
            }
            self.write(std::mem::take(&mut group));
            self.tidy(&jobs);
        }
        let shared = self.shared.clone();
        let closed = self.close();
        // The lock goes before the answer, so that the log can be opened again at once.
        shared.release();
        match (close, closed) {
            (Some(reply), closed) => drop(reply.send(closed)),
            (None, Err(error)) => tracing::error!(%error, "the log was not closed cleanly"),
            (None, Ok(())) => {}
        }
    }

    /// Does what can be done at once; an append joins the group.
    fn take(&mut self, job: Job, group: &mut Vec<Member>) -> Option<Reply<()>> {
        match job {
            Job::Append(mut append) => {
                let packed = match append.packs.try_recv() {
                    // Being packed by its caller at this moment: those before it do not wait for that.
                    Err(TryRecvError::Empty) => {
                        self.write(std::mem::take(group));
                        append.packs.blocking_recv().ok()
                    }
                    packed => packed.ok(),
                };
                // What could not be packed takes no position.
                if let Some(packed) = packed {
                    group.push(Member {
                        packed,
                        reply: append.reply,
                        _room: append.room,
                    });
                }
            }
            Job::Read { pos, limit, reply } => drop(reply.send(self.read(pos, limit))),
            Job::Wake => self.shared.woken(),
            Job::Close(reply) => return Some(reply),
            #[cfg(test)]
            Job::FillUp(reply) => drop(reply.send(self.file.fill_up().map_err(WalError::from))),
        }
        None
    }

    /// Writes the group, and lets each know in the order in which they were placed.
    fn write(&mut self, mut group: Vec<Member>) {
        if group.is_empty() {
            return;
        }
        let mut rows = Vec::new();
        let mut firsts = Vec::with_capacity(group.len());
        let mut next = self.file.next();
        for member in &mut group {
            firsts.push(next);
            let packs = std::mem::take(&mut member.packed.packs);
            next += packs.iter().map(|pack| u64::from(pack.count)).sum::<u64>();
            join(&mut rows, packs);
        }
        if self.poison().is_none() {
            match self
                .file
                .append(rows, self.shared.floor(), self.shared.clock())
            {
                Ok(()) => self.shared.committed(self.file.next()),
                Err(error) => self.poisoned(&error),
            }
        }
        for (first, member) in firsts.into_iter().zip(group) {
            let answer = match self.poison() {
                None => {
                    member.packed.records.logged(first);
                    Ok(first)
                }
                Some(cause) => Err(WalError::Poisoned(cause)),
            };
            drop(member.reply.send(answer));
        }
    }

    fn poisoned(&mut self, error: &rusqlite::Error) {
        tracing::error!(%error, "a write to the log failed; it takes no more writes");
        // The first failure stands.
        self.shared.poison.get_or_init(|| error.to_string());
    }

    fn poison(&self) -> Option<String> {
        self.shared.poison.get().cloned()
    }

    /// What nobody waits for, while nobody waits: copies pages back, frees.
    fn tidy(&mut self, jobs: &mpsc::Receiver<Job>) {
        while self.poison().is_none() {
            let done = if self.file.wants_checkpoint() {
                self.file.checkpoint().map(|()| true)
            } else if jobs.is_empty() {
                self.file.free(self.shared.floor(), self.shared.clock())
            } else {
                Ok(false)
            };
            match done {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.poisoned(&error),
            }
        }
    }

    fn read(&self, pos: WalPos, limit: usize) -> Result<Vec<(WalPos, Stored)>, WalError> {
        let pos = pos.max(self.shared.floor());
        let mut found = Vec::new();
        if limit == 0 || pos >= self.file.next() {
            return Ok(found);
        }
        let (mut bytes, mut fault) = (0, None);
        self.file.rows_from(pos, |row: Row| {
            bytes += row.records.len();
            match row.records() {
                Ok(records) => found.extend(records.into_iter().filter(|(at, _)| *at >= pos)),
                Err(error) => fault = Some(error),
            }
            fault.is_none() && found.len() < limit && bytes < READ_BYTES
        })?;
        match fault {
            // What stands before the damage is given first.
            Some(error) if found.is_empty() => Err(self.shared.damaged(error)),
            _ => {
                found.truncate(limit);
                Ok(found)
            }
        }
    }

    fn close(self) -> Result<(), WalError> {
        match self.poison() {
            Some(cause) => Err(WalError::Poisoned(cause)),
            None => Ok(self.file.close(self.shared.floor(), self.shared.clock())?),
        }
    }
}

fn bytes_of(group: &[Member]) -> usize {
    group
        .iter()
        .flat_map(|member| &member.packed.packs)
        .map(|pack| pack.bytes.len())
        .sum()
}

/// Adds packs to the rows to write: small ones share a row.
fn join(rows: &mut Vec<Pack>, packs: Vec<Pack>) {
    for pack in packs {
        match rows.last_mut() {
            Some(row) if row.bytes.len() + pack.bytes.len() <= super::ROW_BYTES => {
                row.append(&pack)
            }
            _ => rows.push(pack),
        }
    }
}
