//! Looking at the nodes of a run: while it goes on, and when everything is mended.

use std::sync::Arc;
use std::time::Duration;

use sync_engine::item::Stored;
use sync_engine::merkle::node::Aggregate;

use crate::node::Machine;
use crate::private;
use crate::run::Stage;

/// How long the nodes have to become equal after everything was mended.
const HEALING: Duration = Duration::from_secs(300);
/// How far ahead of its clock a node may stamp: what it believes of others, and some writes in a millisecond.
const DRIFT_MS: i64 = 5_100;
/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(500);

impl Stage {
    /// The machines that have a part in the mesh: they come first.
    fn mesh(&self) -> impl Iterator<Item = (usize, &Arc<Machine>)> {
        let machines = self.machines.iter().enumerate();
        machines.filter(|(_, machine)| machine.sql.is_some())
    }

    /// Looks at the nodes until it is that late.
    pub(crate) async fn watch_until(&self, at: Duration) {
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
    pub(crate) async fn look(&self) {
        let oracle = &self.workload.oracle;
        let keys = oracle.keys();
        for (node, machine) in self.mesh() {
            self.look_at_clock(node, machine);
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

    /// No node stamps further ahead of its clock than it believes others.
    fn look_at_clock(&self, node: usize, machine: &Machine) {
        let furthest = machine.skew.furthest() + DRIFT_MS;
        let oracle = &self.workload.oracle;
        let latest = oracle.latest(node);
        if let Some(latest) = latest.filter(|latest| latest.time.ms() > furthest) {
            oracle.violation(format!(
                "I12: node {node} stamped {latest}, and its clock never passed {furthest}"
            ));
        }
    }

    /// Waits until all nodes have equal roots and nothing left to do.
    pub(crate) async fn heal(&self) -> bool {
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
        for (_, machine) in self.mesh() {
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
    pub(crate) async fn compare(&self) {
        let oracle = &self.workload.oracle;
        let rows: Vec<Vec<Stored>> = self.mesh().map(|(_, machine)| machine.rows()).collect();
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
        self.read_all(&rows[0]).await;
        // And with nothing in memory.
        for node in 0..rows.len() {
            self.machines[node].clone().stop().await;
            self.boot(node).await;
        }
        self.read_all(&rows[0]).await;
    }

    /// Starts a node, and waits until it has started.
    async fn boot(&self, node: usize) {
        self.start(node);
        let begun = self.world.now();
        while self.machines[node].life().is_none() && self.world.now() - begun < HEALING {
            self.world.sleep(LOOK).await;
        }
    }

    /// Readers of each node see what its disk holds.
    async fn read_all(&self, rows: &[Stored]) {
        let oracle = &self.workload.oracle;
        for (node, machine) in self.mesh() {
            let Some(life) = machine.life() else { continue };
            for stored in rows.iter().filter(|row| !private::is_own(row.key())) {
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

    /// What the nodes alone keep, as it is after a last loss of power.
    pub(crate) async fn read_own(&mut self) {
        for node in 0..self.machines.len() {
            let keys = self.workload.private.keys(node);
            if keys.is_empty() {
                continue;
            }
            self.crash(node, true);
            self.boot(node).await;
            let life = self.machines[node].life();
            for key in keys {
                let is_read = match &life {
                    Some(life) => self.workload.read_own(life, &key).await,
                    None => false,
                };
                if !is_read {
                    let what = format!("node {node} cannot read {key} though nothing is broken");
                    self.workload.oracle.violation(what);
                }
            }
        }
    }
}
