//! The only door to time, chance and tasks, so that a simulator can stand behind it.

mod real;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use real::RealEnv;

/// A boxed task.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// What the engine needs of the world beside its tiers. Everything that decides takes these as values.
pub trait Env: Send + Sync + 'static {
    /// The wall clock, in epoch milliseconds. May jump either way.
    fn now_ms(&self) -> i64;

    /// Time since some fixed point in the past. Never goes back.
    fn monotonic(&self) -> Duration;

    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

    /// Runs a task until it ends.
    fn spawn(&self, name: &'static str, task: Task);

    /// Runs a function that blocks (a database file) on a thread of its own.
    /// Fails when the system has no thread to give.
    fn spawn_thread(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send + 'static>,
    ) -> std::io::Result<()>;

    /// A random number.
    fn random(&self) -> u64;
}

/// The environment, shared.
pub type SharedEnv = Arc<dyn Env>;

/// `work` took longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
pub struct Elapsed(pub Duration);

/// Awaits `work` for `limit` at the most; past it the work is dropped.
pub async fn timeout<T>(
    env: &dyn Env,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let work = std::pin::pin!(work);
    match futures_util::future::select(work, env.sleep(limit)).await {
        futures_util::future::Either::Left((done, _)) => Ok(done),
        futures_util::future::Either::Right(_) => Err(Elapsed(limit)),
    }
}
