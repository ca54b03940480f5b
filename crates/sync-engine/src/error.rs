//! What can go wrong, and what the caller should do about it.

use std::fmt;

use crate::ingest::pressure::BackpressureLevel;
use crate::item::hash::ContentHash;
use crate::item::key::{InvalidKey, Key};

/// The cause below an error, kept whole.
pub type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The tier or part in which something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// L2, Redis.
    Cache,
    /// L3, SQL.
    Archive,
    /// The write-ahead log.
    Wal,
    /// The change stream.
    Changes,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "cache (L2)",
            Self::Archive => "archive (L3)",
            Self::Wal => "write-ahead log",
            Self::Changes => "change stream",
        })
    }
}

/// What the caller should do. A kind exists only where callers act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A backend did not answer: retry later.
    Unavailable,
    /// The engine is full: slow down, then retry.
    Overloaded,
    /// The call is wrong: fix it; a retry fails again.
    Invalid,
    /// Stored data is damaged: stop and tell a human.
    Corrupt,
    /// The engine is not running.
    Closed,
}

/// Any failure of an engine's verb.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A tier could not be asked or did not confirm. Says nothing of the data: an outage is never "absent".
    #[error("{tier}: {op} failed: {source}")]
    Unavailable {
        /// Which tier.
        tier: Tier,
        /// What was being done.
        op: &'static str,
        /// Why it failed.
        source: Source,
    },
    /// Too much is waiting to be stored.
    #[error("overloaded ({level:?}): {what}; slow down and retry")]
    Overloaded {
        /// How full.
        level: BackpressureLevel,
        /// Which bound was reached.
        what: &'static str,
    },
    /// The key cannot be stored.
    #[error("invalid key: {0}")]
    InvalidKey(#[from] InvalidKey),
    /// The item cannot be stored.
    #[error("invalid item {id}: {reason}")]
    InvalidItem {
        /// Its key.
        id: Key,
        /// What is wrong with it.
        reason: InvalidItem,
    },
    /// The configuration cannot work.
    #[error("configuration: {0}")]
    Config(#[from] crate::config::ConfigError),
    /// The content does not have the hash that stands beside it.
    #[error("item {id} is corrupt: its hash should be {expected} and is {actual}")]
    Corruption {
        /// The key.
        id: Key,
        /// The hash stored with the item.
        expected: ContentHash,
        /// The hash of the content found.
        actual: ContentHash,
    },
    /// A file or a table of the engine's own is damaged.
    #[error("{tier}: {what} is damaged: {source}")]
    Damaged {
        /// Which tier.
        tier: Tier,
        /// Which file or table.
        what: String,
        /// How it shows.
        source: Source,
    },
    /// Another process has this directory or file.
    #[error("{what} is in use by another process; stop that process or choose another directory")]
    InUse {
        /// Which one.
        what: String,
    },
    /// The factory of `get_or_insert_with` failed.
    #[error("the factory for {id} failed: {source}")]
    Factory {
        /// The key.
        id: Key,
        /// Its error.
        source: Source,
    },
    /// The archive answers, and does not take the item as it is: a trigger, a constraint, a packet that is too small. The item waits
    /// in the log and in memory and is tried again now and then.
    #[error("the archive refuses {id}: {source}")]
    Refused {
        /// Its key.
        id: Key,
        /// Why, in words that show no content.
        source: Source,
    },
    /// The failure of a look-up that several callers shared.
    #[error(transparent)]
    Shared(std::sync::Arc<StorageError>),
    /// The engine is not running.
    #[error("the engine is {state}: {op} needs it running")]
    Closed {
        /// In which state it is.
        state: crate::state::EngineState,
        /// What was asked.
        op: &'static str,
    },
}

/// Why an item cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidItem {
    /// The payload is over `max_payload_bytes`, or over what L1 can hold.
    #[error("the payload is {bytes} bytes, the limit is {limit}")]
    PayloadTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A text field is too long.
    #[error("{field} is {bytes} bytes long, the limit is {limit}")]
    FieldTooLong {
        /// Which field.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The options name no tier that keeps it.
    #[error("its options keep it in no tier: set `redis` or `sql`")]
    NoTier,
    /// A peer sent an item whose options keep it out of SQL: such items stay on their node.
    #[error("its options keep it out of SQL (`sql: false`), and such items are not replicated")]
    NotReplicated,
    /// It was received with a stamp that only the tombstone of an expired item can have.
    #[error("its stamp {stamp} is that of an expiry")]
    StampOfExpiry {
        /// The stamp.
        stamp: crate::item::stamp::Stamp,
    },
    /// The options name only a tier that this engine does not have.
    #[error("its options keep it only in {tier}, and this engine has none configured")]
    TierNotConfigured {
        /// The missing one.
        tier: Tier,
    },
}

impl StorageError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } | Self::Factory { .. } => ErrorKind::Unavailable,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::InvalidKey(_)
            | Self::InvalidItem { .. }
            | Self::Refused { .. }
            | Self::Config(_) => ErrorKind::Invalid,
            Self::Corruption { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Shared(error) => error.kind(),
            Self::InUse { .. } | Self::Closed { .. } => ErrorKind::Closed,
        }
    }

    /// A tier that did not answer.
    pub fn unavailable(tier: Tier, op: &'static str, source: impl Into<Source>) -> Self {
        Self::Unavailable {
            tier,
            op,
            source: source.into(),
        }
    }

    /// A damaged file or table.
    pub fn damaged(tier: Tier, what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Damaged {
            tier,
            what: what.into(),
            source: source.into(),
        }
    }
}
