//! The HTTP face: items, listings, health, metrics.
//!
//! It is *not* protected by a password; it is for a network that you trust. Every body, header and wait is bounded.

mod body;

mod error;

mod health;

mod item;

mod list;

mod merkle;

mod name;

mod patient;

mod peers;

pub mod serve;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use sync_engine::SyncEngine;
use sync_engine::cdc::keys::SpecialKeys;

pub use peers::MeshView;
pub use serve::HttpServer;

use self::body::Bodies;
use self::error::Refusal;
use crate::budget::Budget;
use crate::reader::Reader;

/// What the requests share.
pub struct Face {
    engine: Arc<SyncEngine>,
    keys: SpecialKeys,
    reader: Reader,
    budget: Arc<Budget>,
    bodies: Bodies,
    metrics: PrometheusHandle,
    mesh: MeshView,
}

impl Face {
    /// A face of this engine, within `budget`, that takes bodies up to `max_body` bytes, and no item under one of `keys`.
    #[must_use]
    pub fn new(
        engine: Arc<SyncEngine>,
        keys: SpecialKeys,
        max_body: usize,
        budget: Arc<Budget>,
        metrics: PrometheusHandle,
        mesh: MeshView,
    ) -> Self {
        Self {
            reader: Reader::new(engine.clone(), budget.clone()),
            bodies: Bodies::new(max_body, budget.clone()),
            engine,
            keys,
            budget,
            metrics,
            mesh,
        }
    }

    /// Longest body from now on, in bytes.
    pub fn set_max_body(&self, bytes: usize) {
        self.bodies.set_max(bytes);
    }
}

/// What a request shares with all others.
type Shared = axum::extract::State<Arc<Face>>;

/// Every resource and its methods.
pub fn router(face: Arc<Face>) -> Router {
    Router::new()
        .route("/", get(about))
        .route("/v1/items", get(list::list))
        .route(
            "/v1/items/{*id}",
            get(item::read).put(item::write).delete(item::remove),
        )
        .route(
            "/v1/items/",
            get(item::read).put(item::write).delete(item::remove),
        )
        .route("/v1/merkle", get(merkle::node))
        .route("/v1/peers", get(peers::list))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(face)
}

async fn about() -> &'static str {
    concat!(
        "redsqrl ",
        env!("CARGO_PKG_VERSION"),
        "\n\n",
        "GET, PUT, DELETE /v1/items/{id}    ?ttl=SECONDS &ack=queued|logged|stored &state=TEXT &version=N on PUT\n",
        "GET /v1/items                      ?prefix= &after= &limit= &content=true &format=json|ndjson\n",
        "GET /v1/merkle                     ?path=\n",
        "GET /v1/peers  /health  /ready  /metrics\n",
    )
}

async fn unknown(uri: Uri) -> Refusal {
    // The path is the client's text: shown shortened, and as JSON, in which it can do no harm.
    let path: String = uri.path().chars().take(100).collect();
    Refusal::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is nothing at {path}; GET / lists what there is"),
    )
}

async fn wrong_method() -> Refusal {
    let what = "this method is not served here; GET / lists which are";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "invalid", what.into())
}
