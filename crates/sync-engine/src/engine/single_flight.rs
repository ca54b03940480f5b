//! Concurrent callers with the same question share one answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// Questions under way. Bounded by the number of callers: an entry lives as long as somebody waits for it.
pub(super) struct SingleFlight<K, T> {
    flights: Mutex<HashMap<K, Arc<OnceCell<T>>>>,
}

impl<K: Eq + Hash + Clone, T: Clone> SingleFlight<K, T> {
    pub(super) fn new() -> Self {
        Self {
            flights: Mutex::new(HashMap::new()),
        }
    }

    /// The answer of `work`, or of the same question already under way. If the caller doing the work is dropped, the
    /// next one takes over.
    pub(super) async fn run(&self, key: K, work: impl AsyncFnOnce() -> T) -> T {
        let cell = self.flights.lock().entry(key.clone()).or_default().clone();
        let landing = Landing {
            flights: self,
            key,
            cell,
        };
        landing.cell.get_or_init(|| work()).await.clone()
    }
}

/// Takes the entry out when the last caller leaves, or when the answer is there: later callers ask anew.
struct Landing<'a, K: Eq + Hash, T> {
    flights: &'a SingleFlight<K, T>,
    key: K,
    cell: Arc<OnceCell<T>>,
}

impl<K: Eq + Hash, T> Drop for Landing<'_, K, T> {
    fn drop(&mut self) {
        let mut flights = self.flights.flights.lock();
        let ours = flights
            .get(&self.key)
            .is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // Two handles: the map's and ours.
        if ours && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn one_call_answers_all_and_nothing_stays_behind() {
        let flights = SingleFlight::<u32, u32>::new();
        let calls = AtomicU32::new(0);
        let ask = || {
            flights.run(1, async || {
                tokio::task::yield_now().await;
                calls.fetch_add(1, Ordering::Relaxed) + 7
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!((a, b, c), (7, 7, 7));
        assert!(flights.flights.lock().is_empty());
        assert_eq!(ask().await, 8);
    }

    #[tokio::test]
    async fn a_dropped_caller_is_replaced() {
        let flights = SingleFlight::<u32, u32>::new();
        {
            let stuck = flights.run(1, async || std::future::pending().await);
            let stuck = std::pin::pin!(stuck);
            assert!(futures_util::poll!(stuck).is_pending());
        }
        assert!(flights.flights.lock().is_empty());
        assert_eq!(flights.run(1, async || 5).await, 5);
    }
}
