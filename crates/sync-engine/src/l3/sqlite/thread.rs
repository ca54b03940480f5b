//! Threads that own a connection each and run jobs, because SQLite blocks.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::failure::{Because, Failure, unavailable};
use crate::env::Env;
use crate::l3::ArchiveError;

/// Jobs that may wait for a thread; whoever comes later waits to hand over.
const JOBS_WAITING_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A connection under the file's lock. Dropped in this order: first closed, then unlocked.
pub(super) struct Session {
    pub(super) conn: Connection,
    pub(super) _lock: Arc<File>,
}

/// One or more threads that take their jobs from one bounded queue.
pub(super) struct Lane {
    jobs: mpsc::Sender<Job>,
    queue: Arc<Mutex<mpsc::Receiver<Job>>>,
    /// One for each thread: drops its sender when the connection is closed.
    ends: Vec<oneshot::Receiver<()>>,
}

impl Lane {
    /// A lane without threads.
    pub(super) fn new() -> Self {
        let (jobs, queue) = mpsc::channel(JOBS_WAITING_MAX);
        Self {
            jobs,
            queue: Arc::new(Mutex::new(queue)),
            ends: Vec::new(),
        }
    }

    /// Starts a thread, opens its connection there, and says what opening gave.
    pub(super) async fn add_thread<T: Send + 'static>(
        &mut self,
        env: &dyn Env,
        name: &'static str,
        file: &Path,
        open: impl FnOnce() -> Result<(Session, T), ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let (say, opened) = oneshot::channel();
        let (alive, end) = oneshot::channel::<()>();
        let queue = self.queue.clone();
        let work = move || {
            let answer = match open() {
                Ok((session, found)) => (Ok(found), Some(session)),
                Err(error) => (Err(error), None),
            };
            // If nobody waits for the answer, the caller of `open` went away, and with it this lane.
            if let (Ok(()), Some(session)) = (say.send(answer.0), answer.1) {
                serve(session, &queue);
            }
            drop(alive);
        };
        env.spawn_thread(name, Box::new(work))
            .map_err(|error| unavailable("open", file, error))?;
        self.ends.push(end);
        opened.await.map_err(|_| stopped("open", file))?
    }

    /// A handle that queues jobs. The threads run as long as the lane or a handle is there.
    pub(super) fn handle(&self, file: &Path) -> LaneHandle {
        LaneHandle {
            jobs: self.jobs.clone(),
            file: file.to_owned(),
        }
    }

    /// Lets the threads finish what is queued, and waits until their connections are closed.
    pub(super) async fn finish(self) {
        let Self { jobs, queue, ends } = self;
        drop((jobs, queue));
        for end in ends {
            // Nothing is ever sent: the error is the signal.
            end.await.unwrap_or_default();
        }
    }
}

/// Where jobs are handed over.
pub(super) struct LaneHandle {
    jobs: mpsc::Sender<Job>,
    file: PathBuf,
}

impl LaneHandle {
    /// Runs `work` on one of the threads. A caller that goes away does not stop it.
    pub(super) async fn run<T: Send + 'static>(
        self,
        op: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let Self { jobs, file } = self;
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            // The caller may have stopped waiting; then nobody wants the answer.
            drop(reply.send(work(conn)));
        });
        if jobs.send(job).await.is_err() {
            return Err(stopped(op, &file));
        }
        drop(jobs);
        match answer.await {
            Ok(done) => done.map_err(|failure| failure.during(op, &file)),
            Err(_) => Err(stopped(op, &file)),
        }
    }
}

fn serve(mut session: Session, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // One thread waits inside; the others wait for the lock. Taking a job gives both up.
        let job = queue.lock().blocking_recv();
        match job {
            Some(job) => job(&mut session.conn),
            None => return,
        }
    }
}

fn stopped(op: &'static str, file: &Path) -> ArchiveError {
    unavailable(op, file, Because("the database thread has stopped".into()))
}
