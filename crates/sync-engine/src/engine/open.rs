//! Starting: opening the tiers, taking back the log, loading the tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::builder::Part;
use super::core::{Core, batch_limits, l1_limits};
use super::found::{Found, open_archive};
use super::log_room::LogRoom;
use super::metrics::Metrics;
use super::publisher::Publisher;
use super::refused::RefusedRows;
use super::single_flight::SingleFlight;
use super::sketch::SketchKeeper;
use super::stale::StaleKeys;
use super::unswept::UnsweptRows;
use super::{EngineState, SyncEngine};
use crate::batch::queue::Queue;
use crate::cdc::ChangeLog;
use crate::cdc::absent::AbsentLog;
use crate::cdc::redis::RedisLog;
use crate::config::{ConfigError, SyncEngineConfig};
use crate::env::{SharedEnv, Task};
use crate::error::StorageError;
use crate::guard::CircuitConfig;
use crate::guard::archive::GuardedArchive;
use crate::guard::cache::GuardedCache;
use crate::ingest::admit::Budget;
use crate::item::clock::Clock;
use crate::l1::L1;
use crate::l2::CacheStore;
use crate::l2::absent::AbsentCache;
use crate::l2::redis::RedisCache;
use crate::l3::ArchiveStore;
use crate::l3::absent::AbsentArchive;
use crate::l3::mysql::MysqlArchive;
use crate::l3::sqlite::SqliteArchive;
use crate::link::RedisTimeouts;
use crate::wal::Wal;
use crate::wal::absent::AbsentWal;
use crate::wal::outstanding::Outstanding;
use crate::wal::sqlite::SqliteWal;

/// A tier that fails three times in a row is left alone for a second: the batch behind it waits anyway.
const CIRCUIT: CircuitConfig = CircuitConfig {
    failure_threshold: 3,
    reset_timeout: Duration::from_secs(1),
};

impl SyncEngine {
    pub(super) async fn open(&self) -> Result<Arc<Core>, StorageError> {
        let config = self.parts.config.clone();
        config.validate()?;
        self.enter(EngineState::Connecting);
        let archive = self.archive(&config)?;
        let opened = self.open_over(config, archive.clone()).await;
        if opened.is_err()
            && matches!(self.parts.archive, Part::FromSettings)
            && let Err(error) = archive.close().await
        {
            tracing::debug!(%error, "closing the archive after a start that failed");
        }
        opened
    }

    /// Opens the rest over this archive, and that one first. It is the caller's to close it when that fails.
    async fn open_over(
        &self,
        config: SyncEngineConfig,
        archive: Arc<dyn ArchiveStore>,
    ) -> Result<Arc<Core>, StorageError> {
        let env = self.parts.env.clone();
        let archive = GuardedArchive::new(archive, CIRCUIT, env.clone());
        let found = match open_archive(&archive, &*env).await {
            Ok(opened) => Found::read(&archive, &config, &opened, env.random()).await?,
            Err(error) => Found::nothing_yet(&config, (env.now_ms(), env.random()), error)?,
        };
        let wal = self.wal(&config)?;
        self.enter(EngineState::DrainingWal);
        let core = self.assemble(config, archive, wal.clone(), found);
        let filled = match core.map(Arc::new) {
            Ok(core) => self.fill(&core).await.map(|()| core),
            Err(error) => Err(error),
        };
        if filled.is_err()
            && matches!(self.parts.wal, Part::FromSettings)
            && let Err(error) = wal.close().await
        {
            tracing::debug!(%error, "closing the log after a start that failed");
        }
        filled
    }

    /// Takes back what the log holds.
    async fn fill(&self, core: &Arc<Core>) -> Result<(), StorageError> {
        core.replay().await?;
        self.enter(EngineState::SyncingRedis);
        if core.archive_is_open() {
            core.begin_generation().await?;
        }
        self.enter(EngineState::WarmingUp);
        Ok(())
    }

    fn enter(&self, state: EngineState) {
        self.state.send_replace(state);
    }

    fn archive(&self, config: &SyncEngineConfig) -> Result<Arc<dyn ArchiveStore>, StorageError> {
        if let Part::Given(archive) = &self.parts.archive {
            return Ok(archive.clone());
        }
        let env = self.parts.env.clone();
        let Some(url) = &config.sql_url else {
            return Ok(Arc::new(AbsentArchive));
        };
        let unusable = |error: String| ConfigError {
            field: "sql_url",
            found: url.to_string(),
            expected: error,
        };
        if url.expose().starts_with("sqlite:") {
            let archive = SqliteArchive::from_url(url, env).map_err(|e| unusable(e.to_string()))?;
            return Ok(Arc::new(archive));
        }
        let archive = MysqlArchive::from_url(url, env).map_err(|e| unusable(e.to_string()))?;
        Ok(Arc::new(archive))
    }

