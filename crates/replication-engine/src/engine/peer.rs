//! What the tasks of one peer share, and what is shown of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::engine::Applied;
use sync_engine::guard::{CircuitConfig, CircuitState};
use tokio::sync::Notify;

use super::metrics::PeerMetrics;
use super::node::Node;
use crate::config::PeerConfig;
use crate::peer::{Link, Remote};
use crate::repair::bootstrap::FillProgress;
use crate::repair::cycle::{Outcome, RepairSink};
use crate::repair::question::RecordError;
use crate::tail::rejected::{Rejected, RejectedRing};

/// How a peer is doing, for pages and health checks.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerReport {
    /// Its node id.
    pub node_id: String,
    /// Its URL, without a password.
    pub url: String,
    /// Lower first.
    pub priority: i32,
    /// Whether it answers.
    pub is_connected: bool,
    /// Its circuit.
    pub circuit: CircuitState,
    /// How far its stream was followed.
    pub cursor: StreamId,
    /// Whether the hot path is catching up.
    pub is_catching_up: bool,
    /// Age of the newest applied change while more wait, else 0.
    pub lag_ms: u64,
    /// Changes that wait, as far as their numbers tell.
    pub lag_events: u64,
    /// Events that changed something here.
    pub events_applied: u64,
    /// Events that were known already, or older than what is here.
    pub events_deduped: u64,
    /// Entries and records that were refused.
    pub rejected: u64,
    /// Comparisons that have ended well.
    pub cold_cycles: u64,
    /// How the last one ended: its result, or the error.
    pub last_cold: Option<Result<Outcome, String>>,
    /// When, in epoch milliseconds.
    pub last_cold_at_ms: Option<i64>,
    /// When a comparison last found that nothing is missing here that the peer has, or made it so.
    pub in_sync_at_ms: Option<i64>,
    /// Items that the cold path has brought.
    pub items_repaired: u64,
    /// Items that the fill under way has brought; `None`: none is.
    pub fill_items: Option<u64>,
    /// The last failure of the link or of the store.
    pub last_error: Option<String>,
}

/// What is counted and remembered of a peer.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) cursor: StreamId,
    pub(super) is_catching_up: bool,
    pub(super) lag_ms: u64,
    pub(super) lag_events: u64,
    pub(super) events_applied: u64,
    pub(super) events_deduped: u64,
    pub(super) rejected: RejectedRing,
    pub(super) cold_cycles: u64,
    pub(super) last_cold: Option<Result<Outcome, String>>,
    pub(super) last_cold_at_ms: Option<i64>,
    pub(super) in_sync_at_ms: Option<i64>,
    pub(super) items_repaired: u64,
    pub(super) fill_items: Option<u64>,
    pub(super) last_error: Option<String>,
    pub(super) heard_at: Duration,
}

/// Why the cold path is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// The hot path missed something.
    Missed,
    /// The peer came up, or somebody asks.
    Now,
}

/// One peer, as its tasks see it.
pub(super) struct Peer {
    pub(super) config: PeerConfig,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) link: Mutex<Link>,
    pub(super) memory: Mutex<Memory>,
    pub(super) metrics: PeerMetrics,
    pub(super) node: Arc<Node>,
    wanted: Mutex<Option<Wanted>>,
    wake: Notify,
}

impl Peer {
    pub(super) fn new(config: PeerConfig, remote: Arc<dyn Remote>, node: Arc<Node>) -> Self {
        let circuit = CircuitConfig {
            failure_threshold: config.circuit_failure_threshold,
            reset_timeout: Duration::from_secs(config.circuit_reset_timeout_sec),
        };
        let metrics = PeerMetrics::new(&config.node_id);
        Self {
            link: Mutex::new(Link::new(circuit)),
            memory: Mutex::default(),
            wanted: Mutex::new(None),
            wake: Notify::new(),
            metrics,
            config,
            remote,
            node,
        }
    }

    /// The peer answered.
    pub(super) fn on_answer(&self) {
        let now = self.node.env.monotonic();
        self.memory.lock().heard_at = now;
        let came_up = self.link.lock().on_answer();
        if came_up {
            tracing::info!(peer = %self.config.node_id, "peer is up");
            self.metrics.connected.set(1.0);
            self.metrics.circuit_state.set(0.0);
            self.want(Wanted::Now);
        }
    }

