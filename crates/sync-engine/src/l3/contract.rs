//! The contract of [`ArchiveStore`] as tests, one for each sentence, for every archive there is.
//!
//! An archive joins with `contract::archive_contract!(bed)`, where `bed` makes a [`Bed`] with new, empty storage.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::{ArchiveError, ArchiveStore, CommitPlan, KeyRange, MetaKey, Planner};
use crate::item::decide::{Decision, decide};
use crate::item::hash::LeafDigest;
use crate::item::key::Key;
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::item::{ContentType, Leaf, Stored, SyncItem};
use crate::merkle::node::{Aggregate, NodeRow, NodeWrite};

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
        let wins = |(old, new): (&Option<Leaf>, &Leaf)| decide(old.as_ref(), new) == Decision::Take;
        Ok(CommitPlan {
            write: view.olds.iter().zip(&leaves).map(wins).collect(),
            tree_seq: view.tree_seq,
            ..CommitPlan::default()
        })
    })
}

/// A planner that writes everything.
fn lying() -> Planner {
    Box::new(|view| {
        Ok(CommitPlan {
            write: vec![true; view.olds.len()],
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
    archive
        .commit(records.to_vec(), honest(records))
        .await
        .unwrap()
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

/// One key, `n` writes with different stamps, each the payload of its number.
fn writes(n: u64) -> Vec<Stored> {
    (0..n)
        .map(|i| match i % 4 {
            0 => dead("k", stamp(i / 2, i % 2)),
            _ => live("k", i.to_string(), stamp(i / 2, i % 2)),
        })
        .collect()
}

/// Orders of `0..n`: forwards, backwards, and some shuffled the same way each time.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![(0..n).collect::<Vec<_>>(), (0..n).rev().collect()];
    for seed in 1..6 {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|i| (i * 7919 * seed + seed) % 101);
        orders.push(order);
    }
    orders
}

pub async fn a_row_is_replaced_only_by_a_record_with_a_greater_stamp(bed: &dyn Bed) {
    let archive = open(bed).await;
    for (round, order) in orders(8).iter().enumerate() {
        let key = format!("round{round}");
        let writes = rename(writes(8), &key);
        for at in order {
            let won = put(&*archive, &writes[*at..=*at]).await;
            let seen = get(&*archive, &key).await.unwrap();
            assert_eq!(won, [seen == writes[*at]], "{order:?}");
        }
        assert_eq!(get(&*archive, &key).await.as_ref(), writes.last());
    }
}

pub async fn also_when_the_planner_says_otherwise(bed: &dyn Bed) {
    let archive = open(bed).await;
    for (round, order) in orders(8).iter().enumerate() {
        let key = format!("round{round}");
        let writes = rename(writes(8), &key);
        for at in order {
            let flags = archive.commit(vec![writes[*at].clone()], lying()).await;
            assert_eq!(flags.unwrap(), [true], "the flags are the plan's");
        }
        assert_eq!(get(&*archive, &key).await.as_ref(), writes.last());
    }
}

fn rename(writes: Vec<Stored>, key: &str) -> Vec<Stored> {
    let rename = |write| match write {
        Stored::Live(item) => Stored::Live(item.edit(|fields| fields.object_id = key.into())),
        Stored::Tombstone { stamp, .. } => dead(key, stamp),
    };
    writes.into_iter().map(rename).collect()
}

pub async fn equal_stamps_are_settled_by_life_and_hash(bed: &dyn Bed) {
    let archive = open(bed).await;
    let mut same = vec![dead("k", stamp(5, 5))];
    same.extend((0..5).map(|n| live("k", vec![n], stamp(5, 5))));
    let greatest = same.iter().max_by_key(|write| write.leaf().hash).cloned();
    for (round, order) in orders(6).iter().enumerate() {
        let key = format!("round{round}");
        for at in order {
            let write = rename(vec![same[*at].clone()], &key);
            archive.commit(write, lying()).await.unwrap();
        }
        let expected = rename(vec![greatest.clone().unwrap()], &key).pop();
        assert_eq!(get(&*archive, &key).await, expected, "{order:?}");
    }
}

pub async fn stamps_are_unsigned(bed: &dyn Bed) {
    let archive = open(bed).await;
    let edges = [0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];
    let rising = edges
        .iter()
        .flat_map(|time| edges.iter().map(|origin| stamp(*time, *origin)));
    let rising: Vec<Stamp> = rising.collect();
    for at in &rising {
        archive
            .commit(vec![dead("up", *at)], lying())
            .await
            .unwrap();
        let leaf = archive.leaves_of(&["up".into()]).await.unwrap();
        assert_eq!(leaf[0].map(|leaf| leaf.stamp), Some(*at));
    }
    for at in rising.iter().rev() {
        archive
            .commit(vec![dead("down", *at)], lying())
            .await
            .unwrap();
    }
    let top = Some(dead("down", stamp(u64::MAX, u64::MAX)));
    assert_eq!(get(&*archive, "down").await, top);
}

pub async fn what_the_planner_leaves_out_is_not_written(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = vec![
        live("b", b"1".to_vec(), stamp(1, 0)),
        live("a", b"2".to_vec(), stamp(1, 0)),
    ];
    let plan = CommitPlan {
        write: vec![false, true],
        ..CommitPlan::default()
    };
    let flags = archive.commit(records.clone(), fixed(plan)).await.unwrap();
    assert_eq!(flags, [false, true]);
    assert_eq!(all(&*archive).await, records[1..]);
}

pub async fn the_planner_sees_the_leaves_and_the_tree_number(bed: &dyn Bed) {
    let archive = open(bed).await;
    let first = [
        live("b", b"1".to_vec(), stamp(1, 2)),
        dead("d", stamp(3, 4)),
    ];
    let plan = CommitPlan {
        write: vec![true; 2],
        tree_seq: 7,
        ..CommitPlan::default()
    };
    archive.commit(first.to_vec(), fixed(plan)).await.unwrap();
    // Neither in key order nor all known.
    let second = ["d", "c", "b", "a"].map(|key| live(key, b"2".to_vec(), stamp(9, 9)));
    let expected = vec![Some(first[1].leaf()), None, Some(first[0].leaf()), None];
    let check: Planner = Box::new(move |view| {
        assert_eq!((view.olds, view.tree_seq), (expected, 7));
        Ok(CommitPlan {
            write: vec![true; 4],
            tree_seq: 8,
            ..CommitPlan::default()
        })
    });
    archive.commit(second.to_vec(), check).await.unwrap();
    assert_eq!(archive.load_tree().await.unwrap().1, 8);
}

pub async fn an_error_of_the_planner_rolls_everything_back(bed: &dyn Bed) {
    let archive = open(bed).await;
    let before = [live("a", b"1".to_vec(), stamp(1, 0))];
    put(&*archive, &before).await;
    let later = vec![
        live("a", b"2".to_vec(), stamp(2, 0)),
        dead("b", stamp(2, 0)),
    ];
    let refuse: Planner = Box::new(|_| Err(ArchiveError::TreeOutdated));
    let answer = archive.commit(later.clone(), refuse).await;
    assert!(
        matches!(answer, Err(ArchiveError::TreeOutdated)),
        "{answer:?}"
    );
    assert_eq!(all(&*archive).await, before);
    // And the next commit finds no transaction left open.
    assert_eq!(put(&*archive, &later).await, [true, true]);
    assert_eq!(all(&*archive).await, later);
}

pub async fn a_plan_of_another_length_is_an_error_and_changes_nothing(bed: &dyn Bed) {
    let archive = open(bed).await;
    for flags in [0, 1, 3] {
        let records = ["a", "b"].map(|key| dead(key, stamp(1, 0))).to_vec();
        let plan = CommitPlan {
            write: vec![true; flags],
            nodes: vec![NodeWrite::Put(node(b"", 1, false))],
            tree_seq: 5,
            clock_bound: HlcTime(5),
        };
        let answer = archive.commit(records, fixed(plan)).await;
        assert!(
            matches!(answer, Err(ArchiveError::Unavailable { .. })),
            "{answer:?}"
        );
        assert_eq!(all(&*archive).await, []);
        assert_eq!(archive.load_tree().await.unwrap(), (vec![], 0));
    }
}

pub async fn rows_nodes_tree_number_and_clock_bound_are_one_commit(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = vec![
        live("a", b"1".to_vec(), stamp(1, 0)),
        dead("b", stamp(2, 0)),
    ];
    let plan = CommitPlan {
        write: vec![true, true],
        nodes: vec![NodeWrite::Put(node(b"", 2, false))],
        tree_seq: u64::MAX,
        clock_bound: HlcTime(u64::MAX - 1),
    };
    archive.commit(records.clone(), fixed(plan)).await.unwrap();
    assert_eq!(all(&*archive).await, records);
    let tree = archive.load_tree().await.unwrap();
    assert_eq!(tree, (vec![node(b"", 2, false)], u64::MAX));
    archive.close().await.unwrap();
    assert_eq!(clock_bound(bed).await, HlcTime(u64::MAX - 1));
}

async fn clock_bound(bed: &dyn Bed) -> HlcTime {
    bed.archive().await.open().await.unwrap().clock_bound
}

pub async fn nodes_are_put_replaced_and_deleted(bed: &dyn Bed) {
    let archive = open(bed).await;
    let commit = |nodes: Vec<NodeWrite>, tree_seq| {
        let plan = CommitPlan {
            nodes,
            tree_seq,
            ..CommitPlan::default()
        };
        archive.commit(Vec::new(), fixed(plan))
    };
    // Prefixes are bytes of keys, cut anywhere.
    let prefixes: [&[u8]; 5] = [b"", b"a", b"a\0", b"a.", b"\xc3"];
    let puts = prefixes
        .iter()
        .map(|prefix| NodeWrite::Put(node(prefix, 3, true)));
    commit(puts.collect(), 1).await.unwrap();
    let change = vec![
        NodeWrite::Put(node(b"a", 200, false)),
        NodeWrite::Delete(b"\xc3".to_vec()),
        NodeWrite::Delete(b"missing".to_vec()),
    ];
    commit(change, 2).await.unwrap();
    let (mut nodes, seq) = archive.load_tree().await.unwrap();
    nodes.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    let expected = [
        node(b"", 3, true),
        node(b"a", 200, false),
        node(b"a\0", 3, true),
        node(b"a.", 3, true),
    ];
    assert_eq!((&nodes[..], seq), (&expected[..], 2));
}

pub async fn the_clock_bound_never_falls(bed: &dyn Bed) {
    let archive = open(bed).await;
    archive.raise_clock_bound(HlcTime(1 << 63)).await.unwrap();
    archive.raise_clock_bound(HlcTime(9)).await.unwrap();
    let plan = CommitPlan {
        clock_bound: HlcTime(10),
        ..CommitPlan::default()
    };
    archive.commit(Vec::new(), fixed(plan)).await.unwrap();
    archive.close().await.unwrap();
    assert_eq!(clock_bound(bed).await, HlcTime(1 << 63));
}

pub async fn what_was_put_is_read_bit_for_bit(bed: &dyn Bed) {
    let archive = open(bed).await;
    let mut runner = TestRunner::deterministic();
    let strategy = crate::item::codec::tests::stored();
    let mut newest = std::collections::BTreeMap::new();
    for _ in 0..300 {
        let record = strategy.new_tree(&mut runner).unwrap().current();
        put(&*archive, std::slice::from_ref(&record)).await;
        let ours = newest.get(record.key()).map(Stored::leaf);
        if decide(ours.as_ref(), &record.leaf()) == Decision::Take {
            newest.insert(record.key().clone(), record);
        }
    }
    let expected: Vec<Stored> = newest.into_values().collect();
    assert_eq!(all(&*archive).await, expected);
    let keys: Vec<Key> = expected.iter().map(|record| record.key().clone()).collect();
    let got = archive.get_many(&keys).await.unwrap();
    assert_eq!(got, expected.iter().cloned().map(Some).collect::<Vec<_>>());
}

pub async fn every_payload_comes_back(bed: &dyn Bed) {
    let archive = open(bed).await;
    let frame = zstd::encode_all(&b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[..], 3).unwrap();
    let large: Vec<u8> = (0..16u32 << 20).map(|n| ((n * 31) >> 3) as u8).collect();
    let payloads = [
        Vec::new(),
        frame,
        vec![0xff, 0xfe, 0x80, 0xc3, 0x28],
        vec![0],
        b"'; DROP TABLE items; -- \\' %_".to_vec(),
        b"{ \"b\" : 1.0,\n \"a\": 1e400 }".to_vec(),
        (0..=255).collect(),
        large,
    ];
    let records: Vec<Stored> = (0u8..)
        .zip(payloads)
        .map(|(n, payload)| live(&format!("k{n}"), payload, stamp(1, 0)))
        .collect();
    put(&*archive, &records).await;
    assert!(all(&*archive).await == records);
}

pub async fn every_key_is_its_own(bed: &dyn Bed) {
    let archive = open(bed).await;
    let long = "x".repeat(1024);
    let long_too = format!("{}y", "x".repeat(1023));
    let wide = "東".repeat(341);
    // Same to a collation that folds case, accents, widths or trailing blanks.
    let keys = [
        "a",
        "A",
        "á",
        "a\u{301}",
        "a ",
        "a  ",
        "a.",
        "a.b",
        "a.b.c",
        "ab",
        "a%",
        "a_",
        "a%b",
        "a_b",
        "ß",
        "ss",
        "ｱ",
        "ア",
        "İ",
        "i",
        "I",
        "ı",
        "'",
        "\"",
        "\\",
        "🦀",
        "\u{10ffff}",
        &long,
        &long_too,
        &wide,
    ];
    let records: Vec<Stored> = keys
        .iter()
        .map(|key| live(key, key.as_bytes().to_vec(), stamp(1, 0)))
        .collect();
    assert_eq!(put(&*archive, &records).await, vec![true; keys.len()]);
    assert_eq!(all(&*archive).await.len(), keys.len());
    for (key, record) in keys.iter().zip(records) {
        assert_eq!(get(&*archive, key).await, Some(record), "{key:?}");
    }
    assert_eq!(get(&*archive, "a_c").await, None);
}

pub async fn extreme_numbers_come_back(bed: &dyn Bed) {
    let archive = open(bed).await;
    let extremes = [
        (u64::MAX, i64::MIN, Some(i64::MAX)),
        (0, i64::MAX, Some(i64::MIN)),
        (1 << 63, -1, Some(-1)),
        ((1 << 63) - 1, 0, Some(0)),
        (7, 0, None),
    ];
    let mut records = Vec::new();
    for (n, (version, updated_at, expires_at)) in (0u64..).zip(extremes) {
        let ttl = [
            CacheTtl::Custom(1),
            CacheTtl::Custom(u64::MAX),
            CacheTtl::Week,
        ];
        let item = SyncItem::new(format!("k{n}").as_str(), vec![1])
            .with_content_type(ContentType::Json)
            .edit(|fields| {
                fields.stamp = stamp(u64::MAX - n, n);
                fields.version = version;
                fields.updated_at = updated_at;
                fields.expires_at = expires_at;
                fields.submit_options = SubmitOptions {
                    redis_ttl: ttl.get(n as usize).copied(),
                    ..SubmitOptions::durable()
                };
                // Empty is not absent.
                fields.batch_id = Some("".into());
                fields.state = "".into();
                fields.trace_state = (n == 1).then(|| "x".repeat(1024).into());
            });
        records.push(Stored::Live(item));
    }
    put(&*archive, &records).await;
    assert_eq!(all(&*archive).await, records);
}

pub async fn keys_are_ordered_by_their_bytes(bed: &dyn Bed) {
    let archive = open(bed).await;
    let mut keys = [
        "a",
        "B",
        "a-",
        "a.",
        "a/",
        "a0",
        "a b",
        "aB",
        "ab",
        "ä",
        "z",
        "é",
        "\u{ffff}",
        "\u{10000}",
        "~",
        "_",
        "%",
    ];
    let records = keys.map(|key| dead(key, stamp(1, 0)));
    put(&*archive, &records).await;
    keys.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(keys_in(&*archive, &KeyRange::all()).await, keys);
}

pub async fn ranges_hold_what_they_say(bed: &dyn Bed) {
    let archive = open(bed).await;
    let keys = [
        "a", "a.", "a.%", "a.%x", "a.b", "a.b.c", "a._", "a.xx", "a0", "b", "ü", "üb",
    ];
    let records = keys.map(|key| dead(key, stamp(1, 0)));
    put(&*archive, &records).await;
    let expected = |range: &KeyRange| {
        let mut inside: Vec<&str> = keys
            .into_iter()
            .filter(|key| range.contains(key.as_bytes()))
            .collect();
        inside.sort_unstable();
        inside
    };
    let bounds = ["", "a", "a.", "a.%", "a.b", "a.b.c", "b", "ü", "ü\0", "zz"];
    for start in bounds {
        let prefix = KeyRange::prefix(start.as_bytes());
        assert_eq!(keys_in(&*archive, &prefix).await, expected(&prefix));
        let after = prefix.after(start.as_bytes());
        assert_eq!(keys_in(&*archive, &after).await, expected(&after));
        let rest = KeyRange::all().after(start.as_bytes());
        assert_eq!(keys_in(&*archive, &rest).await, expected(&rest));
        for end in bounds {
            let range = KeyRange {
                start: start.into(),
                end: Some(end.into()),
            };
            assert_eq!(keys_in(&*archive, &range).await, expected(&range));
            let count = expected(&range).len();
            assert_eq!(
                archive.count_live(&range, 0).await.unwrap(),
                0,
                "{count} tombstones"
            );
        }
    }
}

pub async fn bounds_need_not_be_text(bed: &dyn Bed) {
    let archive = open(bed).await;
    let keys = ["a", "z", "é", "ü", "東京", "🦀", "\u{10ffff}"];
    put(
        &*archive,
        &keys.map(|key| live(key, b"1".to_vec(), stamp(1, 0))),
    )
    .await;
    let bounds: [&[u8]; 12] = [
        b"",
        b"a",
        b"a\0",
        b"\0",
        b"\x80",
        b"\xc3",
        b"\xc3\xbc",
        b"\xc3\xbc\0",
        b"\xe6\x9d",
        b"\xf0\x9f\xa6\xff",
        b"\xf4\x8f\xbf\xbf",
        b"\xff\xff",
    ];
    for start in bounds {
        for end in bounds.iter().map(|end| Some(end.to_vec())).chain([None]) {
            let range = KeyRange {
                start: start.to_vec(),
                end,
            };
            let expected: Vec<&str> = keys
                .into_iter()
                .filter(|key| range.contains(key.as_bytes()))
                .collect();
            assert_eq!(keys_in(&*archive, &range).await, expected, "{range:?}");
            let count = archive.count_live(&range, 0).await.unwrap();
            assert_eq!(count, expected.len() as u64, "{range:?}");
        }
    }
}

async fn hundred(archive: &dyn ArchiveStore) -> Vec<Stored> {
    let record = |n| live(&format!("k{n:02}"), vec![n; 97], stamp(1, 0));
    let records: Vec<Stored> = (0..100).map(record).collect();
    put(archive, &records).await;
    records
}

pub async fn a_scan_stops_at_its_limit(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = hundred(&*archive).await;
    for limit in [0, 1, 99, 100, 101, usize::MAX] {
        let rows = archive
            .scan(&KeyRange::all(), limit, usize::MAX)
            .await
            .unwrap();
        assert_eq!(rows, records[..limit.min(100)]);
        let leaves = archive.scan_leaves(&KeyRange::all(), limit).await.unwrap();
        assert_eq!(leaves.len(), limit.min(100));
    }
    // Page by page, all of it.
    let mut range = KeyRange::all();
    let mut pages = Vec::new();
    loop {
        let page = archive.scan(&range, 7, usize::MAX).await.unwrap();
        let Some(last) = page.last() else { break };
        range = range.after(last.key().as_bytes());
        pages.extend(page);
    }
    assert_eq!(pages, records);
}

pub async fn a_scan_stops_past_its_bytes_but_never_empty_handed(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = hundred(&*archive).await;
    // Each record is 100 bytes: the one that crosses the bound is still given.
    for (bytes_max, rows) in [
        (0, 1),
        (1, 1),
        (99, 1),
        (100, 2),
        (199, 2),
        (250, 3),
        (9_999, 100),
    ] {
        let found = archive
            .scan(&KeyRange::all(), 1_000, bytes_max)
            .await
            .unwrap();
        assert_eq!(found, records[..rows], "{bytes_max}");
    }
}

pub async fn tombstones_are_scanned_and_not_counted(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = [
        live("a", b"1".to_vec(), stamp(1, 0)),
        dead("b", stamp(1, 0)),
        live("c", b"3".to_vec(), stamp(1, 0)),
    ];
    put(&*archive, &records).await;
    put(&*archive, &[dead("c", stamp(2, 0))]).await;
    assert_eq!(keys_in(&*archive, &KeyRange::all()).await, ["a", "b", "c"]);
    let leaves = archive.leaves_of(&["b".into(), "c".into()]).await.unwrap();
    assert_eq!(
        leaves
            .iter()
            .flatten()
            .filter(|leaf| leaf.hash.is_none())
            .count(),
        2
    );
    assert_eq!(archive.count_live(&KeyRange::all(), 0).await.unwrap(), 1);
    put(&*archive, &[live("c", b"4".to_vec(), stamp(3, 0))]).await;
    assert_eq!(archive.count_live(&KeyRange::all(), 0).await.unwrap(), 2);
    let few = KeyRange::prefix(b"b");
    assert_eq!(archive.count_live(&few, 0).await.unwrap(), 0);
}

pub async fn the_expired_are_listed_and_not_counted(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = [
        live("never", b"1".to_vec(), stamp(1, 2)),
        expiring("at10", 10),
        expiring("at20", 20),
        expiring("at30", 30),
        expiring("killed", 5),
        expiring("always", i64::MIN),
    ];
    put(&*archive, &records).await;
    put(&*archive, &[dead("killed", stamp(2, 2))]).await;
    let range = KeyRange::all();
    for (now, live, gone) in [(9, 4, 1), (10, 3, 2), (20, 2, 3), (i64::MAX, 1, 4)] {
        assert_eq!(
            archive.count_live(&range, now).await.unwrap(),
            live,
            "{now}"
        );
        let expired = archive.expired(now, 100).await.unwrap();
        assert_eq!(expired.len(), gone, "{now}");
        assert!(
            expired
                .iter()
                .all(|row| row.item().is_some_and(|item| item.is_expired(now)))
        );
        assert!(expired.iter().all(|row| records.contains(row)));
        assert_eq!(archive.expired(now, 1).await.unwrap().len(), 1);
    }
    assert_eq!(archive.expired(0, 0).await.unwrap(), []);
    // A row that is past its end is still there: its tombstone is made by whoever asked.
    assert_eq!(get(&*archive, "at10").await, Some(records[1].clone()));
}

pub async fn answers_stand_in_the_order_asked(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = ["a", "b", "c"].map(|key| live(key, key.as_bytes().to_vec(), stamp(1, 0)));
    put(&*archive, &records).await;
    let asked = ["c", "x", "a", "c", "x", "b", "a"];
    let keys = asked.map(Key::from);
    let expected: Vec<Option<Stored>> = asked
        .iter()
        .map(|key| records.iter().find(|record| *record.key() == *key).cloned())
        .collect();
    assert_eq!(archive.get_many(&keys).await.unwrap(), expected);
    let leaves: Vec<Option<Leaf>> = expected
        .iter()
        .map(|row| row.as_ref().map(Stored::leaf))
        .collect();
    assert_eq!(archive.leaves_of(&keys).await.unwrap(), leaves);
}

pub async fn small_values_are_kept(bed: &dyn Bed) {
    let archive = open(bed).await;
    let filter: Vec<u8> = (0..1u32 << 20).map(|n| (n >> 5) as u8).collect();
    assert_eq!(archive.meta(MetaKey::Filter).await.unwrap(), None);
    archive
        .set_meta(MetaKey::Filter, filter.clone())
        .await
        .unwrap();
    archive
        .set_meta(MetaKey::Generation, b"1".to_vec())
        .await
        .unwrap();
    archive
        .set_meta(MetaKey::Generation, Vec::new())
        .await
        .unwrap();
    assert_eq!(archive.meta(MetaKey::Filter).await.unwrap(), Some(filter));
    assert_eq!(
        archive.meta(MetaKey::Generation).await.unwrap(),
        Some(vec![])
    );
    assert_eq!(archive.meta(MetaKey::Identity).await.unwrap(), None);
}

pub async fn nothing_asked_is_nothing_answered(bed: &dyn Bed) {
    let archive = open(bed).await;
    assert!(archive.is_configured());
    archive.ping().await.unwrap();
    assert!(put(&*archive, &[]).await.is_empty());
    assert_eq!(archive.get_many(&[]).await.unwrap(), []);
    assert_eq!(archive.leaves_of(&[]).await.unwrap(), []);
    assert_eq!(all(&*archive).await, []);
    assert_eq!(archive.count_live(&KeyRange::all(), 0).await.unwrap(), 0);
    assert_eq!(archive.expired(i64::MAX, 9).await.unwrap(), []);
    assert_eq!(archive.load_tree().await.unwrap(), (vec![], 0));
}

pub async fn concurrent_commits_leave_the_newest(bed: &dyn Bed) {
    let archive = open(bed).await;
    let commits = (0..20u64).map(|n| {
        let archive = archive.clone();
        async move {
            // Every commit has all keys, in another order, so that rows locked one by one would deadlock.
            let mut records: Vec<Stored> = (0..10)
                .map(|k| live(&format!("k{k}"), n.to_string(), stamp(n, 0)))
                .collect();
            records.rotate_left(n as usize % 10);
            let count = |view: super::CommitView, leaves: &[Leaf]| CommitPlan {
                write: view
                    .olds
                    .iter()
                    .zip(leaves)
                    .map(|(old, new)| decide(old.as_ref(), new) == Decision::Take)
                    .collect(),
                tree_seq: view.tree_seq + 1,
                ..CommitPlan::default()
            };
            let leaves: Vec<Leaf> = records.iter().map(Stored::leaf).collect();
            archive
                .commit(records, Box::new(move |view| Ok(count(view, &leaves))))
                .await
                .unwrap();
            assert_eq!(all(&*archive).await.len(), 10);
        }
    });
    futures_util::future::join_all(commits).await;
    assert_eq!(
        archive.load_tree().await.unwrap().1,
        20,
        "no commit saw an old number"
    );
    for row in all(&*archive).await {
        assert_eq!(row.stamp(), stamp(19, 0));
    }
}

pub async fn after_close_every_call_is_closed(bed: &dyn Bed) {
    let archive = open(bed).await;
    put(&*archive, &[dead("a", stamp(1, 0))]).await;
    archive.close().await.unwrap();
    macro_rules! is_closed {
        ($($call:expr),* $(,)?) => {
            $(
                let answer = $call.await;
                assert!(matches!(answer, Err(ArchiveError::Closed)), "{}: {answer:?}", stringify!($call));
            )*
        };
    }
    let (range, keys) = (KeyRange::all(), [Key::from("a")]);
    is_closed!(
        archive.open(),
        archive.commit(vec![], honest(&[])),
        archive.get_many(&keys),
        archive.leaves_of(&keys),
        archive.scan(&range, 1, 1),
        archive.scan_leaves(&range, 1),
        archive.count_live(&range, 0),
        archive.expired(0, 1),
        archive.load_tree(),
        archive.meta(MetaKey::Identity),
        archive.set_meta(MetaKey::Identity, vec![]),
        archive.raise_clock_bound(HlcTime(1)),
        archive.ping(),
        archive.close(),
    );
}

pub async fn reopened_it_has_everything(bed: &dyn Bed) {
    let archive = open(bed).await;
    let records = hundred(&*archive).await;
    let plan = CommitPlan {
        nodes: vec![NodeWrite::Put(node(b"k", 100, false))],
        tree_seq: 3,
        ..CommitPlan::default()
    };
    archive.commit(vec![], fixed(plan)).await.unwrap();
    archive
        .set_meta(MetaKey::Identity, b"me".to_vec())
        .await
        .unwrap();
    archive.close().await.unwrap();
    let again = open(bed).await;
    assert_eq!(all(&*again).await, records);
    let tree = again.load_tree().await.unwrap();
    assert_eq!(tree, (vec![node(b"k", 100, false)], 3));
    assert_eq!(
        again.meta(MetaKey::Identity).await.unwrap(),
        Some(b"me".to_vec())
    );
}
