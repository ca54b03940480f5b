//! What INFO counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the server since its start.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// Connections accepted.
    pub connections: Counter,
    /// Connections refused because there were too many.
    pub rejected: Counter,
    /// Commands executed or refused.
    pub commands: Counter,
    /// Commands answered with an error of the engine.
    pub failed: Counter,
    /// Connections closed because what came was not the protocol.
    pub protocol_errors: Counter,
    /// Bytes received.
    pub bytes_in: Counter,
    /// Bytes sent.
    pub bytes_out: Counter,
    /// Reads that found an item.
    pub hits: Counter,
    /// Reads that found none.
    pub misses: Counter,
    /// Clients that wait in XREAD now.
    pub blocked: Counter,
}

/// A number many tasks count with; it orders nothing.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn take(&self, count: usize) {
        self.0.fetch_sub(count as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
