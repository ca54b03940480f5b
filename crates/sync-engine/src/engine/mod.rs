//! The one place where the tiers meet.

pub mod builder;

mod core;

mod metrics;

mod open;

mod found;

mod replay;

mod identity;

mod write;

mod draft;

mod incoming;

mod log_room;

mod log_renewal;

mod stored;

mod remove;

mod collect;

mod read;

mod lookup;

mod scan;

mod apply;

mod commit;

mod row_plan;

mod tree;

mod sketch;

mod flush;

mod refused;

mod publisher;

mod generation;

mod relief;

mod overrule;

mod keys_filter;

mod stale;

mod single_flight;

mod unswept;
mod upkeep;

mod roots;

mod health;

mod close;

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

pub use apply::{Applied, Relay};
pub use builder::EngineBuilder;
pub use close::ShutdownReport;
pub use collect::Collected;
pub use health::{HealthCheck, TierHealth};
pub use read::ItemStatus;
pub use refused::RefusedRow;
pub use roots::{MerkleNode, Verification};
pub use scan::ScanPage;
pub use write::BatchResult;

use self::builder::Parts;
use self::core::Core;
use crate::config::SyncEngineConfig;
use crate::env::SharedEnv;
use crate::error::StorageError;
use crate::state::EngineState;

/// Tiered storage: bytes under keys in memory, Redis and SQL, written behind in batches, never losing what it acknowledged.
///
/// Every verb takes `&self`: an engine can live in an `Arc`. It lives in the tokio runtime in which it was started.
/// Dropping it without [`SyncEngine::shutdown`] is like a crash: what was acknowledged as `Queued` may be lost.
pub struct SyncEngine {
    parts: Parts,
    settings: watch::Receiver<SyncEngineConfig>,
    state: watch::Sender<EngineState>,
    core: OnceLock<Arc<Core>>,
    /// One start or shutdown at a time.
    lifecycle: tokio::sync::Mutex<()>,
}

impl SyncEngine {
    /// An engine with these settings; later ones come through the channel. Nothing is opened before [`SyncEngine::start`].
    pub fn new(config: SyncEngineConfig, settings: watch::Receiver<SyncEngineConfig>) -> Self {
        EngineBuilder::new(config, settings).build()
    }

    /// An engine with parts of the caller's: another environment, store or change stream.
    pub fn builder(
        config: SyncEngineConfig,
        settings: watch::Receiver<SyncEngineConfig>,
    ) -> EngineBuilder {
        EngineBuilder::new(config, settings)
    }

    /// Where the engine is in its life.
    pub fn state(&self) -> EngineState {
        *self.state.borrow()
    }

    /// Follows the engine's life.
    pub fn state_receiver(&self) -> watch::Receiver<EngineState> {
        self.state.subscribe()
    }

    /// Whether verbs are served.
    pub fn is_ready(&self) -> bool {
        self.state().is_ready()
    }

    /// The environment the engine takes time and tasks from.
    pub fn env(&self) -> SharedEnv {
        self.parts.env.clone()
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<SyncEngineConfig> {
        match self.core.get() {
            Some(core) => core.config(),
            None => Arc::new(self.parts.config.clone()),
        }
    }

    /// Opens the tiers, takes back what the log holds, and begins the background work. When it returns, the engine serves.
    /// Starting a started engine does nothing.
    ///
    /// # Errors
    /// `Invalid` settings; a damaged or busy file; a tier that does not answer (with a write-ahead log and a `node_id` the
    /// engine starts without an archive and catches up when it is back). A failed start may be tried again.
    pub async fn start(&self) -> Result<(), StorageError> {
        let _one = self.lifecycle.lock().await;
        match self.state() {
            state if state.is_ready() => return Ok(()),
            state @ (EngineState::ShuttingDown | EngineState::Stopped) => {
                return Err(StorageError::Closed { state, op: "start" });
            }
            // New, or an earlier caller gave up on the way: nobody else is on it while `lifecycle` is held.
            _ => {}
        }
        match self.open().await {
            Ok(core) => {
                // `lifecycle` is held and the engine was never ready: nobody else has set it.
                self.core.get_or_init(|| core.clone());
                self.state.send_replace(EngineState::Ready);
                self.spawn_workers(&core);
                self.state.send_replace(EngineState::Running);
                Ok(())
            }
            Err(error) => {
                self.state.send_replace(EngineState::Created);
                Err(error)
            }
        }
    }

    /// Completes when the engine has stopped, for callers who want one future to await. The work goes on without it.
    pub async fn run(&self) {
        let mut state = self.state_receiver();
        // The sender lives in `self`: the wait cannot fail while we are borrowed.
        state.wait_for(|s| *s == EngineState::Stopped).await.ok();
    }

    /// One round of the background work, now: for manual control and tests.
    ///
    /// # Errors
    /// `Closed` when the engine is not running.
    pub async fn tick(&self) -> Result<(), StorageError> {
        self.core("tick")?.upkeep(0).await;
        Ok(())
    }

    /// Stores everything that waits, now.
    ///
    /// # Errors
    /// The first failure of a tier; what could not be stored goes on waiting.
    pub async fn force_flush(&self) -> Result<(), StorageError> {
        self.core("force_flush")?.flush_until_clean().await
    }

    fn core(&self, op: &'static str) -> Result<&Arc<Core>, StorageError> {
        let state = self.state();
        match self.core.get() {
            Some(core) if state.is_ready() => Ok(core),
            _ => Err(StorageError::Closed { state, op }),
        }
    }

    fn core_if_any(&self) -> Option<&Arc<Core>> {
        self.core.get()
    }
}

impl Drop for SyncEngine {
    fn drop(&mut self) {
        if let Some(core) = self.core.get() {
            core.stop.send_replace(true);
        }
    }
}
