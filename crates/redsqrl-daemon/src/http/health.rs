//! How the node is: for people, load balancers and Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use sync_engine::engine::{HealthCheck, RefusedRow, TierHealth};

use super::Shared;

/// 200 when everything is well, 503 when something is not; what it is stands in the body.
pub(super) async fn health(State(face): Shared) -> impl IntoResponse {
    let check = face.engine.health_check().await;
    let status = match check.is_healthy() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut mesh = (face.mesh)();
    if let Some(fields) = mesh.as_object_mut() {
        fields.remove("peers");
    }
    let mut body = shown(&check);
    if let Some(fields) = body.as_object_mut() {
        // Told, and not counted: a peer that is down is no reason to take this node out of service.
        fields.insert("replication".into(), mesh);
    }
    (status, Json(body))
}

fn shown(check: &HealthCheck) -> Value {
    let (unflushed_items, unflushed_bytes) = check.unflushed;
    json!({
        "healthy": check.is_healthy(),
        "state": check.state.to_string(),
        "cache": tier(&check.cache),
        "archive": tier(&check.archive),
        "wal": {"records": check.wal_records, "damage": check.wal_damage, "failure": check.wal_failure},
        "pressure": format!("{:?}", check.pressure).to_lowercase(),
        "memory_pressure": check.memory_pressure,
        "unflushed": {"items": unflushed_items, "bytes": unflushed_bytes},
        "refused": {
            "rows": check.refused_rows,
            "some": check.refused.iter().map(refused).collect::<Vec<Value>>(),
        },
        "cache_stale_keys": check.cache_stale_keys,
        "filter": format!("{:?}", check.filter).to_lowercase(),
        "publish": {"backlog": check.publish_backlog, "dropped": check.publish_dropped},
        "merkle": {"root": check.merkle_root, "rows": check.rows},
    })
}

fn refused(row: &RefusedRow) -> Value {
    json!({"id": &*row.key, "reason": row.reason})
}

fn tier(health: &TierHealth) -> Value {
    match health {
        TierHealth::Absent => json!({"state": "absent"}),
        TierHealth::Up => json!({"state": "up"}),
        TierHealth::Down(reason) => json!({"state": "down", "reason": reason}),
    }
}

/// 200 when requests are served. A node that takes no write until it is restarted is not ready.
pub(super) async fn ready(State(face): Shared) -> impl IntoResponse {
    let engine = &face.engine;
    let why_not = match engine.is_ready() {
        true => engine
            .log_failure()
            .map(|cause| format!("a write to the log failed; restart this node: {cause}\n")),
        false => Some(format!("{}\n", engine.state())),
    };
    match why_not {
        None => (StatusCode::OK, "ready\n".to_string()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

/// The text format of Prometheus.
pub(super) async fn metrics(State(face): Shared) -> impl IntoResponse {
    face.engine.update_gauge_metrics();
    face.budget.update_gauges();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], face.metrics.render())
}
