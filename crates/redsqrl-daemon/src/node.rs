//! One node, put together: the only place that names storage, replication and the faces.

mod directory;

mod error;

mod mesh;

mod ports;

mod settings;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use replication_engine::{ReplicationConfig, ReplicationEngine};
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::cdc::memory::MemoryLog;
use sync_engine::engine::ShutdownReport;
use sync_engine::env::{RealEnv, SharedEnv};
use sync_engine::{SyncEngine, SyncEngineConfig};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use error::NodeError;

use self::directory::Directory;
use self::ports::Ports;
use crate::budget::Budget;
use crate::config::NodeConfig;
use crate::http::{Face, HttpServer};
use crate::limits::BudgetLimits;
use crate::resp::mailbox::StreamMailbox;
use crate::resp::{RespServer, RespShared};
use crate::telemetry;

/// How often histograms are put together. Between two times they only grow.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How long clients of the Redis protocol may take to get their last replies.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// A running node.
///
/// It ends by [`Node::shutdown`]. Dropped without it, it is as if it had crashed: what was acknowledged as `Queued` may
/// be lost, what was logged is not.
pub struct Node {
    id: String,
    config: Mutex<NodeConfig>,
    engine_settings: watch::Sender<SyncEngineConfig>,
    replication_settings: watch::Sender<ReplicationConfig>,
    face: Arc<Face>,
    http: HttpServer,
    resp: RespServer,
    replication: Arc<ReplicationEngine>,
    engine: Arc<SyncEngine>,
    upkeep: AbortHandle,
    // Last: the directory is free only when everything in it is closed.
    _directory: Directory,
}

impl Node {
    /// Starts everything, in the order in which each part needs the one before it. When it returns, the node serves.
    ///
    /// # Errors
    /// What could not be started; everything that had been is stopped again.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        config.validate()?;
        let directory = Directory::take(&config.dir)?;
        let id = directory.node_id(config.given_node_id())?;
        let config = config.resolved(&id);
        // Before storage is opened: a port in use is found out at once, and nobody is answered yet.
        let ports = Ports::open(&config).await?;
        // Before the engine, which takes its counters from the recorder that is there.
        let metrics = telemetry::metrics();
        let (engine_settings, settings) = watch::channel(config.engine.clone());
        let (engine, changes) = storage(&config.engine, settings);
        engine.start().await.map_err(NodeError::Engine)?;
        let stored = Stored {
            engine,
            changes,
            engine_settings,
        };
        stored.join(id, config, ports, metrics, directory).await
    }

    /// Its name in the mesh.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where HTTP is served.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http.address()
    }

    /// Where the Redis protocol is spoken.
    #[must_use]
    pub fn resp_address(&self) -> SocketAddr {
        self.resp.addr()
    }

    /// Its storage.
    #[must_use]
    pub fn engine(&self) -> &Arc<SyncEngine> {
        &self.engine
    }

    /// Its replication.
    #[must_use]
    pub fn replication(&self) -> &Arc<ReplicationEngine> {
        &self.replication
    }

    /// Takes new settings, as far as they can be taken by a running node; tells of the others in the log.
    ///
    /// # Errors
    /// Settings that cannot work; the old ones stay in force.
    pub fn reload(&self, new: NodeConfig) -> Result<(), NodeError> {
        new.validate()?;
        let named = new.given_node_id().unwrap_or(&self.id).to_owned();
        let told = new.clone().resolved(&named);
        let new = new.resolved(&self.id);
        let mut current = self.config.lock();
        for name in settings::needing_restart(&current, &told) {
            tracing::warn!("`{name}` has changed; it takes effect when the node is started again");
        }
        self.face.set_max_body(new.max_body());
        self.engine_settings.send_replace(new.engine.clone());
        self.replication_settings
            .send_replace(new.replication.clone());
        *current = new;
        Ok(())
    }

    /// Stops everything in the reverse order. Nothing that was acknowledged is lost, unless the report says so.
    pub async fn shutdown(self) -> ShutdownReport {
        let ((), clients) = tokio::join!(self.http.stop(), self.resp.stop(CLIENT_PATIENCE));
        if let Err(error) = clients {
            tracing::warn!(%error, "some clients of the Redis protocol were cut off");
        }
        self.replication.shutdown().await;
        let report = self.engine.shutdown().await;
        self.upkeep.abort();
        report
    }
}

