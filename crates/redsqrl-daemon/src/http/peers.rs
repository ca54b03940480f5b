//! The other nodes: `/v1/peers`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::Shared;

/// Tells how the peers are, as JSON.
pub type PeersView = Arc<dyn Fn() -> Value + Send + Sync>;

/// One object for each peer.
pub(super) async fn list(State(face): Shared) -> Json<Value> {
    Json((face.peers)())
}
