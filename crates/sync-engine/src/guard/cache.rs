//! The cache behind a circuit breaker.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{CircuitBreaker, CircuitConfig, CircuitState};
use crate::env::SharedEnv;
use crate::item::key::Key;
use crate::l2::{CacheError, CacheStore, CacheWrite, Generation, Lookup};

/// A [`CacheStore`] that is not asked while it is down.
pub struct GuardedCache {
    inner: Arc<dyn CacheStore>,
    breaker: Mutex<CircuitBreaker>,
    env: SharedEnv,
}

/// The breaker is open.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not asked: it failed several times in a row and is given time to recover")]
pub struct CircuitOpen;

impl GuardedCache {
    /// Guards `inner`.
    pub fn new(inner: Arc<dyn CacheStore>, config: CircuitConfig, env: SharedEnv) -> Self {
        Self {
            inner,
            breaker: Mutex::new(CircuitBreaker::new(config)),
            env,
        }
    }

    /// The breaker's state.
    pub fn circuit(&self) -> CircuitState {
        self.breaker.lock().state(self.env.monotonic())
    }

    async fn call<T>(
        &self,
        op: &'static str,
        work: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        if !self.breaker.lock().try_acquire(self.env.monotonic()) {
            let source = Box::new(CircuitOpen);
            return Err(CacheError::Unavailable { op, source });
        }
        let result = work.await;
        let mut breaker = self.breaker.lock();
        match &result {
            Ok(_) => breaker.on_success(),
            // An answer: no reason to stop reading.
            Err(error) if error.is_read_only() => breaker.on_success(),
            Err(_) => breaker.on_failure(self.env.monotonic()),
        }
        result
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
    ) -> Result<(), CacheError> {
        self.call("put", self.inner.put_many(generation, writes))
            .await
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<(), CacheError> {
        self.call("remove", self.inner.remove_many(keys)).await
    }

    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        self.call("exists", self.inner.exist_many(keys)).await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.call("ping", self.inner.ping()).await
    }

    fn life(&self) -> Option<Arc<str>> {
        self.inner.life()
    }

    fn is_configured(&self) -> bool {
        self.inner.is_configured()
    }
}
