//! One peer's life here, as long as its settings stay the same.

use std::sync::Arc;

use super::cold_task::ColdTask;
use super::peer::Peer;
use super::ping_task::PingTask;
use super::stop::Stop;
use super::tail_task::TailTask;
use super::tasks::{AllDone, Tasks};
use crate::config::Settings;

pub(super) struct PeerTask {
    pub(super) peer: Arc<Peer>,
    pub(super) settings: Arc<Settings>,
    pub(super) stop: Stop,
    pub(super) tasks: Tasks,
    /// The tasks of the peer of this id as it was before. They may be storing a batch, and then keep its cursor: nobody
    /// reads that cursor before.
    pub(super) before: Option<AllDone>,
}

impl PeerTask {
    /// Until the peer's own tasks have ended.
    pub(super) async fn run(self) {
        if let Some(mut before) = self.before {
            before.wait().await;
        }
        let (tasks, mut done) = self.tasks.part();
        if !self.stop.is_given() {
            start(&self.peer, &self.settings, &self.stop, &tasks);
        }
        drop(tasks);
        done.wait().await;
        self.peer.metrics.leave();
    }
}

fn start(peer: &Arc<Peer>, settings: &Arc<Settings>, stop: &Stop, tasks: &Tasks) {
    let is_storing = peer.node.store.is_storing();
    let is_hot = settings.hot_path.enabled && is_storing;
    let parts = || (peer.clone(), settings.clone(), stop.clone());
    if is_hot {
        let (peer, settings, stop) = parts();
        let task = TailTask {
            peer,
            settings,
            stop,
        };
        tasks.spawn("replication-tail", task.run());
    }
    if settings.cold_path.enabled && is_storing {
        let (peer, settings, stop) = parts();
        let task = ColdTask {
            peer,
            settings,
            stop,
        };
        tasks.spawn("replication-cold", task.run());
    }
    // Without the hot path nobody else would find out whether the peer answers.
    if settings.peer_health.enabled || !is_hot {
        let (peer, settings, stop) = parts();
        let task = PingTask {
            peer,
            settings,
            stop,
            is_dialling: !is_hot,
        };
        tasks.spawn("replication-ping", task.run());
    }
}
