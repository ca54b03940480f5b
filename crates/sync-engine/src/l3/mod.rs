//! Stage 5b: the archive (L3), the ground truth. Rows and Merkle nodes change in one transaction.

use async_trait::async_trait;

use crate::error::Source;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::merkle::node::NodeWrite;

pub mod absent;

pub mod range;

pub mod memory;

mod columns;

pub mod sqlite;

pub mod mysql;

#[cfg(test)]
pub(crate) mod contract;

pub use range::KeyRange;

/// Why the archive failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// No connection, a time-out, a full disk, a lost transaction. After a failed `commit` it is unknown whether it happened.
    #[error("{op}: {source}")]
    Unavailable {
        /// What was being done.
        op: &'static str,
        /// Why it failed, without any secret.
        source: Source,
    },
    /// A file or a row that cannot be what this engine wrote.
    #[error("{what} is damaged: {source}")]
    Damaged {
        /// The file or table.
        what: String,
        /// How it shows.
        source: Source,
    },
    /// Another process has it.
    #[error("{what} is in use by another process")]
    InUse {
        /// The file.
        what: String,
    },
    /// The archive answered, and takes a row of the batch for none: to try the same again changes nothing. Nothing was written.
    /// Says nothing of what is in the row.
    #[error("{op}: {source}")]
    Refused {
        /// What was being done.
        op: &'static str,
        /// Why, in words that show no content.
        source: Source,
    },
    /// The planner refused, because the tree in memory is not the tree in the archive: reload it and try again.
    #[error("the Merkle tree in memory is out of date")]
    TreeOutdated,
    /// The Merkle nodes contradict each other or the rows. Where reading them again does not help, somebody changed them, and they
    /// must be rebuilt.
    #[error("the Merkle nodes do not fit: {source}")]
    TreeBroken {
        /// How it shows.
        source: Source,
    },
    /// It was closed.
    #[error("the archive is closed")]
    Closed,
}

/// What a commit does with the row of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowAction {
    /// The row stays as it is.
    Leave,
    /// The record takes the place of the row, if it wins over it.
    Put,
    /// The row goes, if it still is the tombstone with the record's stamp.
    Remove,
}

/// What a commit is to write, decided inside the transaction from what the rows are.
#[derive(Debug, Default)]
pub struct CommitPlan {
    /// For each record of the batch.
    pub rows: Vec<RowAction>,
    /// Merkle nodes to write or delete with it.
    pub nodes: Vec<NodeWrite>,
    /// The tree's number after this commit.
    pub tree_seq: u64,
    /// The greatest stamp time this engine knows, kept so that a restart issues only greater ones.
    pub clock_bound: HlcTime,
    /// The greatest stamp time of a tombstone that goes.
    pub collected: HlcTime,
}

impl CommitPlan {
    /// Checks that it decides each of so many records.
    fn check_length(&self, records: usize) -> Result<(), ArchiveError> {
        let planned = self.rows.len();
        if planned == records {
            return Ok(());
        }
        Err(ArchiveError::Unavailable {
            op: "commit",
            source: Box::new(WrongLength { planned, records }),
        })
    }
}

/// A planner has not done what it is there for.
#[derive(Debug, thiserror::Error)]
#[error("the plan decides {planned} records of a batch of {records}")]
struct WrongLength {
    planned: usize,
    records: usize,
}

/// What a planner is given, read inside the transaction with the rows locked.
#[derive(Debug)]
pub struct CommitView {
    /// For each record of the batch: what the archive holds for its key.
    pub olds: Vec<Option<Leaf>>,
    /// The tree's number as the archive has it.
    pub tree_seq: u64,
}

/// Decides a commit. Pure and quick: it runs inside the transaction. Returning an error rolls it back.
pub type Planner = Box<dyn FnOnce(CommitView) -> Result<CommitPlan, ArchiveError> + Send>;

/// A small named value kept beside the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaKey {
    /// The node's identity.
    Identity,
    /// The cache generation in force, whether the last stop was clean, and which run of the Redis server it speaks of.
    Generation,
    /// The persisted filter.
    Filter,
}

impl MetaKey {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Generation => "generation",
            Self::Filter => "filter",
        }
    }
}

/// What `open` found.
#[derive(Debug, Default)]
pub struct Opened {
    /// The greatest stamp time known to be stored.
    pub clock_bound: HlcTime,
    /// The greatest stamp time of a tombstone that ever was removed.
    pub collected: HlcTime,
    /// Something that changes when the storage is copied to another place (for a file: device and inode);
    /// `None` where that cannot be told.
    pub fingerprint: Option<String>,
}

