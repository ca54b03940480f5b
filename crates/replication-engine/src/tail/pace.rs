//! How much to read at once, and how fast. Pure: the caller passes the monotonic time in.

use std::time::Duration;

use crate::config::HotPathSettings;
use crate::limits::{READ_BYTES_AIM, READ_COUNT_FIRST};

/// Size and rate of reads.
#[derive(Clone, Debug)]
pub struct Pace {
    count: usize,
    least: usize,
    most: usize,
    /// No read asks for more entries than this. A reply has a bound in bytes, and what it brings is not known before: so it
    /// begins low, doubles with each full read, and begins anew after a reply that went over the bound.
    trust: usize,
    /// Bytes of an average entry of the last read; at first 1.
    entry_bytes: usize,
    bucket: Option<Bucket>,
}

/// A token bucket: a token for each entry.
#[derive(Clone, Debug)]
struct Bucket {
    per_sec: f64,
    burst: f64,
    tokens: f64,
    filled_at: Duration,
}

impl Bucket {
    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_sec).min(self.burst);
        self.filled_at = self.filled_at.max(now);
    }
}

impl Pace {
    /// A pace by these settings.
    pub fn new(settings: &HotPathSettings, now: Duration) -> Self {
        let (least, most) = match settings.adaptive_batch_size {
            true => (settings.min_batch_size, settings.max_batch_size),
            false => (settings.batch_size, settings.batch_size),
        };
        let bucket = settings.rate_limit_enabled.then(|| Bucket {
            per_sec: settings.rate_limit_per_sec.into(),
            burst: settings.rate_limit_burst.into(),
            tokens: settings.rate_limit_burst.into(),
            filled_at: now,
        });
        Self {
            count: settings.batch_size.clamp(least, most),
            least,
            most,
            trust: READ_COUNT_FIRST,
            entry_bytes: 1,
            bucket,
        }
    }

    /// How many entries to read now; if none, how long to wait first.
    pub fn next_count(&mut self, now: Duration) -> Result<usize, Duration> {
        let by_bytes = (READ_BYTES_AIM / self.entry_bytes).max(1);
        let wanted = self.count.min(by_bytes).min(self.trust);
        let Some(bucket) = &mut self.bucket else {
            return Ok(wanted);
        };
        bucket.fill(now);
        if bucket.tokens >= 1.0 {
            return Ok(wanted.min(bucket.tokens as usize));
        }
        let missing = 1.0 - bucket.tokens;
        let wait = Duration::from_secs_f64(missing / bucket.per_sec);
        Err(wait.max(Duration::from_millis(1)))
    }

    /// A read of `asked` entries gave `got` of `bytes` together. True: there are probably more.
    pub fn on_read(&mut self, asked: usize, got: usize, bytes: usize) -> bool {
        if let Some(bucket) = &mut self.bucket {
            bucket.tokens -= got as f64;
        }
        if let Some(mean) = bytes.checked_div(got) {
            self.entry_bytes = mean.max(1);
        }
        let is_full = got >= asked;
        if is_full {
            self.trust = self.trust.saturating_mul(2).min(self.most);
        }
        // Twice as many when the read was full, half when it was less than a quarter.
        if is_full {
            self.count = self.count.saturating_mul(2).min(self.most);
        } else if got < asked / 4 {
            self.count = (self.count / 2).max(self.least);
        }
        is_full
    }

    /// A read of several entries would have brought too many bytes: their sizes are others than those of the last ones.
    pub fn on_too_large(&mut self) {
        self.trust = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings() -> HotPathSettings {
        HotPathSettings::default()
    }

    #[test]
    fn reads_grow_while_behind_and_shrink_after() {
        let adaptive = HotPathSettings {
            adaptive_batch_size: true,
            ..settings()
        };
        let mut pace = Pace::new(&adaptive, Duration::ZERO);
        assert_eq!(pace.next_count(Duration::ZERO), Ok(READ_COUNT_FIRST));
        for _ in 0..8 {
            let count = pace.next_count(Duration::ZERO).unwrap();
            assert!(pace.on_read(count, count, count * 100));
        }
        assert_eq!(pace.next_count(Duration::ZERO), Ok(1000));
        for _ in 0..8 {
            assert!(!pace.on_read(1000, 1, 100));
        }
        assert_eq!(pace.next_count(Duration::ZERO), Ok(50));
    }

    #[test]
    fn without_adaptation_reads_have_the_set_size() {
        let mut pace = Pace::new(&settings(), Duration::ZERO);
        for count in [16, 32, 64] {
            assert_eq!(pace.next_count(Duration::ZERO), Ok(count));
            pace.on_read(count, count, count * 100);
        }
        assert_eq!(pace.next_count(Duration::ZERO), Ok(100));
        pace.on_read(100, 0, 0);
        assert_eq!(pace.next_count(Duration::ZERO), Ok(100));
    }

    #[test]
    fn large_entries_are_read_few_at_a_time() {
        let mut pace = Pace::new(&settings(), Duration::ZERO);
        pace.on_read(16, 2, 32 << 20);
        assert_eq!(pace.next_count(Duration::ZERO), Ok(1));
    }

    proptest! {
        /// However the sizes lie, few replies go over the bound, and each entry is read.
        #[test]
        fn i8_runs_of_small_and_large_entries_are_read_with_little_waste(
            runs in prop::collection::vec((1..3_000usize, prop::sample::select(vec![300, 10_000, 1 << 20, 16 << 20])), 1..8),
        ) {
            const BOUND: usize = 32 << 20;
            let sizes: Vec<usize> = runs.iter().flat_map(|(count, size)| vec![*size; *count]).collect();
            let mut pace = Pace::new(&HotPathSettings { batch_size: 1000, ..settings() }, Duration::ZERO);
            let (mut at, mut wasted) = (0, 0);
            while at < sizes.len() {
                let asked = pace.next_count(Duration::ZERO).unwrap();
                let next = &sizes[at..sizes.len().min(at + asked)];
                let bytes: usize = next.iter().sum();
                if bytes > BOUND {
                    prop_assert!(asked > 1);
                    pace.on_too_large();
                    wasted += 1;
                } else {
                    pace.on_read(asked, next.len(), bytes);
                    at += next.len();
                }
            }
            prop_assert!(wasted <= 12 * runs.len(), "{} wasted for {:?}", wasted, runs);
        }

        #[test]
        fn the_rate_is_kept(per_sec in 1..5_000u32, burst in 1..500u32) {
            let limited = HotPathSettings { rate_limit_enabled: true, rate_limit_per_sec: per_sec, rate_limit_burst: burst, ..settings() };
            let mut pace = Pace::new(&limited, Duration::ZERO);
            let (mut now, mut read) = (Duration::ZERO, 0usize);
            let end = Duration::from_secs(3);
            while now < end {
                match pace.next_count(now) {
                    Ok(count) => { read += count; pace.on_read(count, count, count); }
                    Err(wait) => now += wait,
                }
            }
            let most = per_sec as f64 * now.as_secs_f64() + f64::from(burst) + 1.0;
            prop_assert!(read as f64 <= most, "{} > {}", read, most);
            prop_assert!(read as f64 >= (per_sec as f64 * 3.0).min(900.0) * 0.5);
        }
    }
}
