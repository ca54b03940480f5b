//! What all connections share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::cdc::memory::MemoryLog;
use sync_engine::engine::SyncEngine;
use sync_engine::env::SharedEnv;

use super::cdc_source::CdcSource;
use super::clients::Clients;
use super::command::Credentials;
use super::cursors::Cursors;
use super::key_locks::KeyLocks;
use super::special::{Place, Places};
use super::stats::Stats;
use super::stream_wait::SharedStreams;
use super::streams::StreamStore;
use super::{ServerLimits, StreamLimits};
use crate::budget::Budget;
use crate::reader::Reader;

/// Settings of the Redis-protocol server.
#[derive(Debug, Clone, Default)]
pub struct RespSettings {
    /// What clients must say before anything else; `None`: nothing.
    pub password: Option<Password>,
    /// What clients are granted.
    pub limits: ServerLimits,
    /// What the streams of peers may hold.
    pub streams: StreamLimits,
    /// The node's name, shown by INFO.
    pub node_id: String,
}

/// A password. It is compared, and in no Debug output.
#[derive(Clone)]
pub struct Password(Box<[u8]>);

impl Password {
    /// Keeps a password.
    #[must_use]
    pub fn new(password: impl Into<Vec<u8>>) -> Self {
        Password(password.into().into_boxed_slice())
    }

    pub(super) fn fits(&self, credentials: &Credentials) -> bool {
        credentials.user() == b"default" && credentials.password_is(&self.0)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The engine and everything connections have in common. Lives as long as the server, and may
/// outlive it.
pub struct RespShared {
    pub(super) engine: Arc<SyncEngine>,
    pub(super) reader: Reader,
    pub(super) budget: Arc<Budget>,
    pub(super) streams: Arc<SharedStreams>,
    pub(super) log: Option<Arc<MemoryLog>>,
    pub(super) places: Places,
    pub(super) settings: RespSettings,
    pub(super) locks: KeyLocks,
    pub(super) cursors: Mutex<Cursors>,
    pub(super) clients: Clients,
    pub(super) stats: Stats,
    env: SharedEnv,
    started: Duration,
}

impl RespShared {
    /// Serves `engine`, within `budget`. `keys` are its special keys; `log` is the change log it
    /// publishes to, if that is kept in this process: then it is served under the change stream's
    /// key.
    #[must_use]
    pub fn new(
        engine: Arc<SyncEngine>,
        keys: SpecialKeys,
        log: Option<Arc<MemoryLog>>,
        budget: Arc<Budget>,
        settings: RespSettings,
    ) -> Self {
        let mut store = StreamStore::new(settings.streams);
        if let Some(log) = &log {
            store.serve(keys.cdc().as_bytes(), Arc::new(CdcSource::new(log.clone())));
        }
        let limits = &settings.limits;
        let env = engine.env();
        RespShared {
            streams: Arc::new(SharedStreams::new(store)),
            log,
            places: Places::new(keys),
            locks: KeyLocks::new(),
            cursors: Mutex::new(Cursors::new(limits.cursors_max, limits.cursor_age_max)),
            clients: Clients::default(),
            stats: Stats::default(),
            started: env.monotonic(),
            env,
            reader: Reader::new(engine.clone(), budget.clone()),
            budget,
            engine,
            settings,
        }
    }

    /// The streams served, for a [`StreamMailbox`](super::mailbox::StreamMailbox).
    #[must_use]
    pub fn streams(&self) -> Arc<SharedStreams> {
        Arc::clone(&self.streams)
    }

    /// The special keys.
    #[must_use]
    pub fn keys(&self) -> &SpecialKeys {
        self.places.keys()
    }

    /// How many clients are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn limits(&self) -> &ServerLimits {
        &self.settings.limits
    }

    pub(super) fn env(&self) -> &SharedEnv {
        &self.env
    }

    pub(super) fn place(&self, key: &[u8]) -> Place {
        self.places.of(key)
    }

    /// Whether the tree's root can be read under its key.
    pub(super) fn shows_root(&self) -> bool {
        self.engine.config().merkle_calc_enabled
    }

    pub(super) fn uptime(&self) -> Duration {
        self.env.monotonic().saturating_sub(self.started)
    }
}