/// The ground truth: one row a key, live item or tombstone.
///
/// Contract, in the words of the tests:
/// - a row is replaced only by a record with a greater stamp (equal stamps: see [`crate::item::decide`]), also when the planner says otherwise.
/// - a row is removed only while it is the tombstone with the record's stamp, also when the planner says otherwise.
/// - rows, Merkle nodes, tree number and the two bounds of one commit are all there or none is; once `commit` returned, for good.
/// - what was put is read bit for bit; keys are ordered by their bytes.
/// - an outage is an error, never an empty answer.
#[async_trait]
pub trait ArchiveStore: Send + Sync {
    /// Creates the tables where they are missing, and checks that they can be used.
    async fn open(&self) -> Result<Opened, ArchiveError>;

    /// One transaction: reads what is there for the records' keys, asks the planner, writes. The batch has each key at
    /// most once. Gives back the plan's actions. `Refused`: one of the records can never be stored as it is, and which
    /// one is found out by trying parts of the batch.
    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError>;

    /// The rows of these keys, in the order asked.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError>;

    /// The leaves of these keys, in the order asked.
    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError>;

    /// Up to `limit` rows of the range in key order, tombstones among them; stops early, but never empty-handed, past `bytes_max`.
    async fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, ArchiveError>;

    /// Up to `limit` keys of the range with their leaves, in key order.
    async fn scan_leaves(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Leaf)>, ArchiveError>;

    /// How many live rows the range has: no tombstones, nothing expired at `now_ms`.
    async fn count_live(&self, range: &KeyRange, now_ms: i64) -> Result<u64, ArchiveError>;

    /// Keys and leaves of up to `limit` live items whose `expires_at` is at or before `now_ms`, the longest past first.
    /// Payloads are not read.
    async fn expired(&self, now_ms: i64, limit: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError>;

    /// Up to `limit` tombstones whose stamp's time is at or before `until`, in the order of time and key, those behind `after`.
    /// Takes as long as reading those, however many rows there are.
    async fn tombstones(
        &self,
        until: HlcTime,
        after: Option<&(Key, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError>;

    /// Every Merkle node as (prefix, node), and the tree's number, from one snapshot.
    async fn load_tree(&self) -> Result<(Vec<crate::merkle::node::NodeRow>, u64), ArchiveError>;

    /// One transaction, with the rows locked: sums all rows up, and has the root alone as the table of Merkle nodes (no node where
    /// there is no row). The tree's number rises by one. Takes as long as reading every row without its payload.
    async fn rebuild_tree(&self) -> Result<(), ArchiveError>;

    /// The tree's number: it moves with every commit that changes a row, whoever makes it.
    async fn tree_seq(&self) -> Result<u64, ArchiveError> {
        Ok(self.load_tree().await?.1)
    }

    /// Reads a small value.
    async fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError>;

    /// Writes a small value, durably.
    async fn set_meta(&self, key: MetaKey, value: Vec<u8>) -> Result<(), ArchiveError>;

    /// Raises the persisted clock bound.
    async fn raise_clock_bound(&self, bound: HlcTime) -> Result<(), ArchiveError>;

    /// One round trip.
    async fn ping(&self) -> Result<(), ArchiveError>;

    /// The largest payload that a row can hold, where the server sets a limit; known once it is open.
    fn payload_bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Whether there is an archive at all. Decides routing, not correctness.
    fn is_configured(&self) -> bool;

    /// Whether no other process can change the rows while this one runs.
    fn is_exclusive(&self) -> bool;

    /// Closes files and connections. Further calls fail with [`ArchiveError::Closed`].
    async fn close(&self) -> Result<(), ArchiveError>;
}

impl ArchiveError {
    /// What came of reading one Merkle node: if that is damaged, it fits no tree.
    fn of_node(self) -> Self {
        match self {
            damaged @ Self::Damaged { .. } => Self::TreeBroken {
                source: Box::new(damaged),
            },
            other => other,
        }
    }
}

impl From<ArchiveError> for crate::error::StorageError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Unavailable { op, source } => {
                Self::unavailable(crate::error::Tier::Archive, op, source)
            }
            ArchiveError::Damaged { what, source } => {
                Self::damaged(crate::error::Tier::Archive, what, source)
            }
            ArchiveError::InUse { what } => Self::InUse { what },
            ArchiveError::TreeBroken { source } => Self::damaged(
                crate::error::Tier::Archive,
                "the table of Merkle nodes",
                source,
            ),
            error @ (ArchiveError::Refused { .. }
            | ArchiveError::TreeOutdated
            | ArchiveError::Closed) => {
                Self::unavailable(crate::error::Tier::Archive, "commit", error)
            }
        }
    }
}
