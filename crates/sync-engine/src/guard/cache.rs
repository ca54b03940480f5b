//! The cache behind a circuit breaker.

use std::sync::Arc;

use async_trait::async_trait;

use super::gate::Gate;
use super::{CircuitConfig, CircuitState};
use crate::env::SharedEnv;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::l2::{CacheError, CacheStore, CacheWrite, Generation, Lookup, Relief};

/// A [`CacheStore`] that is not asked while it is down.
pub struct GuardedCache {
    inner: Arc<dyn CacheStore>,
    gate: Gate,
}

impl GuardedCache {
    /// Guards `inner`.
    pub fn new(inner: Arc<dyn CacheStore>, config: CircuitConfig, env: SharedEnv) -> Self {
        Self {
            inner,
            gate: Gate::new(config, env),
        }
    }

    /// The breaker's state.
    pub fn circuit(&self) -> CircuitState {
        self.gate.circuit()
    }

    async fn call<T>(
        &self,
        op: &'static str,
        work: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        let refused = |open| CacheError::Unavailable {
            op,
            source: Box::new(open),
        };
        // A server that refuses writes has answered: no reason to stop reading.
        let is_outage = |error: &CacheError| !error.is_read_only();
        self.gate.call(work, refused, is_outage).await
    }
}

#[async_trait]
impl CacheStore for GuardedCache {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError> {
        self.call("get", self.inner.get_many(keys)).await
    }

    async fn put_many(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        self.call("put", self.inner.put_many(generation, writes))
            .await
    }

    async fn remove_many(
        &self,
        generation: Generation,
        ends: &[(Key, Stamp)],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        self.call("remove", self.inner.remove_many(generation, ends))
            .await
    }

    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        self.call("exists", self.inner.exist_many(keys)).await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.call("ping", self.inner.ping()).await
    }

    async fn relieve(&self, start: f64, target: f64) -> Result<Relief, CacheError> {
        self.call("relieve", self.inner.relieve(start, target))
            .await
    }

    fn life(&self) -> Option<Arc<str>> {
        self.inner.life()
    }

    fn set_payload_bytes_max(&self, payload_bytes_max: usize) {
        self.inner.set_payload_bytes_max(payload_bytes_max);
    }

    fn is_configured(&self) -> bool {
        self.inner.is_configured()
    }
}
