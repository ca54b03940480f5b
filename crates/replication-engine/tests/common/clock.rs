//! Clocks that are wrong, and time that goes by at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sync_engine::env::{Env, RealEnv, Task};

/// The clock of a node that is ahead or behind.
#[derive(Default)]
pub struct WrongClock {
    inner: RealEnv,
    ahead_ms: i64,
    skipped_ms: AtomicU64,
}

impl WrongClock {
    pub fn ahead(ms: i64) -> Self {
        Self {
            ahead_ms: ms,
            ..Self::default()
        }
    }

    /// Lets time go by, as far as it is measured and not slept.
    pub fn skip(&self, time: Duration) {
        let ms = time.as_millis() as u64;
        self.skipped_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Env for WrongClock {
    fn now_ms(&self) -> i64 {
        self.inner.now_ms() + self.ahead_ms
    }
    fn monotonic(&self) -> Duration {
        let skipped = self.skipped_ms.load(Ordering::SeqCst);
        self.inner.monotonic() + Duration::from_millis(skipped)
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.inner.sleep(duration)
    }
    fn spawn(&self, name: &'static str, task: Task) {
        self.inner.spawn(name, task);
    }
    fn spawn_thread(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send + 'static>,
    ) -> std::io::Result<()> {
        self.inner.spawn_thread(name, work)
    }
    fn random(&self) -> u64 {
        self.inner.random()
    }
}
