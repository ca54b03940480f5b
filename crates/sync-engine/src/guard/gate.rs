//! What every guarded backend has in common: calls go through a breaker, and their outcomes teach it.

use parking_lot::Mutex;

use super::{CircuitBreaker, CircuitConfig, CircuitState};
use crate::env::SharedEnv;

/// The breaker is open.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not asked: it failed several times in a row and is given time to recover")]
pub struct CircuitOpen;

/// The breaker of one backend.
pub(super) struct Gate {
    breaker: Mutex<CircuitBreaker>,
    env: SharedEnv,
}

impl Gate {
    pub(super) fn new(config: CircuitConfig, env: SharedEnv) -> Self {
        Self {
            breaker: Mutex::new(CircuitBreaker::new(config)),
            env,
        }
    }

    pub(super) fn circuit(&self) -> CircuitState {
        self.breaker.lock().state(self.env.monotonic())
    }

    /// Makes the call, unless the breaker is open: then the error is `refused`. Only outages count as failures: any other
    /// error is an answer.
    pub(super) async fn call<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        refused: impl FnOnce(CircuitOpen) -> E,
        is_outage: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        if !self.breaker.lock().try_acquire(self.env.monotonic()) {
            return Err(refused(CircuitOpen));
        }
        let result = work.await;
        let is_failure = result.as_ref().err().is_some_and(is_outage);
        let mut breaker = self.breaker.lock();
        match is_failure {
            true => breaker.on_failure(self.env.monotonic()),
            false => breaker.on_success(),
        }
        result
    }
}
