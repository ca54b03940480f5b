//! The environment of one life of one node.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sync_engine::env::{Env, Task};

use crate::exec::{Group, World};

/// What wall clocks show when the world begins, in epoch milliseconds.
pub const EPOCH_MS: i64 = 1_800_000_000_000;

/// How far a machine's wall clock is off, in milliseconds; shared by all lives of its node.
#[derive(Clone, Debug, Default)]
pub struct Skew {
    off_ms: Arc<AtomicI64>,
    furthest_ms: Arc<AtomicI64>,
}

impl Skew {
    /// Sets the clock.
    pub fn set(&self, ms: i64) {
        self.off_ms.store(ms, Ordering::SeqCst);
    }

    /// What the clock shows in this world, in epoch milliseconds.
    pub fn now_ms(&self, world: &World) -> i64 {
        let since = i64::try_from(world.now().as_millis()).unwrap_or(i64::MAX);
        let off = self.off_ms.load(Ordering::SeqCst);
        EPOCH_MS.saturating_add(since).saturating_add(off)
    }

    /// The latest time that anybody has read on this clock, in epoch milliseconds; 0: nobody has looked.
    pub fn furthest(&self) -> i64 {
        self.furthest_ms.load(Ordering::SeqCst)
    }

    /// The machine's disks know of a clock that has shown this.
    pub fn has_shown(&self, ms: i64) {
        self.furthest_ms.fetch_max(ms, Ordering::SeqCst);
    }
}

/// [`Env`] in a [`World`].
pub struct SimEnv {
    world: World,
    group: Group,
    skew: Skew,
    rng: Mutex<fastrand::Rng>,
}

impl SimEnv {
    /// For tasks of this group, on a machine with this clock.
    pub fn new(world: &World, group: Group, skew: Skew) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            group,
            skew,
            rng: Mutex::new(world.rng()),
        })
    }
}

impl Env for SimEnv {
    fn now_ms(&self) -> i64 {
        let shown = self.skew.now_ms(&self.world);
        self.skew.has_shown(shown);
        shown
    }

    fn monotonic(&self) -> Duration {
        self.world.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(self.world.sleep(duration))
    }

    fn spawn(&self, name: &'static str, task: Task) {
        self.world.spawn(self.group, name, task);
    }

    fn spawn_thread(
        &self,
        name: &'static str,
        _work: Box<dyn FnOnce() + Send + 'static>,
    ) -> io::Result<()> {
        Err(io::Error::other(format!(
            "no thread for {name}: threads are not of this world"
        )))
    }

    fn random(&self) -> u64 {
        self.rng.lock().u64(..)
    }
}
