//! Putting an engine together.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::{EngineState, SyncEngine};
use crate::cdc::ChangeLog;
use crate::config::SyncEngineConfig;
use crate::env::{RealEnv, SharedEnv};
use crate::l2::CacheStore;
use crate::l3::ArchiveStore;
use crate::wal::Wal;

/// A part of the engine: made from the settings when the engine starts, or given by the caller.
pub(super) enum Part<T: ?Sized> {
    FromSettings,
    Given(Arc<T>),
}

pub(super) struct Parts {
    pub config: SyncEngineConfig,
    pub env: SharedEnv,
    pub wal: Part<dyn Wal>,
    pub cache: Part<dyn CacheStore>,
    pub archive: Part<dyn ArchiveStore>,
    pub changes: Part<dyn ChangeLog>,
}

/// Makes a [`SyncEngine`] with parts of the caller's.
pub struct EngineBuilder {
    parts: Parts,
    settings: watch::Receiver<SyncEngineConfig>,
}

impl EngineBuilder {
    pub(super) fn new(
        config: SyncEngineConfig,
        settings: watch::Receiver<SyncEngineConfig>,
    ) -> Self {
        Self {
            parts: Parts {
                config,
                env: Arc::new(RealEnv::default()),
                wal: Part::FromSettings,
                cache: Part::FromSettings,
                archive: Part::FromSettings,
                changes: Part::FromSettings,
            },
            settings,
        }
    }

    /// Takes time, chance and tasks from `env`.
    pub fn with_env(mut self, env: SharedEnv) -> Self {
        self.parts.env = env;
        self
    }

    /// Logs to `wal` instead of the file at `wal_path`.
    pub fn with_wal(mut self, wal: Arc<dyn Wal>) -> Self {
        self.parts.wal = Part::Given(wal);
        self
    }

    /// Has `cache` for L2 instead of the Redis at `redis_url`.
    pub fn with_cache(mut self, cache: Arc<dyn CacheStore>) -> Self {
        self.parts.cache = Part::Given(cache);
        self
    }

    /// Has `archive` for L3 instead of the database at `sql_url`.
    pub fn with_archive(mut self, archive: Arc<dyn ArchiveStore>) -> Self {
        self.parts.archive = Part::Given(archive);
        self
    }

    /// Publishes to `changes` instead of a stream on the Redis at `redis_url`.
    pub fn with_changes(mut self, changes: Arc<dyn ChangeLog>) -> Self {
        self.parts.changes = Part::Given(changes);
        self
    }

    /// The engine, not yet started.
    pub fn build(self) -> SyncEngine {
        SyncEngine {
            parts: self.parts,
            settings: self.settings,
            state: watch::Sender::new(EngineState::Created),
            core: OnceLock::new(),
            lifecycle: tokio::sync::Mutex::new(()),
        }
    }
}
