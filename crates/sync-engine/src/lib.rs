//! sync-engine: bytes under keys, kept in memory (L1), Redis (L2) and SQL (L3), written behind in batches,
//! never losing what it acknowledged.
//!
//! It is *not* a database, a serializer or a compressor: content goes in and comes out bit for bit, and means nothing here.
//!
//! The modules are declared in the order in which a write travels.
#![deny(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods
)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)
)]

/// Every hard limit.
pub mod limits;

/// The engine's life.
pub mod state;

/// What can go wrong, and what to do about it.
pub mod error;

/// Settings.
pub mod config;

/// The only door to time, chance and tasks.
pub mod env;

/// What flows: items, tombstones, stamps.
pub mod item;

/// 1. Admit or refuse.
pub mod ingest;

/// 2. The memory tier (L1).
pub mod l1;

/// 3. Collect writes into batches.
pub mod batch;

/// 4. The write-ahead log.
pub mod wal;

/// One connection to a Redis, for whoever needs one.
pub mod link;

/// 5a. The cache tier (L2), Redis.
pub mod l2;

/// 5b. The archive tier (L3), SQL.
pub mod l3;

/// May L3 have it?
pub mod filter;

/// 6. The Merkle tree, equal exactly when the data is.
pub mod merkle;

/// 7. The change stream that peers follow.
pub mod cdc;

/// Retry, breaker and time-out around every backend.
pub mod guard;

/// The engine: the one place where the tiers meet.
pub mod engine;

pub use config::{BackendUrl, ConfigError, SyncEngineConfig};
pub use engine::{
    Applied, BatchResult, Collected, EngineBuilder, HealthCheck, ItemStatus, MerkleNode,
    RefusedRow, Relay, ScanPage, ShutdownReport, SyncEngine, TierHealth, Verification,
};
pub use error::{ErrorKind, InvalidItem, StorageError, Tier};
pub use ingest::pressure::BackpressureLevel;
pub use item::hash::ContentHash;
pub use item::key::{InvalidKey, Key};
pub use item::options::{Ack, CacheTtl, OptionsKey, SubmitOptions};
pub use item::stamp::{HlcTime, Origin, Stamp};
pub use item::{ContentType, Leaf, Stored, SyncItem};
pub use state::EngineState;
