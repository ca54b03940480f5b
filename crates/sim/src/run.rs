//! One run: the script is played, everything is mended, and the oracle is asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use replication_engine::peer::memory::MemoryMesh;

use crate::exec::World;
use crate::log::Log;
use crate::net::Net;
use crate::node::{Backup, Life, Machine, Setup};
use crate::oracle::Oracle;
use crate::private::Private;
use crate::redis::SimRedis;
use crate::script::{CacheEvent, Event, Script, Topology};
use crate::sql::{SqlDisk, SqlFaults};
use crate::wal::WalDisk;
use crate::workload::Workload;

/// Longer than any item lives that ends by itself, and than any clock was ahead: what waits for its time has come by then.
const LAST_WAIT: Duration = Duration::from_secs(75);

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What happened, line by line.
    pub log: String,
    /// What should not have happened.
    pub violations: Vec<String>,
    /// Writes acknowledged.
    pub acknowledged: usize,
    /// Virtual time.
    pub took: Duration,
    /// From everything mended to all equal.
    pub healed_in: Duration,
}

/// Plays the run of this seed.
pub fn run(seed: u64) -> Report {
    let script = Script::of(seed);
    let world = World::new(seed);
    let stage = Stage::new(&world, script);
    let log = stage.log.clone();
    let oracle = stage.workload.oracle.clone();
    let private = stage.workload.private.clone();
    let healed = stage.healed.clone();
    if let Err(halt) = world.run(stage.play()) {
        oracle.violation(format!("{halt:?}"));
    }
    let mut report = Report {
        violations: oracle.violations(),
        acknowledged: oracle.acknowledged() + private.acknowledged(),
        took: world.now(),
        healed_in: *healed.lock(),
        log: String::new(),
    };
    log.note(format_args!(
        "end: {} polls, {} acknowledged, healed in {:?}, {} violations",
        world.polls(),
        report.acknowledged,
        report.healed_in,
        report.violations.len()
    ));
    report.log = log.take();
    world.end();
    report
}

/// The run under way.
pub(crate) struct Stage {
    pub(crate) world: World,
    net: Net,
    script: Script,
    pub(crate) machines: Vec<Arc<Machine>>,
    backups: Vec<Option<Backup>>,
    pub(crate) workload: Workload,
    pub(crate) log: Log,
    pub(crate) healed: Arc<Mutex<Duration>>,
    rng: fastrand::Rng,
}

fn name(node: usize) -> String {
    format!("n{node}")
}

fn peers_of(topology: Topology, node: usize, nodes: usize) -> Vec<String> {
    let knows = |other: &usize| match topology {
        _ if *other == node => false,
        Topology::Mesh => true,
        Topology::Hub => node == 0 || *other == 0,
        Topology::Chain => node.abs_diff(*other) == 1,
    };
    (0..nodes).filter(knows).map(name).collect()
}

fn happen_to(cache: &SimRedis, event: CacheEvent) {
    match event {
        CacheEvent::Down(is_down) => cache.faults(|faults| faults.is_down = is_down),
        CacheEvent::Full(is_full) => cache.faults(|faults| faults.is_full = is_full),
        CacheEvent::Flaky(once_in) => cache.faults(|faults| faults.fails_once_in = once_in),
        CacheEvent::Slow(ms) => cache.faults(|faults| faults.takes_ms = ms),
        CacheEvent::FailOver(lost) => cache.fail_over(lost),
        CacheEvent::Wipe => cache.wipe(),
        CacheEvent::Evict => cache.evict(),
    }
}

