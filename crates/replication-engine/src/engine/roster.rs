//! Who the peers are; follows the settings while running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::node::Node;
use super::peer::Peer;
use super::peer_task::PeerTask;
use super::stop::{Stop, StopSign};
use super::tasks::{AllDone, Tasks};
use crate::config::{ConfigError, PeerConfig, ReplicationConfig, Settings};

/// The peers with their tasks.
pub(super) struct Roster {
    node: Arc<Node>,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    is_closed: bool,
    by_id: BTreeMap<String, Member>,
    /// Those told to stop whose tasks have not all ended.
    leaving: BTreeMap<String, AllDone>,
}

struct Member {
    peer: Arc<Peer>,
    settings: Arc<Settings>,
    done: AllDone,
    /// Dropping it stops the peer's tasks.
    _stop: StopSign,
}

impl Members {
    /// Tells all others to stop. Whoever has left before under the same id is waited for by its successor's own task.
    fn keep(&mut self, staying: &BTreeSet<String>) {
        self.leaving.retain(|_, done| !done.is_over());
        let all = std::mem::take(&mut self.by_id).into_iter();
        let (staying, gone): (_, Vec<_>) = all.partition(|(id, _)| staying.contains(id));
        self.by_id = staying.into_iter().collect();
        let gone = gone.into_iter().map(|(id, member)| (id, member.done));
        self.leaving.extend(gone);
    }
}

impl Roster {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            members: Mutex::default(),
        }
    }

    /// Makes the members those of the settings: stops who is gone or changed, starts who is new or changed. Settings that
    /// cannot work change nothing.
    pub(super) fn follow(
        &self,
        config: &ReplicationConfig,
        tasks: &Tasks,
    ) -> Result<(), ConfigError> {
        let mut members = self.members.lock();
        if members.is_closed {
            return Ok(());
        }
        let settings = Arc::new(config.settings.clone());
        let stays = |member: &Member| {
            *member.settings == *settings && config.peers.contains(&member.peer.config)
        };
        let staying = members.by_id.iter().filter(|(_, member)| stays(member));
        let staying: BTreeSet<String> = staying.map(|(id, _)| id.clone()).collect();
        let mut new = config.peers.clone();
        new.retain(|peer| !staying.contains(&peer.node_id));
        new.sort_by_key(|peer| peer.priority);
        // Before anybody is told to stop, as this may fail.
        let new = new.into_iter().map(|config| self.meet(config));
        let new: Vec<Arc<Peer>> = new.collect::<Result<_, _>>()?;
        members.keep(&staying);
        for peer in new {
            let id = peer.config.node_id.clone();
            let before = members.leaving.remove(&id);
            let member = start(peer, &settings, tasks, before);
            members.by_id.insert(id, member);
        }
        Ok(())
    }

    fn meet(&self, config: PeerConfig) -> Result<Arc<Peer>, ConfigError> {
        let remote = self.node.dialler.remote(&config)?;
        Ok(Arc::new(Peer::new(config, remote, self.node.clone())))
    }

    /// The peers, by their ids.
    pub(super) fn peers(&self) -> Vec<Arc<Peer>> {
        let members = self.members.lock();
        let members = members.by_id.values();
        members.map(|member| member.peer.clone()).collect()
    }

    /// Whether a node of this id is one of them.
    pub(super) fn has(&self, node_id: &str) -> bool {
        self.members.lock().by_id.contains_key(node_id)
    }

    /// Stops all, for good: settings that arrive now start nobody.
    pub(super) fn close(&self) {
        let mut members = self.members.lock();
        members.is_closed = true;
        members.by_id.clear();
    }

    /// Follows the settings until the engine stops.
    pub(super) async fn run(
        self: Arc<Self>,
        mut configs: watch::Receiver<ReplicationConfig>,
        stop: Stop,
        tasks: Tasks,
    ) {
        loop {
            match stop.unless(configs.changed()).await {
                Some(Ok(())) => {}
                // Nobody can change them any more: those in force stay.
                Some(Err(_)) | None => return,
            }
            let config = configs.borrow_and_update().clone();
            let followed = config
                .validate()
                .and_then(|()| self.follow(&config, &tasks));
            match followed {
                Ok(()) => tracing::info!(peers = config.peers.len(), "new settings are in force"),
                Err(error) => tracing::error!(%error, "the new settings cannot work"),
            }
        }
    }
}

fn start(
    peer: Arc<Peer>,
    settings: &Arc<Settings>,
    tasks: &Tasks,
    before: Option<AllDone>,
) -> Member {
    let sign = StopSign::default();
    let (part, done) = tasks.part();
    let task = PeerTask {
        peer: peer.clone(),
        settings: settings.clone(),
        stop: sign.heeded(),
        tasks: part,
        before,
    };
    tasks.spawn("replication-peer", task.run());
    Member {
        peer,
        settings: settings.clone(),
        done,
        _stop: sign,
    }
}
