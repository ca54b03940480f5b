//! The faults of an archive in memory.

use std::collections::HashSet;

use crate::item::Stored;
use crate::item::key::Key;
use crate::l3::ArchiveError;

/// The operation that a fault is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // They are the trait's methods.
pub enum ArchiveOp {
    Open,
    Commit,
    GetMany,
    LeavesOf,
    Scan,
    ScanLeaves,
    CountLive,
    Expired,
    Tombstones,
    LoadTree,
    RebuildTree,
    Meta,
    SetMeta,
    RaiseClockBound,
    Ping,
}

/// The fault that was switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectedFault {
    /// By [`super::MemoryArchive::set_down`].
    #[error("the archive is down")]
    Down,
    /// By [`super::MemoryArchive::fail_next`].
    #[error("the archive fails once")]
    Once,
    /// By [`super::MemoryArchive::fail_after_next_commit`].
    #[error("the connection was lost behind the commit")]
    LostReply,
    /// By [`super::MemoryArchive::refuse`].
    #[error("the row is refused")]
    Refused,
}

impl ArchiveOp {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Commit => "commit",
            Self::GetMany => "get_many",
            Self::LeavesOf => "leaves_of",
            Self::Scan => "scan",
            Self::ScanLeaves => "scan_leaves",
            Self::CountLive => "count_live",
            Self::Expired => "expired",
            Self::Tombstones => "tombstones",
            Self::LoadTree => "load_tree",
            Self::RebuildTree => "rebuild_tree",
            Self::Meta => "meta",
            Self::SetMeta => "set_meta",
            Self::RaiseClockBound => "raise_clock_bound",
            Self::Ping => "ping",
        }
    }
}

/// What is switched on.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) down: bool,
    pub(super) once: HashSet<ArchiveOp>,
    pub(super) lost_reply: bool,
    pub(super) refused: HashSet<Key>,
}

impl Faults {
    /// The fault that this call meets.
    pub(super) fn meet(&mut self, op: ArchiveOp) -> Result<(), ArchiveError> {
        if self.down {
            return Err(failed(op, InjectedFault::Down));
        }
        match self.once.remove(&op) {
            true => Err(failed(op, InjectedFault::Once)),
            false => Ok(()),
        }
    }

    /// The refusal that a commit of these records meets.
    pub(super) fn meet_records(&self, records: &[Stored]) -> Result<(), ArchiveError> {
        match records
            .iter()
            .any(|record| self.refused.contains(record.key()))
        {
            true => Err(ArchiveError::Refused {
                op: ArchiveOp::Commit.name(),
                source: Box::new(InjectedFault::Refused),
            }),
            false => Ok(()),
        }
    }
}

/// An outage of `op`.
pub(super) fn failed(
    op: ArchiveOp,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ArchiveError {
    ArchiveError::Unavailable {
        op: op.name(),
        source: Box::new(source),
    }
}