/// A node of which storage runs, and nothing else yet.
struct Stored {
    engine: Arc<SyncEngine>,
    changes: Option<Arc<MemoryLog>>,
    engine_settings: watch::Sender<SyncEngineConfig>,
}

impl Stored {
    /// Starts replication and the faces; stops storage again where that fails.
    async fn join(
        self,
        id: String,
        config: NodeConfig,
        ports: Ports,
        metrics: PrometheusHandle,
        directory: Directory,
    ) -> Result<Node, NodeError> {
        let engine = self.engine;
        let keys = SpecialKeys::new(config.engine.redis_prefix.as_deref());
        let resp = settings::resp(&config);
        let budget = BudgetLimits::for_payload(config.engine.max_payload_bytes);
        let budget = Arc::new(Budget::new(budget));
        let shared = RespShared::new(engine.clone(), keys, self.changes, budget.clone(), resp);
        let shared = Arc::new(shared);
        let (replication_settings, settings) = watch::channel(config.replication.clone());
        let replication = replication(&config, settings, &engine, &shared);
        let view = replication.clone();
        let view = Arc::new(move || mesh::shown(&view));
        let keys = shared.keys().clone();
        let face = Face::new(
            engine.clone(),
            keys,
            config.max_body(),
            budget,
            metrics.clone(),
            view,
        );
        let face = Arc::new(face);
        let started = match replication.start().await {
            Ok(()) => ports.serve(face.clone(), shared),
            Err(error) => Err(NodeError::Replication(error)),
        };
        let (http, resp) = match started {
            Ok(served) => served,
            Err(error) => {
                replication.shutdown().await;
                engine.shutdown().await;
                return Err(error);
            }
        };
        Ok(Node {
            id,
            config: Mutex::new(config),
            engine_settings: self.engine_settings,
            replication_settings,
            face,
            http,
            resp,
            replication,
            engine,
            upkeep: tokio::spawn(keep_metrics(metrics)).abort_handle(),
            _directory: directory,
        })
    }
}

/// The engine, not started, and the change stream of a node that has no Redis for it.
fn storage(
    config: &SyncEngineConfig,
    settings: watch::Receiver<SyncEngineConfig>,
) -> (Arc<SyncEngine>, Option<Arc<MemoryLog>>) {
    let env: SharedEnv = Arc::new(RealEnv::default());
    let own = config.enable_cdc_stream && config.redis_url.is_none();
    let changes = own.then(|| {
        let bytes_max = settings::changes_bytes_max(config.max_payload_bytes);
        let log = MemoryLog::new(config.cdc_stream_maxlen, bytes_max, env.clone());
        Arc::new(log)
    });
    let mut builder = SyncEngine::builder(config.clone(), settings).with_env(env);
    if let Some(changes) = &changes {
        builder = builder.with_changes(changes.clone());
    }
    (Arc::new(builder.build()), changes)
}

/// Replication, not started. Peers ask where they read: in the node's Redis, or on its own port.
fn replication(
    config: &NodeConfig,
    settings: watch::Receiver<ReplicationConfig>,
    engine: &Arc<SyncEngine>,
    shared: &RespShared,
) -> Arc<ReplicationEngine> {
    let builder = ReplicationEngine::builder(config.replication.clone(), settings);
    let mut builder = builder.with_store(engine.clone());
    if config.engine.redis_url.is_none() {
        let mailbox = StreamMailbox::new(shared.streams(), shared.keys().clone(), engine.env());
        builder = builder.with_mailbox(Arc::new(mailbox));
    }
    Arc::new(builder.build())
}

async fn keep_metrics(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(METRICS_UPKEEP).await;
        metrics.run_upkeep();
    }
}
