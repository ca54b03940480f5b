//! The engine: for each peer a task that follows its stream, one that compares with it, and one that looks after it.

pub mod builder;

pub mod stop;

pub mod tasks;

pub mod health;

mod metrics;

mod node;

mod peer;

mod peer_task;

mod roster;

mod tail_task;

mod tail_read;

mod cold_task;

mod ping_task;

mod answer_task;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sync_engine::engine::Relay;
use sync_engine::env::timeout;
use tokio::sync::watch;

pub use builder::ReplicationBuilder;
pub use health::ReplicationHealth;
pub use peer::PeerReport;

use self::answer_task::AnswerTask;
use self::builder::{Part, Parts};
use self::metrics::EngineMetrics;
use self::node::Node;
use self::peer::Wanted;
use self::roster::Roster;
use self::stop::{Stop, StopSign};
use self::tasks::{AllDone, Tasks};
use crate::apply::SyncEngineRef;
use crate::config::{ConfigError, ReplicationConfig};
use crate::error::ReplicationError;
use crate::limits::SHUTDOWN_PATIENCE;
use crate::mailbox::{AbsentMailbox, Mailbox, RedisMailbox};
use crate::peer::{Dialler, RedisPeers};
use crate::tail::rejected::Rejected;
use crate::tail::{CursorStore, SqliteCursors};

/// How often the quarantine is looked through.
const QUARANTINE_EVERY: Duration = Duration::from_millis(500);

/// Where the engine is in its life. The numbers are those of the metric `replication_engine_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// Not started, or stopped; it can be started (again).
    Stopped = 0,
    /// Opening its cursors.
    Starting = 1,
    /// At work.
    Running = 2,
    /// Waiting for batches in flight.
    Stopping = 3,
}

impl fmt::Display for EngineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
        })
    }
}

/// Keeps this node equal with its peers. Every verb takes `&self`: it can live in an `Arc`.
///
/// Dropping it without [`ReplicationEngine::shutdown`] stops its tasks, too, without waiting for them; nothing is lost by it.
pub struct ReplicationEngine {
    parts: Parts,
    configs: watch::Receiver<ReplicationConfig>,
    state: watch::Sender<EngineState>,
    running: Mutex<Option<Running>>,
    /// One start or shutdown at a time.
    lifecycle: tokio::sync::Mutex<()>,
}

struct Running {
    node: Arc<Node>,
    roster: Arc<Roster>,
    stop: StopSign,
    done: AllDone,
}

impl ReplicationEngine {
    /// An engine without a store: it looks after its peers, and replicates nothing.
    pub fn new(config: ReplicationConfig, configs: watch::Receiver<ReplicationConfig>) -> Self {
        Self::builder(config, configs).build()
    }

    /// An engine that replicates into and out of `store`. Later settings come through the channel.
    pub fn with_sync_engine<S: SyncEngineRef>(
        config: ReplicationConfig,
        configs: watch::Receiver<ReplicationConfig>,
        store: Arc<S>,
    ) -> Self {
        Self::builder(config, configs).with_store(store).build()
    }

    /// An engine with parts of the caller's.
    pub fn builder(
        config: ReplicationConfig,
        configs: watch::Receiver<ReplicationConfig>,
    ) -> ReplicationBuilder {
        ReplicationBuilder::new(config, configs)
    }

