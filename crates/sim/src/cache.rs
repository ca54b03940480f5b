//! A Redis as L2, with faults: slow, down, full, failing halfway through a pipeline or after it has done all of it, coming
//! back without its last writes, or empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use sync_engine::item::Stored;
use sync_engine::item::key::Key;
use sync_engine::l2::{CacheError, CacheStore, CacheWrite, Generation, Lookup};
use tokio::sync::oneshot;

use crate::exec::{WORLD, World};

/// What may go wrong.
#[derive(Clone, Debug, Default)]
pub struct CacheFaults {
    /// Nothing is answered.
    pub is_down: bool,
    /// It takes no writes.
    pub is_full: bool,
    /// One call in so many fails: before it is done, halfway through, or after; 0: none.
    pub fails_once_in: u64,
    /// The longest that a call takes, in milliseconds.
    pub takes_ms: u64,
}

#[derive(Clone)]
struct Entry {
    stored: Stored,
    generation: Generation,
    ends: Option<Duration>,
}

struct Memory {
    entries: BTreeMap<Key, Entry>,
    /// What each change has replaced, oldest first.
    undo: Vec<(Duration, Key, Option<Entry>)>,
    life: Arc<str>,
    faults: CacheFaults,
    rng: fastrand::Rng,
}

/// The server; outlives the node's lives.
#[derive(Clone)]
pub struct SimCache {
    world: World,
    memory: Arc<Mutex<Memory>>,
}

/// Changes that can be undone by a failover.
const UNDO_MAX: usize = 10_000;

impl Memory {
    fn set(&mut self, now: Duration, key: Key, entry: Option<Entry>) {
        let old = match entry {
            Some(entry) => self.entries.insert(key.clone(), entry),
            None => self.entries.remove(&key),
        };
        self.undo.push((now, key, old));
        if self.undo.len() > UNDO_MAX {
            self.undo.drain(..UNDO_MAX / 2);
        }
    }

    fn get(&self, now: Duration, key: &Key) -> Option<&Entry> {
        let entry = self.entries.get(key)?;
        entry.ends.is_none_or(|ends| ends > now).then_some(entry)
    }

    fn put(&mut self, now: Duration, generation: Generation, write: &CacheWrite) {
        let key = write.stored.key();
        let wins = self.get(now, key).is_none_or(|held| {
            let is_same_archive = held.generation >> 32 == generation >> 32;
            is_same_archive && held.generation < generation
                || held.stored.stamp() <= write.stored.stamp()
        });
        if wins {
            let entry = Entry {
                stored: write.stored.clone(),
                generation,
                ends: write.ttl.map(|ttl| now + ttl),
            };
            self.set(now, key.clone(), Some(entry));
        }
    }

    fn begin_life(&mut self) {
        self.life = format!("{:016x}", self.rng.u64(..)).into();
    }
}

