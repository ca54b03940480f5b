//! A Redis, with faults: slow, down, full, failing halfway through a pipeline or after it has done all of it, coming back
//! without its last writes, or empty. The node's process and its peers use it at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::item::Stored;
use sync_engine::item::key::Key;
use sync_engine::item::stamp::Stamp;
use sync_engine::l2::{CacheError, CacheWrite, Generation};
use tokio::sync::{oneshot, watch};

use crate::env::EPOCH_MS;
use crate::exec::{WORLD, World};

/// What may go wrong.
#[derive(Clone, Debug, Default)]
pub struct RedisFaults {
    /// Nothing is answered.
    pub is_down: bool,
    /// It takes no writes.
    pub is_full: bool,
    /// One call in so many fails: before it is done, halfway through, or after; 0: none.
    pub fails_once_in: u64,
    /// The longest that a call takes, in milliseconds.
    pub takes_ms: u64,
}

/// A record of the cache.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) stored: Stored,
    pub(crate) generation: Generation,
    ends: Option<Duration>,
}

/// The fields of an entry of a stream.
pub(crate) type Fields = Vec<(Bytes, Bytes)>;

/// A stream, with the greatest id that it has given.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) entries: BTreeMap<StreamId, Fields>,
    last: StreamId,
}

/// How a change is undone.
enum Undo {
    Record(Key, Option<Record>),
    Added(String, StreamId),
    Root(Option<String>),
}

/// What the server holds.
pub(crate) struct Memory {
    records: BTreeMap<Key, Record>,
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) root: Option<String>,
    /// How to undo each change, oldest first.
    undo: Vec<(Duration, Undo)>,
    life: Arc<str>,
    /// How far its clock is off, in milliseconds.
    clock_off_ms: i64,
    /// Goes up with each change of a stream, and when the server goes.
    news: watch::Sender<u64>,
    faults: RedisFaults,
    rng: fastrand::Rng,
}

/// The server; outlives the node's lives.
#[derive(Clone)]
pub struct SimRedis {
    world: World,
    memory: Arc<Mutex<Memory>>,
}

/// Changes that can be undone by a failover.
const UNDO_MAX: usize = 10_000;

impl Memory {
    pub(crate) fn set(&mut self, now: Duration, key: Key, record: Option<Record>) {
        let old = match record {
            Some(record) => self.records.insert(key.clone(), record),
            None => self.records.remove(&key),
        };
        self.note(now, Undo::Record(key, old));
    }

    fn note(&mut self, now: Duration, undo: Undo) {
        self.undo.push((now, undo));
        if self.undo.len() > UNDO_MAX {
            self.undo.drain(..UNDO_MAX / 2);
        }
    }

    pub(crate) fn get(&self, now: Duration, key: &Key) -> Option<&Record> {
        let record = self.records.get(key)?;
        record.ends.is_none_or(|ends| ends > now).then_some(record)
    }

    /// Writes a record, unless a newer one is there; gives key and stamp if that is one that no archive keeps.
    pub(crate) fn put(
        &mut self,
        now: Duration,
        generation: Generation,
        write: &CacheWrite,
    ) -> Option<(Key, Stamp)> {
        let key = write.stored.key();
        let is_live = write.stored.item().is_some();
        if let Some(newer) = self.newer(now, generation, (key, write.stored.stamp()), is_live) {
            return (!newer.is_archived()).then(|| (key.clone(), write.stored.stamp()));
        }
        let record = Record {
            stored: write.stored.clone(),
            generation,
            ends: write.ttl.map(|ttl| now + ttl),
        };
        self.set(now, key.clone(), Some(record));
        None
    }

    /// Takes a record out, unless it is newer. See [`Memory::put`].
    pub(crate) fn remove(
        &mut self,
        now: Duration,
        generation: Generation,
        (key, stamp): &(Key, Stamp),
    ) -> Option<(Key, Stamp)> {
        if let Some(newer) = self.newer(now, generation, (key, *stamp), false) {
            return (!newer.is_archived()).then(|| (key.clone(), *stamp));
        }
        self.set(now, key.clone(), None);
        None
    }

    fn newer(
        &self,
        now: Duration,
        generation: Generation,
        (key, stamp): (&Key, Stamp),
        is_live: bool,
    ) -> Option<&Stored> {
        let held = self.get(now, key)?;
        let is_same_archive = held.generation >> 32 == generation >> 32;
        let is_newer = match held.stored.is_archived() {
            true if is_same_archive && held.generation < generation => false,
            true => held.stored.stamp() > stamp,
            false if is_live => held.stored.stamp() > stamp,
            false => held.stored.stamp() >= stamp,
        };
        is_newer.then_some(&held.stored)
    }

    /// Adds an entry to a stream that keeps so many.
    pub(crate) fn add(&mut self, now: Duration, stream: &str, kept: usize, fields: Fields) {
        let since = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let ms = EPOCH_MS
            .saturating_add(since)
            .saturating_add(self.clock_off_ms);
        let ms = u64::try_from(ms).unwrap_or(0);
        let to = self.streams.entry(stream.to_owned()).or_default();
        to.last = to.last.next().unwrap_or(to.last).max(StreamId::new(ms, 0));
        to.entries.insert(to.last, fields);
        while to.entries.len() > kept {
            to.entries.pop_first();
        }
        let added = Undo::Added(stream.to_owned(), to.last);
        self.note(now, added);
        self.news.send_modify(|news| *news += 1);
    }

