//! When a batch is due: by count, by bytes or by age, whichever comes first.

use std::collections::VecDeque;
use std::time::Duration;

use crate::item::key::Key;

/// Thresholds of a batch; the first one reached flushes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// This many keys.
    pub count: usize,
    /// This many bytes of keys and payloads.
    pub bytes: usize,
    /// The oldest key has waited this long.
    pub age: Duration,
}

/// Why a batch is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlushReason {
    /// Enough keys.
    Count,
    /// Enough bytes.
    Bytes,
    /// Old enough.
    Time,
    /// Asked for.
    Manual,
}

impl FlushReason {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Time => "time",
            Self::Manual => "manual",
        }
    }
}

/// Keys that wait to be flushed, in the order in which they came. Whoever pushes makes sure that no key is in twice.
#[derive(Debug)]
pub struct HybridBatcher {
    limits: BatchLimits,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    manual: bool,
}

#[derive(Debug)]
struct Waiting {
    key: Key,
    bytes: usize,
    since: Duration,
}

impl HybridBatcher {
    /// An empty batch.
    pub fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            bytes: 0,
            manual: false,
        }
    }

    /// New thresholds, in force at once.
    pub fn set_limits(&mut self, limits: BatchLimits) {
        self.limits = limits;
    }

    /// Takes a key in. `now` is monotonic.
    pub fn push(&mut self, key: Key, bytes: usize, now: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.push_back(Waiting {
            key,
            bytes,
            since: now,
        });
    }

    /// Flush what is there, whatever the thresholds say.
    pub fn force(&mut self) {
        self.manual = true;
    }

    /// Why a flush is due now, if it is.
    pub fn poll(&self, now: Duration) -> Option<FlushReason> {
        let oldest = self.waiting.front()?;
        if self.manual {
            Some(FlushReason::Manual)
        } else if self.waiting.len() >= self.limits.count {
            Some(FlushReason::Count)
        } else if self.bytes >= self.limits.bytes {
            Some(FlushReason::Bytes)
        } else if now.saturating_sub(oldest.since) >= self.limits.age {
            Some(FlushReason::Time)
        } else {
            None
        }
    }

    /// How long until a flush is due by age; `None` when nothing waits.
    pub fn due_in(&self, now: Duration) -> Option<Duration> {
        let oldest = self.waiting.front()?;
        Some((oldest.since + self.limits.age).saturating_sub(now))
    }

    /// Takes out the oldest keys: all, or as many as fit `count` and `bytes` (at least one).
    pub fn take(&mut self, count: usize, bytes: usize) -> Vec<Key> {
        let mut keys = Vec::with_capacity(self.waiting.len().min(count));
        let mut taken = 0usize;
        while let Some(next) = self.waiting.front() {
            let fits = keys.len() < count && taken.saturating_add(next.bytes) <= bytes;
            if !fits && !keys.is_empty() {
                break;
            }
            taken = taken.saturating_add(next.bytes);
            // `front` has just shown that there is one.
            keys.extend(self.waiting.pop_front().map(|w| w.key));
        }
        self.bytes = self.bytes.saturating_sub(taken);
        self.manual &= !self.waiting.is_empty();
        keys
    }

    /// How many keys wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: BatchLimits = BatchLimits {
        count: 3,
        bytes: 100,
        age: Duration::from_millis(50),
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_threshold_reached_flushes() {
        let mut batch = HybridBatcher::new(LIMITS);
        assert_eq!(batch.poll(ms(1000)), None);
        batch.push("a".into(), 10, ms(0));
        assert_eq!(batch.poll(ms(49)), None);
        assert_eq!(batch.due_in(ms(20)), Some(ms(30)));
        assert_eq!(batch.poll(ms(50)), Some(FlushReason::Time));
        batch.push("b".into(), 10, ms(10));
        batch.push("c".into(), 10, ms(10));
        assert_eq!(batch.poll(ms(11)), Some(FlushReason::Count));
        assert_eq!(batch.take(10, 1000).len(), 3);
        batch.push("d".into(), 100, ms(10));
        assert_eq!(batch.poll(ms(10)), Some(FlushReason::Bytes));
        batch.take(10, 1000);
        batch.push("e".into(), 1, ms(10));
        batch.force();
        assert_eq!(batch.poll(ms(10)), Some(FlushReason::Manual));
        batch.take(10, 1000);
        batch.push("f".into(), 1, ms(10));
        assert_eq!(batch.poll(ms(10)), None);
    }

    proptest! {
        #[test]
        fn every_key_comes_out_once_and_in_order(sizes in prop::collection::vec(0..80usize, 0..60), count in 1..9usize, bytes in 1..200usize) {
            let mut batch = HybridBatcher::new(LIMITS);
            let keys: Vec<Key> = (0..sizes.len()).map(|i| Key::from(i.to_string())).collect();
            for (key, size) in keys.iter().zip(&sizes) {
                batch.push(key.clone(), *size, ms(0));
            }
            let mut out = Vec::new();
            while !batch.is_empty() {
                let part = batch.take(count, bytes);
                prop_assert!(!part.is_empty() && part.len() <= count);
                out.extend(part);
            }
            prop_assert_eq!(out, keys);
            prop_assert_eq!(batch.bytes, 0);
        }
    }
}
