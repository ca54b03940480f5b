//! What an entry is worth, and how hard memory pressure pushes. Pure.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

/// Where between `warn` (0) and the cap (1) an insert frees as many bytes as it brings: the cache settles there.
const KNEE: f64 = 0.95;

/// An insert never has to free more than this many times its own bytes.
const SHARE_MAX: f64 = 8.0;

/// Half-life of a read without pressure, in turnovers of the whole cache.
const HALF_LIFE_TURNOVERS: f64 = 16.0;

/// A point in the cache's own time, which passes by one with every entry that comes in.
///
/// Not the clock's time: how soon a read is forgotten should depend on how fast the cache turns over, and a cache
/// that takes nothing in has no reason to forget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Entries that came in so far; wraps.
    pub(super) tick: u32,
    /// Half-lives per tick.
    pub(super) decay: f32,
}

/// How often an entry was read lately.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Heat {
    /// Reads, each halved once per half-life; as of `tick`.
    pub(super) reads: f32,
    /// When it was last read.
    pub(super) tick: u32,
}

impl Heat {
    /// One read, now.
    pub(super) fn first(now: Moment) -> Self {
        Self {
            reads: 1.0,
            tick: now.tick,
        }
    }

    /// With one more read.
    pub(super) fn touched(self, now: Moment) -> Self {
        let age = self.age(now);
        let kept = match age {
            0 => self.reads,
            _ => self.reads * (-(age as f32) * now.decay).exp2(),
        };
        Self {
            reads: kept + 1.0,
            tick: now.tick,
        }
    }

    /// In one word, so that it is read and written whole.
    pub(super) fn pack(self) -> u64 {
        (u64::from(self.reads.to_bits()) << 32) | u64::from(self.tick)
    }

    /// The heat of [`Heat::pack`].
    pub(super) fn unpack(word: u64) -> Self {
        Self {
            reads: f32::from_bits((word >> 32) as u32),
            tick: word as u32,
        }
    }

    fn age(self, now: Moment) -> u32 {
        // Another thread may have written a tick later than the one this thread has seen: no age, not a huge one.
        let age = now.tick.wrapping_sub(self.tick);
        if age > u32::MAX / 2 { 0 } else { age }
    }
}

/// The worth of an entry: log2 of `decayed reads / size^alpha`. The lowest is evicted.
pub(super) fn score(heat: Heat, size: u32, now: Moment, alpha: f32) -> f32 {
    heat.reads.log2() - heat.age(now) as f32 * now.decay - alpha * (size as f32).log2()
}

/// How hard the cache pushes at some pressure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Push {
    /// Bytes that an insert frees, as a multiple of the bytes that it brings: 0 up to the warn threshold, 1 shortly
    /// below the cap, 8 at the cap.
    pub(super) share: f64,
    /// How much size counts against an entry: 0 (not at all) up to the warn threshold, 1 (in full) from the critical one.
    pub(super) alpha: f32,
    /// Half-life of a read, in turnovers of the whole cache.
    pub(super) half_life: f64,
}

/// The tan curve: nearly flat at `warn`, nearly upright at the cap.
pub(super) fn push(pressure: f64, warn: f64, critical: f64) -> Push {
    let towards_cap = rise(pressure, warn, 1.0);
    let share = ((towards_cap * FRAC_PI_2).tan() / (KNEE * FRAC_PI_2).tan()).clamp(0.0, SHARE_MAX);
    Push {
        share,
        alpha: (rise(pressure, warn, critical) * FRAC_PI_4).tan() as f32,
        half_life: HALF_LIFE_TURNOVERS / (1.0 + 2.0 * share),
    }
}

/// How far `x` is on its way from `from` to `to`: 0 to 1.
fn rise(x: f64, from: f64, to: f64) -> f64 {
    if to <= from {
        return if x >= to { 1.0 } else { 0.0 };
    }
    ((x - from) / (to - from)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Moment = Moment {
        tick: 1000,
        decay: 0.01,
    };

    proptest! {
        #[test]
        fn heat_survives_packing(reads in 0.0..1e6f32, tick: u32) {
            let heat = Heat { reads, tick };
            prop_assert_eq!(Heat::unpack(heat.pack()), heat);
        }

        #[test]
        fn the_curve_only_rises(a in 0.0..1.5f64, b in 0.0..1.5f64) {
            let (low, high) = (push(a.min(b), 0.7, 0.9), push(a.max(b), 0.7, 0.9));
            prop_assert!(low.share <= high.share && low.alpha <= high.alpha);
            prop_assert!(low.half_life >= high.half_life);
        }
    }

    #[test]
    fn the_curve_is_gentle_at_warn_and_steep_at_the_cap() {
        let calm = push(0.69, 0.7, 0.9);
        assert_eq!((calm.share, calm.alpha), (0.0, 0.0));
        assert!(push(0.75, 0.7, 0.9).share < 0.05);
        assert!(push(0.9, 0.7, 0.9).share < 0.2);
        assert!(push(0.99, 0.7, 0.9).share > 1.0);
        let full = push(1.0, 0.7, 0.9);
        assert_eq!(full.share, SHARE_MAX);
        assert!((full.alpha - 1.0).abs() < 1e-6);
        assert!(full.half_life < 1.0 && full.half_life > 0.0);
    }

    #[test]
    fn odd_thresholds_give_finite_answers() {
        for (pressure, warn, critical) in
            [(f64::INFINITY, 0.7, 0.9), (0.5, 1.0, 1.0), (2.0, 1.0, 0.5)]
        {
            let push = push(pressure, warn, critical);
            assert!(push.share.is_finite() && push.alpha.is_finite() && push.half_life > 0.0);
        }
    }

    #[test]
    fn reads_raise_and_age_lowers_the_score() {
        let once = Heat {
            reads: 1.0,
            tick: 900,
        };
        let often = Heat {
            reads: 9.0,
            tick: 900,
        };
        let now = once.touched(NOW);
        assert!(score(often, 100, NOW, 0.0) > score(once, 100, NOW, 0.0));
        assert!(score(now, 100, NOW, 0.0) > score(once, 100, NOW, 0.0));
        assert!(
            (now.reads - 1.5).abs() < 1e-6,
            "one half-life ago: {}",
            now.reads
        );
    }

    #[test]
    fn pressure_changes_who_leaves() {
        let small_cold = (
            Heat {
                reads: 1.0,
                tick: 1000,
            },
            100,
        );
        let large_warm = (
            Heat {
                reads: 4.0,
                tick: 1000,
            },
            4000,
        );
        let at = |(heat, size), alpha| score(heat, size, NOW, alpha);
        assert!(at(small_cold, 0.0) < at(large_warm, 0.0));
        assert!(at(small_cold, 1.0) > at(large_warm, 1.0));
    }

    #[test]
    fn a_tick_from_the_future_is_no_age() {
        let ahead = Heat {
            reads: 2.0,
            tick: NOW.tick + 3,
        };
        assert_eq!(ahead.touched(NOW).reads, 3.0);
    }
}
