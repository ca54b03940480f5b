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
    /// Bytes of an average entry of the last read; `None` before the first.
    entry_bytes: Option<usize>,
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
            entry_bytes: None,
            bucket,
        }
    }

    /// How many entries to read now; if none, how long to wait first.
    pub fn next_count(&mut self, now: Duration) -> Result<usize, Duration> {
        let by_bytes = match self.entry_bytes {
            // Nothing is known of their sizes yet, and a reply is not bounded in bytes.
            None => READ_COUNT_FIRST,
            Some(bytes) => (READ_BYTES_AIM / bytes.max(1)).max(1),
        };
        let wanted = self.count.min(by_bytes);
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
            self.entry_bytes = Some(mean.max(1));
        }
        let is_full = got >= asked;
        // Twice as many when the read was full, half when it was less than a quarter.
        if is_full {
            self.count = self.count.saturating_mul(2).min(self.most);
        } else if got < asked / 4 {
            self.count = (self.count / 2).max(self.least);
        }
        is_full
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
        pace.on_read(16, 16, 1600);
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
