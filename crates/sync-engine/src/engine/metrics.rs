//! The engine's counters, held in one place.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Handles of every metric the engine keeps. Names begin with `sync_engine_`.
pub(crate) struct Metrics {
    pub writes: Counter,
    pub deletes: Counter,
    pub refused: Counter,
    pub hits_l1: Counter,
    pub hits_l2: Counter,
    pub hits_l3: Counter,
    pub misses: Counter,
    pub read_errors: Counter,
    pub corrupt: Counter,
    pub garbage_l2: Counter,
    pub relieved: Counter,
    pub batches: Counter,
    pub flushed: Counter,
    pub flush_failures: Counter,
    pub flush_seconds: Histogram,
    pub published: Counter,
    pub applied: Counter,
    pub kept: Counter,
    pub expired: Counter,
    pub l1_bytes: Gauge,
    pub l1_items: Gauge,
    pub dirty_bytes: Gauge,
    pub dirty_items: Gauge,
    pub wal_records: Gauge,
    pub wal_failed: Gauge,
    pub archive_rows: Gauge,
    pub backlog: Gauge,
    pub stale_keys: Gauge,
    pub pressure: Gauge,
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            writes: counter!("sync_engine_writes_total"),
            deletes: counter!("sync_engine_deletes_total"),
            refused: counter!("sync_engine_refused_total"),
            hits_l1: counter!("sync_engine_reads_total", "tier" => "l1"),
            hits_l2: counter!("sync_engine_reads_total", "tier" => "l2"),
            hits_l3: counter!("sync_engine_reads_total", "tier" => "l3"),
            misses: counter!("sync_engine_reads_total", "tier" => "none"),
            read_errors: counter!("sync_engine_read_errors_total"),
            corrupt: counter!("sync_engine_corruption_total"),
            garbage_l2: counter!("sync_engine_cache_garbage_total"),
            relieved: counter!("sync_engine_cache_relieved_total"),
            batches: counter!("sync_engine_batches_total"),
            flushed: counter!("sync_engine_flushed_total"),
            flush_failures: counter!("sync_engine_flush_failures_total"),
            flush_seconds: histogram!("sync_engine_flush_duration_seconds"),
            published: counter!("sync_engine_published_total"),
            applied: counter!("sync_engine_applied_total"),
            kept: counter!("sync_engine_apply_kept_total"),
            expired: counter!("sync_engine_expired_total"),
            l1_bytes: gauge!("sync_engine_l1_bytes"),
            l1_items: gauge!("sync_engine_l1_items"),
            dirty_bytes: gauge!("sync_engine_unflushed_bytes"),
            dirty_items: gauge!("sync_engine_unflushed_items"),
            wal_records: gauge!("sync_engine_wal_records"),
            wal_failed: gauge!("sync_engine_wal_failed"),
            archive_rows: gauge!("sync_engine_archive_rows"),
            backlog: gauge!("sync_engine_publish_backlog"),
            stale_keys: gauge!("sync_engine_cache_stale_keys"),
            pressure: gauge!("sync_engine_pressure"),
        }
    }
}