impl SimCache {
    /// Empty.
    pub fn new(world: &World) -> Self {
        let mut memory = Memory {
            entries: BTreeMap::new(),
            undo: Vec::new(),
            life: "".into(),
            faults: CacheFaults::default(),
            rng: world.rng(),
        };
        memory.begin_life();
        Self {
            world: world.clone(),
            memory: Arc::new(Mutex::new(memory)),
        }
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut CacheFaults)) {
        change(&mut self.memory.lock().faults);
    }

    /// What it holds, past all faults.
    pub fn records(&self) -> Vec<Stored> {
        let memory = self.memory.lock();
        let entries = memory.entries.values();
        entries.map(|entry| entry.stored.clone()).collect()
    }

    /// Another server takes over that has not heard of the last writes.
    pub fn fail_over(&self, lost: Duration) {
        let since = self.world.now().saturating_sub(lost);
        let mut memory = self.memory.lock();
        while memory.undo.last().is_some_and(|(at, ..)| *at >= since) {
            if let Some((_, key, old)) = memory.undo.pop() {
                match old {
                    Some(old) => memory.entries.insert(key, old),
                    None => memory.entries.remove(&key),
                };
            }
        }
        memory.begin_life();
    }

    /// It starts again, empty.
    pub fn wipe(&self) {
        let mut memory = self.memory.lock();
        memory.entries.clear();
        memory.undo.clear();
        memory.begin_life();
    }

    /// Throws out some of what it holds, as an eviction does.
    pub fn evict(&self) {
        let now = self.world.now();
        let mut memory = self.memory.lock();
        let keys: Vec<Key> = memory.entries.keys().cloned().collect();
        for key in keys {
            if memory.rng.bool() {
                memory.set(now, key, None);
            }
        }
    }

    /// Has a call done at the server: of `steps` steps a part, if it goes wrong.
    async fn call<T: Send + 'static>(
        &self,
        steps: usize,
        is_write: bool,
        call: impl FnOnce(&mut Memory, Duration, usize) -> T + Send + 'static,
    ) -> Result<T, CacheError> {
        let (before, after, fate) = self.fate();
        let (reply, replied) = oneshot::channel();
        let server = self.clone();
        let life = self.life();
        // A connection ends with the life of the server.
        let is_cut = move |memory: &Memory| Some(&memory.life) != life.as_ref();
        let work = async move {
            server.world.sleep(before).await;
            let now = server.world.now();
            let done = {
                let mut memory = server.memory.lock();
                match (
                    memory.faults.is_down || is_cut(&memory),
                    is_write && memory.faults.is_full,
                ) {
                    (true, _) => Err(unavailable("the server does not answer")),
                    (_, true) => Err(CacheError::ReadOnly {
                        op: "redis",
                        source: "OOM".into(),
                    }),
                    _ => {
                        let done = match fate {
                            Some(share) => steps * share / 4,
                            None => steps,
                        };
                        Ok(call(&mut memory, now, done))
                    }
                }
            };
            server.world.sleep(after).await;
            let told = match fate.is_some() || is_cut(&server.memory.lock()) {
                true => Err(unavailable("the connection was lost")),
                false => done,
            };
            // Whoever asked may be gone.
            reply.send(told).ok();
        };
        self.world.spawn(WORLD, "redis", Box::pin(work));
        replied
            .await
            .unwrap_or_else(|_| Err(unavailable("the server is gone")))
    }

    /// The time before and after, and of a call that fails, how many quarters of it are done.
    fn fate(&self) -> (Duration, Duration, Option<usize>) {
        let mut memory = self.memory.lock();
        let (once_in, takes_ms) = (memory.faults.fails_once_in, memory.faults.takes_ms.max(1));
        let rng = &mut memory.rng;
        let fate = (once_in > 0 && rng.u64(..once_in) == 0).then(|| rng.usize(0..=4));
        let mut leg = || Duration::from_micros(rng.u64(10..=takes_ms * 500));
        (leg(), leg(), fate)
    }
}

fn unavailable(what: &'static str) -> CacheError {
    CacheError::Unavailable {
        op: "redis",
        source: what.into(),
    }
}

#[async_trait]
impl CacheStore for SimCache {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError> {
        let keys = keys.to_vec();
        self.call(keys.len(), false, move |memory, now, _| {
            let look = |key| match memory.get(now, key) {
                Some(entry) => Lookup::Hit(entry.stored.clone(), entry.generation),
                None => Lookup::Absent,
            };
            keys.iter().map(look).collect()
        })
        .await
    }

    async fn put_many(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
    ) -> Result<(), CacheError> {
        let writes = writes.to_vec();
        self.call(writes.len(), true, move |memory, now, done| {
            for write in &writes[..done] {
                memory.put(now, generation, write);
            }
        })
        .await
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<(), CacheError> {
        let keys = keys.to_vec();
        self.call(keys.len(), false, move |memory, now, done| {
            for key in keys.into_iter().take(done) {
                memory.set(now, key, None);
            }
        })
        .await
    }

    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        let keys = keys.to_vec();
        self.call(keys.len(), false, move |memory, now, _| {
            let is_live = |key| {
                memory
                    .get(now, key)
                    .is_some_and(|entry| entry.stored.item().is_some())
            };
            keys.iter().map(is_live).collect()
        })
        .await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.call(0, false, |_, _, _| ()).await
    }

    fn life(&self) -> Option<Arc<str>> {
        let memory = self.memory.lock();
        Some(memory.life.clone())
    }

    fn is_configured(&self) -> bool {
        true
    }
}
