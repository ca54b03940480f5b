//! The node's hybrid logical clock: one atomic, no mutex.

use std::sync::atomic::{AtomicU64, Ordering};

use super::stamp::{HlcTime, Origin, Stamp};

/// Issues stamps that are greater than every stamp this node has issued, read or merged.
///
/// It holds no time of its own: the caller passes the wall clock in.
#[derive(Debug)]
pub struct Clock {
    last: AtomicU64,
    origin: Origin,
}

impl Clock {
    /// A clock that will issue only stamps above `bound`, the greatest one known to be stored.
    pub fn new(origin: Origin, bound: HlcTime) -> Self {
        Self {
            last: AtomicU64::new(bound.0),
            origin,
        }
    }

    /// Who this clock stamps for.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// A new stamp: max(wall clock, last + 1).
    pub fn stamp(&self, now_ms: i64) -> Stamp {
        self.reserve(now_ms, 1)
    }

    /// The first of `count` consecutive stamps (each one `time + 1` of the one before).
    pub fn reserve(&self, now_ms: i64, count: u64) -> Stamp {
        let wall = HlcTime::from_ms(now_ms).0;
        let advance = |last: u64| wall.max(last.saturating_add(1));
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let first = advance(last);
            let new_last = first.saturating_add(count.saturating_sub(1));
            match self.last.compare_exchange_weak(
                last,
                new_last,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    return Stamp {
                        time: HlcTime(first),
                        origin: self.origin,
                    };
                }
                Err(seen) => last = seen,
            }
        }
    }

    /// Takes note of a stamp that was read or merged, so that later ones of this node are greater.
    /// The caller has checked that it is not from the far future.
    pub fn observe(&self, time: HlcTime) {
        self.last.fetch_max(time.0, Ordering::AcqRel);
    }

    /// The greatest time issued or observed.
    pub fn last(&self) -> HlcTime {
        HlcTime(self.last.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_when_the_wall_clock_goes_back() {
        let clock = Clock::new(Origin::of_node("a", 0), HlcTime::default());
        let first = clock.stamp(1_000);
        let second = clock.stamp(500);
        assert!(second > first);
        clock.observe(HlcTime::from_ms(9_000));
        assert!(clock.stamp(1_000).time > HlcTime::from_ms(9_000));
        let block = clock.reserve(1_000, 10);
        assert!(clock.stamp(1_000).time.0 >= block.time.0 + 10);
    }

    #[test]
    fn threads_never_share_a_stamp() {
        let clock = Clock::new(Origin::of_node("a", 0), HlcTime::default());
        let mut all: Vec<Stamp> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..5_000).map(|_| clock.stamp(7)).collect::<Vec<_>>()))
                .collect();
            workers
                .into_iter()
                .flat_map(|w| w.join().unwrap())
                .collect()
        });
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 20_000);
    }
}
