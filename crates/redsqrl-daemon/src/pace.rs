//! How slowly a client may take what it asked for: what it has not taken, the node holds.

use std::time::Duration;

use crate::limits::{PACE_BYTES_PER_SEC, PACE_HELD_SECS};

/// Follows how a client takes its replies, by the writes for which the node had to wait.
///
/// The rule: whenever such waits have come to `window` together, the client must have taken
/// [`PACE_BYTES_PER_SEC`] for each second of it, and more where it held more room: as much as clears that within
/// [`PACE_HELD_SECS`].
#[derive(Debug)]
pub struct Pace {
    window: Duration,
    waited: Duration,
    taken_bytes: usize,
    due_bytes: f64,
}

impl Pace {
    /// Looks at windows of this length.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            waited: Duration::ZERO,
            taken_bytes: 0,
            due_bytes: 0.0,
        }
    }

    /// Notes a write for which the node waited so long, of a reply that holds so much room in all; says whether the client
    /// keeps up.
    pub fn keeps_up(&mut self, waited: Duration, taken_bytes: usize, held_bytes: usize) -> bool {
        self.waited = self.waited.saturating_add(waited);
        self.taken_bytes = self.taken_bytes.saturating_add(taken_bytes);
        let per_sec = PACE_BYTES_PER_SEC.max(held_bytes as f64 / PACE_HELD_SECS);
        self.due_bytes += waited.as_secs_f64() * per_sec;
        if self.waited < self.window {
            return true;
        }
        let keeps_up = self.taken_bytes as f64 >= self.due_bytes;
        *self = Self::new(self.window);
        keeps_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until a client that takes so many bytes after each second, and holds so many, is given up.
    fn given_up_after(bytes: usize, held: usize) -> Option<usize> {
        let mut pace = Pace::new(60 * SECOND);
        (1..=600).find(|_| !pace.keeps_up(SECOND, bytes, held))
    }

    #[test]
    fn i8_who_takes_next_to_nothing_is_given_up_and_who_is_slow_is_not() {
        let least = PACE_BYTES_PER_SEC as usize;
        assert_eq!(given_up_after(1, 0), Some(60));
        assert_eq!(given_up_after(least - 1, 0), Some(60));
        assert_eq!(given_up_after(least, 60 * least), None);
    }

    #[test]
    fn i8_who_holds_much_takes_it_within_a_minute() {
        let held = 256 << 20;
        assert_eq!(given_up_after(held / 60 - 1, held), Some(60));
        assert_eq!(given_up_after(held / 60 + 1, held), None);
    }

    #[test]
    fn time_in_which_nobody_waits_does_not_count() {
        let mut pace = Pace::new(SECOND);
        assert!((0..1000).all(|_| pace.keeps_up(Duration::ZERO, 1, 0)));
        assert!(pace.keeps_up(SECOND / 2, 1 << 20, 0));
        assert!(pace.keeps_up(SECOND / 2, 0, 0), "it took enough in between");
        assert!(!pace.keeps_up(SECOND, 0, 0));
    }
}
