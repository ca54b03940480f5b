//! Commits to the SQLite archive, beside the plainest loop that SQLite allows: prepared upserts of the same columns into
//! the same table, with the same settings, in transactions of the same size. Both run in turns, because disks have moods.
//!
//! `cargo bench -p sync-engine --bench l3_sqlite [rows]`

#![allow(clippy::disallowed_methods)] // A bench reads the clock itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use sync_engine::env::RealEnv;
use sync_engine::item::decide::{Decision, decide};
use sync_engine::l3::sqlite::SqliteArchive;
use sync_engine::l3::{ArchiveStore, CommitPlan, Planner, RowAction};
use sync_engine::{Leaf, Stored, SyncItem};
use tempfile::TempDir;

const BATCH: usize = 1_000;
const ROUNDS: usize = 3;

fn main() {
    let rows = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    println!("rows/s, {rows} rows in transactions of {BATCH}, median of {ROUNDS} turns");
    for (shape, payload) in [("256 B JSON", json as Payload), ("1 KiB binary", binary)] {
        for (order, key) in [("sequential", sequential as KeyOf), ("random", random)] {
            let records: Vec<Stored> = (0..rows).map(|n| record(key(n), payload(n))).collect();
            let mut raw = Vec::new();
            let mut ours = Vec::new();
            for _ in 0..ROUNDS {
                raw.push(rate(rows, raw_loop(&runtime, &records)));
                ours.push(rate(rows, runtime.block_on(archive(&records))));
            }
            let (raw, ours) = (median(raw), median(ours));
            println!(
                "{shape:>12} {order:>10}: raw {raw:>8.0}  archive {ours:>8.0}  ratio {:.2}",
                ours / raw
            );
        }
    }
    growth(&runtime);
}

type Payload = fn(usize) -> Vec<u8>;
type KeyOf = fn(usize) -> String;

fn json(n: usize) -> Vec<u8> {
    let filler = "x".repeat(214);
    format!("{{\"number\":{n:>12},\"text\":\"{filler}\"}}").into_bytes()
}

fn binary(n: usize) -> Vec<u8> {
    (0..1024).map(|i| (i * 31 + n) as u8 | 0x80).collect()
}

fn sequential(n: usize) -> String {
    format!("uk.nhs.patient.record.{n:09}")
}

