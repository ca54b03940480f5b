//! One comparison with one peer: look, find what differs, pause if things are moving, fetch.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use sync_engine::Key;
use sync_engine::engine::{Applied, Relay};
use sync_engine::env::SharedEnv;
use sync_engine::item::Stored;
use sync_engine::merkle::sketch::Difference;

use super::asker::Asker;
use super::question::{RecordError, decode_record};
use super::step::{Fill, Look, Roots, Way, look, way};
use crate::apply::SyncEngineRef;
use crate::error::RepairError;
use crate::limits::{ASK_KEYS_MAX, CONFIRM_PAUSE};

/// What a comparison works with.
pub struct Cycle<'a> {
    /// The peer.
    pub asker: Asker<'a>,
    /// Our side.
    pub store: &'a dyn SyncEngineRef,
    /// Time and chance.
    pub env: &'a SharedEnv,
    /// Most keys to repair.
    pub items_max: usize,
    /// Whether this goes on where the last one ran out of budget: then nothing is waited for, or a large difference would
    /// take a pause for each budget's worth.
    pub is_continued: bool,
    /// Where a fill from this peer is.
    pub filling: Fill,
    /// Whether what is taken is passed on.
    pub relay: Relay,
    /// Told of each bulk call's outcome.
    pub sink: &'a dyn RepairSink,
}

/// Hears what a comparison or a fill does, as it does it.
pub trait RepairSink: Send + Sync {
    /// Keys for which the peer is ahead, confirmed.
    fn diverged(&self, keys: usize);

    /// Records that came.
    fn fetched(&self, records: usize);

    /// Records that were given to the store.
    fn applied(&self, submitted: usize, applied: Applied);

    /// A record that is none.
    fn refused(&self, error: RecordError);
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides hold the same.
    InSync,
    /// They are changing; nothing was done.
    Moving,
    /// The peer has so much more that it is to be taken whole.
    FillDue,
    /// The trees were compared.
    Compared {
        /// Keys for which the peer was ahead.
        behind: usize,
        /// Those of them for which it still is: what it sent was refused, or is from the future, or did not come.
        refused: usize,
        /// Whether there is more to compare.
        is_truncated: bool,
    },
}

impl Outcome {
    /// Whether nothing is missing here that the peer has.
    pub fn is_in_sync(self) -> bool {
        matches!(
            self,
            Self::InSync
                | Self::Compared {
                    refused: 0,
                    is_truncated: false,
                    ..
                }
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InSync => f.write_str("in sync"),
            Self::Moving => f.write_str("both are changing"),
            Self::FillDue => f.write_str("filled"),
            Self::Compared {
                behind,
                refused,
                is_truncated,
            } => {
                match refused {
                    0 => write!(f, "compared: {behind} taken")?,
                    _ => write!(f, "differs: {refused} refused, {} taken", behind - refused)?,
                }
                f.write_str(if *is_truncated {
                    ", more to compare"
                } else {
                    ""
                })
            }
        }
    }
}

impl Cycle<'_> {
    /// Compares, and makes up what it finds.
    pub async fn run(&self, moving_before: u32, is_forced: bool) -> Result<Outcome, RepairError> {
        let first = self.roots(is_forced).await?;
        if first.are_equal() {
            return Ok(Outcome::InSync);
        }
        // Where the sets stood still for a moment, nothing is on its way.
        let mut is_still = self.is_continued;
        if self.filling != Fill::UnderWay && !self.is_continued {
            self.pause().await?;
            let second = self.roots(is_forced).await?;
            match look(&first, &second, moving_before, is_forced) {
                Look::InSync => return Ok(Outcome::InSync),
                Look::Moving => return Ok(Outcome::Moving),
                Look::Differ => is_still = first == second,
            }
        }
        let (theirs, difference) = self.compare_sketches().await?;
        match way(&self.store.merkle_root().await?, &theirs, self.filling) {
            Way::Equal => Ok(Outcome::InSync),
            Way::Nothing => Ok(compared(0, 0, false)),
            Way::Fill => Ok(Outcome::FillDue),
            Way::Descend => self.make_up(difference, is_still).await,
        }
    }

    /// What was published may be a moment old, and may be older than what is known to be missing: then the peer itself is
    /// asked.
    async fn roots(&self, is_forced: bool) -> Result<Roots, RepairError> {
        let theirs = match is_forced {
            true => Some(self.asker.root().await?.hash().to_string()),
            false => self.asker.published_root().await?,
        };
        Ok(Roots {
            theirs,
            ours: self.store.merkle_root().await?.hash().to_string(),
        })
    }

    /// Long enough for the hot path to bring what is on its way.
    async fn pause(&self) -> Result<(), RepairError> {
        let share = 1.0 + (self.env.random() % 1024) as f64 / 2048.0;
        let pause = self.env.sleep(CONFIRM_PAUSE.mul_f64(share));
        self.asker
            .stop
            .unless(pause)
            .await
            .ok_or(RepairError::Stopped)
    }

    async fn make_up(
        &self,
        difference: Option<Difference>,
        is_still: bool,
    ) -> Result<Outcome, RepairError> {
        let found = self.find(difference).await?;
        if found.behind.is_empty() {
            return Ok(compared(0, 0, found.is_truncated));
        }
        if !is_still {
            self.pause().await?;
        }
        let behind = self.still_behind(found.behind).await?;
        let keys: Vec<Key> = behind.into_iter().map(|(key, _)| key).collect();
        self.sink.diverged(keys.len());
        let settled = self.fetch(&keys).await?;
        let refused = keys.len().saturating_sub(settled);
        Ok(compared(keys.len(), refused, found.is_truncated))
    }

    /// Fetches and stores; of how many keys the store has now what the peer sent, or something newer.
    async fn fetch(&self, keys: &[Key]) -> Result<usize, RepairError> {
        let (mut rest, mut settled) = (keys, 0);
        while !rest.is_empty() {
            let asked = rest.get(..ASK_KEYS_MAX).unwrap_or(rest);
            let (done, records) = self.asker.records(asked).await?;
            let mut records = read_records(records, self.sink);
            // What was not asked for is not taken, nor is anything twice.
            let mut wanted: BTreeSet<&Key> = asked.iter().collect();
            records.retain(|record| wanted.remove(record.key()));
            settled += self.apply(records).await?;
            rest = rest.get(done..).unwrap_or_default();
        }
        Ok(settled)
    }

    /// Gives records to the store; how many it has taken, or has something newer than. Runs to its end also when the engine
    /// stops.
    pub async fn apply(&self, records: Vec<Stored>) -> Result<usize, RepairError> {
        if records.is_empty() {
            return Ok(0);
        }
        let count = records.len();
        let applied = self.store.apply(records, self.relay).await?;
        let settled = applied.taken + applied.kept;
        self.sink.applied(count, applied);
        Ok(settled)
    }
}

fn compared(behind: usize, refused: usize, is_truncated: bool) -> Outcome {
    Outcome::Compared {
        behind,
        refused,
        is_truncated,
    }
}

/// Reads records, and keeps aside those that are none.
pub fn read_records(records: Vec<Bytes>, sink: &dyn RepairSink) -> Vec<Stored> {
    sink.fetched(records.len());
    let read = records.into_iter().filter_map(|bytes| {
        let record = decode_record(bytes);
        record.map_err(|error| sink.refused(error)).ok()
    });
    read.collect()
}