    /// The peer did not.
    pub(super) fn on_failure(&self, error: &dyn std::fmt::Display) {
        let (now, random) = (self.node.env.monotonic(), self.node.env.random());
        let mut link = self.link.lock();
        let was_up = link.is_up();
        link.on_failure(now, random);
        let circuit = link.circuit(now);
        drop(link);
        self.metrics.connected.set(0.0);
        self.metrics.circuit_state.set(circuit as u8 as f64);
        if was_up {
            tracing::warn!(peer = %self.config.node_id, %error, "peer is down");
        }
        self.on_error(error);
    }

    /// Something went wrong that says nothing of the link.
    pub(super) fn on_error(&self, error: &dyn std::fmt::Display) {
        self.memory.lock().last_error = Some(error.to_string());
    }

    /// Asks for the cold path.
    pub(super) fn want(&self, wanted: Wanted) {
        let mut slot = self.wanted.lock();
        *slot = (*slot).max(Some(wanted));
        self.wake.notify_one();
    }

    /// What was asked for since the last call.
    pub(super) fn take_wanted(&self) -> Option<Wanted> {
        self.wanted.lock().take()
    }

    /// Completes when the cold path is asked for.
    pub(super) async fn wanted(&self) {
        self.wake.notified().await;
    }

    /// What the store made of writes.
    pub(super) fn on_applied(&self, applied: Applied) {
        for (key, error) in applied.refused {
            self.reject(Rejected {
                id: None,
                reason: error.to_string(),
                excerpt: format!("key={key}"),
            });
        }
        self.node.quarantine(&self.config.node_id, applied.early);
    }

    /// Keeps an entry or record that is none.
    pub(super) fn reject(&self, rejected: Rejected) {
        self.metrics.events_rejected.increment(1);
        let mut memory = self.memory.lock();
        let total = memory.rejected.total() + 1;
        // The first, the second, the fourth …: a flood must not fill the log.
        if total.is_power_of_two() {
            tracing::warn!(peer = %self.config.node_id, total, reason = %rejected.reason, "refused what a peer sent");
        }
        memory.rejected.push(rejected);
    }

    /// Says that a threshold was crossed.
    pub(super) fn check_slo(&self, what: &'static str, took: Duration, limit_ms: u64) {
        if took > Duration::from_millis(limit_ms) {
            self.metrics.slo_crossed.increment(1);
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(peer = %self.config.node_id, what, took_ms, limit_ms, "slower than it should be");
        }
    }

    /// How it is doing.
    pub(super) fn report(&self) -> PeerReport {
        let now = self.node.env.monotonic();
        let (is_connected, circuit) = {
            let link = self.link.lock();
            (link.is_up(), link.circuit(now))
        };
        let memory = self.memory.lock();
        PeerReport {
            node_id: self.config.node_id.clone(),
            url: self.config.redis_url.to_string(),
            priority: self.config.priority,
            is_connected,
            circuit,
            cursor: memory.cursor,
            is_catching_up: memory.is_catching_up,
            lag_ms: memory.lag_ms,
            lag_events: memory.lag_events,
            events_applied: memory.events_applied,
            events_deduped: memory.events_deduped,
            rejected: memory.rejected.total(),
            cold_cycles: memory.cold_cycles,
            last_cold: memory.last_cold.clone(),
            last_cold_at_ms: memory.last_cold_at_ms,
            in_sync_at_ms: memory.in_sync_at_ms,
            items_repaired: memory.items_repaired,
            fill_items: memory.fill_items,
            last_error: memory.last_error.clone(),
        }
    }
}

impl RepairSink for Peer {
    fn diverged(&self, keys: usize) {
        self.metrics.divergences.increment(keys as u64);
    }

    fn fetched(&self, records: usize) {
        self.metrics.items_fetched.increment(records as u64);
    }

    fn applied(&self, submitted: usize, applied: Applied) {
        self.metrics.items_submitted.increment(submitted as u64);
        self.memory.lock().items_repaired += applied.taken as u64;
        self.on_applied(applied);
    }

    fn refused(&self, error: RecordError) {
        self.reject(Rejected {
            id: None,
            reason: error.to_string(),
            excerpt: String::new(),
        });
    }
}

impl FillProgress for Peer {
    fn advanced(&self, records: usize, last: &[u8]) {
        self.metrics.fill_items.increment(records as u64);
        let mut memory = self.memory.lock();
        let filled = memory.fill_items.unwrap_or(0) + records as u64;
        memory.fill_items = Some(filled);
        drop(memory);
        let last = last.escape_ascii().to_string();
        tracing::info!(peer = %self.config.node_id, filled, %last, "filling from a peer");
    }
}
