//! What a flush does, decided without doing it: which write goes where, and what each result means.

use std::time::Duration;

use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::item::{Stored, SyncItem};
use crate::l1::{Due, Flight};
use crate::l2::CacheWrite;

/// How long the cache tier keeps a tombstone: long enough for any read that began before the delete to end.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(300);

/// One write on its way to the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchiveWrite {
    /// What the archive gets.
    pub stored: Stored,
    /// Over what it is written.
    pub over: Over,
}

impl ArchiveWrite {
    /// A tombstone.
    pub fn tombstone(key: &Key, stamp: Stamp, over: Over) -> Self {
        let key = key.clone();
        Self {
            stored: Stored::Tombstone { key, stamp },
            over,
        }
    }
}

/// Over which rows a write to the archive counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Any, or none: a write of another node.
    Anything,
    /// Any, or none: a write of this node. But where a live one is no newer than what was collected, and there is no row, then
    /// it had one, and a delete that is forgotten by now: it came out of a log that did not know yet that it may let go of it.
    Uncollected,
    /// A live one: a cache-only write over a key that was archived takes the row away, and an expiry ends an item.
    Live,
    /// The very tombstone that it is, which goes: it is collected.
    Itself,
}

/// What goes where.
#[derive(Debug, Default)]
pub struct FlushPlan {
    /// To the archive, in one transaction.
    pub archive: Vec<ArchiveWrite>,
    /// To the cache.
    pub cache_put: Vec<CacheWrite>,
    /// Out of the cache, with all that is older than these stamps: the item no longer belongs there.
    pub cache_remove: Vec<(Key, Stamp)>,
}

/// Which tiers there are, and are worth asking now.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// The archive answers.
    pub archive: bool,
    /// The cache answers.
    pub cache: bool,
    /// There is an archive, answering or not.
    pub has_archive: bool,
}

/// Says what goes where.
pub fn plan(flights: &[Flight], health: Health, now_ms: i64) -> FlushPlan {
    let mut plan = FlushPlan::default();
    for flight in flights {
        if health.archive && flight.due.contains(Due::ARCHIVE) {
            plan.archive.push(archive_write(&flight.stored));
        }
        if health.cache && flight.due.contains(Due::CACHE) {
            match cache_write(flight, now_ms) {
                Some(write) => plan.cache_put.push(write),
                None => {
                    let (key, stamp) = (flight.stored.key().clone(), flight.stored.stamp());
                    plan.cache_remove.push((key, stamp));
                }
            }
        }
    }
    plan
}

fn archive_write(stored: &Stored) -> ArchiveWrite {
    match stored.is_archived() {
        true => ArchiveWrite {
            stored: stored.clone(),
            over: Over::Uncollected,
        },
        false => ArchiveWrite::tombstone(stored.key(), stored.stamp(), Over::Live),
    }
}

fn cache_write(flight: &Flight, now_ms: i64) -> Option<CacheWrite> {
    let stored = flight.stored.clone();
    let ttl = match &stored {
        Stored::Tombstone { .. } => Some(TOMBSTONE_TTL),
        Stored::Live(item) if !item.submit_options.redis => return None,
        Stored::Live(item) => cache_ttl(item, flight.cache_until, now_ms)?,
    };
    Some(CacheWrite { stored, ttl })
}

/// `None`: its time is over. `Some(None)`: no end.
fn cache_ttl(item: &SyncItem, cache_until: Option<i64>, now_ms: i64) -> Option<Option<Duration>> {
    let own = item.submit_options.redis_ttl.map(|ttl| ttl.duration());
    let until = [cache_until, item.expires_at].into_iter().flatten().min();
    let left = match until {
        None => None,
        Some(until) => match u64::try_from(until.saturating_sub(now_ms)) {
            Ok(ms) if ms > 0 => Some(Duration::from_millis(ms)),
            _ => return None,
        },
    };
    Some(match (own, left) {
        (Some(own), Some(left)) => Some(own.min(left)),
        (own, left) => own.or(left),
    })
}

/// What became of a tier's part of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Confirmed.
    Done,
    /// Not asked.
    Skipped,
    /// Asked and not confirmed: it may or may not have happened.
    Failed,
}

