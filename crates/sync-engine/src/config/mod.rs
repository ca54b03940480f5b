//! The engine's settings: values only, validated once.

mod url;

mod validity;

use serde::Deserialize;

pub use url::BackendUrl;
pub use validity::ConfigError;

use crate::item::options::Ack;

/// Settings of one engine. Every field has a default; sizes are in bytes, times in the unit of their name.
///
/// Settings marked *live* take effect when changed through the `watch` channel given to `SyncEngine::new`; the others
/// when the engine starts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncEngineConfig {
    /// Redis of the L2 tier: `redis://`, `redis+unix://` or `unix://`. None: no L2. `rediss://` (TLS) is refused: this
    /// build has none.
    pub redis_url: Option<BackendUrl>,
    /// Put before every Redis key.
    pub redis_prefix: Option<String>,
    /// SQL of the L3 tier: `sqlite:PATH` or `mysql://`. None: no L3.
    pub sql_url: Option<BackendUrl>,
    /// The node's id, from which its origin in stamps is derived. None: a random one; kept in L3
    /// where that is this engine's alone (SQLite), new for each run where others may share it (a server).
    pub node_id: Option<String>,
    /// When writes are acknowledged. None: `Logged` with `wal_path`, else `Queued`. *Live.*
    #[serde(deserialize_with = "ack_name")]
    pub ack: Option<Ack>,
    /// L1 budget: a hard cap on keys, payloads and overhead in memory. *Live.*
    pub l1_max_bytes: usize,
    /// Items with larger payloads are refused. *Live.*
    pub max_payload_bytes: usize,
    /// A batch is flushed when its oldest write is this old, in milliseconds. *Live.*
    pub batch_flush_ms: u64,
    /// … or when it has this many keys. *Live.*
    pub batch_flush_count: usize,
    /// … or when it has this many bytes. *Live.*
    pub batch_flush_bytes: usize,
    /// Pressure above which a warning is due and eviction begins, as a share of `l1_max_bytes`. *Live.*
    pub backpressure_warn: f64,
    /// Pressure above which writers are slowed. *Live.*
    pub backpressure_critical: f64,
    /// The write-ahead log's file. None: no log.
    pub wal_path: Option<std::path::PathBuf>,
    /// Most records in the log, from the oldest needed one on; at the bound a write waits up to 5 seconds for room, then
    /// it is refused. None: bounded in bytes only, to four times `l1_max_bytes`. *Live.*
    pub wal_max_items: Option<u64>,
    /// Records read at once when the log is replayed.
    pub wal_drain_batch_size: usize,
    /// Keys read at once when the filter is filled from L3.
    pub cuckoo_warmup_batch_size: usize,
    /// The filter is saved at most this often, in seconds. *Live.*
    pub cf_snapshot_interval_secs: u64,
    /// … and only when the number of rows has changed by this much since, either way. *Live.*
    pub cf_snapshot_insert_threshold: u64,
    /// Evict from Redis before Redis does. *Live.*
    pub redis_eviction_enabled: bool,
    /// Share of Redis' `maxmemory` at which that begins. *Live.*
    pub redis_eviction_start: f64,
    /// … and at which it ends. *Live.*
    pub redis_eviction_target: f64,
    /// Publish the tree's root where changes are published. Without it peers compare by questions each time, even
    /// when nothing differs. The tree itself is always kept.
    pub merkle_calc_enabled: bool,
    /// Delay before a root is published, at random up to this many milliseconds. *Live.*
    pub merkle_calc_jitter_ms: u64,
    /// Publish changes for peers.
    pub enable_cdc_stream: bool,
    /// Entries the change stream keeps, about.
    pub cdc_stream_maxlen: usize,
    /// Time to connect to Redis, in milliseconds.
    pub redis_timeout_ms: u64,
    /// Time for Redis to answer, in milliseconds.
    pub redis_response_timeout_ms: u64,
    /// Batches written to SQL at once.
    pub sql_write_concurrency: usize,
    /// A stamp further ahead of the local clock than this is not believed, in milliseconds. *Live.*
    pub max_clock_drift_ms: u64,
}

impl Default for SyncEngineConfig {
    fn default() -> Self {
        Self {
            redis_url: None,
            redis_prefix: None,
            sql_url: None,
            node_id: None,
            ack: None,
            l1_max_bytes: 256 << 20,
            max_payload_bytes: 16 << 20,
            batch_flush_ms: 100,
            batch_flush_count: 1000,
            batch_flush_bytes: 1 << 20,
            backpressure_warn: 0.7,
            backpressure_critical: 0.9,
            wal_path: None,
            wal_max_items: None,
            wal_drain_batch_size: 100,
            cuckoo_warmup_batch_size: 10_000,
            cf_snapshot_interval_secs: 30,
            cf_snapshot_insert_threshold: 10_000,
            redis_eviction_enabled: true,
            redis_eviction_start: 0.75,
            redis_eviction_target: 0.60,
            merkle_calc_enabled: true,
            merkle_calc_jitter_ms: 0,
            enable_cdc_stream: false,
            cdc_stream_maxlen: 100_000,
            redis_timeout_ms: 5000,
            redis_response_timeout_ms: 5000,
            sql_write_concurrency: 4,
            max_clock_drift_ms: 5000,
        }
    }
}

