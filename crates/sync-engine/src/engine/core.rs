//! What the parts of a running engine share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::log_room::LogRoom;
use super::metrics::Metrics;
use super::publisher::Publisher;
use super::refused::RefusedRows;
use super::single_flight::SingleFlight;
use super::sketch::SketchKeeper;
use super::stale::StaleKeys;
use super::unswept::UnsweptRows;
use crate::batch::BatchLimits;
use crate::batch::plan::Health;
use crate::batch::queue::Queue;
use crate::config::SyncEngineConfig;
use crate::env::SharedEnv;
use crate::error::StorageError;
use crate::filter::FilterManager;
use crate::guard::CircuitState;
use crate::guard::archive::GuardedArchive;
use crate::guard::cache::GuardedCache;
use crate::ingest::admit::{Budget, Rules};
use crate::item::clock::Clock;
use crate::item::key::Key;
use crate::item::stamp::HlcTime;
use crate::item::{Stored, SyncItem};
use crate::l1::{L1, L1Limits, Ticket};
use crate::l2::{CacheStore, Generation};
use crate::l3::ArchiveStore;
use crate::merkle::tree::Tree;
use crate::wal::Wal;
use crate::wal::outstanding::Outstanding;

/// The result of a look-up, shared by all who asked.
pub(super) type Found = Result<Option<SyncItem>, Arc<StorageError>>;

/// The running engine.
pub(crate) struct Core {
    pub env: SharedEnv,
    /// The settings in force: the last valid ones that came through the channel.
    pub live: RwLock<Arc<SyncEngineConfig>>,
    pub clock: Clock,
    pub l1: L1,
    pub queue: Queue,
    /// Keys whose tier is down; they are queued again when it may be back.
    pub parked: Mutex<Vec<Key>>,
    pub refused: RefusedRows,
    pub unswept: UnsweptRows,
    pub budget: Arc<Budget>,
    /// Bounds the log.
    pub log_room: LogRoom,
    pub wal: Arc<dyn Wal>,
    pub outstanding: Mutex<Outstanding>,
    /// Taken for reading by those who log writes and let them into L1, for writing by the one who logs some of them again: a
    /// record that is written anew never comes to stand behind a newer one of its key. Given back when the writes are in L1, by
    /// the log's thread.
    pub log_order: Arc<tokio::sync::RwLock<()>>,
    /// Taken for reading by those who stamp writes and let them into L1 without a log. Never across an await.
    pub entering: RwLock<()>,
    pub cache: GuardedCache,
    pub stale: StaleKeys,
    /// Taken for reading by those who write to the cache, for writing by the one who repairs it.
    pub cache_order: tokio::sync::RwLock<()>,
    pub generation: AtomicU64,
    /// The life of the cache's server that the generation speaks of.
    pub cache_life: Mutex<Option<Arc<str>>>,
    pub generation_persisted: AtomicU64,
    pub archive: GuardedArchive,
    /// Whether the archive has been opened; it may have been down at the start.
    pub archive_open: AtomicBool,
    pub tree: RwLock<Tree>,
    /// Whether a commit with an unknown outcome left the tree in memory behind the one in the archive.
    pub tree_outdated: AtomicBool,
    /// Changed with `commit_order` held, behind the tree.
    pub sketch: SketchKeeper,
    /// Commits begun and ended: odd while one is under way.
    pub commits: AtomicU64,
    /// One commit at a time: a plan must be made on the tree that the commit before left.
    pub commit_order: tokio::sync::Mutex<()>,
    pub filter: FilterManager,
    /// Rows of the archive when the filter was saved.
    pub filter_saved: AtomicU64,
    pub publisher: Publisher,
    pub misses: SingleFlight<(Key, Ticket), Found>,
    pub factories: SingleFlight<Key, Found>,
    /// Counts finished flushes, so that one can wait for the next.
    pub flushed: watch::Sender<u64>,
    /// The greatest stamp time of a tombstone that was removed from the archive.
    pub collected: AtomicU64,
    /// The greatest stamp time that is persisted in the archive.
    pub clock_persisted: Mutex<HlcTime>,
    pub metrics: Metrics,
    pub stop: watch::Sender<bool>,
}

impl Core {
    pub(super) fn config(&self) -> Arc<SyncEngineConfig> {
        self.live.read().clone()
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.env.now_ms()
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn rules(&self, config: &SyncEngineConfig) -> Rules {
        // What is accepted must fit into the part of L1 that may be unstored.
        let fits = config
            .dirty_bytes_max()
            .saturating_sub(crate::limits::ENVELOPE_OVERHEAD_MAX);
        Rules {
            payload_bytes_max: config
                .max_payload_bytes
                .min(fits)
                .min(self.archive.payload_bytes_max()),
            cache: self.cache.is_configured(),
            archive: self.archive.is_configured(),
        }
    }

    pub(super) fn health(&self) -> Health {
        // Until the archive has been opened it is not known which records of the cache may be believed.
        let open = self.archive_open.load(Ordering::Acquire);
        Health {
            archive: open
                && self.archive.is_configured()
                && self.archive.circuit() != CircuitState::Open,
            cache: open && self.cache.is_configured() && self.cache.circuit() != CircuitState::Open,
            has_archive: self.archive.is_configured(),
        }
    }

    /// Runs `work` to its end, also when the caller goes away half way. `None`: the engine's tasks have ended.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = tokio::sync::oneshot::channel();
        let work = async move {
            // The caller may have gone; what was done stands all the same.
            done.send(work.await).ok();
        };
        self.env.spawn(name, Box::pin(work));
        result.await.ok()
    }

    /// The engine's tasks have ended under a call.
    pub(super) fn ended(op: &'static str) -> StorageError {
        StorageError::Closed {
            state: super::EngineState::Stopped,
            op,
        }
    }

    /// Puts keys into the batch.
    pub(super) fn enqueue(&self, keys: impl IntoIterator<Item = (Key, usize)>) {
        self.queue.push(keys, self.env.monotonic());
    }

    /// Queues what was parked.
    pub(super) fn unpark(&self) {
        let parked = std::mem::take(&mut *self.parked.lock());
        if !parked.is_empty() {
            self.enqueue(parked.into_iter().map(|key| (key, 0)));
        }
    }

    /// Dirty bytes became fewer: writers may enter, and those who wait for the archive look again.
    pub(super) fn settled(&self) {
        self.budget.freed();
        self.flushed
            .send_modify(|round| *round = round.wrapping_add(1));
    }

    /// Takes in new settings.
    pub(super) fn apply_config(&self, config: SyncEngineConfig) {
        self.l1.set_limits(l1_limits(&config));
        self.queue.set_limits(batch_limits(&config));
        self.budget.set_limit(config.dirty_bytes_max());
        self.log_room.set_limits(&config);
        self.cache.set_payload_bytes_max(config.max_payload_bytes);
        *self.live.write() = Arc::new(config);
    }

    /// A stamp of a stored or received write is known: later ones of this node are greater.
    pub(super) fn observe(&self, stored: &Stored) {
        self.clock.observe(stored.stamp().time);
    }
}

pub(super) fn l1_limits(config: &SyncEngineConfig) -> L1Limits {
    L1Limits {
        bytes_max: config.l1_max_bytes,
        warn: config.backpressure_warn,
        critical: config.backpressure_critical,
    }
}

pub(super) fn batch_limits(config: &SyncEngineConfig) -> BatchLimits {
    BatchLimits {
        count: config.batch_flush_count,
        bytes: config.batch_flush_bytes,
        age: std::time::Duration::from_millis(config.batch_flush_ms),
    }
}
