//! How slowly a client may take what it asked for: what it has not taken, the node holds.

use std::time::Duration;

use crate::limits::PACE_BYTES_PER_SEC;

/// Follows how a client takes its replies, by the writes for which the node had to wait.
///
/// The rule: whenever such waits have come to `window` together, the client must have taken
/// [`PACE_BYTES_PER_SEC`] for each second of it.
#[derive(Debug)]
pub struct Pace {
    window: Duration,
    waited: Duration,
    taken_bytes: usize,
}

impl Pace {
    /// Looks at windows of this length.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            waited: Duration::ZERO,
            taken_bytes: 0,
        }
    }

    /// Notes a write for which the node waited so long; says whether the client keeps up.
    pub fn keeps_up(&mut self, waited: Duration, taken_bytes: usize) -> bool {
        self.waited = self.waited.saturating_add(waited);
        self.taken_bytes = self.taken_bytes.saturating_add(taken_bytes);
        if self.waited < self.window {
            return true;
        }
        let due = self.waited.as_secs_f64() * PACE_BYTES_PER_SEC;
        let keeps_up = self.taken_bytes as f64 >= due;
        *self = Self::new(self.window);
        keeps_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until a client that takes so many bytes after each second is given up.
    fn given_up_after(bytes: usize) -> Option<usize> {
        let mut pace = Pace::new(60 * SECOND);
        (1..=600).find(|_| !pace.keeps_up(SECOND, bytes))
    }

    #[test]
    fn i8_who_takes_next_to_nothing_is_given_up_and_who_is_slow_is_not() {
        let least = PACE_BYTES_PER_SEC as usize;
        assert_eq!(given_up_after(1), Some(60));
        assert_eq!(given_up_after(least - 1), Some(60));
        assert_eq!(given_up_after(least), None);
    }

    #[test]
    fn time_in_which_nobody_waits_does_not_count() {
        let mut pace = Pace::new(SECOND);
        assert!((0..1000).all(|_| pace.keeps_up(Duration::ZERO, 1)));
        assert!(pace.keeps_up(SECOND / 2, 1 << 20));
        assert!(pace.keeps_up(SECOND / 2, 0), "it took enough in between");
        assert!(!pace.keeps_up(SECOND, 0));
    }
}