impl SyncEngineConfig {
    /// These settings with the *live* ones of `new`: what a running engine can follow.
    pub fn with_live_of(&self, new: Self) -> Self {
        let started = self.clone();
        Self {
            redis_url: started.redis_url,
            redis_prefix: started.redis_prefix,
            sql_url: started.sql_url,
            node_id: started.node_id,
            wal_path: started.wal_path,
            wal_drain_batch_size: started.wal_drain_batch_size,
            cuckoo_warmup_batch_size: started.cuckoo_warmup_batch_size,
            merkle_calc_enabled: started.merkle_calc_enabled,
            enable_cdc_stream: started.enable_cdc_stream,
            cdc_stream_maxlen: started.cdc_stream_maxlen,
            redis_timeout_ms: started.redis_timeout_ms,
            redis_response_timeout_ms: started.redis_response_timeout_ms,
            sql_write_concurrency: started.sql_write_concurrency,
            ..new
        }
    }

    /// The acknowledgement level in force.
    pub fn ack(&self) -> Ack {
        match (self.ack, &self.wal_path) {
            (Some(ack), _) => ack,
            (None, Some(_)) => Ack::Logged,
            (None, None) => Ack::Queued,
        }
    }

    /// Most bytes of accepted writes that may wait to be stored: half of L1, so that the other half still caches.
    pub fn dirty_bytes_max(&self) -> usize {
        self.l1_max_bytes / 2
    }
}

fn ack_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Ack>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Name {
        Queued,
        Logged,
        Stored,
    }
    Ok(
        Option::<Name>::deserialize(deserializer)?.map(|name| match name {
            Name::Queued => Ack::Queued,
            Name::Logged => Ack::Logged,
            Name::Stored => Ack::Stored,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No `..`: a new setting must be thought of here, and its reader named.
    #[test]
    fn the_defaults_are_the_documented_ones_and_each_setting_has_a_reader() {
        let SyncEngineConfig {
            // engine::open, which makes the tiers and the identity
            redis_url,
            redis_prefix,
            sql_url,
            node_id,
            wal_path,
            enable_cdc_stream,
            cdc_stream_maxlen,
            redis_timeout_ms,
            redis_response_timeout_ms,
            // engine::replay
            wal_drain_batch_size,
            // engine::core, where bounds are derived
            l1_max_bytes,
            max_payload_bytes,
            batch_flush_ms,
            batch_flush_count,
            batch_flush_bytes,
            backpressure_warn,
            backpressure_critical,
            wal_max_items,
            // engine::write
            ack,
            // engine::flush
            sql_write_concurrency,
            // engine::keys_filter
            cuckoo_warmup_batch_size,
            cf_snapshot_interval_secs,
            cf_snapshot_insert_threshold,
            // engine::upkeep
            merkle_calc_enabled,
            merkle_calc_jitter_ms,
            // engine::apply
            max_clock_drift_ms,
            // engine::relief
            redis_eviction_enabled,
            redis_eviction_start,
            redis_eviction_target,
        } = SyncEngineConfig::default();
        assert_eq!((redis_url, redis_prefix, sql_url), (None, None, None));
        assert_eq!((node_id, wal_path, wal_max_items), (None, None, None));
        assert_eq!(ack, None);
        assert_eq!((enable_cdc_stream, cdc_stream_maxlen), (false, 100_000));
        assert_eq!((redis_timeout_ms, redis_response_timeout_ms), (5000, 5000));
        assert_eq!((l1_max_bytes, max_payload_bytes), (256 << 20, 16 << 20));
        let batch = (batch_flush_ms, batch_flush_count, batch_flush_bytes);
        assert_eq!(batch, (100, 1000, 1 << 20));
        assert_eq!((backpressure_warn, backpressure_critical), (0.7, 0.9));
        let pages = (wal_drain_batch_size, cuckoo_warmup_batch_size);
        assert_eq!(pages, (100, 10_000));
        assert_eq!(sql_write_concurrency, 4);
        let snapshot = (cf_snapshot_interval_secs, cf_snapshot_insert_threshold);
        assert_eq!(snapshot, (30, 10_000));
        assert_eq!((merkle_calc_enabled, merkle_calc_jitter_ms), (true, 0));
        assert_eq!(max_clock_drift_ms, 5000);
        let eviction = (redis_eviction_start, redis_eviction_target);
        assert_eq!((redis_eviction_enabled, eviction), (true, (0.75, 0.6)));
    }

    #[test]
    fn debug_keeps_passwords_secret() {
        let config = SyncEngineConfig {
            redis_url: Some("redis://:hunter2@localhost/0".into()),
            sql_url: Some("mysql://me:hunter2@localhost/db".into()),
            ..Default::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
