//! Whether a peer is worth calling. Pure: the caller passes the monotonic time in.

use std::time::Duration;

use sync_engine::guard::{CircuitBreaker, CircuitConfig, CircuitState};

/// First pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// No pause is longer, while the circuit is closed.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not tried yet, or not again since it failed and the pause is over.
    Down,
    /// A call is under way that will show.
    Dialling,
    /// It answers.
    Up,
    /// It failed; it is left alone until this time.
    Resting {
        /// The monotonic time at which it may be tried again.
        until: Duration,
    },
}

/// The state of one peer's link.
#[derive(Debug)]
pub struct Link {
    state: LinkState,
    failures: u32,
    breaker: CircuitBreaker,
}

impl Link {
    /// A link that nobody has tried.
    pub fn new(circuit: CircuitConfig) -> Self {
        Self {
            state: LinkState::Down,
            failures: 0,
            breaker: CircuitBreaker::new(circuit),
        }
    }

    /// Whether to dial now; if not, how long to wait before asking again.
    pub fn dial(&mut self, now: Duration) -> Result<(), Duration> {
        match self.state {
            LinkState::Resting { until } if now < until => Err(until - now),
            LinkState::Dialling | LinkState::Up => Ok(()),
            LinkState::Down | LinkState::Resting { .. } => match self.breaker.try_acquire(now) {
                true => {
                    self.state = LinkState::Dialling;
                    Ok(())
                }
                false => Err(PAUSE_MAX),
            },
        }
    }

    /// The peer answered. True: it did not before.
    pub fn on_answer(&mut self) -> bool {
        self.failures = 0;
        self.breaker.on_success();
        std::mem::replace(&mut self.state, LinkState::Up) != LinkState::Up
    }

    /// The peer failed to. `random` spreads the pauses of many nodes.
    pub fn on_failure(&mut self, now: Duration, random: u64) {
        self.failures = self.failures.saturating_add(1);
        self.breaker.on_failure(now);
        let doubled = PAUSE_MIN.saturating_mul(1 << (self.failures - 1).min(16));
        let share = 0.75 + (random % 1024) as f64 / 2048.0;
        let mut until = now + doubled.min(PAUSE_MAX).mul_f64(share);
        if self.breaker.state(now) == CircuitState::Open {
            until = until.max(now + self.breaker_rest(now));
        }
        self.state = LinkState::Resting { until };
    }

    /// Time until the open circuit lets one call through, found without asking for it.
    fn breaker_rest(&self, now: Duration) -> Duration {
        let mut rest = Duration::from_secs(1);
        while self.breaker.state(now + rest) == CircuitState::Open {
            rest = rest.saturating_mul(2);
        }
        rest
    }

    /// Where it is.
    pub fn state(&self) -> LinkState {
        self.state
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }

    /// The circuit's state at `now`.
    pub fn circuit(&self, now: Duration) -> CircuitState {
        self.breaker.state(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link() -> Link {
        Link::new(CircuitConfig {
            failure_threshold: 3,
            reset_timeout: Duration::from_secs(30),
        })
    }

    #[test]
    fn a_dead_peer_is_left_alone_and_a_living_one_is_up_at_once() {
        let mut link = link();
        let mut now = Duration::from_secs(1);
        let mut dials = 0;
        while now < Duration::from_secs(121) {
            match link.dial(now) {
                Ok(()) => {
                    dials += 1;
                    link.on_failure(now, 7);
                }
                Err(wait) => now += wait,
            }
        }
        assert!((5..10).contains(&dials), "{dials} dials in two minutes");
        assert_eq!(link.circuit(now), CircuitState::HalfOpen);
        while let Err(wait) = link.dial(now) {
            now += wait;
        }
        assert!(link.on_answer() && !link.on_answer());
        assert_eq!(
            (link.state(), link.circuit(now)),
            (LinkState::Up, CircuitState::Closed)
        );
    }

    proptest! {
        #[test]
        fn every_wait_ends(steps in prop::collection::vec((any::<bool>(), any::<u64>()), 1..60)) {
            let mut link = link();
            let mut now = Duration::ZERO;
            for (answers, random) in steps {
                let mut waits = 0;
                while let Err(wait) = link.dial(now) {
                    prop_assert!(wait > Duration::ZERO);
                    now += wait;
                    waits += 1;
                    prop_assert!(waits < 20);
                }
                match answers {
                    true => { link.on_answer(); }
                    false => link.on_failure(now, random),
                }
            }
        }
    }
}
