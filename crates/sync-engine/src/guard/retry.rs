//! Retries with exponential back-off and jitter.

use std::time::Duration;

/// How often and how patiently something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// Tries in all; `None`: without end.
    pub attempts_max: Option<u32>,
    /// The first delay.
    pub delay_min: Duration,
    /// No delay is longer.
    pub delay_max: Duration,
}

impl RetryConfig {
    /// Opening a backend at start: 5 tries within some 3 seconds, then the start fails or goes on without it.
    pub fn startup() -> Self {
        Self {
            attempts_max: Some(5),
            delay_min: Duration::from_millis(200),
            delay_max: Duration::from_secs(2),
        }
    }

    /// Background work: never gives up.
    pub fn daemon() -> Self {
        Self {
            attempts_max: None,
            delay_min: Duration::from_millis(100),
            delay_max: Duration::from_secs(5),
        }
    }

    /// A caller is waiting: 2 tries.
    pub fn query() -> Self {
        Self {
            attempts_max: Some(2),
            delay_min: Duration::from_millis(20),
            delay_max: Duration::from_millis(200),
        }
    }

    /// Writing a batch: never gives up, begins gently.
    pub fn batch_write() -> Self {
        Self {
            attempts_max: None,
            delay_min: Duration::from_millis(50),
            delay_max: Duration::from_secs(2),
        }
    }

    /// The delay after the `failed`-th failure in a row (1, 2, …): doubled each time, between half and all of it by the
    /// `random` number. `None`: give up.
    pub fn delay(&self, failed: u32, random: u64) -> Option<Duration> {
        if self.attempts_max.is_some_and(|max| failed >= max) {
            return None;
        }
        let doubled = self
            .delay_min
            .saturating_mul(1 << failed.saturating_sub(1).min(20));
        let full = doubled.min(self.delay_max);
        let share = 0.5 + (random % 1024) as f64 / 2048.0;
        Some(full.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound_and_end() {
        let retry = RetryConfig::startup();
        assert!(retry.delay(1, 1023).unwrap() <= Duration::from_millis(200));
        assert!(retry.delay(2, 0).unwrap() >= Duration::from_millis(200));
        assert!(retry.delay(4, 1023).unwrap() <= Duration::from_secs(2));
        assert_eq!(retry.delay(5, 0), None);
        assert!(RetryConfig::daemon().delay(u32::MAX, 7).unwrap() <= Duration::from_secs(5));
    }
}
