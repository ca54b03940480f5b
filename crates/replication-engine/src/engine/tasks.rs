//! Tasks that are counted, so that shutdown can wait for them.

use std::future::Future;

use sync_engine::env::SharedEnv;
use tokio::sync::mpsc;

/// Starts tasks. Cheap to clone; each clone counts as a task until it is dropped.
#[derive(Clone)]
pub struct Tasks {
    env: SharedEnv,
    /// One for each count that they belong to.
    alive: Vec<mpsc::Sender<()>>,
}

/// Waits for tasks.
pub struct AllDone(mpsc::Receiver<()>);

impl Tasks {
    /// A count of none.
    pub fn new(env: SharedEnv) -> (Self, AllDone) {
        let (alive, gone) = mpsc::channel(1);
        let alive = vec![alive];
        (Self { env, alive }, AllDone(gone))
    }

    /// A part of the tasks, counted here as well as by itself.
    pub fn part(&self) -> (Self, AllDone) {
        let (alive, gone) = mpsc::channel(1);
        let mut part = self.clone();
        part.alive.push(alive);
        (part, AllDone(gone))
    }

    /// Starts one.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let alive = self.alive.clone();
        let task = async move {
            work.await;
            drop(alive);
        };
        self.env.spawn(name, Box::pin(task));
    }
}

impl AllDone {
    /// Completes when every task has ended and every [`Tasks`] is dropped.
    pub async fn wait(&mut self) {
        // Nobody sends: it ends when all senders are gone.
        while self.0.recv().await.is_some() {}
    }

    /// Whether [`AllDone::wait`] would complete at once.
    pub fn is_over(&mut self) -> bool {
        self.0.try_recv() == Err(mpsc::error::TryRecvError::Disconnected)
    }
}
