//! Stage 4: the write-ahead log. A write is acknowledged once it is here, and freed once the archive has it.

use async_trait::async_trait;

use crate::item::Stored;
use crate::item::stamp::HlcTime;
use crate::limits::ENVELOPE_OVERHEAD_MAX;

pub mod absent;

pub mod sqlite;

pub mod outstanding;

/// A position in the log. Positions grow by one a record and are never reused.
pub type WalPos = u64;

/// Why the log failed.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The file could not be read or written.
    #[error("{0}")]
    Io(#[source] crate::error::Source),
    /// A write to disk failed: what of it reached the disk is unknown, so the log takes no more writes until it is reopened.
    #[error("the log is closed since a write to it failed: {0}")]
    Poisoned(String),
    /// The file is not a log, or so damaged that nothing can be read.
    #[error("{path} is damaged: {source}")]
    Damaged {
        /// The file.
        path: String,
        /// How it shows.
        source: crate::error::Source,
    },
    /// Another process has the log open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file.
        path: String,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Records on their way into the log.
///
/// One order holds for all of them: whoever is [`placed`](Self::placed) first is logged first, and
/// [`logged`](Self::logged) first. So who stamps when placed, and shows the records to readers when logged, has stamps, log
/// and readers in the same order, however many write at once.
pub trait Appending: Send {
    /// About how many bytes the records take.
    fn bytes(&self) -> usize;

    /// The place in the log's order is taken. Everybody who is to be placed later waits for it: no more than a stamp is given.
    fn placed(&mut self);

    /// The records. Asked for after [`placed`](Self::placed).
    fn records(&mut self) -> &[Stored];

    /// They are on stable storage, from this position on. The log goes on when it returns: it does not block. Dropped without it,
    /// they are not in the log, or nobody knows.
    fn logged(self: Box<Self>, first: WalPos);
}

/// Records that have their stamps already, and that the caller deals with once they are logged.
impl Appending for Vec<Stored> {
    fn bytes(&self) -> usize {
        let bytes = |record: &Stored| record.size_bytes() + ENVELOPE_OVERHEAD_MAX;
        self.iter().map(bytes).sum()
    }

    fn placed(&mut self) {}

    fn records(&mut self) -> &[Stored] {
        self
    }

    fn logged(self: Box<Self>, _: WalPos) {}
}

/// A log of accepted writes.
///
/// Contract, in the words of the tests:
/// - `append` returns only after the records are on stable storage; records of one call are adjacent and in order.
/// - calls are logged, and hear of it, in the order in which they were placed.
/// - a crash at any instant keeps every record whose `append` returned, and shows no half record.
/// - `read_from` gives the records in order of position; freed ones never come back.
/// - after a failed write every `append` fails until the log is opened anew, and `failure` says why.
#[async_trait]
pub trait Wal: Send + Sync {
    /// Appends the records, durably; gives the position of the first. When the call is dropped before it returns, either nothing
    /// is logged, or the records are and hear of it.
    async fn append(&self, records: Box<dyn Appending>) -> Result<WalPos, WalError>;

    /// Frees every position below `pos`. Not durable by itself: a crash may bring freed records back, which is
    /// harmless, since replaying a record that is already stored changes nothing.
    fn free_below(&self, pos: WalPos);

    /// Up to `limit` records at `pos` and after, in order. Large records may make it fewer; only an empty answer means that there are
    /// no more.
    async fn read_from(&self, pos: WalPos, limit: usize)
    -> Result<Vec<(WalPos, Stored)>, WalError>;

    /// The lowest position that may hold a record, and the next position to be written.
    fn bounds(&self) -> (WalPos, WalPos);

    /// The greatest time of a stamp that was ever appended, as far as it is known: also of records that were freed long ago.
    fn clock_bound(&self) -> HlcTime {
        HlcTime::default()
    }

    /// Whether writes are logged at all.
    fn is_durable(&self) -> bool;

    /// What was found damaged when the log was opened, in words for an operator.
    fn damage(&self) -> Option<String> {
        None
    }

    /// Why it takes no more writes until it is opened anew, since one to it failed; `None`: it takes them.
    fn failure(&self) -> Option<String> {
        None
    }

    /// Writes out what is queued and closes the file. Further calls fail with [`WalError::Closed`].
    async fn close(&self) -> Result<(), WalError>;
}

impl From<WalError> for crate::error::StorageError {
    fn from(error: WalError) -> Self {
        match error {
            WalError::Damaged { path, source } => {
                Self::damaged(crate::error::Tier::Wal, path, source)
            }
            WalError::InUse { path } => Self::InUse { what: path },
            error => Self::unavailable(crate::error::Tier::Wal, "append", error),
        }
    }
}
