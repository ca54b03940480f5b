//! Looks after one peer: pings it when it is quiet.

use std::sync::Arc;
use std::time::Duration;

use super::peer::Peer;
use super::stop::Stop;
use crate::config::Settings;

pub(super) struct PingTask {
    pub(super) peer: Arc<Peer>,
    pub(super) settings: Arc<Settings>,
    pub(super) stop: Stop,
    /// Whether nobody else dials this peer.
    pub(super) is_dialling: bool,
}

impl PingTask {
    /// Until the engine stops.
    pub(super) async fn run(self) {
        let health = &self.settings.peer_health;
        let interval = Duration::from_secs(health.ping_interval_sec);
        let idle = Duration::from_secs(health.idle_threshold_sec);
        let env = &self.peer.node.env;
        while !self.stop.is_given() {
            let mut pause = interval;
            let now = env.monotonic();
            let (is_up, heard_at) = (
                self.peer.link.lock().is_up(),
                self.peer.memory.lock().heard_at,
            );
            if is_up && now.saturating_sub(heard_at) >= idle {
                self.ping().await;
            } else if self.is_dialling && !is_up {
                let dial = self.peer.link.lock().dial(now);
                match dial {
                    Ok(()) => {
                        self.ping().await;
                        // The link knows how long to leave alone who does not answer; an interval is far longer.
                        if !self.peer.link.lock().is_up() {
                            continue;
                        }
                    }
                    Err(wait) => pause = wait.min(interval),
                }
            }
            self.stop.unless(env.sleep(pause)).await;
        }
    }

    async fn ping(&self) {
        let env = &self.peer.node.env;
        let begun = env.monotonic();
        match self.stop.unless(self.peer.remote.ping()).await {
            None => {}
            Some(Ok(())) => {
                let took = env.monotonic().saturating_sub(begun);
                self.peer.metrics.latency.record(took.as_secs_f64());
                let limit_ms = self.settings.slo.max_peer_op_latency_ms;
                self.peer.check_slo("a ping", took, limit_ms);
                self.peer.on_answer();
            }
            Some(Err(error)) => self.peer.on_failure(&error),
        }
    }
}
