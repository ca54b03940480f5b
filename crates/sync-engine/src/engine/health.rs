//! What an operator sees.

use super::core::Core;
use super::refused::RefusedRow;
use super::{EngineState, SyncEngine};
use crate::filter::FilterTrust;
use crate::guard::CircuitState;
use crate::ingest::pressure::BackpressureLevel;
use crate::l1::L1Stats;
use crate::l2::CacheStore;
use crate::l3::ArchiveStore;

/// Whether a tier is there and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TierHealth {
    /// Not configured.
    Absent,
    /// Answered the last call.
    Up,
    /// Did not answer; the reason, without any secret.
    Down(String),
}

impl TierHealth {
    /// Neither absent nor up.
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down(_))
    }
}

/// The health of an engine.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// Where it is in its life.
    pub state: EngineState,
    /// L2.
    pub cache: TierHealth,
    /// L3.
    pub archive: TierHealth,
    /// Records in the write-ahead log that are still needed; `None` without a log.
    pub wal_records: Option<u64>,
    /// What was found damaged in the log when it was opened.
    pub wal_damage: Option<String>,
    /// Why the log takes no more writes until the engine is started anew, since one to it failed.
    pub wal_failure: Option<String>,
    /// How full the engine is.
    pub pressure: BackpressureLevel,
    /// Share of the L1 budget in use, 0 to 1.
    pub memory_pressure: f64,
    /// Writes not yet stored everywhere, and their bytes in L1.
    pub unflushed: (usize, usize),
    /// Rows that the archive refuses: they wait, and are tried again. Each waits for somebody to look into it.
    pub refused_rows: usize,
    /// Some of them, with their reasons.
    pub refused: Vec<RefusedRow>,
    /// Keys for which the cache is known to be stale.
    pub cache_stale_keys: usize,
    /// Whether the filter may deny keys.
    pub filter: FilterTrust,
    /// Changes waiting to be published.
    pub publish_backlog: usize,
    /// Changes given up since the start because the stream could not be written; peers compare instead.
    pub publish_dropped: u64,
    /// Rows of L3, tombstones among them.
    pub rows: u64,
    /// The root of the Merkle tree.
    pub merkle_root: String,
}

impl HealthCheck {
    /// Running, with every configured tier up and nothing refused.
    pub fn is_healthy(&self) -> bool {
        self.state.is_ready()
            && !self.cache.is_down()
            && !self.archive.is_down()
            && self.pressure.accepts_writes()
            && self.wal_damage.is_none()
            && self.wal_failure.is_none()
            && self.refused_rows == 0
    }
}

impl SyncEngine {
    /// Asks every tier, and says how the engine is.
    pub async fn health_check(&self) -> HealthCheck {
        match self.core_if_any() {
            Some(core) => core.health_check(self.state()).await,
            None => HealthCheck {
                state: self.state(),
                cache: TierHealth::Absent,
                archive: TierHealth::Absent,
                wal_records: None,
                wal_damage: None,
                wal_failure: None,
                pressure: BackpressureLevel::Normal,
                memory_pressure: 0.0,
                unflushed: (0, 0),
                refused_rows: 0,
                refused: Vec::new(),
                cache_stale_keys: 0,
                filter: FilterTrust::Unproven,
                publish_backlog: 0,
                publish_dropped: 0,
                rows: 0,
                merkle_root: String::new(),
            },
        }
    }

    /// How full the engine is with writes that wait to be stored.
    pub fn pressure(&self) -> BackpressureLevel {
        self.core_if_any()
            .map_or(BackpressureLevel::Normal, |core| core.pressure())
    }

    /// Share of the L1 budget in use, 0 to 1. A full L1 is no reason to worry: it evicts.
    pub fn memory_pressure(&self) -> f64 {
        self.core_if_any().map_or(0.0, |core| core.l1.pressure())
    }

    /// Whether a write would be taken without waiting.
    pub fn should_accept_writes(&self) -> bool {
        self.is_ready() && self.pressure().accepts_writes() && self.log_failure().is_none()
    }

    /// Why no write is taken until the engine is started anew: one to the log failed, and what of it reached the disk is
    /// not known. What was acknowledged is served and stored all the same.
    pub fn log_failure(&self) -> Option<String> {
        self.core_if_any().and_then(|core| core.wal.failure())
    }

    /// Brings the gauges among the metrics up to date; done four times a second by itself.
    pub fn update_gauge_metrics(&self) {
        if let Some(core) = self.core_if_any() {
            core.update_gauges();
        }
    }

    /// Counts and bytes of L1.
    pub fn l1_stats(&self) -> L1Stats {
        self.core_if_any()
            .map(|core| core.l1.stats())
            .unwrap_or_default()
    }

    /// Whether the filter is trusted, and how large it is.
    pub fn l3_filter_stats(&self) -> Option<crate::filter::FilterStats> {
        self.core_if_any().map(|core| core.filter.stats())
    }
}

impl Core {
    async fn health_check(&self, state: EngineState) -> HealthCheck {
        let cache = self.cache.ping().await.map_err(|error| error.to_string());
        let archive = self.archive.ping().await.map_err(|error| error.to_string());
        let root = self.tree.read().root();
        HealthCheck {
            state,
            cache: tier_health(self.cache.is_configured(), self.cache.circuit(), cache),
            archive: tier_health(
                self.archive.is_configured(),
                self.archive.circuit(),
                archive,
            ),
            wal_records: self.wal.is_durable().then(|| self.outstanding.lock().len()),
            wal_damage: self.wal.damage(),
            wal_failure: self.wal.failure(),
            pressure: self.pressure(),
            memory_pressure: self.l1.pressure(),
            unflushed: (self.l1.dirty_len(), self.l1.dirty_bytes()),
            refused_rows: self.refused.len(),
            refused: self.refused.some(),
            cache_stale_keys: self.stale.len(),
            filter: self.filter.trust(),
            publish_backlog: self.publisher.len(),
            publish_dropped: self.publisher.dropped(),
            rows: root.count,
            merkle_root: root.hash().to_string(),
        }
    }
}

fn tier_health(configured: bool, circuit: CircuitState, answer: Result<(), String>) -> TierHealth {
    match answer {
        _ if !configured => TierHealth::Absent,
        Ok(()) if circuit == CircuitState::Closed => TierHealth::Up,
        Ok(()) => TierHealth::Down("recovering".into()),
        Err(error) => TierHealth::Down(error),
    }
}
