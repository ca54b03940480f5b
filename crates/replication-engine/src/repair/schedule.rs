//! When the next comparison with a peer is due. Pure: the caller passes the monotonic time in.

use std::time::Duration;

use crate::config::ColdPathSettings;
use crate::limits::POSTPONED_INTERVALS_MAX;

/// How a comparison ended, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was compared and made up.
    Whole,
    /// There is more.
    Partial,
    /// The sets are changing.
    Moving,
    /// It failed.
    Failed,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Compare. Forced: something is known to be missing.
    Now {
        /// See [`crate::repair::step::look`].
        is_forced: bool,
    },
    /// Wait this long, or for a trigger.
    In(Duration),
}

/// The calendar of one peer.
#[derive(Clone, Debug)]
pub struct Schedule {
    interval: Duration,
    backoff_min: Duration,
    backoff_max: Duration,
    due: Duration,
    is_forced: bool,
    failures: u32,
    moving: u32,
}

impl Schedule {
    /// Due at once: nobody knows what was missed while the node was down.
    pub fn new(settings: &ColdPathSettings, now: Duration) -> Self {
        Self {
            interval: Duration::from_secs(settings.interval_sec),
            backoff_min: Duration::from_secs(settings.backoff_base_sec),
            backoff_max: Duration::from_secs(settings.backoff_max_sec),
            due: now,
            is_forced: true,
            failures: 0,
            moving: 0,
        }
    }

    /// Something was missed, the peer is back, or somebody asks for it.
    pub fn trigger(&mut self, now: Duration) {
        self.is_forced = true;
        // A peer that fails again and again is not asked faster because its stream is cut off again and again.
        if self.failures == 0 {
            self.due = self.due.min(now);
        }
    }

    /// A person asks for it, or the peer has just come up: also when it failed before.
    pub fn trigger_now(&mut self, now: Duration) {
        self.failures = 0;
        self.trigger(now);
    }

    /// What to do. `is_hot_behind`: the hot path is catching up, and would bring most of it anyway.
    pub fn due(&mut self, now: Duration, is_hot_behind: bool) -> Due {
        if now < self.due {
            return Due::In(self.due - now);
        }
        let patience = self.interval * POSTPONED_INTERVALS_MAX;
        if is_hot_behind && now - self.due < patience {
            return Due::In(Duration::from_secs(1).min(self.interval));
        }
        Due::Now {
            is_forced: std::mem::take(&mut self.is_forced),
        }
    }

    /// How many comparisons in a row found the sets changing.
    pub fn moving(&self) -> u32 {
        self.moving
    }

    /// A comparison ended. `random` spreads many nodes.
    pub fn on_end(&mut self, ended: Ended, now: Duration, random: u64) {
        let share = 0.9 + (random % 1024) as f64 / 5120.0;
        self.failures = match ended {
            Ended::Failed => self.failures.saturating_add(1),
            _ => 0,
        };
        self.moving = match ended {
            Ended::Moving => self.moving.saturating_add(1),
            _ => 0,
        };
        let pause = match ended {
            // Found something to do while it ran: that is due at once.
            _ if self.is_forced && ended != Ended::Failed => Duration::ZERO,
            Ended::Partial => Duration::ZERO,
            Ended::Whole | Ended::Moving => self.interval.mul_f64(share),
            Ended::Failed => {
                let doubled = self
                    .backoff_min
                    .saturating_mul(1 << (self.failures - 1).min(20));
                doubled.min(self.backoff_max).mul_f64(share.min(1.0))
            }
        };
        self.is_forced |= ended == Ended::Failed;
        self.due = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn schedule() -> Schedule {
        Schedule::new(&ColdPathSettings::default(), secs(0))
    }

    fn pause(schedule: &mut Schedule, now: Duration) -> Duration {
        match schedule.due(now, false) {
            Due::Now { .. } => Duration::ZERO,
            Due::In(pause) => pause,
        }
    }

    #[test]
    fn at_start_then_each_interval_and_at_once_when_something_was_missed() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(secs(0), false), Due::Now { is_forced: true });
        schedule.on_end(Ended::Whole, secs(1), 512);
        assert_eq!(pause(&mut schedule, secs(1)), secs(60));
        assert_eq!(schedule.due(secs(61), false), Due::Now { is_forced: false });
        schedule.on_end(Ended::Whole, secs(61), 512);
        schedule.trigger(secs(70));
        assert_eq!(schedule.due(secs(70), false), Due::Now { is_forced: true });
        schedule.on_end(Ended::Partial, secs(71), 512);
        assert_eq!(schedule.due(secs(71), false), Due::Now { is_forced: false });
    }

    #[test]
    fn failures_back_off_and_triggers_do_not_shorten_that() {
        let mut schedule = schedule();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            schedule.due(secs(0), false);
            schedule.on_end(Ended::Failed, secs(0), 1023);
            schedule.trigger(secs(0));
            pauses.push(pause(&mut schedule, secs(0)).as_secs());
        }
        assert_eq!(pauses[..4], [5, 10, 20, 40]);
        assert_eq!(pauses[9], 300);
        schedule.trigger_now(secs(0));
        assert_eq!(pause(&mut schedule, secs(0)), secs(0));
    }

    #[test]
    fn the_hot_path_goes_first_but_not_for_ever() {
        let mut schedule = schedule();
        assert_eq!(schedule.due(secs(299), true), Due::In(secs(1)));
        assert_eq!(schedule.due(secs(300), true), Due::Now { is_forced: true });
    }

    #[test]
    fn what_is_missed_during_a_comparison_is_looked_for_after_it() {
        let mut schedule = schedule();
        schedule.due(secs(0), false);
        schedule.trigger(secs(1));
        schedule.on_end(Ended::Whole, secs(2), 0);
        assert_eq!(schedule.due(secs(2), false), Due::Now { is_forced: true });
    }
}
