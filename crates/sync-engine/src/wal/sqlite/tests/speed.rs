//! Many writers share each sync.

use std::time::{Duration, Instant};

use super::*;

/// Appends from this many tasks for this long; gives how many records there were.
async fn run(wal: &Arc<SqliteWal>, tasks: u64, bytes: usize, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..tasks)
        .map(|n| {
            let wal = wal.clone();
            tokio::spawn(async move {
                let mut appended = 0;
                while Instant::now() < end {
                    let pos = wal.append(Box::new(vec![record(n, bytes)])).await.unwrap();
                    appended += 1;
                    if pos % 256 == 0 {
                        wal.free_below(pos.saturating_sub(2000));
                    }
                }
                appended
            })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_share_a_sync() {
    let place = Place::new();
    let wal = Arc::new(place.open());
    let appended = run(&wal, 64, 256, Duration::from_millis(500)).await;
    let commits = wal.commits();
    assert!(
        commits * 4 < appended,
        "{appended} appends took {commits} syncs"
    );
    assert_eq!(wal.bounds().1, appended);
}

/// Prints a table: `cargo test --release -p sync-engine wal_throughput -- --nocapture` with `WAL_BENCH_SECS` set; short otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_throughput() {
    let time = std::env::var("WAL_BENCH_SECS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0.05);
    for bytes in [256, 1024] {
        for tasks in [1, 8, 64] {
            let place = Place::new();
            let wal = Arc::new(place.open());
            let appended = run(&wal, tasks, bytes, Duration::from_secs_f64(time)).await;
            let rate = appended as f64 / time;
            let group = appended as f64 / wal.commits() as f64;
            println!(
                "{tasks:>3} writers x {bytes:>4} B: {rate:>8.0} appends/s, {group:>5.1} a sync"
            );
            wal.close().await.unwrap();
        }
    }
}
