//! One node, put together: the only place that names storage, replication and the faces.

mod directory;

mod error;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sync_engine::cdc::memory::MemoryLog;
use sync_engine::engine::ShutdownReport;
use sync_engine::env::{RealEnv, SharedEnv};
use sync_engine::{SyncEngine, SyncEngineConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use error::NodeError;

use self::directory::Directory;
use crate::config::NodeConfig;
use crate::http::{Face, HttpServer};
use crate::telemetry;

/// Bytes that the change stream of a node without a Redis may hold.
const CHANGES_BYTES_MAX: usize = 128 << 20;

/// How often histograms are put together. Between two times they only grow.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// A running node.
///
/// It ends by [`Node::shutdown`]. Dropped without it, it is as if it had crashed: what was acknowledged as `Queued` may
/// be lost, what was logged is not.
pub struct Node {
    id: String,
    config: Mutex<NodeConfig>,
    engine: Arc<SyncEngine>,
    engine_settings: watch::Sender<SyncEngineConfig>,
    face: Arc<Face>,
    http: HttpServer,
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
        let http = listen("HTTP", config.http.listen).await?;
        let env: SharedEnv = Arc::new(RealEnv::default());
        // Before the engine, which takes its counters from the recorder that is there.
        let metrics = telemetry::metrics();
        let (engine_settings, settings) = watch::channel(config.engine.clone());
        let changes = change_log(&config.engine, &env);
        let mut builder = SyncEngine::builder(config.engine.clone(), settings).with_env(env);
        if let Some(changes) = changes {
            builder = builder.with_changes(changes);
        }
        let engine = Arc::new(builder.build());
        engine.start().await.map_err(NodeError::Engine)?;
        let upkeep = tokio::spawn(keep_metrics(metrics.clone())).abort_handle();
        let face = Arc::new(Face::new(
            engine.clone(),
            config.max_body(),
            metrics,
            Arc::new(|| serde_json::json!([])),
        ));
        let http = HttpServer::start(http, face.clone());
        let http = http.map_err(|source| NodeError::listen("HTTP", config.http.listen, source))?;
        Ok(Self {
            id,
            config: Mutex::new(config),
            engine,
            engine_settings,
            face,
            http,
            upkeep,
            _directory: directory,
        })
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

    /// Its storage.
    #[must_use]
    pub fn engine(&self) -> &Arc<SyncEngine> {
        &self.engine
    }

    /// Takes new settings, as far as they can be taken by a running node; tells of the others in the log.
    ///
    /// # Errors
    /// Settings that cannot work; the old ones stay in force.
    pub fn reload(&self, new: NodeConfig) -> Result<(), NodeError> {
        new.validate()?;
        let new = new.resolved(&self.id);
        let mut current = self.config.lock();
        for name in needing_restart(&current, &new) {
            tracing::warn!("`{name}` has changed; it takes effect when the node is started again");
        }
        self.face.set_max_body(new.max_body());
        self.engine_settings.send_replace(new.engine.clone());
        *current = new;
        Ok(())
    }

    /// Stops everything in the reverse order. Nothing that was acknowledged is lost, unless the report says so.
    pub async fn shutdown(self) -> ShutdownReport {
        self.http.stop().await;
        let report = self.engine.shutdown().await;
        self.upkeep.abort();
        report
    }
}

/// The change stream of a node that has no Redis for it; `None`: the engine's own, or none.
fn change_log(engine: &SyncEngineConfig, env: &SharedEnv) -> Option<Arc<MemoryLog>> {
    let wanted = engine.enable_cdc_stream && engine.redis_url.is_none();
    wanted.then(|| {
        Arc::new(MemoryLog::new(
            engine.cdc_stream_maxlen,
            CHANGES_BYTES_MAX,
            env.clone(),
        ))
    })
}

async fn listen(face: &'static str, address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| NodeError::listen(face, address, source))
}

async fn keep_metrics(metrics: metrics_exporter_prometheus::PrometheusHandle) {
    loop {
        tokio::time::sleep(METRICS_UPKEEP).await;
        metrics.run_upkeep();
    }
}

/// Settings that differ and that only a start reads.
fn needing_restart(old: &NodeConfig, new: &NodeConfig) -> Vec<&'static str> {
    let differs = [
        ("dir", old.dir != new.dir),
        ("http.listen", old.http.listen != new.http.listen),
        ("resp.listen", old.resp.listen != new.resp.listen),
        (
            "log",
            old.log.level != new.log.level || old.log.format != new.log.format,
        ),
        (
            "engine.redis_url",
            old.engine.redis_url != new.engine.redis_url,
        ),
        ("engine.sql_url", old.engine.sql_url != new.engine.sql_url),
        (
            "engine.wal_path",
            old.engine.wal_path != new.engine.wal_path,
        ),
        (
            "engine.enable_cdc_stream",
            old.engine.enable_cdc_stream != new.engine.enable_cdc_stream,
        ),
    ];
    differs
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name)
        .collect()
}
