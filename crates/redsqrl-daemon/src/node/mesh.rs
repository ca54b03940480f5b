//! How the mesh looks from here, as JSON.

use replication_engine::{PeerReport, ReplicationEngine};
use serde_json::{Value, json};

/// The state of replication and of each peer.
pub(super) fn shown(replication: &ReplicationEngine) -> Value {
    let health = replication.health_check();
    let quarantined = health.quarantined.iter();
    let quarantined = quarantined.map(|(origin, writes)| (origin.to_string(), json!(writes)));
    json!({
        "state": health.state.to_string(),
        "healthy": health.is_healthy(),
        "quarantined": quarantined.collect::<serde_json::Map<_, _>>(),
        "peers": health.peers.iter().map(peer).collect::<Vec<_>>(),
    })
}

fn peer(report: &PeerReport) -> Value {
    let cold = match &report.last_cold {
        None => Value::Null,
        Some(Ok(outcome)) => json!({"outcome": outcome.to_string()}),
        Some(Err(error)) => json!({"error": error}),
    };
    json!({
        "node_id": report.node_id,
        "url": report.url,
        "priority": report.priority,
        "connected": report.is_connected,
        "circuit": format!("{:?}", report.circuit).to_lowercase(),
        "cursor": report.cursor.to_string(),
        "catching_up": report.is_catching_up,
        "lag_ms": report.lag_ms,
        "lag_events": report.lag_events,
        "events_applied": report.events_applied,
        "events_deduped": report.events_deduped,
        "rejected": report.rejected,
        "cold_cycles": report.cold_cycles,
        "last_cold": cold,
        "last_cold_at_ms": report.last_cold_at_ms,
        "in_sync_at_ms": report.in_sync_at_ms,
        "items_repaired": report.items_repaired,
        "fill_items": report.fill_items,
        "last_error": report.last_error,
    })
}
