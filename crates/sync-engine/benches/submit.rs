//! From `submit` to L3, end to end, beside a hand-written loop that does only the raw work: pipelined `SET`s, and prepared
//! upserts in transactions of 1,000 with the same settings. Both sides run in turns in one process; ratios are what counts.
//!
//! `cargo bench -p sync-engine --bench submit -- [items] [cliff]` prints a table; engine / raw below 1 is slower than raw.
//! With `cliff`, only the part about many keys under one prefix.
#![allow(clippy::disallowed_methods)] // A bench reads the clock itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::Commands;
use rusqlite::{Connection, params};
use sync_engine::{Ack, SyncEngine, SyncEngineConfig, SyncItem};
use testbed::RedisServer;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy)]
enum Payload {
    Json256,
    Binary1k,
}

impl Payload {
    fn make(self, n: usize) -> Bytes {
        match self {
            Self::Json256 => {
                let text = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(256));
                Bytes::from(format!("{}\"}}", &text[..254]))
            }
            Self::Binary1k => {
                let mut state = n as u64 ^ 0x9e37_79b9_7f4a_7c15;
                let bytes = (0..1024).map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 56) as u8
                });
                bytes.collect()
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json256 => "256 B JSON",
            Self::Binary1k => "1 KiB binary",
        }
    }
}

fn main() -> Result<(), Failure> {
    let items = std::env::args()
        .filter_map(|a| a.parse().ok())
        .next()
        .unwrap_or(50_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if std::env::args().any(|a| a == "cliff") {
        return runtime.block_on(no_cliff(items));
    }
    println!("{items} items each; rates in thousands a second\n");
    println!(
        "{:<14} {:<14} {:<8} {:>7} {:>9} {:>9} {:>7}",
        "tiers", "payload", "ack", "writers", "raw", "engine", "ratio"
    );
    for redis in [false, true] {
        for payload in [Payload::Json256, Payload::Binary1k] {
            for ack in [Ack::Queued, Ack::Logged] {
                for writers in [1, 8, 64] {
                    // A single writer waits for the disk at each write: fewer items tell as much.
                    let count = if ack == Ack::Logged {
                        (items / 50 * writers).min(items)
                    } else {
                        items
                    };
                    let raw = raw(redis, payload, items)?;
                    let engine = runtime.block_on(engine(redis, payload, ack, writers, count))?;
                    let (raw, engine) = (rate(items, raw), rate(count, engine));
                    println!(
                        "{:<14} {:<14} {:<8} {writers:>7} {raw:>9.1} {engine:>9.1} {:>7.2}",
                        if redis { "Redis+SQLite" } else { "SQLite" },
                        payload.name(),
                        format!("{ack:?}"),
                        engine / raw,
                    );
                }
            }
        }
    }
    runtime.block_on(no_cliff(items))
}

fn rate(items: usize, took: Duration) -> f64 {
    items as f64 / took.as_secs_f64() / 1000.0
}

fn key(n: usize) -> String {
    format!("bench.item.{n:09}")
}

/// The raw work, and nothing else.
fn raw(with_redis: bool, payload: Payload, items: usize) -> Result<Duration, Failure> {
    let dir = tempfile::tempdir()?;
    let server = with_redis.then(RedisServer::start).transpose()?;
    let mut redis = match &server {
        Some(server) => Some(redis::Client::open(server.url())?.get_connection()?),
        None => None,
    };
    let mut db = raw_db(&dir.path().join("raw.db"))?;
    let values: Vec<Bytes> = (0..items).map(|n| payload.make(n)).collect();
    let began = Instant::now();
    for (batch, values) in values.chunks(1000).enumerate() {
        let first = batch * 1000;
        if let Some(redis) = &mut redis {
            let mut pipe = redis::Pipeline::with_capacity(values.len());
            for (n, value) in values.iter().enumerate() {
                pipe.set(key(first + n), &value[..]).ignore();
            }
            pipe.query::<()>(redis)?;
        }
        raw_batch(&mut db, first, values)?;
    }
    let took = began.elapsed();
    if let Some(redis) = &mut redis {
        let size: usize = redis::cmd("DBSIZE").query(redis)?;
        assert_eq!(size, items);
        redis.del::<_, ()>(key(0))?;
    }
    Ok(took)
}

fn raw_db(path: &std::path::Path) -> Result<Connection, Failure> {
    let db = Connection::open(path)?;
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;
         CREATE TABLE items (id TEXT PRIMARY KEY, stamp INTEGER, content BLOB, updated_at INTEGER) STRICT;",
    )?;
    Ok(db)
}

