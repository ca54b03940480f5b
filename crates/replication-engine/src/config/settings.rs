//! The settings of each part. Every field has a default.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of all parts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Following the peers' streams.
    pub hot_path: HotPathSettings,
    /// Comparing with the peers.
    pub cold_path: ColdPathSettings,
    /// Looking after the peers.
    pub peer_health: PeerHealthSettings,
    /// What should not take longer.
    pub slo: SloSettings,
}

/// The hot path.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HotPathSettings {
    /// Whether streams are followed at all. Default: true.
    pub enabled: bool,
    /// Entries of one read. Default: 100.
    pub batch_size: usize,
    /// How long a read waits for the next entry. Default: "5s".
    #[serde(with = "super::duration")]
    pub block_timeout: Duration,
    /// Whether reads grow while behind and shrink when caught up, instead of taking `batch_size` each. Default: false.
    pub adaptive_batch_size: bool,
    /// Smallest read when adaptive. Default: 50.
    pub min_batch_size: usize,
    /// Largest read when adaptive. Default: 1000.
    pub max_batch_size: usize,
    /// Whether reading is limited in rate. Default: false.
    pub rate_limit_enabled: bool,
    /// Entries per second, for each peer. Default: 10000.
    pub rate_limit_per_sec: u32,
    /// Entries that may come at once after a quiet time. Default: 1000.
    pub rate_limit_burst: u32,
}

impl Default for HotPathSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            batch_size: 100,
            block_timeout: Duration::from_secs(5),
            adaptive_batch_size: false,
            min_batch_size: 50,
            max_batch_size: 1000,
            rate_limit_enabled: false,
            rate_limit_per_sec: 10_000,
            rate_limit_burst: 1_000,
        }
    }
}

/// The cold path.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColdPathSettings {
    /// Whether trees are compared at all. Default: true.
    pub enabled: bool,
    /// Seconds between comparisons with one peer. Default: 60.
    pub interval_sec: u64,
    /// Most items repaired before the trees are compared anew; with more, the next cycle follows at once. Default: 1000.
    pub max_items_per_cycle: usize,
    /// Pause after the first failure, in seconds; doubled with each further one. Default: 5.
    pub backoff_base_sec: u64,
    /// No pause is longer, in seconds. Default: 300.
    pub backoff_max_sec: u64,
}

impl Default for ColdPathSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_sec: 60,
            max_items_per_cycle: 1000,
            backoff_base_sec: 5,
            backoff_max_sec: 300,
        }
    }
}

/// Looking after peers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeerHealthSettings {
    /// Whether quiet peers are pinged. Default: true.
    pub enabled: bool,
    /// Seconds between looks. Default: 30.
    pub ping_interval_sec: u64,
    /// Only peers that were silent this long are pinged, in seconds. Default: 60.
    pub idle_threshold_sec: u64,
}

impl Default for PeerHealthSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            ping_interval_sec: 30,
            idle_threshold_sec: 60,
        }
    }
}

/// Thresholds; crossing one is a warning and a metric.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SloSettings {
    /// A read that did not wait, in milliseconds. Default: 100.
    pub max_stream_read_latency_ms: u64,
    /// A ping or a question, in milliseconds. Default: 500.
    pub max_peer_op_latency_ms: u64,
    /// One bulk call into the store, in milliseconds. Default: 200.
    pub max_batch_flush_latency_ms: u64,
    /// Age of the newest applied change while more wait, in seconds. Default: 30.
    pub max_replication_lag_sec: u64,
}

impl Default for SloSettings {
    fn default() -> Self {
        Self {
            max_stream_read_latency_ms: 100,
            max_peer_op_latency_ms: 500,
            max_batch_flush_latency_ms: 200,
            max_replication_lag_sec: 30,
        }
    }
}

/// Where cursors are kept.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CursorSettings {
    /// The SQLite file. Default: `replication_cursors.db`.
    pub sqlite_path: PathBuf,
    /// Whether it uses SQLite's write-ahead log. Default: true.
    pub wal_mode: bool,
}

impl Default for CursorSettings {
    fn default() -> Self {
        Self {
            sqlite_path: "replication_cursors.db".into(),
            wal_mode: true,
        }
    }
}