    pub(crate) fn set_root(&mut self, now: Duration, root: Option<String>) {
        let old = std::mem::replace(&mut self.root, root);
        self.note(now, Undo::Root(old));
    }

    fn begin_life(&mut self) {
        self.life = format!("{:016x}", self.rng.u64(..)).into();
        self.clock_off_ms = self.rng.i64(-5_000..5_000);
        self.news.send_modify(|news| *news += 1);
    }

    /// Undoes what was done since then.
    fn forget_since(&mut self, since: Duration) {
        while self.undo.last().is_some_and(|(at, _)| *at >= since) {
            match self.undo.pop() {
                Some((_, Undo::Record(key, Some(old)))) => {
                    self.records.insert(key, old);
                }
                Some((_, Undo::Record(key, None))) => {
                    self.records.remove(&key);
                }
                Some((_, Undo::Added(stream, id))) => {
                    let stream = self.streams.entry(stream).or_default();
                    stream.entries.remove(&id);
                    let last = stream.entries.last_key_value();
                    stream.last = last.map_or(StreamId::MIN, |(id, _)| *id);
                }
                Some((_, Undo::Root(old))) => self.root = old,
                None => {}
            }
        }
    }
}

impl SimRedis {
    /// Empty.
    pub fn new(world: &World) -> Self {
        let mut memory = Memory {
            records: BTreeMap::new(),
            streams: BTreeMap::new(),
            root: None,
            undo: Vec::new(),
            life: "".into(),
            clock_off_ms: 0,
            news: watch::Sender::new(0),
            faults: RedisFaults::default(),
            rng: world.rng(),
        };
        memory.begin_life();
        Self {
            world: world.clone(),
            memory: Arc::new(Mutex::new(memory)),
        }
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut RedisFaults)) {
        change(&mut self.memory.lock().faults);
    }

    /// What it holds, past all faults.
    pub fn records(&self) -> Vec<Stored> {
        let memory = self.memory.lock();
        let records = memory.records.values();
        records.map(|record| record.stored.clone()).collect()
    }

    /// Another server takes over that has not heard of the last writes.
    pub fn fail_over(&self, lost: Duration) {
        let since = self.world.now().saturating_sub(lost);
        let mut memory = self.memory.lock();
        memory.forget_since(since);
        memory.begin_life();
    }

    /// It starts again, empty.
    pub fn wipe(&self) {
        let mut memory = self.memory.lock();
        memory.records.clear();
        memory.streams.clear();
        memory.root = None;
        memory.undo.clear();
        memory.begin_life();
    }

    /// Throws out some of what it holds, as an eviction does.
    pub fn evict(&self) {
        let now = self.world.now();
        let mut memory = self.memory.lock();
        let keys: Vec<Key> = memory.records.keys().cloned().collect();
        for key in keys {
            if memory.rng.bool() {
                memory.set(now, key, None);
            }
        }
    }

    /// Has a call done at the server: of `steps` steps a part, if it goes wrong.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        steps: usize,
        is_write: bool,
        call: impl FnOnce(&mut Memory, Duration, usize) -> T + Send + 'static,
    ) -> Result<T, CacheError> {
        let (before, after, fate) = self.fate();
        let (reply, replied) = oneshot::channel();
        let server = self.clone();
        let life = self.life_now();
        // A connection ends with the life of the server.
        let is_cut = move |memory: &Memory| memory.life != life;
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

    /// Which server it is just now.
    pub(crate) fn life_now(&self) -> Arc<str> {
        self.memory.lock().life.clone()
    }

    /// Whether what is sent arrives twice.
    pub(crate) fn repeats(&self) -> bool {
        let mut memory = self.memory.lock();
        memory.faults.fails_once_in > 0 && memory.rng.u8(..4) == 0
    }

    /// What `look` finds; when it finds nothing, once more as soon as there is news, or so much later.
    pub(crate) async fn wait_for<T: Send + Default + 'static>(
        &self,
        block: Duration,
        look: impl Fn(&Memory) -> Option<T> + Send + Clone + 'static,
    ) -> Result<T, CacheError> {
        let until = self.world.now() + block;
        loop {
            let (mut news, life) = {
                let memory = self.memory.lock();
                (memory.news.subscribe(), memory.life.clone())
            };
            let look = look.clone();
            let found = self
                .call(0, false, move |memory, _, _| look(memory))
                .await?;
            let left = until.saturating_sub(self.world.now());
            match found {
                Some(found) => return Ok(found),
                None if left == Duration::ZERO => return Ok(T::default()),
                None => {}
            }
            let changed = std::pin::pin!(news.changed());
            let over = std::pin::pin!(self.world.sleep(left));
            futures_util::future::select(changed, over).await;
            if self.life_now() != life {
                return Err(unavailable("the connection was lost"));
            }
        }
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

pub(crate) fn unavailable(what: &'static str) -> CacheError {
    CacheError::Unavailable {
        op: "redis",
        source: what.into(),
    }
}
