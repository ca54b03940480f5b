//! Stage 5a: the cache tier (L2).

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Source;
use crate::item::Stored;
use crate::item::key::Key;
use crate::item::stamp::Stamp;

pub mod absent;

pub mod keys;

mod record;

mod script;

mod relief;

pub mod redis;

pub use relief::Relief;

/// The cache could not be asked, or did not confirm.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// No connection, a time-out, or an error reply: what was asked may or may not have been done.
    #[error("{op}: {source}")]
    Unavailable {
        /// What was being done.
        op: &'static str,
        /// Why it failed, without any secret.
        source: Source,
    },
    /// It answers, and takes no writes: it is full, a replica, or cannot save. What it has can be read.
    #[error("{op}: {source}")]
    ReadOnly {
        /// What was being done.
        op: &'static str,
        /// Its answer.
        source: Source,
    },
}

impl CacheError {
    /// Whether the cache can be read all the same.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::ReadOnly { .. })
    }
}

/// What a look-up found. "Not there" and "could not look" are different values.
#[derive(Debug)]
pub enum Lookup {
    /// The cache has this, written in that generation.
    Hit(Stored, Generation),
    /// The cache answered that it has nothing.
    Absent,
    /// The cache has bytes that are no record: garbage, cut off, of a later layout. Counted; as good as absent.
    Garbage(crate::item::codec::EnvelopeError),
}

/// Which life of the cache a record belongs to.
///
/// After a crash or a long outage the cache may hold records that were overwritten or deleted meanwhile. The engine then
/// raises its generation, and no longer believes records of earlier ones that the archive would know better.
///
/// The upper 32 bits are a random number that was born with the archive: generations of another archive say nothing about
/// this one. The lower 32 bits only grow.
pub type Generation = u64;

/// Whether a record of this generation is believed while `in_force` is.
pub fn is_believed(generation: Generation, in_force: Generation) -> bool {
    generation >> 32 == in_force >> 32 && generation >= in_force
}

/// One record on its way to the cache.
#[derive(Clone, Debug)]
pub struct CacheWrite {
    /// The record; a tombstone is stored too, so that a stale value cannot come back.
    pub stored: Stored,
    /// How long the cache keeps it; `None`: until evicted.
    pub ttl: Option<Duration>,
}

/// A cache shared by all engines that name the same server and prefix.
///
/// Contract, in the words of the tests:
/// - a record replaces one of an earlier generation of the same archive that the archive keeps too, or one with a smaller
///   or equal stamp; never another, nor a tombstone an item of the same stamp that the archive does not keep. A removal takes
///   out what a tombstone would replace.
/// - what was put is found bit for bit until its TTL.
/// - an outage is an error, never `Absent`.
#[async_trait]
pub trait CacheStore: Send + Sync {
    /// Looks the keys up, in one round trip; answers in the order asked.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError>;

    /// Writes the records, pipelined; gives key and stamp of those that were kept out by a newer one that the cache alone keeps.
    /// On an error any of them may or may not have been written.
    async fn put_many(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
    ) -> Result<Vec<(Key, Stamp)>, CacheError>;

    /// Removes what the cache holds of each key up to this stamp; gives those of which it alone keeps something newer.
    async fn remove_many(
        &self,
        generation: Generation,
        ends: &[(Key, Stamp)],
    ) -> Result<Vec<(Key, Stamp)>, CacheError>;

    /// Which of the keys the cache holds a live record for.
    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError>;

    /// One round trip.
    async fn ping(&self) -> Result<(), CacheError>;

    /// Makes room when more than the share `start` of the server's memory limit is in use: drops records that the archive
    /// keeps as well, the least used first, until the share is `target` or the call's budget is spent. What only the cache
    /// keeps stays, and so does what is no record of this cache. Nothing to do for a cache without a limit.
    async fn relieve(&self, _start: f64, _target: f64) -> Result<Relief, CacheError> {
        Ok(Relief::default())
    }

    /// Which life of the server answered last. Another one may have lost or restored writes, whatever was confirmed
    /// before. `None`: it cannot be told.
    fn life(&self) -> Option<std::sync::Arc<str>> {
        None
    }

    /// The settings allow payloads of this size from now on. Records of larger ones that were allowed before stay readable.
    fn set_payload_bytes_max(&self, _payload_bytes_max: usize) {}

    /// Whether there is a cache at all. Decides routing, not correctness.
    fn is_configured(&self) -> bool;
}

impl From<CacheError> for crate::error::StorageError {
    fn from(error: CacheError) -> Self {
        let (CacheError::Unavailable { op, source } | CacheError::ReadOnly { op, source }) = error;
        Self::unavailable(crate::error::Tier::Cache, op, source)
    }
}
