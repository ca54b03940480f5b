//! Small exhaustive models of what nodes agree on, apart from any code that does it.
//!
//! One model so far: the collection of tombstones, described in `docs/decisions/0012-tombstone-collection.md`, whose words
//! and letters are used here. [`explore`] walks through every state that a few writes can lead to, whatever else happens in
//! whatever order, and [`check`] says what must hold in each. [`Flaw`] takes one rule out at a time.

#![forbid(unsafe_code)]

pub mod check;

pub mod exchange;

pub mod explore;

pub mod ledger;

pub mod mesh;

pub mod step;

/// A rule that is left out, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// None is.
    None,
    /// Tombstones go as soon as a node likes.
    CollectWithoutWatermark,
    /// What an expelled node has is merged, until it has found out.
    MergeFromExpelled,
    /// What a node has that has not joined yet is merged.
    MergeFromUnjoined,
    /// An expelled node goes on as if nothing had happened.
    NoRejoin,
    /// A node that joins keeps what it holds and the peer does not.
    JoinKeepsAll,
    /// A node that joins drops what it wrote itself and nobody has seen.
    NoRescue,
    /// It writes all of it again, also what others may have seen.
    RescueAll,
    /// A tombstone that was collected is pulled back.
    PullBack,
    /// The streams bring what is below the level.
    StreamBelowLevel,
    /// The watermark is the least level, without the second round.
    OneRound,
    /// The ledger is read when the comparison ends, and not before it begins.
    LedgerReadLate,
    /// A member is left out by whoever likes.
    ExpelAlone,
}

impl Flaw {
    /// What it takes out of the ledger's rules.
    pub fn rules(self) -> ledger::Rules {
        ledger::Rules {
            is_anybody_left_out: self == Self::ExpelAlone,
            is_one_round: self == Self::OneRound,
        }
    }
}
