//! The circuit breaker: after some failures in a row calls are refused for a while, then one is tried.

use std::time::Duration;

/// Settings of a [`CircuitBreaker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitConfig {
    /// Failures in a row that open it.
    pub failure_threshold: u32,
    /// How long it stays open before a call is tried.
    pub reset_timeout: Duration,
}

impl Default for CircuitConfig {
    /// 5 failures, 30 seconds.
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            reset_timeout: Duration::from_secs(30),
        }
    }
}

/// What a breaker does with calls. The numbers are those of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Lets calls through.
    Closed = 0,
    /// Lets one call through, to see.
    HalfOpen = 1,
    /// Refuses calls.
    Open = 2,
}

/// A circuit breaker. Pure: the caller passes the monotonic time in.
#[derive(Debug)]
pub struct CircuitBreaker {
    config: CircuitConfig,
    failures: u32,
    open_until: Option<Duration>,
    probe_until: Option<Duration>,
}

impl CircuitBreaker {
    /// A closed breaker.
    pub fn new(config: CircuitConfig) -> Self {
        Self {
            config,
            failures: 0,
            open_until: None,
            probe_until: None,
        }
    }

    /// Whether a call may be made now. In the half-open state only one caller at a time gets a yes.
    pub fn try_acquire(&mut self, now: Duration) -> bool {
        match self.state(now) {
            CircuitState::Closed => true,
            CircuitState::Open => false,
            CircuitState::HalfOpen => {
                let free = self.probe_until.is_none_or(|until| now >= until);
                if free {
                    // A probe whose caller was cancelled must not block the next one for ever.
                    self.probe_until = Some(now + self.config.reset_timeout);
                }
                free
            }
        }
    }

    /// The call was answered.
    pub fn on_success(&mut self) {
        self.failures = 0;
        self.open_until = None;
        self.probe_until = None;
    }

    /// The call failed.
    pub fn on_failure(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.probe_until = None;
        if self.failures >= self.config.failure_threshold {
            self.open_until = Some(now + self.config.reset_timeout);
        }
    }

    /// Its state at `now`.
    pub fn state(&self, now: Duration) -> CircuitState {
        match self.open_until {
            None => CircuitState::Closed,
            Some(until) if now < until => CircuitState::Open,
            Some(_) => CircuitState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_probes_once() {
        let secs = Duration::from_secs;
        let mut breaker = CircuitBreaker::new(CircuitConfig {
            failure_threshold: 2,
            reset_timeout: secs(10),
        });
        breaker.on_failure(secs(0));
        breaker.on_success();
        breaker.on_failure(secs(1));
        assert!(breaker.try_acquire(secs(1)));
        breaker.on_failure(secs(1));
        assert_eq!(breaker.state(secs(2)), CircuitState::Open);
        assert!(!breaker.try_acquire(secs(10)));
        assert!(breaker.try_acquire(secs(11)));
        assert!(!breaker.try_acquire(secs(11)), "one probe at a time");
        breaker.on_failure(secs(12));
        assert!(!breaker.try_acquire(secs(13)));
        assert!(breaker.try_acquire(secs(22)));
        breaker.on_success();
        assert_eq!(breaker.state(secs(22)), CircuitState::Closed);
    }
}