impl Stage {
    fn new(world: &World, script: Script) -> Self {
        let log = Log::new(world);
        let (net, mesh) = (Net::new(world), MemoryMesh::default());
        let replicating = |kind: &&crate::script::Kind| kind.place.is_some();
        let nodes = script.kinds.iter().filter(replicating).count();
        let machine = |(node, kind): (usize, &crate::script::Kind)| {
            let setup = Setup {
                id: name(node),
                peers: peers_of(script.topology, node, nodes),
                relay: script.topology != Topology::Mesh,
                stream_max: script.stream_max,
                l1_bytes: script.l1_bytes,
                flush_ms: script.flush_ms,
                cold_sec: 2,
                posts_on_redis: kind.posts_on_redis,
            };
            let sql = kind.place.map(|place| SqlDisk::new(world, place));
            let wal = kind.has_wal.then(|| WalDisk::new(world.rng()));
            let cache = kind.has_cache.then(|| SimRedis::new(world));
            Arc::new(Machine::new(
                world,
                &log,
                &net,
                &mesh,
                setup,
                (sql, wal, cache),
            ))
        };
        let machines: Vec<_> = script.kinds.iter().enumerate().map(machine).collect();
        let oracle = Oracle::new(&log);
        let workload = Workload {
            log: log.clone(),
            private: Private::new(&oracle),
            oracle,
            keys: script.keys,
            content_max: script.content_max,
            pause_ms: script.pause_ms,
            is_quiet: Arc::default(),
            is_over: Arc::default(),
            count: Arc::default(),
        };
        Self {
            world: world.clone(),
            net: net.clone(),
            backups: machines.iter().map(|_| None).collect(),
            machines,
            workload,
            log,
            healed: Arc::default(),
            rng: world.rng(),
            script,
        }
    }

    pub(crate) fn note(&self, what: impl std::fmt::Display) {
        self.log.note(what);
    }

    async fn play(mut self) {
        self.note(format!(
            "{:?} {:?}, {} keys, contents of {}, streams of {}, L1 {}, flush {} ms, {} writers every {} ms",
            self.script.topology,
            self.script.kinds,
            self.script.keys,
            self.script.content_max,
            self.script.stream_max,
            self.script.l1_bytes,
            self.script.flush_ms,
            self.script.writers,
            self.script.pause_ms
        ));
        for node in 0..self.machines.len() {
            self.start(node);
        }
        let events = std::mem::take(&mut self.script.events);
        for (at, event) in events {
            self.watch_until(at).await;
            self.note(&event);
            self.happen(event).await;
        }
        self.watch_until(self.script.end).await;
        self.workload.is_over.store(true, Ordering::SeqCst);
        self.mend();
        self.note("everything is mended");
        if self.heal().await {
            // Until everything that ends by itself has ended, and nothing is from the future any more.
            self.world.sleep(LAST_WAIT).await;
            if self.heal().await {
                self.compare().await;
                self.read_own().await;
            }
        }
    }

    pub(crate) fn start(&self, node: usize) {
        let Some(machine) = self.machines.get(node) else {
            return;
        };
        if machine.is_on() {
            return;
        }
        let (workload, writers) = (self.workload.clone(), self.script.writers);
        if machine.has_lost_its_clock() {
            workload.private.give_up(node);
        }
        let begins = {
            let (oracle, machine) = (workload.oracle.clone(), machine.clone());
            move || {
                // Its log may hold what another node has overwritten, and without its rows it cannot know.
                if !machine.sql_is_well() {
                    oracle.forget_reads(node);
                }
            }
        };
        begins();
        machine.start(move |life: Arc<Life>| async move {
            begins();
            for _ in 0..writers {
                let call = workload.clone().call(node, life.clone());
                life.env.spawn("caller", Box::pin(call));
            }
        });
    }

    pub(crate) fn crash(&mut self, node: usize, with_power: bool) {
        let machine = self.machines[node].clone();
        let mut rng = self.rng.fork();
        machine.crash(with_power.then_some(&mut rng));
        if machine.wal.is_none() {
            self.on_loss(node);
        }
    }

    fn on_loss(&self, node: usize) {
        let kept = self.machines[node].on_disk();
        let anywhere = self.machines.iter().flat_map(|machine| machine.on_disk());
        self.workload.oracle.on_loss(node, kept, anywhere.collect());
        self.on_cache_loss(node);
    }

