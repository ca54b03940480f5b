//! The counters. Their names are contract; the label `peer` is the peer's node id.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The metrics of one peer.
pub struct PeerMetrics {
    pub(super) events_read: Counter,
    pub(super) events_applied: Counter,
    pub(super) events_deduped: Counter,
    pub(super) events_rejected: Counter,
    pub(super) events_missed: Counter,
    pub(super) batch_flush: Counter,
    pub(super) batch_flush_seconds: Histogram,
    pub(super) lag_ms: Gauge,
    pub(super) lag_events: Gauge,
    pub(super) pauses: Counter,
    pub(super) cycles: Counter,
    pub(super) items_fetched: Counter,
    pub(super) items_submitted: Counter,
    pub(super) divergences: Counter,
    pub(super) fill_items: Counter,
    pub(super) connected: Gauge,
    pub(super) circuit_state: Gauge,
    pub(super) latency: Histogram,
    pub(super) slo_crossed: Counter,
}

impl PeerMetrics {
    pub(super) fn new(peer: &str) -> Self {
        let peer = peer.to_owned();
        let count = |name: &'static str| counter!(name, "peer" => peer.clone());
        let level = |name: &'static str| gauge!(name, "peer" => peer.clone());
        let spread = |name: &'static str| histogram!(name, "peer" => peer.clone());
        Self {
            events_read: count("replication_cdc_events_read_total"),
            events_applied: count("replication_cdc_events_applied_total"),
            events_deduped: count("replication_cdc_events_deduped_total"),
            events_rejected: count("replication_cdc_events_rejected_total"),
            events_missed: count("replication_cdc_missed_total"),
            batch_flush: count("replication_batch_flush_total"),
            batch_flush_seconds: spread("replication_batch_flush_duration_seconds"),
            lag_ms: level("replication_lag_ms"),
            lag_events: level("replication_lag_events"),
            pauses: count("replication_backpressure_pauses_total"),
            cycles: count("replication_repair_cycles_total"),
            items_fetched: count("replication_repair_items_fetched_total"),
            items_submitted: count("replication_repair_items_submitted_total"),
            divergences: count("replication_merkle_divergences_total"),
            fill_items: count("replication_bootstrap_items_total"),
            connected: level("replication_peer_connected"),
            circuit_state: level("replication_peer_circuit_state"),
            latency: spread("replication_peer_latency_seconds"),
            slo_crossed: count("replication_slo_violations_total"),
        }
    }

    /// The peer is no longer followed. Counters stay: they count what was.
    pub(super) fn leave(&self) {
        for level in [
            &self.connected,
            &self.circuit_state,
            &self.lag_ms,
            &self.lag_events,
        ] {
            level.set(0.0);
        }
    }
}

/// The metrics of the engine itself.
pub(super) struct EngineMetrics {
    pub(super) state: Gauge,
    pub(super) quarantined: Gauge,
    pub(super) questions: Counter,
    pub(super) questions_refused: Counter,
}

impl EngineMetrics {
    pub(super) fn new() -> Self {
        Self {
            state: gauge!("replication_engine_state"),
            quarantined: gauge!("replication_quarantined_writes"),
            questions: counter!("replication_questions_total"),
            questions_refused: counter!("replication_questions_refused_total"),
        }
    }
}
