//! Where an item is to be kept, said by the caller.

use std::time::Duration;

/// How long the Redis tier keeps an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheTtl {
    /// 60 seconds.
    Minute,
    /// 5 minutes.
    Short,
    /// 15 minutes.
    Medium,
    /// 1 hour.
    Hour,
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// This many seconds.
    Custom(u64),
}

impl CacheTtl {
    /// A time to live of `secs` seconds. 0 counts as 1: a TTL cannot be "already over".
    pub fn custom_secs(secs: u64) -> Self {
        Self::Custom(secs)
    }

    /// The time to live.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.secs())
    }

    /// The time to live in seconds, at least 1.
    pub fn secs(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Short => 5 * 60,
            Self::Medium => 15 * 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
            Self::Week => 7 * 24 * 60 * 60,
            // 2^40 s (34,000 years) keeps every sum of a time and a TTL far from overflow.
            Self::Custom(secs) => secs.clamp(1, 1 << 40),
        }
    }
}

/// Which tiers keep an item. L1 always does, as long as it pays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubmitOptions {
    /// Keep it in Redis (L2).
    pub redis: bool,
    /// For how long Redis keeps it; `None`: until evicted.
    pub redis_ttl: Option<CacheTtl>,
    /// Keep it in SQL (L3), and so in the Merkle tree and on the peers.
    pub sql: bool,
    /// Caller's tag; `None` keeps the item's own.
    pub state: Option<String>,
}

impl Default for SubmitOptions {
    /// Redis and SQL, no TTL.
    fn default() -> Self {
        Self {
            redis: true,
            redis_ttl: None,
            sql: true,
            state: None,
        }
    }
}

impl SubmitOptions {
    /// Redis only, for `ttl`. Such an item is not replicated, and is gone after the TTL.
    pub fn cache(ttl: CacheTtl) -> Self {
        Self {
            redis: true,
            redis_ttl: Some(ttl),
            sql: false,
            state: None,
        }
    }

    /// SQL only.
    pub fn durable() -> Self {
        Self {
            redis: false,
            redis_ttl: None,
            sql: true,
            state: None,
        }
    }

    /// The same, with the caller's tag.
    pub fn with_state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Items with equal keys are written together.
    pub fn key(&self) -> OptionsKey {
        OptionsKey {
            redis: self.redis,
            redis_ttl_secs: self.redis_ttl.map(CacheTtl::secs),
            sql: self.sql,
        }
    }
}

/// The part of [`SubmitOptions`] by which writes are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OptionsKey {
    /// To Redis.
    pub redis: bool,
    /// Redis TTL in seconds.
    pub redis_ttl_secs: Option<u64>,
    /// To SQL.
    pub sql: bool,
}

/// When a write is acknowledged to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ack {
    /// When it is queued in memory: a crash may lose up to one batch. The default without a write-ahead log.
    Queued,
    /// When it is on disk in the write-ahead log: no crash loses it. The default with `wal_path`.
    Logged,
    /// When it is in L3.
    Stored,
}
