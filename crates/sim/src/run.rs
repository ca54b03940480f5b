//! One run: the script is played, everything is mended, and the oracle is asked.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use replication_engine::peer::memory::MemoryMesh;
use sync_engine::item::Stored;
use sync_engine::merkle::node::Aggregate;

use crate::cache::SimCache;
use crate::exec::World;
use crate::log::Log;
use crate::net::Net;
use crate::node::{Backup, Life, Machine, Setup};
use crate::oracle::Oracle;
use crate::script::{CacheEvent, Event, Script, Topology};
use crate::sql::SqlDisk;
use crate::wal::WalDisk;
use crate::workload::Workload;

/// How long the nodes have to become equal after everything was mended.
const HEALING: Duration = Duration::from_secs(300);
/// Longer than any item lives that ends by itself.
const LAST_EXPIRY: Duration = Duration::from_secs(25);
/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(500);

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
    let healed = stage.healed.clone();
    if let Err(halt) = world.run(stage.play()) {
        oracle.violation(format!("{halt:?}"));
    }
    let mut report = Report {
        violations: oracle.violations(),
        acknowledged: oracle.acknowledged(),
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
    report
}

struct Stage {
    world: World,
    net: Net,
    script: Script,
    machines: Vec<Arc<Machine>>,
    backups: Vec<Option<Backup>>,
    workload: Workload,
    log: Log,
    healed: Arc<Mutex<Duration>>,
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

fn happen_to(cache: &SimCache, event: CacheEvent) {
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
        let nodes = script.kinds.len();
        let machine = |(node, kind): (usize, &crate::script::Kind)| {
            let setup = Setup {
                id: name(node),
                peers: peers_of(script.topology, node, nodes),
                relay: script.topology != Topology::Mesh,
                stream_max: script.stream_max,
                l1_bytes: script.l1_bytes,
                flush_ms: script.flush_ms,
                cold_sec: 2,
            };
            let sql = SqlDisk::new(world, kind.place);
            let wal = kind.has_wal.then(|| WalDisk::new(world.rng()));
            let cache = kind.has_cache.then(|| SimCache::new(world));
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
        let workload = Workload {
            log: log.clone(),
            oracle: Oracle::new(&log),
            keys: script.keys,
            pause_ms: script.pause_ms,
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

    fn note(&self, what: impl std::fmt::Display) {
        self.log.note(what);
    }

    async fn play(mut self) {
        self.note(format!(
            "{:?} {:?}, {} keys, streams of {}, L1 {}, flush {} ms, {} writers every {} ms",
            self.script.topology,
            self.script.kinds,
            self.script.keys,
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
        self.workload
            .is_over
            .store(true, std::sync::atomic::Ordering::SeqCst);
        self.mend();
        self.note("everything is mended");
        if self.heal().await {
            // Until everything that ends by itself has ended.
            self.world.sleep(LAST_EXPIRY).await;
            if self.heal().await {
                self.compare().await;
            }
        }
    }

    /// Looks at the nodes until it is that late.
    async fn watch_until(&self, at: Duration) {
        loop {
            let now = self.world.now();
            if now >= at || !self.workload.oracle.violations().is_empty() {
                return;
            }
            self.world.sleep(LOOK.min(at - now)).await;
            self.look().await;
        }
    }

    /// No node may show less than it has shown.
    async fn look(&self) {
        let oracle = &self.workload.oracle;
        let keys = oracle.keys();
        for (node, machine) in self.machines.iter().enumerate() {
            let Some(life) = machine.life() else { continue };
            let floors: Vec<_> = keys
                .iter()
                .map(|key| oracle.held_floor(node, key))
                .collect();
            let leaves =
                sync_engine::env::timeout(&*life.env, LOOK, life.engine.leaves_of(&keys)).await;
            let Ok(Ok(leaves)) = leaves else { continue };
            // Only if that very life goes on: after a crash less may be there.
            if !machine.life().is_some_and(|now| Arc::ptr_eq(&now, &life)) {
                continue;
            }
            for ((key, floor), leaf) in keys.iter().zip(floors).zip(leaves) {
                let stamp = leaf.map(|leaf| leaf.stamp);
                if stamp < floor {
                    oracle.violation(format!(
                        "I3: node {node} had {key} at {floor:?}, and has {stamp:?}"
                    ));
                }
                if let Some(stamp) = stamp {
                    oracle.on_seen(node, key, stamp);
                }
            }
        }
    }

    fn start(&self, node: usize) {
        let Some(machine) = self.machines.get(node) else {
            return;
        };
        if machine.is_on() {
            return;
        }
        let (workload, writers) = (self.workload.clone(), self.script.writers);
        machine.start(move |life: Arc<Life>| async move {
            for _ in 0..writers {
                let call = workload.clone().call(node, life.clone());
                life.env.spawn("caller", Box::pin(call));
            }
        });
    }

    fn crash(&mut self, node: usize, with_power: bool) {
        let machine = self.machines[node].clone();
        let mut rng = self.rng.fork();
        machine.crash(with_power.then_some(&mut rng));
        self.workload.oracle.on_crash(node);
        if machine.wal.is_none() {
            self.on_loss(node);
        }
    }

    fn on_loss(&self, node: usize) {
        let kept = self.machines[node].on_disk();
        let anywhere = self.machines.iter().flat_map(|machine| machine.on_disk());
        self.workload.oracle.on_loss(node, kept, anywhere.collect());
    }

    async fn happen(&mut self, event: Event) {
        let id = name;
        match event {
            Event::Crash(node, with_power) => self.crash(node, with_power),
            Event::Start(node) => self.start(node),
            Event::Stop(node) => {
                let machine = self.machines[node].clone();
                machine.stop().await;
                self.workload.oracle.on_crash(node);
                if machine.wal.is_none() {
                    // An archive that was down for the whole of the shutdown is an excuse.
                    self.on_loss(node);
                }
            }
            Event::Wipe(node) => {
                self.crash(node, true);
                self.machines[node].wipe();
                self.on_loss(node);
            }
            Event::Backup(node) => self.backups[node] = Some(self.machines[node].backup()),
            Event::Restore(node, of) => {
                self.crash(node, true);
                if let Some(backup) = &self.backups[of] {
                    self.machines[node].restore(backup);
                    self.on_loss(node);
                }
            }
            Event::Cut(from, to) => self.net.line(&id(from), &id(to), |line| line.is_cut = true),
            Event::Noise(from, to, once_in) => self.net.line(&id(from), &id(to), |line| {
                line.takes_ms = 2_000;
                line.loses_once_in = once_in;
            }),
            Event::Mend => self.net.heal(),
            Event::SqlDown(node, is_down) => {
                self.machines[node]
                    .sql
                    .faults(|faults| faults.is_down = is_down);
            }
            Event::SqlFlaky(node, once_in) => self.machines[node].sql.faults(|faults| {
                faults.fails_once_in = once_in;
                faults.loses_reply_once_in = once_in;
            }),
            Event::SqlSlow(node, ms) => {
                self.machines[node]
                    .sql
                    .faults(|faults| faults.takes_ms = ms);
            }
            Event::SyncFails(node, once_in) => {
                if let Some(wal) = &self.machines[node].wal {
                    wal.fail_syncs(once_in);
                }
            }
            Event::Cache(node, event) => {
                if let Some(cache) = &self.machines[node].cache {
                    happen_to(cache, event);
                }
            }
            Event::Clock(node, ms) => self.machines[node].skew.set(ms),
        }
    }

    /// Ends every fault, and starts what is down. A log whose disk failed wants a restart, too.
    fn mend(&mut self) {
        self.net.heal();
        for node in 0..self.machines.len() {
            let machine = self.machines[node].clone();
            machine.sql.faults(|faults| *faults = Default::default());
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

    /// Waits until all nodes have equal roots and nothing left to do.
    async fn heal(&self) -> bool {
        let begun = self.world.now();
        let mut roots = Vec::new();
        while self.world.now() - begun < HEALING {
            self.world.sleep(LOOK).await;
            self.look().await;
            roots = self.roots().await;
            let first = roots.first().copied().flatten();
            if first.is_some() && roots.iter().all(|root| *root == first) {
                let took = self.world.now() - begun;
                let mut healed = self.healed.lock();
                *healed = took.max(*healed);
                drop(healed);
                self.note(format!("all equal after {took:?}"));
                return true;
            }
        }
        let what = format!(
            "I4: not equal {HEALING:?} after everything was mended: {:?}",
            roots
                .iter()
                .map(|root| root.map(|root| root.hash().to_string()[..8].to_owned()))
                .collect::<Vec<_>>()
        );
        self.workload.oracle.violation(what);
        false
    }

    async fn roots(&self) -> Vec<Option<Aggregate>> {
        let mut roots = Vec::new();
        for machine in &self.machines {
            let Some(life) = machine.life() else {
                roots.push(None);
                continue;
            };
            let flushed = life.engine.force_flush().await;
            roots.push(
                flushed
                    .ok()
                    .and_then(|()| life.engine.merkle_aggregate().ok()),
            );
        }
        roots
    }

    /// Item by item, on the disks.
    async fn compare(&self) {
        let oracle = &self.workload.oracle;
        let rows: Vec<Vec<Stored>> = self
            .machines
            .iter()
            .map(|machine| machine.sql.all())
            .collect();
        for (node, theirs) in rows.iter().enumerate().skip(1) {
            oracle.check_equal((0, &rows[0]), (node, theirs));
        }
        for (node, rows) in rows.iter().enumerate() {
            let Some(life) = self.machines[node].life() else {
                continue;
            };
            let tree = life.engine.merkle_aggregate().ok();
            let mut scan = Aggregate::default();
            rows.iter()
                .for_each(|row| scan.insert(&row.leaf().digest(row.key().as_bytes())));
            if tree != Some(scan) {
                oracle.violation(format!(
                    "I9: node {node}: the tree says {tree:?}, its rows {scan:?}"
                ));
            }
        }
        oracle.check_end(&rows[0]);
        for (node, machine) in self.machines.iter().enumerate() {
            let Some(life) = machine.life() else { continue };
            for stored in &rows[0] {
                let key = stored.key();
                let live = |now| stored.live_at(now).map(|item| item.stamp);
                let got = life.engine.get(key).await;
                let got = got
                    .map(|item| item.map(|item| item.stamp))
                    .map_err(|error| error.to_string());
                if got != Ok(live(life.env.now_ms())) {
                    let leaf = stored.leaf();
                    oracle.violation(format!(
                        "I4: node {node} reads {got:?} of {key}, which is at {leaf:?}"
                    ));
                }
            }
        }
    }
}