fn raw_batch(db: &mut Connection, first: usize, values: &[Bytes]) -> Result<(), Failure> {
    let tx = db.transaction()?;
    {
        let mut upsert = tx.prepare_cached(
            "INSERT INTO items VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET stamp = excluded.stamp,
             content = excluded.content, updated_at = excluded.updated_at WHERE excluded.stamp > stamp",
        )?;
        for (n, value) in values.iter().enumerate() {
            upsert.execute(params![key(first + n), n as i64, &value[..], 0i64])?;
        }
    }
    tx.commit()?;
    Ok(())
}

async fn start(config: SyncEngineConfig) -> Result<Arc<SyncEngine>, Failure> {
    let (_, settings) = tokio::sync::watch::channel(config.clone());
    let engine = SyncEngine::new(config, settings);
    engine.start().await?;
    Ok(Arc::new(engine))
}

async fn engine(
    with_redis: bool,
    payload: Payload,
    ack: Ack,
    writers: usize,
    items: usize,
) -> Result<Duration, Failure> {
    let dir = tempfile::tempdir()?;
    let server = with_redis.then(RedisServer::start).transpose()?;
    let config = SyncEngineConfig {
        redis_url: server.as_ref().map(|s| s.url().into()),
        sql_url: Some(format!("sqlite:{}", dir.path().join("l3.db").display()).into()),
        wal_path: (ack == Ack::Logged).then(|| dir.path().join("wal.db")),
        ..Default::default()
    };
    let engine = start(config).await?;
    let values: Arc<Vec<Bytes>> = Arc::new((0..items).map(|n| payload.make(n)).collect());
    let began = Instant::now();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (engine, values) = (engine.clone(), values.clone());
        tasks.push(tokio::spawn(async move {
            for n in (writer..values.len()).step_by(writers) {
                engine
                    .submit(SyncItem::new(key(n), values[n].clone()))
                    .await?;
            }
            Ok::<_, Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    engine.force_flush().await?;
    let took = began.elapsed();
    assert_eq!(engine.len().await?, items as u64);
    engine.shutdown().await;
    Ok(took)
}

/// Batches of new keys under one prefix, beside raw transactions of the same: how both grow with what is there.
async fn no_cliff(items: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let config = SyncEngineConfig {
        sql_url: Some(format!("sqlite:{}", dir.path().join("l3.db").display()).into()),
        ..Default::default()
    };
    let engine = start(config).await?;
    let mut raw = raw_db(&dir.path().join("raw.db"))?;
    println!(
        "\nA flush of 1,000 new keys under one prefix, in milliseconds (median of 60; in turns with the raw transaction)"
    );
    let mut next = 0;
    let mut first = None;
    for target in [items / 10, items, items * 3] {
        while next < target {
            both(&engine, &mut raw, next).await?;
            next += 1000;
        }
        // What the load has left to do in the background is not what is measured.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut times = Vec::new();
        for _ in 0..60 {
            times.push(both(&engine, &mut raw, next).await?);
            next += 1000;
        }
        let (ours, raws) = (
            median(times.iter().map(|t| t.0)),
            median(times.iter().map(|t| t.1)),
        );
        let (first_ours, first_raws) = *first.get_or_insert((ours, raws));
        println!(
            "  {next:>9} keys: engine {ours:>6.2} ×{:.2}   raw {raws:>6.2} ×{:.2}",
            ours / first_ours,
            raws / first_raws
        );
    }
    engine.shutdown().await;
    Ok(())
}

/// One batch through the engine, and one through the raw loop: how long each took.
async fn both(
    engine: &SyncEngine,
    raw: &mut Connection,
    first: usize,
) -> Result<(Duration, Duration), Failure> {
    let values: Vec<Bytes> = (first..first + 1000)
        .map(|n| Payload::Json256.make(n))
        .collect();
    let batch: Vec<SyncItem> = (first..)
        .zip(&values)
        .map(|(n, value)| SyncItem::new(key(n), value.clone()))
        .collect();
    let began = Instant::now();
    engine.submit_many(batch).await?;
    engine.force_flush().await?;
    let ours = began.elapsed();
    let began = Instant::now();
    raw_batch(raw, first, &values)?;
    Ok((ours, began.elapsed()))
}

fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<f64> = times.map(|t| t.as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
