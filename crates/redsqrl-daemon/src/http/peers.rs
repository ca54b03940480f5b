//! The other nodes: `/v1/peers`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::Shared;

/// Tells how replication and each peer are, as JSON: an object whose `peers` is a list.
pub type MeshView = Arc<dyn Fn() -> Value + Send + Sync>;

/// The state of replication, and one object for each peer.
pub(super) async fn list(State(face): Shared) -> Json<Value> {
    Json((face.mesh)())
}
