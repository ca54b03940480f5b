//! A node for one test: an engine on a directory of its own, and its port.
#![allow(dead_code)] // Each test program uses its part.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redsqrl_daemon::budget::Budget;
use redsqrl_daemon::resp::{RespServer, RespSettings, RespShared};
use sync_engine::SyncEngineConfig;
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::cdc::memory::MemoryLog;
use sync_engine::engine::SyncEngine;
use sync_engine::env::{RealEnv, SharedEnv};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;

pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Node {
    pub engine: Arc<SyncEngine>,
    pub shared: Arc<RespShared>,
    pub server: RespServer,
    pub budget: Arc<Budget>,
    _dir: TempDir,
}

impl Node {
    pub async fn start() -> Node {
        Node::start_with(RespSettings::default()).await
    }

    pub async fn start_with(settings: RespSettings) -> Node {
        Node::start_beside(settings, None).await
    }

    /// With the Redis at this port as the cache.
    pub async fn start_beside(settings: RespSettings, redis: Option<u16>) -> Node {
        let config = SyncEngineConfig {
            redis_url: redis.map(|port| format!("redis://127.0.0.1:{port}").as_str().into()),
            ..Default::default()
        };
        Node::start_within(Budget::default(), settings, config).await
    }

    /// With a budget of its own; `config` names no files.
    pub async fn start_within(
        budget: Budget,
        settings: RespSettings,
        config: SyncEngineConfig,
    ) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let config = SyncEngineConfig {
            sql_url: Some(
                format!("sqlite:{}", path("items.db").display())
                    .as_str()
                    .into(),
            ),
            wal_path: Some(path("wal.db")),
            enable_cdc_stream: true,
            ..config
        };
        let budget = Arc::new(budget);
        let (_, live) = watch::channel(config.clone());
        let env: SharedEnv = Arc::new(RealEnv::default());
        let log = Arc::new(MemoryLog::new(100_000, 64 << 20, env.clone()));
        let engine = SyncEngine::builder(config, live)
            .with_env(env)
            .with_changes(log.clone())
            .build();
        let engine = Arc::new(engine);
        engine.start().await.unwrap();
        let keys = SpecialKeys::new(None);
        let shared = RespShared::new(engine.clone(), keys, Some(log), budget.clone(), settings);
        let shared = Arc::new(shared);
        let addr = "127.0.0.1:0".parse().unwrap();
        let server = RespServer::bind(addr, shared.clone()).unwrap();
        Node {
            engine,
            shared,
            server,
            budget,
            _dir: dir,
        }
    }

    pub fn port(&self) -> u16 {
        self.server.addr().port()
    }

    pub async fn client(&self) -> MultiplexedConnection {
        self.client_at("").await
    }

    /// `query` stands behind the URL: `?protocol=resp3`.
    pub async fn client_at(&self, query: &str) -> MultiplexedConnection {
        let url = format!("redis://127.0.0.1:{}/{query}", self.port());
        let client = redis::Client::open(url).unwrap();
        let config = redis::AsyncConnectionConfig::new()
            .set_response_timeout(Some(PATIENCE))
            .set_connection_timeout(Some(PATIENCE));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .unwrap()
    }

    pub async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.server.addr()).await.unwrap()
    }

    pub async fn stop(self) {
        self.server.stop(PATIENCE).await.unwrap();
        self.engine.shutdown().await;
    }
}
