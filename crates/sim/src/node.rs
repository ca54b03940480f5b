//! A node: a machine that lasts, and the lives that run on it one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use replication_engine::mailbox::Mailbox;
use replication_engine::peer::memory::{MemoryMesh, MemoryPort};
use replication_engine::{PeerConfig, ReplicationConfig, ReplicationEngine};
use sync_engine::cdc::ChangeLog;
use sync_engine::cdc::memory::MemoryLog;
use sync_engine::env::{Env, SharedEnv};
use sync_engine::item::Stored;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{SyncEngine, SyncEngineConfig};
use tokio::sync::watch;

use crate::cursors::SimCursors;
use crate::env::{SimEnv, Skew};
use crate::exec::{Group, World};
use crate::log::Log;
use crate::net::Net;
use crate::post::SimMailbox;
use crate::redis::SimRedis;
use crate::sql::SqlDisk;
use crate::stream::SimStream;
use crate::wal::WalDisk;

/// Pause before a start that failed is tried again.
const START_AGAIN: Duration = Duration::from_secs(1);

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its id.
    pub id: String,
    /// The nodes it follows and compares with.
    pub peers: Vec<String>,
    /// Whether it publishes what it received.
    pub relay: bool,
    /// Entries that its stream keeps.
    pub stream_max: usize,
    /// Bytes of L1.
    pub l1_bytes: usize,
    /// Milliseconds until a batch is flushed.
    pub flush_ms: u64,
    /// Seconds between comparisons.
    pub cold_sec: u64,
    /// Whether its stream and its mailbox are on its Redis.
    pub posts_on_redis: bool,
}

/// What lasts.
pub struct Machine {
    /// How it is set up.
    pub setup: Setup,
    /// Its wall clock.
    pub skew: Skew,
    /// Its rows; without any it has no part in the mesh.
    pub sql: Option<SqlDisk>,
    /// Its Redis, if it has one.
    pub cache: Option<SimRedis>,
    /// Its log, if it has one.
    pub wal: Option<WalDisk>,
    /// Its cursors.
    pub cursors: SimCursors,
    world: World,
    log: Log,
    net: Net,
    mesh: MemoryMesh,
    life: Mutex<Option<Arc<Life>>>,
    group: Mutex<Option<Group>>,
    /// What its clock showed at its last start.
    begun_ms: AtomicI64,
}

/// One run of the process.
pub struct Life {
    /// The store.
    pub engine: Arc<SyncEngine>,
    /// Its replication, if it has a part in the mesh.
    pub replication: Option<ReplicationEngine>,
    /// Whether it has a Redis.
    pub has_cache: bool,
    /// Its environment.
    pub env: SharedEnv,
    port: Option<Arc<MemoryPort>>,
    // The settings never change; the senders keep the channels open.
    _settings: watch::Sender<SyncEngineConfig>,
    _config: watch::Sender<ReplicationConfig>,
}

type Posts = (
    Arc<dyn ChangeLog>,
    Arc<dyn Mailbox>,
    Option<Arc<MemoryPort>>,
);

/// A copy of a machine's disks.
pub struct Backup {
    rows: Option<MemoryArchive>,
    wal: Option<WalDisk>,
}

fn url(id: &str) -> String {
    format!("redis://{id}")
}

fn redis_is_well(redis: &SimRedis) -> bool {
    let mut is_well = false;
    redis.faults(|faults| {
        let breaks = faults.is_down || faults.is_full || faults.fails_once_in > 0;
        is_well = !breaks && faults.takes_ms <= 1;
    });
    is_well
}

impl Machine {
    /// A machine that is off.
    pub fn new(
        world: &World,
        log: &Log,
        net: &Net,
        mesh: &MemoryMesh,
        setup: Setup,
        (sql, wal, cache): (Option<SqlDisk>, Option<WalDisk>, Option<SimRedis>),
    ) -> Self {
        Self {
            setup,
            skew: Skew::default(),
            sql,
            cache,
            wal,
            cursors: SimCursors::default(),
            world: world.clone(),
            log: log.clone(),
            net: net.clone(),
            mesh: mesh.clone(),
            life: Mutex::default(),
            group: Mutex::default(),
            begun_ms: AtomicI64::new(0),
        }
    }

