//! Clocks that are wrong, time that goes by at once, and pauses in which something happens.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use replication_engine::limits::CONFIRM_PAUSE;
use sync_engine::env::{Env, RealEnv, Task};

type Event = Pin<Box<dyn Future<Output = ()> + Send>>;
type Events = Box<dyn Fn() -> Option<Event> + Send>;

/// The clock of a node, of which the test says what it shows and what happens meanwhile.
#[derive(Default)]
pub struct OddClock {
    inner: RealEnv,
    ahead_ms: i64,
    skipped_ms: AtomicU64,
    in_pauses: Mutex<Option<Events>>,
}

impl OddClock {
    /// One that is ahead, or behind.
    pub fn ahead(ms: i64) -> Self {
        Self {
            ahead_ms: ms,
            ..Self::default()
        }
    }

    /// Lets time go by, as far as it is read and not slept.
    pub fn skip(&self, time: Duration) {
        let ms = time.as_millis() as u64;
        self.skipped_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// From now on, asked at the begin of each pause before a difference is confirmed, which does not end before the event.
    pub fn fill_pauses_with(&self, event: impl Fn() -> Option<Event> + Send + 'static) {
        *self.in_pauses.lock() = Some(Box::new(event));
    }
}

impl Env for OddClock {
    fn now_ms(&self) -> i64 {
        let skipped = self.skipped_ms.load(Ordering::SeqCst) as i64;
        self.inner.now_ms() + self.ahead_ms + skipped
    }
    fn monotonic(&self) -> Duration {
        let skipped = self.skipped_ms.load(Ordering::SeqCst);
        self.inner.monotonic() + Duration::from_millis(skipped)
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let slept = self.inner.sleep(duration);
        let is_pause = (CONFIRM_PAUSE..CONFIRM_PAUSE.mul_f64(1.5)).contains(&duration);
        let event = match is_pause {
            true => self.in_pauses.lock().as_ref().and_then(|event| event()),
            false => None,
        };
        match event {
            Some(event) => Box::pin(async {
                event.await;
                slept.await;
            }),
            None => slept,
        }
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