    fn of(parts: Parts, configs: watch::Receiver<ReplicationConfig>) -> Self {
        Self {
            parts,
            configs,
            state: watch::Sender::new(EngineState::Stopped),
            running: Mutex::default(),
            lifecycle: tokio::sync::Mutex::default(),
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> EngineState {
        *self.state.borrow()
    }

    /// Follows its life.
    pub fn state_receiver(&self) -> watch::Receiver<EngineState> {
        self.state.subscribe()
    }

    /// Begins to replicate, and returns; peers that do not answer are tried again and again. Starting a running engine does
    /// nothing.
    ///
    /// # Errors
    /// Settings that cannot work; a file of cursors that cannot be opened. It may be started again.
    pub async fn start(&self) -> Result<(), ReplicationError> {
        let _one = self.lifecycle.lock().await;
        if self.state() == EngineState::Running {
            return Ok(());
        }
        self.state.send_replace(EngineState::Starting);
        let opened = self.open().await;
        let state = match &opened {
            Ok(()) => EngineState::Running,
            Err(_) => EngineState::Stopped,
        };
        self.state.send_replace(state);
        EngineMetrics::new().state.set(f64::from(state as u8));
        opened
    }

    async fn open(&self) -> Result<(), ReplicationError> {
        let config = &self.parts.config;
        config.validate()?;
        let store = self.parts.store.clone();
        check_node_id(config, &*store)?;
        let env = store.env();
        let node = Arc::new(Node {
            dialler: self.dialler(),
            cursors: self.cursors().await?,
            mailbox: self.mailbox()?,
            relay: match config.relay {
                true => Relay::Yes,
                false => Relay::No,
            },
            early: Mutex::default(),
            fill_turn: tokio::sync::Mutex::default(),
            metrics: EngineMetrics::new(),
            env: env.clone(),
            store,
        });
        let (tasks, done) = Tasks::new(env);
        let stop = StopSign::default();
        let roster = Arc::new(Roster::new(node.clone()));
        roster.follow(config, &tasks)?;
        let follow = roster
            .clone()
            .run(self.configs.clone(), stop.heeded(), tasks.clone());
        tasks.spawn("replication-roster", follow);
        let answers = AnswerTask {
            node: node.clone(),
            roster: roster.clone(),
            stop: stop.heeded(),
            tasks: tasks.clone(),
        };
        tasks.spawn("replication-answers", answers.run());
        tasks.spawn(
            "replication-quarantine",
            retry_early(node.clone(), stop.heeded()),
        );
        *self.running.lock() = Some(Running {
            node,
            roster,
            stop,
            done,
        });
        Ok(())
    }

    fn dialler(&self) -> Arc<dyn Dialler> {
        match &self.parts.dialler {
            Part::Given(dialler) => dialler.clone(),
            Part::FromSettings => {
                let (store, id) = (self.parts.store.clone(), &self.parts.config.local_node_id);
                let env = store.env();
                let payload_bytes_max = Arc::new(move || store.payload_bytes_max());
                Arc::new(RedisPeers::new(id, payload_bytes_max, env))
            }
        }
    }

    fn mailbox(&self) -> Result<Arc<dyn Mailbox>, ReplicationError> {
        let store = &self.parts.store;
        Ok(match (&self.parts.mailbox, store.own_redis()) {
            (Part::Given(mailbox), _) => mailbox.clone(),
            (Part::FromSettings, None) => Arc::new(AbsentMailbox),
            (Part::FromSettings, Some((url, prefix))) => {
                let env = store.env();
                Arc::new(RedisMailbox::new(&url, prefix.as_deref(), env)?)
            }
        })
    }

    async fn cursors(&self) -> Result<Arc<dyn CursorStore>, ReplicationError> {
        match &self.parts.cursors {
            Part::Given(cursors) => Ok(cursors.clone()),
            Part::FromSettings => {
                let settings = &self.parts.config.cursor;
                let env = self.parts.store.env();
                let opened = SqliteCursors::open(&settings.sqlite_path, settings.wal_mode, env);
                Ok(Arc::new(opened.await?))
            }
        }
    }

    /// Stops. Batches in flight are applied and their cursors kept before it returns. Stopping a stopped engine does
    /// nothing.
    pub async fn shutdown(&self) {
        let _one = self.lifecycle.lock().await;
        let Some(mut running) = self.running.lock().take() else {
            return;
        };
        self.state.send_replace(EngineState::Stopping);
        running
            .node
            .metrics
            .state
            .set(f64::from(EngineState::Stopping as u8));
        running.stop.give();
        running.roster.close();
        let all_done = timeout(&*running.node.env, SHUTDOWN_PATIENCE, running.done.wait()).await;
        if let Err(elapsed) = all_done {
            tracing::warn!(%elapsed, "a batch in flight did not end; its cursor has not moved, it will come again");
        }
        self.state.send_replace(EngineState::Stopped);
        running
            .node
            .metrics
            .state
            .set(f64::from(EngineState::Stopped as u8));
    }

    /// How each peer is doing, by its id; none when not running.
    pub fn peers(&self) -> Vec<PeerReport> {
        let peers = self.roster().map(|roster| roster.peers());
        peers.iter().flatten().map(|peer| peer.report()).collect()
    }

    /// Entries and records of a peer that were refused lately, oldest first.
    ///
    /// # Errors
    /// No such peer.
    pub fn rejected(&self, node_id: &str) -> Result<Vec<Rejected>, ReplicationError> {
        let peers = self.roster().map(|roster| roster.peers());
        let mut peers = peers.into_iter().flatten();
        let peer = peers.find(|peer| peer.config.node_id == node_id);
        let peer = peer.ok_or_else(|| ReplicationError::UnknownPeer(node_id.to_owned()))?;
        Ok(peer.memory.lock().rejected.kept().cloned().collect())
    }

    /// Compares now: with one peer, or with all. Returns at once; see [`ReplicationEngine::peers`] for the outcome.
    ///
    /// # Errors
    /// Not running; no such peer.
    pub fn run_cold_path(&self, node_id: Option<&str>) -> Result<(), ReplicationError> {
        let roster = self.roster().ok_or_else(|| ReplicationError::State {
            op: "compare",
            state: self.state(),
        })?;
        let mut peers = roster.peers();
        if let Some(node_id) = node_id {
            peers.retain(|peer| peer.config.node_id == node_id);
            if peers.is_empty() {
                return Err(ReplicationError::UnknownPeer(node_id.to_owned()));
            }
        }
        peers.iter().for_each(|peer| peer.want(Wanted::Now));
        Ok(())
    }

    /// How replication is doing.
    pub fn health_check(&self) -> ReplicationHealth {
        let lag_sec = self.configs.borrow().settings.slo.max_replication_lag_sec;
        let running = self.running.lock();
        let quarantined = running
            .as_ref()
            .map(|running| running.node.early.lock().by_origin());
        drop(running);
        ReplicationHealth {
            state: self.state(),
            peers: self.peers(),
            quarantined: quarantined.unwrap_or_default(),
            lag_ms_max: lag_sec.saturating_mul(1000),
        }
    }

    fn roster(&self) -> Option<Arc<Roster>> {
        let running = self.running.lock();
        running.as_ref().map(|running| running.roster.clone())
    }
}

/// Stamps and answers name the node: both engines must mean the same one.
fn check_node_id(config: &ReplicationConfig, store: &dyn SyncEngineRef) -> Result<(), ConfigError> {
    match store.node_id() {
        Some(id) if id != config.local_node_id => {
            let found = format!("{:?}", config.local_node_id);
            let expected = format!("{id:?}, the node_id of the store");
            Err(ConfigError::new("local_node_id", found, expected))
        }
        _ => Ok(()),
    }
}

async fn retry_early(node: Arc<Node>, stop: Stop) {
    while stop
        .unless(node.env.sleep(QUARANTINE_EVERY))
        .await
        .is_some()
    {
        node.release_due().await;
    }
}