    fn wal(&self, config: &SyncEngineConfig) -> Result<Arc<dyn Wal>, StorageError> {
        match (&self.parts.wal, &config.wal_path) {
            (Part::Given(wal), _) => Ok(wal.clone()),
            (_, None) => Ok(Arc::new(AbsentWal::default())),
            (_, Some(path)) => Ok(Arc::new(SqliteWal::open(path, self.parts.env.clone())?)),
        }
    }

    fn cache(&self, config: &SyncEngineConfig) -> Result<Arc<dyn CacheStore>, StorageError> {
        match (&self.parts.cache, &config.redis_url) {
            (Part::Given(cache), _) => Ok(cache.clone()),
            (_, None) => Ok(Arc::new(AbsentCache)),
            (_, Some(url)) => {
                let prefix = config.redis_prefix.as_deref();
                Ok(Arc::new(RedisCache::new(
                    url,
                    prefix,
                    config.max_payload_bytes,
                    redis_timeouts(config),
                    self.parts.env.clone(),
                )?))
            }
        }
    }

    fn changes(&self, config: &SyncEngineConfig) -> Result<Arc<dyn ChangeLog>, StorageError> {
        match (&self.parts.changes, &config.redis_url) {
            (Part::Given(changes), _) => Ok(changes.clone()),
            (_, _) if !config.enable_cdc_stream => Ok(Arc::new(AbsentLog)),
            (_, Some(url)) => {
                let prefix = config.redis_prefix.as_deref();
                let env = self.parts.env.clone();
                let log = RedisLog::new(
                    url,
                    prefix,
                    config.cdc_stream_maxlen,
                    redis_timeouts(config),
                    env,
                )?;
                Ok(Arc::new(log))
            }
            (_, None) => Err(StorageError::Config(ConfigError {
                field: "enable_cdc_stream",
                found: "true".into(),
                expected: "a redis_url beside it, or a change stream given to the builder".into(),
            })),
        }
    }

    fn assemble(
        &self,
        config: SyncEngineConfig,
        archive: GuardedArchive,
        wal: Arc<dyn Wal>,
        found: Found,
    ) -> Result<Core, StorageError> {
        let env: SharedEnv = self.parts.env.clone();
        let cache = GuardedCache::new(self.cache(&config)?, CIRCUIT, env.clone());
        let publisher = Publisher::new(self.changes(&config)?);
        // What is in the log is reported when it is replayed.
        let outstanding = Outstanding::new(wal.bounds().0);
        Ok(Core {
            clock: Clock::new(found.identity.origin(), found.clock_bound),
            l1: L1::new(l1_limits(&config), env.random()),
            queue: Queue::new(batch_limits(&config)),
            parked: Mutex::default(),
            refused: RefusedRows::default(),
            unswept: UnsweptRows::default(),
            budget: Budget::new(config.dirty_bytes_max()),
            log_room: LogRoom::new(&config),
            wal,
            outstanding: Mutex::new(outstanding),
            log_order: Arc::default(),
            entering: RwLock::default(),
            cache,
            stale: StaleKeys::default(),
            cache_order: tokio::sync::RwLock::new(()),
            generation: AtomicU64::new(0),
            cache_life: Mutex::default(),
            generation_persisted: AtomicU64::new(0),
            archive,
            filter_saved: AtomicU64::new(found.tree.root().count),
            tree: RwLock::new(found.tree),
            tree_outdated: AtomicBool::new(!found.is_open),
            sketch: SketchKeeper::default(),
            commits: AtomicU64::new(0),
            archive_open: AtomicBool::new(found.is_open),
            commit_order: tokio::sync::Mutex::new(()),
            filter: found.filter,
            publisher,
            misses: SingleFlight::new(),
            factories: SingleFlight::new(),
            flushed: watch::Sender::new(0),
            collected: AtomicU64::new(found.collected.0),
            clock_persisted: Mutex::new(found.clock_bound),
            metrics: Metrics::new(),
            stop: watch::Sender::new(false),
            live: RwLock::new(Arc::new(config)),
            env,
        })
    }

    pub(super) fn spawn_workers(&self, core: &Arc<Core>) {
        let settings = self.settings.clone();
        let workers: [(&'static str, Task); 7] = [
            ("flusher", Box::pin(core.clone().run_flusher())),
            ("publisher", Box::pin(Publisher::run(core.clone()))),
            ("upkeep", Box::pin(core.clone().run_upkeep())),
            ("log", Box::pin(core.clone().run_log())),
            ("roots", Box::pin(core.clone().run_roots())),
            ("reload", Box::pin(core.clone().run_reload(settings))),
            ("filter", Box::pin(core.clone().run_filter())),
        ];
        for (name, worker) in workers {
            let mut stop = core.stop.subscribe();
            let until_stopped = async move {
                let stopped = std::pin::pin!(stop.wait_for(|stop| *stop));
                futures_util::future::select(worker, stopped).await;
            };
            core.env.spawn(name, Box::pin(until_stopped));
        }
    }
}

fn redis_timeouts(config: &SyncEngineConfig) -> RedisTimeouts {
    RedisTimeouts {
        connect: Duration::from_millis(config.redis_timeout_ms),
        response: Duration::from_millis(config.redis_response_timeout_ms),
    }
}