    fn on_replaced(&self, node: usize) {
        self.on_loss(node);
        self.workload.oracle.on_replaced(node);
        if self.machines[node].sql.is_some() {
            self.workload.private.give_up(node);
        }
    }

    fn on_cache_loss(&self, node: usize) {
        let kept = self.machines[node].in_cache();
        self.workload.private.on_loss(node, &kept);
    }

    fn sql_faults(&self, node: usize, change: impl FnOnce(&mut SqlFaults)) {
        if let Some(sql) = &self.machines[node].sql {
            sql.faults(change);
        }
    }

    async fn happen(&mut self, event: Event) {
        let id = name;
        match event {
            Event::Crash(node, with_power) => self.crash(node, with_power),
            Event::Start(node) => self.start(node),
            Event::Stop(node) => {
                let machine = self.machines[node].clone();
                machine.stop().await;
                // Without a log only what could not be stored anywhere is excused.
                if machine.wal.is_none() && !machine.is_well() {
                    self.on_loss(node);
                }
            }
            Event::Wipe(node) => {
                self.crash(node, true);
                self.machines[node].wipe();
                self.on_replaced(node);
            }
            Event::Backup(node) => self.backups[node] = Some(self.machines[node].backup()),
            Event::Restore(node, of) => {
                self.crash(node, true);
                if let Some(backup) = &self.backups[of] {
                    self.machines[node].restore(backup);
                    let shown = self.machines[of].skew.furthest();
                    self.machines[node].skew.has_shown(shown);
                    self.on_replaced(node);
                }
            }
            Event::Cut(from, to) => self.net.line(&id(from), &id(to), |line| line.is_cut = true),
            Event::Noise(from, to, takes_ms, once_in) => {
                self.net.line(&id(from), &id(to), |line| {
                    line.takes_ms = takes_ms;
                    line.loses_once_in = once_in;
                    line.repeats_once_in = once_in;
                });
            }
            Event::Mend => self.net.heal(),
            Event::SqlDown(node, is_down) => {
                self.sql_faults(node, |faults| faults.is_down = is_down);
            }
            Event::SqlFlaky(node, once_in) => self.sql_faults(node, |faults| {
                faults.fails_once_in = once_in;
                faults.loses_reply_once_in = once_in;
            }),
            Event::SqlSlow(node, ms) => {
                self.sql_faults(node, |faults| faults.takes_ms = ms);
            }
            Event::SyncFails(node, once_in) => {
                if let Some(wal) = &self.machines[node].wal {
                    wal.fail_syncs(once_in);
                }
            }
            Event::Cache(node, event) => {
                if let Some(cache) = &self.machines[node].cache {
                    let before = cache.records();
                    happen_to(cache, event);
                    if event.loses() {
                        let private = &self.workload.private;
                        private.on_redis_loss(&before, &cache.records());
                    }
                }
            }
            Event::Suspend(duration) => self.world.skip(duration),
            Event::Quiet => self.workload.is_quiet.store(true, Ordering::SeqCst),
            Event::Clock(node, ms) => {
                let machine = &self.machines[node];
                machine.skew.set(ms);
                if machine.is_behind_its_start() {
                    self.workload.private.give_up(node);
                }
            }
        }
    }

    /// Ends every fault, and starts what is down. A log whose disk failed wants a restart, too.
    fn mend(&mut self) {
        self.net.heal();
        for node in 0..self.machines.len() {
            let machine = self.machines[node].clone();
            self.sql_faults(node, |faults| *faults = Default::default());
            machine.skew.set(0);
            if let Some(wal) = &machine.wal {
                wal.fail_syncs(0);
            }
            if let Some(cache) = &machine.cache {
                cache.faults(|faults| *faults = Default::default());
            }
            self.start(node);
        }
    }
}