fn random(n: usize) -> String {
    let scattered = (n as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(17);
    format!("uk.nhs.patient.record.{scattered:016x}")
}

fn record(key: String, payload: Vec<u8>) -> Stored {
    Stored::Live(SyncItem::new(key, payload))
}

fn rate(rows: usize, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn open(folder: &Path) -> SqliteArchive {
    SqliteArchive::new(folder.join("archive.db"), Arc::new(RealEnv::default()))
}

fn planner(records: &[Stored]) -> Planner {
    let leaves: Vec<Leaf> = records.iter().map(Stored::leaf).collect();
    Box::new(move |view| {
        let action = |(old, new): (&Option<Leaf>, &Leaf)| match decide(old.as_ref(), new) {
            Decision::Take => RowAction::Put,
            Decision::Keep | Decision::Same => RowAction::Leave,
        };
        Ok(CommitPlan {
            rows: view.olds.iter().zip(&leaves).map(action).collect(),
            tree_seq: view.tree_seq + 1,
            ..CommitPlan::default()
        })
    })
}

async fn archive(records: &[Stored]) -> Duration {
    let folder = folder();
    let archive = open(folder.path());
    archive.open().await.unwrap();
    let started = Instant::now();
    for batch in records.chunks(BATCH) {
        archive
            .commit(batch.to_vec(), planner(batch))
            .await
            .unwrap();
    }
    let took = started.elapsed();
    archive.close().await.unwrap();
    took
}

fn raw_loop(runtime: &tokio::runtime::Runtime, records: &[Stored]) -> Duration {
    let folder = folder();
    let mut conn = raw_connection(runtime, folder.path());
    let started = Instant::now();
    records
        .chunks(BATCH)
        .for_each(|batch| raw_commit(&mut conn, batch));
    started.elapsed()
}

fn raw_connection(runtime: &tokio::runtime::Runtime, folder: &Path) -> Connection {
    let conn = Connection::open(empty_file(runtime, folder)).unwrap();
    for (pragma, value) in [
        ("synchronous", "FULL"),
        ("cache_size", "-65536"),
        ("wal_autocheckpoint", "8192"),
    ] {
        conn.pragma_update(None, pragma, value).unwrap();
    }
    conn
}

fn raw_commit(conn: &mut Connection, batch: &[Stored]) {
    let tx = conn.transaction().unwrap();
    let mut upsert = tx.prepare_cached(RAW).unwrap();
    for record in batch {
        let Stored::Live(item) = record else { continue };
        upsert
            .execute(params![
                &*item.object_id,
                1,
                1,
                1,
                item.content_hash.0,
                item.updated_at,
                1,
                1,
                3,
                &*item.state,
                &item.content[..]
            ])
            .unwrap();
    }
    drop(upsert);
    tx.commit().unwrap();
}

const RAW: &str = "INSERT INTO items (id, time, origin, live, hash, updated_at, version, content_type, route, state, content) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO UPDATE SET time = excluded.time, \
    origin = excluded.origin, live = excluded.live, hash = excluded.hash, updated_at = excluded.updated_at, \
    version = excluded.version, content_type = excluded.content_type, route = excluded.route, \
    state = excluded.state, content = excluded.content";

fn empty_file(runtime: &tokio::runtime::Runtime, folder: &Path) -> PathBuf {
    let archive = open(folder);
    runtime.block_on(async {
        archive.open().await.unwrap();
        archive.close().await.unwrap();
    });
    folder.join("archive.db")
}

/// In the folder of the build, which is on a disk; the system's temporary folder may be in memory.
fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Rows/s for the first 10,000 keys under one prefix, and for the last 50,000 of 300,000.
///
/// Random keys dirty a page of the index each, once it is larger than a batch; the plain loop shows how much of the
/// slowing is SQLite's own.
fn growth(runtime: &tokio::runtime::Runtime) {
    for (order, key) in [("sequential", sequential as KeyOf), ("random", random)] {
        let records: Vec<Stored> = (0..300_000).map(|n| record(key(n), json(n))).collect();
        let mut raw: [Vec<f64>; 2] = Default::default();
        let mut ours: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            note(&mut raw, raw_windows(runtime, &records));
            note(&mut ours, runtime.block_on(windows(&records)));
        }
        for (name, [first, last]) in [("raw", raw), ("archive", ours)] {
            let (first, last) = (median(first), median(last));
            println!(
                "{order:>10} keys under one prefix, {name:>7}: at 10 k {first:>8.0}  at 300 k {last:>8.0}  slower by {:.2}",
                first / last
            );
        }
    }
}

fn note(rates: &mut [Vec<f64>; 2], windows: Vec<f64>) {
    rates[0].push(windows[0]);
    rates[1].push(median(windows[windows.len() - 5..].to_vec()));
}

fn raw_windows(runtime: &tokio::runtime::Runtime, records: &[Stored]) -> Vec<f64> {
    let folder = folder();
    let mut conn = raw_connection(runtime, folder.path());
    let window = |window: &[Stored]| {
        let started = Instant::now();
        window
            .chunks(BATCH)
            .for_each(|batch| raw_commit(&mut conn, batch));
        rate(window.len(), started.elapsed())
    };
    records.chunks(10_000).map(window).collect()
}

async fn windows(records: &[Stored]) -> Vec<f64> {
    let folder = folder();
    let archive = open(folder.path());
    archive.open().await.unwrap();
    let mut rates = Vec::new();
    for window in records.chunks(10_000) {
        let started = Instant::now();
        for batch in window.chunks(BATCH) {
            archive
                .commit(batch.to_vec(), planner(batch))
                .await
                .unwrap();
        }
        rates.push(rate(window.len(), started.elapsed()));
    }
    archive.close().await.unwrap();
    rates
}
