//! An engine on private files, for the tests of promises.
#![allow(dead_code, clippy::disallowed_methods)]

pub mod flaky_cache;
pub mod fragile_log;
pub mod hammer;
pub mod hesitant_log;
pub mod hold;
pub mod metered_log;
pub mod moody_stream;
pub mod refusals;
pub mod slow_archive;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sync_engine::item::codec;
use sync_engine::l2::CacheStore;
use sync_engine::l3::ArchiveStore;
use sync_engine::{
    EngineBuilder, HlcTime, Key, Origin, Stamp, StorageError, Stored, SubmitOptions, SyncEngine,
    SyncEngineConfig, SyncItem,
};
use testbed::RedisServer;
use tokio::sync::watch;

/// How long anything may take that should take moments, on a machine that is slow and busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Settings on a directory: SQLite archive, and a write-ahead log.
pub fn config(dir: &Path) -> SyncEngineConfig {
    SyncEngineConfig {
        sql_url: Some(format!("sqlite:{}", dir.join("l3.db").display()).into()),
        wal_path: Some(dir.join("wal.db")),
        node_id: Some("test-node".into()),
        batch_flush_ms: 10,
        ..Default::default()
    }
}

/// The same without a log.
pub fn config_without_wal(dir: &Path) -> SyncEngineConfig {
    SyncEngineConfig {
        wal_path: None,
        ..config(dir)
    }
}

/// The same with a Redis.
pub fn with_redis(config: SyncEngineConfig, redis: &RedisServer) -> SyncEngineConfig {
    SyncEngineConfig {
        redis_url: Some(redis.url().into()),
        ..config
    }
}

/// Batches flush only when forced.
pub fn unhurried(config: SyncEngineConfig) -> SyncEngineConfig {
    SyncEngineConfig {
        batch_flush_ms: 3_600_000,
        batch_flush_count: 1_000_000,
        batch_flush_bytes: 1 << 30,
        ..config
    }
}

/// A running engine. Its files may still be locked for a moment: by an engine that was dropped without a shutdown, or by a
/// process that another test is just starting, which has every open file until it becomes another program.
pub async fn started(config: SyncEngineConfig) -> Arc<SyncEngine> {
    let until = Instant::now() + PATIENCE;
    loop {
        match try_start(config.clone()).await {
            Ok(engine) => return engine,
            Err(StorageError::InUse { .. }) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("the engine starts: {error}"),
        }
    }
}

/// A running engine, or why not.
pub async fn try_start(config: SyncEngineConfig) -> Result<Arc<SyncEngine>, StorageError> {
    let (_, settings) = watch::channel(config.clone());
    let engine = SyncEngine::new(config, settings);
    engine.start().await?;
    Ok(Arc::new(engine))
}

/// A running engine with these parts instead of those that its settings name.
pub async fn started_over(
    config: SyncEngineConfig,
    with_parts: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Arc<SyncEngine> {
    let (_, settings) = watch::channel(config.clone());
    let engine = with_parts(SyncEngine::builder(config, settings)).build();
    engine.start().await.expect("the engine starts");
    Arc::new(engine)
}

/// A running engine on this archive.
pub async fn started_on(
    config: SyncEngineConfig,
    archive: Arc<dyn ArchiveStore>,
) -> Arc<SyncEngine> {
    started_over(config, |engine| engine.with_archive(archive)).await
}

/// A running engine on this archive and this cache.
pub async fn started_with(
    config: SyncEngineConfig,
    archive: Arc<dyn ArchiveStore>,
    cache: Arc<dyn CacheStore>,
) -> Arc<SyncEngine> {
    let with_parts = |engine: EngineBuilder| engine.with_archive(archive).with_cache(cache);
    started_over(config, with_parts).await
}

/// An item with a text.
pub fn item(id: &str, text: &str) -> SyncItem {
    SyncItem::new(id, text.as_bytes().to_vec())
}

/// What a reader finds.
pub async fn text(engine: &SyncEngine, id: &str) -> Option<String> {
    let item = engine.get(id).await.expect("readable");
    item.map(|item| String::from_utf8(item.content.to_vec()).expect("text"))
}

/// Waits until nothing is unflushed.
pub async fn flushed(engine: &SyncEngine) {
    engine
        .force_flush()
        .await
        .expect("everything can be stored");
}

/// Waits for what must become true by itself.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Pushes everything clean out of an L1 of 64 KiB: many times what it holds comes in.
pub async fn evict(engine: &SyncEngine) {
    let durable = SubmitOptions::durable();
    let filler = |n| item(&format!("filler.{n}"), "x").with_options(durable.clone());
    // In parts that fit beside what nobody flushes but the test.
    for part in 0..40 {
        let fillers = (50 * part..50 * (part + 1)).map(filler).collect();
        let done = engine.submit_many(fillers).await;
        assert_eq!(done.expect("fillers are accepted").failed, 0);
        flush_the_archive(engine).await;
    }
}

/// As [`flushed`], where a cache may be down.
pub async fn flush_the_archive(engine: &SyncEngine) {
    eventually("everything is stored", async || {
        engine.force_flush().await.is_ok()
    })
    .await;
}

/// A stamp of another node.
pub fn stamp(ms: i64, counter: u64, node: &str) -> Stamp {
    Stamp {
        time: HlcTime(HlcTime::from_ms(ms).0 + counter),
        origin: Origin::of_node(node, 0),
    }
}

/// The item as another node has stamped it: read from that node's bytes.
pub fn stamped(item: SyncItem, stamp: Stamp) -> Stored {
    let mut bytes = Vec::new();
    codec::encode(&Stored::Live(item), &mut bytes);
    bytes[codec::STAMP_AT..codec::STAMP_AT + 16].copy_from_slice(&stamp.to_bytes());
    let flags = u32::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let sum = crc32c::crc32c(&bytes[8..]) ^ flags;
    bytes[4..8].copy_from_slice(&sum.to_be_bytes());
    codec::decode(bytes.into()).expect("an envelope")
}

/// A delete of another node.
pub fn tombstone(id: &str, stamp: Stamp) -> Stored {
    Stored::Tombstone {
        key: Key::from(id),
        stamp,
    }
}

/// Whether the tree, the filter and the rows agree.
pub async fn assert_honest(engine: &SyncEngine) {
    let found = engine.verify_filter().await.expect("verifiable");
    assert!(found.root_is_honest, "{found:?}");
    assert_eq!(found.denied, 0, "{found:?}");
}

/// Numbers by chance, the same in each run.
pub fn chance(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

/// The log in this directory as it is at this moment, in another one: as a crash leaves it.
pub fn crashed_log(dir: &Path) -> tempfile::TempDir {
    let crashed = tempfile::tempdir().expect("a directory");
    for suffix in ["", "-wal"] {
        let name = format!("wal.db{suffix}");
        std::fs::copy(dir.join(&name), crashed.path().join(&name)).expect("a copy");
    }
    crashed
}
