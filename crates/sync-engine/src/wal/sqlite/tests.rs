//! The contract of the log, and the damage it must survive.

use std::path::PathBuf;
use std::sync::Arc;

use super::aside::beside;
use super::*;
use crate::env::RealEnv;
use crate::item::SyncItem;
use crate::item::stamp::HlcTime;

mod crash;
mod damage;
mod order;
mod speed;

/// A directory with a log in it.
struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal.db");
        Self { _dir: dir, path }
    }

    fn open(&self) -> SqliteWal {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<SqliteWal, WalError> {
        SqliteWal::open(&self.path, Arc::new(RealEnv::default()))
    }

    fn size(&self, suffix: &str) -> u64 {
        std::fs::metadata(beside(&self.path, suffix)).map_or(0, |m| m.len())
    }

    /// Opens it once a dropped log has let go of the file.
    async fn open_after_drop(&self) -> SqliteWal {
        loop {
            match self.try_open() {
                Err(WalError::InUse { .. }) => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                opened => return opened.unwrap(),
            }
        }
    }
}

fn record(n: u64, bytes: usize) -> Stored {
    Stored::Live(SyncItem::new(format!("key.{n}"), vec![n as u8; bytes]).with_version(n))
}

fn records(range: std::ops::Range<u64>, bytes: usize) -> Vec<Stored> {
    range.map(|n| record(n, bytes)).collect()
}

