//! The real world: the system's clocks, the thread's random generator, tokio's tasks.
#![allow(clippy::disallowed_methods)] // The one place where they are meant to be used.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Env, Task};

/// [`Env`] on tokio and the system clocks.
#[derive(Clone, Copy, Debug)]
pub struct RealEnv {
    started: Instant,
}

impl Default for RealEnv {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Env for RealEnv {
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, _name: &'static str, task: Task) {
        tokio::spawn(task);
    }

    fn spawn_thread(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send + 'static>,
    ) -> std::io::Result<()> {
        std::thread::Builder::new().name(name.into()).spawn(work)?;
        Ok(())
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}
