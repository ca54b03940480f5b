//! The contract of [`ArchiveStore`] as tests, one for each sentence, for every archive there is.
//!
//! An archive joins with `contract::archive_contract!(bed)`, where `bed` makes a [`Bed`] with new, empty storage.

mod collect;
mod life;
mod queries;
mod values;
mod writes;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::collect::*;
pub use self::life::*;
pub use self::queries::*;
pub use self::values::*;
pub use self::writes::*;
use super::{ArchiveStore, CommitPlan, KeyRange, Planner, RowAction};
use crate::item::decide::{Decision, decide};
use crate::item::hash::LeafDigest;
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::item::{Leaf, Stored, SyncItem};
use crate::merkle::node::{Aggregate, NodeRow};

/// Storage of one test.
#[async_trait]
pub trait Bed: Send + Sync {
    /// A new handle to the archive, not opened yet. The storage is empty the first time, and after a close as it was left.
    async fn archive(&self) -> Arc<dyn ArchiveStore>;
}

async fn open(bed: &dyn Bed) -> Arc<dyn ArchiveStore> {
    let archive = bed.archive().await;
    archive.open().await.unwrap();
    archive
}

/// A test function for each sentence of the contract; `$bed` is evaluated anew, in an async function, for each.
macro_rules! archive_contract {
    ($bed:expr) => {
        $crate::l3::contract::archive_contract! { @each $bed;
            a_row_is_replaced_only_by_a_record_with_a_greater_stamp
            also_when_the_planner_says_otherwise
            equal_stamps_are_settled_by_life_and_hash
            stamps_are_unsigned
            what_the_planner_leaves_out_is_not_written
            the_planner_sees_the_leaves_and_the_tree_number
            an_error_of_the_planner_rolls_everything_back
            a_plan_of_another_length_is_an_error_and_changes_nothing
            rows_nodes_tree_number_and_clock_bound_are_one_commit
            nodes_are_put_replaced_and_deleted
            the_clock_bound_never_falls
            a_row_is_removed_only_while_it_is_that_tombstone
            tombstones_are_listed_up_to_a_time
            tombstones_come_in_portions
            rows_and_nodes_that_go_and_the_bound_are_one_commit
            what_was_removed_may_come_again
            a_rebuilt_tree_is_the_sum_of_the_rows
            what_was_put_is_read_bit_for_bit
            every_payload_comes_back
            every_key_is_its_own
            extreme_numbers_come_back
            keys_are_ordered_by_their_bytes
            ranges_hold_what_they_say
            bounds_need_not_be_text
            a_scan_stops_at_its_limit
            a_scan_stops_past_its_bytes_but_never_empty_handed
            tombstones_are_scanned_and_not_counted
            the_expired_are_listed_and_not_counted
            answers_stand_in_the_order_asked
            small_values_are_kept
            nothing_asked_is_nothing_answered
            concurrent_commits_leave_the_newest
            after_close_every_call_is_closed
            reopened_it_has_everything
        }
    };
    (@each $bed:expr; $($sentence:ident)*) => {
        $(
            #[tokio::test]
            async fn $sentence() {
                let bed = $bed;
                $crate::l3::contract::$sentence(&bed).await;
            }
        )*
    };
}
pub(crate) use archive_contract;

fn stamp(time: u64, origin: u64) -> Stamp {
    Stamp {
        time: HlcTime(time),
        origin: Origin::from_raw(origin),
    }
}

fn live(key: &str, content: impl Into<Bytes>, stamp: Stamp) -> Stored {
    Stored::Live(SyncItem::new(key, content).edit(|fields| fields.stamp = stamp))
}

fn dead(key: &str, stamp: Stamp) -> Stored {
    Stored::Tombstone {
        key: key.into(),
        stamp,
    }
}

fn expiring(key: &str, at: i64) -> Stored {
    let item = SyncItem::new(key, b"soon gone".to_vec()).with_expires_at(Some(at));
    Stored::Live(item.edit(|fields| fields.stamp = stamp(1, 2)))
}

/// A planner that writes what wins and leaves the tree alone.
pub fn honest(records: &[Stored]) -> Planner {
    let leaves: Vec<Leaf> = records.iter().map(Stored::leaf).collect();
    Box::new(move |view| {
        let action = |(old, new): (&Option<Leaf>, &Leaf)| match decide(old.as_ref(), new) {
            Decision::Take => RowAction::Put,
            Decision::Keep | Decision::Same => RowAction::Leave,
        };
        Ok(CommitPlan {
            rows: view.olds.iter().zip(&leaves).map(action).collect(),
            tree_seq: view.tree_seq,
            ..CommitPlan::default()
        })
    })
}

/// A planner that does this with every row.
fn lying(action: RowAction) -> Planner {
    Box::new(move |view| {
        Ok(CommitPlan {
            rows: vec![action; view.olds.len()],
            tree_seq: view.tree_seq,
            ..CommitPlan::default()
        })
    })
}

/// A planner with a plan of its own.
fn fixed(plan: CommitPlan) -> Planner {
    Box::new(move |_| Ok(plan))
}

async fn put(archive: &dyn ArchiveStore, records: &[Stored]) -> Vec<bool> {
    let actions = archive.commit(records.to_vec(), honest(records)).await;
    let is_put = |action| action == RowAction::Put;
    actions.unwrap().into_iter().map(is_put).collect()
}

async fn get(archive: &dyn ArchiveStore, key: &str) -> Option<Stored> {
    archive.get_many(&[key.into()]).await.unwrap().remove(0)
}

async fn all(archive: &dyn ArchiveStore) -> Vec<Stored> {
    let range = KeyRange::all();
    archive.scan(&range, usize::MAX, usize::MAX).await.unwrap()
}

async fn keys_in(archive: &dyn ArchiveStore, range: &KeyRange) -> Vec<String> {
    let rows = archive.scan(range, usize::MAX, usize::MAX).await.unwrap();
    let leaves = archive.scan_leaves(range, usize::MAX).await.unwrap();
    let expected: Vec<_> = rows
        .iter()
        .map(|row| (row.key().clone(), row.leaf()))
        .collect();
    assert_eq!(leaves, expected);
    rows.iter().map(|row| row.key().to_string()).collect()
}

fn node(prefix: &[u8], leaves: u8, split: bool) -> NodeRow {
    let mut aggregate = Aggregate::default();
    (0..leaves).for_each(|n| aggregate.insert(&LeafDigest([n; 32])));
    NodeRow {
        prefix: prefix.to_vec(),
        aggregate,
        split,
    }
}

async fn hundred(archive: &dyn ArchiveStore) -> Vec<Stored> {
    let record = |n| live(&format!("k{n:02}"), vec![n; 97], stamp(1, 0));
    let records: Vec<Stored> = (0..100).map(record).collect();
    put(archive, &records).await;
    records
}
