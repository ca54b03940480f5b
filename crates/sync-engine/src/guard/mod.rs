//! Around every backend: a circuit breaker, so that a dead one costs nothing, and retries with back-off.

pub mod breaker;

pub mod retry;

mod gate;

pub mod archive;

pub mod cache;

pub use breaker::{CircuitBreaker, CircuitConfig, CircuitState};
pub use gate::CircuitOpen;
pub use retry::RetryConfig;
