//! A log in memory that knows how much it ever held.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use sync_engine::Stored;
use sync_engine::l1::L1;
use sync_engine::wal::{Appending, Wal, WalError, WalPos};

/// Counts records as L1 counts them.
#[derive(Default)]
pub struct MeteredLog {
    state: Mutex<State>,
    /// The most bytes it held at one time.
    pub highest: AtomicUsize,
    /// How often a record of the slow key began to be logged again.
    pub again: AtomicUsize,
    slow: Option<&'static str>,
    order: tokio::sync::Mutex<()>,
}

impl MeteredLog {
    /// One that takes a while to log a record of this key again.
    #[allow(dead_code)]
    pub fn slow_again(key: &'static str) -> Self {
        Self {
            slow: Some(key),
            ..Self::default()
        }
    }

    fn keep(&self, records: &[Stored]) -> WalPos {
        let mut state = self.state.lock();
        let first = state.next;
        for record in records {
            let at = state.next;
            state.bytes += L1::weight_of(record);
            state.records.insert(at, record.clone());
            state.next += 1;
        }
        self.highest.fetch_max(state.bytes, Ordering::SeqCst);
        first
    }

    fn is_slow(&self, records: &[Stored]) -> bool {
        let known = &self.state.lock().records;
        let mut of_key = known.values().filter(|r| self.slow == Some(&**r.key()));
        of_key.any(|old| records.contains(old))
    }
}

#[derive(Default)]
struct State {
    records: BTreeMap<WalPos, Stored>,
    bytes: usize,
    floor: WalPos,
    next: WalPos,
}

#[async_trait]
impl Wal for MeteredLog {
    async fn append(&self, mut records: Box<dyn Appending>) -> Result<WalPos, WalError> {
        let _order = self.order.lock().await;
        records.placed();
        if self.is_slow(records.records()) {
            self.again.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let first = self.keep(records.records());
        records.logged(first);
        Ok(first)
    }
    fn free_below(&self, pos: WalPos) {
        let mut state = self.state.lock();
        let kept = state.records.split_off(&pos);
        let freed = std::mem::replace(&mut state.records, kept);
        state.bytes -= freed.values().map(L1::weight_of).sum::<usize>();
        state.floor = state.floor.max(pos);
    }
    async fn read_from(
        &self,
        pos: WalPos,
        limit: usize,
    ) -> Result<Vec<(WalPos, Stored)>, WalError> {
        let state = self.state.lock();
        let found = state.records.range(pos..).take(limit);
        Ok(found.map(|(at, record)| (*at, record.clone())).collect())
    }
    fn bounds(&self) -> (WalPos, WalPos) {
        let state = self.state.lock();
        (state.floor, state.next)
    }
    fn is_durable(&self) -> bool {
        true
    }
    async fn close(&self) -> Result<(), WalError> {
        Ok(())
    }
}