    /// The life that is under way and has started.
    pub fn life(&self) -> Option<Arc<Life>> {
        self.life.lock().clone()
    }

    /// Whether a process runs, started or starting.
    pub fn is_on(&self) -> bool {
        self.group.lock().is_some()
    }

    /// Whether nothing goes wrong with where it stores things.
    pub fn is_well(&self) -> bool {
        self.sql_is_well() && self.cache.as_ref().is_none_or(redis_is_well)
    }

    /// Whether nothing goes wrong with its rows.
    pub fn sql_is_well(&self) -> bool {
        self.sql.as_ref().is_none_or(SqlDisk::is_well)
    }

    /// Whether its clock was set back, and nothing on its disks knows the last stamps of what the Redis alone keeps.
    pub fn has_lost_its_clock(&self) -> bool {
        self.wal.is_none() && self.skew.now_ms(&self.world) < self.skew.furthest()
    }

    /// Whether its clock was set back behind its last start, and what its Redis alone keeps from before is from a future that
    /// nothing on its disks knows.
    pub fn is_behind_its_start(&self) -> bool {
        self.wal.is_none() && self.skew.now_ms(&self.world) < self.begun_ms.load(Ordering::SeqCst)
    }

    /// Starts the process; once it has started, `and_then` runs in it.
    pub fn start<F>(self: &Arc<Self>, and_then: impl FnOnce(Arc<Life>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let group = self.world.group();
        *self.group.lock() = Some(group);
        let now_ms = self.skew.now_ms(&self.world);
        self.begun_ms.store(now_ms, Ordering::SeqCst);
        let (machine, env) = (
            self.clone(),
            SimEnv::new(&self.world, group, self.skew.clone()),
        );
        let boot = async move {
            let life = loop {
                match machine.boot(env.clone()).await {
                    Ok(life) => break life,
                    Err(error) => {
                        machine
                            .log
                            .note(format_args!("{} does not start: {error}", machine.setup.id));
                        env.sleep(START_AGAIN).await;
                    }
                }
            };
            *machine.life.lock() = Some(life.clone());
            and_then(life).await;
        };
        self.world.spawn(group, "boot", Box::pin(boot));
    }

    async fn boot(
        &self,
        env: Arc<SimEnv>,
    ) -> Result<Arc<Life>, Box<dyn std::error::Error + Send + Sync>> {
        let env: SharedEnv = env;
        let group = self.group.lock().ok_or("the machine is off")?;
        let setup = &self.setup;
        let settings = SyncEngineConfig {
            node_id: Some(setup.id.clone()),
            l1_max_bytes: setup.l1_bytes,
            batch_flush_ms: setup.flush_ms,
            // The path is never opened; it says that there is a log.
            wal_path: self.wal.as_ref().map(|_| "given".into()),
            ..SyncEngineConfig::default()
        };
        let (settings_sender, receiver) = watch::channel(settings.clone());
        let (log, mailbox, port) = self.posts(&env);
        let mut builder = SyncEngine::builder(settings, receiver)
            .with_env(env.clone())
            .with_changes(log);
        if let Some(sql) = &self.sql {
            builder = builder.with_archive(sql.open(group));
        }
        if let Some(cache) = &self.cache {
            builder = builder.with_cache(Arc::new(cache.clone()));
        }
        if let Some(wal) = &self.wal {
            builder = builder.with_wal(wal.open(env.clone()));
        }
        let engine = Arc::new(builder.build());
        engine.start().await?;
        let config = self.replication_config();
        let (config_sender, receiver) = watch::channel(config.clone());
        let replication = match &self.sql {
            None => None,
            Some(_) => {
                let replication = ReplicationEngine::builder(config, receiver)
                    .with_store(engine.clone())
                    .with_dialler(self.net.dialler(&setup.id, self.mesh.dialler(&setup.id)))
                    .with_mailbox(mailbox)
                    .with_cursors(Arc::new(self.cursors.clone()))
                    .build();
                replication.start().await?;
                Some(replication)
            }
        };
        Ok(Arc::new(Life {
            engine,
            replication,
            has_cache: self.cache.is_some(),
            env,
            port,
            _settings: settings_sender,
            _config: config_sender,
        }))
    }

    /// Its stream and its mailbox, and the door if they are in memory.
    fn posts(&self, env: &SharedEnv) -> Posts {
        let setup = &self.setup;
        if let (true, Some(redis)) = (setup.posts_on_redis, &self.cache) {
            self.net.reach_through(&setup.id, redis);
            let stream = SimStream::new(redis, setup.stream_max, env.clone());
            return (Arc::new(stream), Arc::new(SimMailbox(redis.clone())), None);
        }
        let log = Arc::new(MemoryLog::new(setup.stream_max, 64 << 20, env.clone()));
        let port = MemoryPort::new(log.clone(), env.clone());
        self.mesh.add(&url(&setup.id), port.clone());
        (log, port.clone(), Some(port))
    }

    fn replication_config(&self) -> ReplicationConfig {
        let setup = &self.setup;
        let mut config = ReplicationConfig {
            local_node_id: setup.id.clone(),
            peers: setup
                .peers
                .iter()
                .map(|peer| PeerConfig::for_testing(peer, url(peer)))
                .collect(),
            relay: setup.relay,
            ..ReplicationConfig::default()
        };
        config.settings.cold_path.interval_sec = setup.cold_sec;
        config.settings.cold_path.backoff_base_sec = 1;
        config.settings.cold_path.backoff_max_sec = 10;
        for peer in &mut config.peers {
            peer.circuit_reset_timeout_sec = 5;
        }
        config
    }

    /// The process dies where it stands. With `power`, the machine's disks lose what was not synced.
    pub fn crash(&self, power: Option<&mut fastrand::Rng>) {
        let Some(group) = self.group.lock().take() else {
            return;
        };
        let life = self.life.lock().take();
        if let Some(port) = life.as_ref().and_then(|life| life.port.as_ref()) {
            port.set_up(false);
        }
        self.world.kill(group);
        drop(life);
        if let Some(rng) = power {
            if let Some(wal) = &self.wal {
                wal.lose_tail();
            }
            self.cursors.lose_tail(rng);
        }
    }

    /// The process ends in good order.
    pub async fn stop(&self) {
        let Some(life) = self.life.lock().take() else {
            return self.crash(None);
        };
        if let Some(port) = &life.port {
            port.set_up(false);
        }
        if let Some(replication) = &life.replication {
            replication.shutdown().await;
        }
        life.engine.shutdown().await;
        let group = self.group.lock().take();
        drop(life);
        if let Some(group) = group {
            self.world.kill(group);
        }
    }

    /// Everything on its disks is gone. Only while it is off. Without SQL its Redis is on the same machine.
    pub fn wipe(&self) {
        match (&self.sql, &self.cache) {
            (Some(sql), _) => sql.wipe(),
            (None, Some(cache)) => cache.wipe(),
            (None, None) => {}
        }
        if let Some(wal) = &self.wal {
            wal.wipe();
        }
        self.cursors.wipe();
    }

    /// A copy of its disks.
    pub fn backup(&self) -> Backup {
        Backup {
            rows: self.sql.as_ref().map(SqlDisk::copy),
            wal: self.wal.as_ref().map(WalDisk::copy),
        }
    }

    /// Puts a backup of this or another machine on its disks. Only while it is off.
    pub fn restore(&self, backup: &Backup) {
        match (&self.sql, &backup.rows) {
            (Some(sql), Some(rows)) => sql.put_back(rows.copy()),
            _ => return self.wipe(),
        }
        match (&self.wal, &backup.wal) {
            (Some(wal), Some(copy)) => wal.put_back(copy),
            (Some(wal), None) => wal.wipe(),
            (None, _) => {}
        }
        self.cursors.wipe();
    }

    /// The rows that it has in SQL.
    pub fn rows(&self) -> Vec<Stored> {
        self.sql.as_ref().map(SqlDisk::all).unwrap_or_default()
    }

    /// All that its log and its Redis hold.
    pub fn in_cache(&self) -> Vec<Stored> {
        let mut all: Vec<Stored> = self.cache.iter().flat_map(SimRedis::records).collect();
        all.extend(self.wal.iter().flat_map(WalDisk::records));
        all
    }

    /// All that its disks hold.
    pub fn on_disk(&self) -> Vec<Stored> {
        let mut all = self.rows();
        all.extend(self.wal.iter().flat_map(WalDisk::records));
        all
    }
}