async fn all(wal: &SqliteWal) -> Vec<(WalPos, Stored)> {
    let mut found = Vec::new();
    loop {
        let next = found.last().map_or(0, |(pos, _)| pos + 1);
        let more = wal.read_from(next, 1000).await.unwrap();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

async fn fill_up(wal: &SqliteWal) {
    wal.ask(Job::FillUp).await.unwrap();
}

#[tokio::test]
async fn records_of_one_call_are_adjacent_and_in_order() {
    let place = Place::new();
    let wal = Arc::new(place.open());
    let tasks: Vec<_> = (0..40u64)
        .map(|n| {
            let wal = wal.clone();
            tokio::spawn(async move {
                (
                    n,
                    wal.append(Box::new(records(n * 100..n * 100 + 5, 50)))
                        .await
                        .unwrap(),
                )
            })
        })
        .collect();
    let mut firsts = Vec::new();
    for task in tasks {
        firsts.push(task.await.unwrap());
    }
    let found = all(&wal).await;
    assert_eq!(found.len(), 200);
    assert_eq!(wal.bounds(), (0, 200));
    for (n, first) in firsts {
        let ours: Vec<_> = found[first as usize..first as usize + 5].to_vec();
        let expected: Vec<_> = (first..).zip(records(n * 100..n * 100 + 5, 50)).collect();
        assert_eq!(ours, expected);
    }
}

#[tokio::test]
async fn what_was_appended_is_there_after_reopening_and_one_call_may_be_large() {
    let place = Place::new();
    let wal = place.open();
    assert_eq!(
        wal.append(Box::new(records(0..3000, 300))).await.unwrap(),
        0
    );
    assert_eq!(
        wal.append(Box::new(vec![record(3000, 5 << 20)]))
            .await
            .unwrap(),
        3000
    );
    assert_eq!(wal.append(Box::new(vec![])).await.unwrap(), 3001);
    wal.close().await.unwrap();
    let wal = place.open();
    assert_eq!(wal.damage(), None);
    assert_eq!(wal.bounds(), (0, 3001));
    let found = all(&wal).await;
    assert!(found.iter().map(|(pos, _)| *pos).eq(0..3001));
    assert_eq!(found[1234].1, record(1234, 300));
    assert_eq!(found[3000].1, record(3000, 5 << 20));
}

#[tokio::test]
async fn read_from_gives_the_records_in_order_of_position() {
    let place = Place::new();
    let wal = place.open();
    for n in 0..10 {
        wal.append(Box::new(records(n * 7..n * 7 + 7, 10)))
            .await
            .unwrap();
    }
    for (pos, limit) in [(0, 3), (5, 10), (6, 1), (7, 7), (69, 5), (0, 1000)] {
        let found = wal.read_from(pos, limit).await.unwrap();
        let expected: Vec<_> = (pos..70).take(limit).map(|n| (n, record(n, 10))).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(wal.read_from(70, 5).await.unwrap(), []);
    assert_eq!(wal.read_from(u64::MAX, 5).await.unwrap(), []);
    assert_eq!(wal.read_from(0, 0).await.unwrap(), []);
}

#[tokio::test]
async fn freed_records_never_come_back() {
    let place = Place::new();
    let wal = place.open();
    wal.append(Box::new(records(0..100, 10))).await.unwrap();
    wal.append(Box::new(records(100..200, 10))).await.unwrap();
    wal.free_below(150);
    wal.free_below(20);
    assert_eq!(wal.bounds(), (150, 200));
    assert_eq!(wal.read_from(0, 1).await.unwrap(), [(150, record(150, 10))]);
    wal.close().await.unwrap();
    let wal = place.open();
    assert_eq!(wal.damage(), None);
    assert_eq!(wal.bounds(), (150, 200));
    let found = all(&wal).await;
    assert_eq!((found.len(), &found[0]), (50, &(150, record(150, 10))));
    assert_eq!(found[49], (199, record(199, 10)));
}

#[tokio::test]
async fn the_greatest_stamp_outlives_the_records() {
    let place = Place::new();
    let wal = place.open();
    assert_eq!(wal.clock_bound(), HlcTime::default());
    wal.append(Box::new(records(0..100, 10))).await.unwrap();
    let newest = record(99, 10).stamp().time;
    assert_eq!(wal.clock_bound(), newest);
    wal.free_below(100);
    wal.close().await.unwrap();
    let wal = place.open();
    assert_eq!((wal.bounds(), wal.clock_bound()), ((100, 100), newest));
    // What is written anew is older than much that was freed.
    wal.append(Box::new(records(5..6, 10))).await.unwrap();
    drop(wal);
    let wal = place.open_after_drop().await;
    assert_eq!((wal.damage(), wal.clock_bound()), (None, newest));
}

#[tokio::test]
async fn positions_are_never_used_twice() {
    let place = Place::new();
    let mut next = 0;
    for round in 0..4u64 {
        let wal = place.open_after_drop().await;
        assert_eq!(wal.bounds(), (next, next));
        assert_eq!(
            wal.append(Box::new(records(0..50, 20))).await.unwrap(),
            next
        );
        next += 50;
        // More than there is counts as all there is.
        wal.free_below(if round % 2 == 0 { next } else { u64::MAX });
        assert_eq!(wal.bounds(), (next, next));
        match round {
            0 | 3 => wal.close().await.unwrap(),
            _ => drop(wal),
        }
    }
    assert_eq!(place.open().bounds(), (200, 200));
}

#[tokio::test]
async fn after_a_failed_write_every_append_fails_until_the_log_is_opened_anew() {
    let place = Place::new();
    let wal = place.open();
    wal.append(Box::new(records(0..10, 100))).await.unwrap();
    assert_eq!(wal.failure(), None);
    fill_up(&wal).await;
    for _ in 0..3 {
        let failed = wal.append(Box::new(records(10..20, 10_000))).await;
        assert!(matches!(failed, Err(WalError::Poisoned(_))), "{failed:?}");
    }
    assert!(matches!(
        wal.append(Box::new(records(0..1, 1))).await,
        Err(WalError::Poisoned(_))
    ));
    assert_eq!(
        all(&wal).await.len(),
        10,
        "what was logged can still be read"
    );
    assert!(wal.failure().is_some_and(|cause| cause.contains("full")));
    assert!(matches!(wal.close().await, Err(WalError::Poisoned(_))));
    let wal = place.open();
    assert_eq!(wal.failure(), None);
    assert_eq!(all(&wal).await.len(), 10);
    assert_eq!(
        wal.append(Box::new(records(10..20, 10_000))).await.unwrap(),
        10
    );
}

#[tokio::test]
async fn a_closed_log_says_so() {
    let place = Place::new();
    let wal = place.open();
    wal.append(Box::new(records(0..1, 1))).await.unwrap();
    wal.close().await.unwrap();
    assert!(matches!(
        wal.append(Box::new(records(0..1, 1))).await,
        Err(WalError::Closed)
    ));
    assert!(matches!(wal.read_from(0, 1).await, Err(WalError::Closed)));
    assert!(matches!(wal.close().await, Err(WalError::Closed)));
    wal.free_below(1);
}

#[tokio::test]
async fn closing_waits_for_what_is_queued() {
    let place = Place::new();
    let wal = Arc::new(place.open());
    let appends: Vec<_> = (0..100)
        .map(|n| {
            let wal = wal.clone();
            tokio::spawn(async move { wal.append(Box::new(vec![record(n, 100)])).await })
        })
        .collect();
    tokio::task::yield_now().await;
    wal.close().await.unwrap();
    let mut acknowledged = 0;
    for append in appends {
        match append.await.unwrap() {
            Ok(_) => acknowledged += 1,
            Err(WalError::Closed) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(all(&place.open()).await.len(), acknowledged);
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let place = Place::new();
    let wal = place.open();
    let second = place.try_open();
    assert!(
        matches!(&second, Err(WalError::InUse { path }) if path.ends_with("wal.db")),
        "{second:?}"
    );
    wal.close().await.unwrap();
    place.open().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaks_nothing() {
    let place = Place::new();
    let wal = Arc::new(place.open());
    for n in 0..200u64 {
        let mut append = Box::pin(wal.append(Box::new(vec![record(n, 4000)])));
        if n % 3 == 0 {
            // Polled once: queued, then dropped.
            let once = futures_util::poll!(&mut append);
            assert!(once.is_pending() || n > 0);
        }
        drop(append);
    }
    let next = wal.append(Box::new(vec![record(999, 10)])).await.unwrap();
    assert!(next <= 67);
    assert_eq!(all(&wal).await.len() as u64, next + 1);
    assert_eq!(wal.room.available_permits(), QUEUE_BYTES_MAX);
}

#[tokio::test]
async fn a_call_larger_than_the_queue_goes_alone() {
    let place = Place::new();
    let wal = place.open();
    let big = vec![
        record(1, QUEUE_BYTES_MAX / 2 + 100),
        record(2, QUEUE_BYTES_MAX / 2 + 100),
    ];
    assert_eq!(wal.append(Box::new(big)).await.unwrap(), 0);
    assert_eq!(
        wal.read_from(0, 9).await.unwrap().len(),
        1,
        "a large answer stops early"
    );
    assert_eq!(wal.read_from(1, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn freed_space_is_used_again() {
    let place = Place::new();
    let wal = place.open();
    let mut sizes = Vec::new();
    for round in 0..60u64 {
        for n in 0..20 {
            wal.append(Box::new(records(n * 10..n * 10 + 10, 5_000)))
                .await
                .unwrap();
        }
        // Two rounds (2 MB) stay needed.
        wal.free_below((round * 200).saturating_sub(200));
        sizes.push(place.size("") + place.size("-wal"));
    }
    let (early, late) = (sizes[30], sizes[59]);
    assert!(late <= early + (4 << 20), "60 MB were written: {sizes:?}");
    assert!(
        place.size("") < 16 << 20 && place.size("-wal") < 40 << 20,
        "{sizes:?}"
    );
    wal.close().await.unwrap();
    assert_eq!(place.size("-wal"), 0);
}

#[tokio::test]
async fn a_large_log_shrinks_once_it_is_empty() {
    let place = Place::new();
    let wal = place.open();
    for _ in 0..8 {
        wal.append(Box::new(records(0..1000, 5_000))).await.unwrap();
    }
    assert!(place.size("") + place.size("-wal") > 30 << 20);
    wal.free_below(8000);
    wal.close().await.unwrap();
    assert!(place.size("") < 1 << 20, "{}", place.size(""));
    let wal = place.open();
    assert_eq!((wal.bounds(), wal.damage()), ((8000, 8000), None));
}

#[test]
fn the_bundled_sqlite_has_the_fix_of_the_wal_reset_bug() {
    // Before 3.51.3 a checkpoint could corrupt the database.
    assert!(rusqlite::version_number() >= 3_051_003);
}
