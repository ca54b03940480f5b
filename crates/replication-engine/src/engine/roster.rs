//! Who the peers are, and their tasks; follows the settings while running.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::cold_task::ColdTask;
use super::node::Node;
use super::peer::Peer;
use super::ping_task::PingTask;
use super::stop::{Stop, StopSign};
use super::tail_task::TailTask;
use super::tasks::Tasks;
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
}

struct Member {
    peer: Arc<Peer>,
    settings: Arc<Settings>,
    /// Dropping it stops the peer's tasks.
    _stop: StopSign,
}

impl Roster {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            members: Mutex::default(),
        }
    }

    /// Makes the members those of the settings: stops who is gone or changed, starts who is new or changed.
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
        members.by_id.retain(|_, member| stays(member));
        let mut peers: Vec<&PeerConfig> = config.peers.iter().collect();
        peers.sort_by_key(|peer| peer.priority);
        for peer in peers {
            if !members.by_id.contains_key(&peer.node_id) {
                let member = self.start(peer, &settings, tasks)?;
                members.by_id.insert(peer.node_id.clone(), member);
            }
        }
        Ok(())
    }

    fn start(
        &self,
        config: &PeerConfig,
        settings: &Arc<Settings>,
        tasks: &Tasks,
    ) -> Result<Member, ConfigError> {
        let remote = self.node.dialler.remote(config)?;
        let peer = Arc::new(Peer::new(config.clone(), remote, self.node.clone()));
        let sign = StopSign::default();
        let is_storing = self.node.store.is_storing();
        let is_hot = settings.hot_path.enabled && is_storing;
        let (settings, stop) = (settings.clone(), sign.heeded());
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
        Ok(Member {
            peer,
            settings,
            _stop: sign,
        })
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