/// What a flushed key still needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What need not be done any more.
    pub done: Due,
    /// The cache may hold something older than this write, and must not be believed for this key.
    pub cache_stale: bool,
}

/// Says what the results mean for one key.
///
/// A write that the archive keeps does not wait for a cache that is down: the cache is marked stale for its key instead.
/// A write that only the cache keeps does wait.
pub fn settle(flight: &Flight, health: Health, archive: Outcome, cache: Outcome) -> Verdict {
    let mut done = flight.spared;
    if archive == Outcome::Done {
        done = done.union(Due::ARCHIVE);
    }
    let wants_cache = flight.due.contains(Due::CACHE);
    let only_cache = !(health.has_archive && flight.stored.is_archived());
    let missed = wants_cache && cache != Outcome::Done;
    if cache == Outcome::Done || (missed && !only_cache) {
        done = done.union(Due::CACHE);
    }
    Verdict {
        done,
        cache_stale: missed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::options::{CacheTtl, SubmitOptions};

    fn flight(options: SubmitOptions) -> Flight {
        Flight {
            stored: Stored::Live(SyncItem::new("k", vec![1]).with_options(options)),
            due: Due::ARCHIVE.union(Due::CACHE),
            spared: Due::none(),
            pos: Some(0),
            cache_until: None,
            is_passing: false,
        }
    }

    const UP: Health = Health {
        archive: true,
        cache: true,
        has_archive: true,
    };

    #[test]
    fn each_write_goes_where_its_options_say() {
        let both = plan(&[flight(SubmitOptions::default())], UP, 0);
        assert_eq!((both.archive.len(), both.cache_put.len()), (1, 1));
        assert_eq!(both.cache_put[0].ttl, None);

        let durable = plan(&[flight(SubmitOptions::durable())], UP, 0);
        assert_eq!(
            durable.cache_remove.len(),
            1,
            "no stale copy stays in the cache"
        );

        let cached = plan(&[flight(SubmitOptions::cache(CacheTtl::Hour))], UP, 0);
        assert_eq!(cached.cache_put[0].ttl, Some(Duration::from_secs(3600)));
        assert_eq!(cached.archive[0].over, Over::Live);
        assert!(cached.archive[0].stored.item().is_none());
    }

    #[test]
    fn the_shortest_end_wins_and_an_ended_item_leaves_the_cache() {
        let mut f = flight(SubmitOptions {
            redis_ttl: Some(CacheTtl::Hour),
            ..Default::default()
        });
        f.cache_until = Some(5_000);
        let plan_at = |now| plan(std::slice::from_ref(&f), UP, now);
        assert_eq!(
            plan_at(1_000).cache_put[0].ttl,
            Some(Duration::from_secs(4))
        );
        assert_eq!(plan_at(5_000).cache_remove.len(), 1);
    }

    #[test]
    fn a_dead_cache_holds_up_only_what_it_alone_keeps() {
        let both = settle(
            &flight(SubmitOptions::default()),
            UP,
            Outcome::Done,
            Outcome::Failed,
        );
        assert_eq!(both.done, Due::ARCHIVE.union(Due::CACHE));
        assert!(both.cache_stale);
        let only = settle(
            &flight(SubmitOptions::cache(CacheTtl::Hour)),
            UP,
            Outcome::Done,
            Outcome::Failed,
        );
        assert_eq!(only.done, Due::ARCHIVE);
        let archive_down = settle(
            &flight(SubmitOptions::default()),
            UP,
            Outcome::Failed,
            Outcome::Done,
        );
        assert_eq!(archive_down.done, Due::CACHE);
        let no_archive = Health {
            has_archive: false,
            ..UP
        };
        let held = settle(
            &flight(SubmitOptions::default()),
            no_archive,
            Outcome::Skipped,
            Outcome::Failed,
        );
        assert_eq!(held.done, Due::none());
        let tombstone = Flight {
            stored: Stored::Tombstone {
                key: "k".into(),
                stamp: Stamp::default(),
            },
            ..flight(SubmitOptions::default())
        };
        assert_eq!(
            plan(&[tombstone], UP, 0).cache_put[0].ttl,
            Some(TOMBSTONE_TTL)
        );
    }
}
