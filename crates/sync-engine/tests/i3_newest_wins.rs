//! I3: per key the write with the greatest stamp survives, whatever the order in which writes come, go and fail.
#![allow(clippy::disallowed_methods)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::flaky_cache::FlakyCache;
use common::slow_archive::SlowArchive;
use common::*;
use sync_engine::filter::FilterTrust;
use sync_engine::l3::ArchiveStore;
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{Relay, Stored, SubmitOptions, SyncEngineConfig};
use testbed::{Fault, FaultyProxy, RedisServer};

fn tiny(config: SyncEngineConfig) -> SyncEngineConfig {
    SyncEngineConfig {
        l1_max_bytes: 64 << 10,
        max_payload_bytes: 8 << 10,
        ..config
    }
}

/// Writes of three nodes to a few keys, all different.
fn foreign_writes(now: i64) -> Vec<Stored> {
    let mut writes = Vec::new();
    for n in 0..600i64 {
        let id = format!("n.{}", n % 25);
        let stamp = stamp(now - 10_000 + n / 3, 0, ["a", "b", "c"][n as usize % 3]);
        writes.push(match n % 7 {
            6 => tombstone(&id, stamp),
            _ => stamped(item(&id, &format!("{n}")), stamp),
        });
    }
    writes
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_newest_wins_in_whatever_order_writes_are_applied() {
    let redis = RedisServer::start().unwrap();
    let mut results = Vec::new();
    let writes = foreign_writes(1_700_000_000_000);
    let mut expected: BTreeMap<String, Stored> = BTreeMap::new();
    for write in &writes {
        let slot = expected
            .entry(write.key().to_string())
            .or_insert_with(|| write.clone());
        if slot.stamp() < write.stamp() {
            *slot = write.clone();
        }
    }
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut config = tiny(config(dir.path()));
        if seed % 2 == 0 {
            config = with_redis(config, &redis);
            config.redis_prefix = Some(format!("p{seed}:"));
        }
        let engine = started(config.clone()).await;
        let mut shuffled = writes.clone();
        chance(seed).shuffle(&mut shuffled);
        let parts = shuffled.chunks(40).map(|part| {
            let (engine, part) = (engine.clone(), part.to_vec());
            tokio::spawn(async move { engine.apply(part, Relay::No).await.unwrap() })
        });
        for part in parts.collect::<Vec<_>>() {
            let applied = part.await.unwrap();
            assert_eq!((applied.early.len(), applied.refused.len()), (0, 0));
        }
        for restarted in [false, true] {
            let engine = match restarted {
                false => engine.clone(),
                true => {
                    engine.shutdown().await;
                    started(config.clone()).await
                }
            };
            for (id, newest) in &expected {
                let wanted = newest.item().map(|item| item.content.clone());
                assert_eq!(
                    engine.get(id).await.unwrap().map(|i| i.content.clone()),
                    wanted,
                    "{id}"
                );
            }
            let root = engine.merkle_root().unwrap();
            assert_honest(&engine).await;
            results.push(root);
            if restarted {
                engine.shutdown().await;
            }
        }
    }
    results.dedup();
    assert_eq!(results.len(), 1, "equal sets have equal roots");
}

/// The log brought back a write that a peer's newer one had replaced: readers saw the old one until it was flushed, and,
/// since it lost there, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn i3_replaying_the_log_brings_no_older_write_back() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let config = unhurried(config(dir.path()));
    let engine = started_on(config.clone(), archive.clone()).await;
    archive.set_down(true);
    let old = engine.submit(item("k", "old")).await.unwrap();
    assert_eq!(engine.shutdown().await.logged, 1);
    archive.set_down(false);
    // Meanwhile the archive has got a newer one.
    let without_log = SyncEngineConfig {
        wal_path: None,
        ..config.clone()
    };
    let newer = stamped(item("k", "new"), stamp(old.time.ms() + 1, 0, "peer"));
    let other = started_on(without_log, Arc::new(archive.restarted())).await;
    assert_eq!(other.apply(vec![newer], Relay::No).await.unwrap().taken, 1);
    other.shutdown().await;

    let archive = Arc::new(archive.restarted());
    let engine = started_on(config, archive).await;
    assert_eq!(text(&engine, "k").await.as_deref(), Some("new"));
    flushed(&engine).await;
    assert_eq!(text(&engine, "k").await.as_deref(), Some("new"));
    assert_eq!(engine.health_check().await.wal_records, Some(0));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_started_engine_yields_to_what_the_archive_knows_better() {
    // As above, but the archive is down at the start, so that only the flush can find out.
    let dir = tempfile::tempdir().unwrap();
    let archive = Arc::new(MemoryArchive::new());
    let engine = started_on(config(dir.path()), archive.clone()).await;
    archive.set_down(true);
    let old = engine.submit(item("k", "old")).await.unwrap();
    engine.shutdown().await;
    archive.set_down(false);
    let newer = stamped(item("k", "new"), stamp(old.time.ms() + 1, 0, "peer"));
    let other = started_on(
        config_without_wal(dir.path()),
        Arc::new(archive.restarted()),
    )
    .await;
    other.apply(vec![newer], Relay::No).await.unwrap();
    other.shutdown().await;
    archive.set_down(true);
    let engine = started_on(config(dir.path()), Arc::new(archive.restarted())).await;
    assert_eq!(
        text(&engine, "k").await.as_deref(),
        Some("old"),
        "all that is known"
    );
    archive.set_down(false);
    eventually("the newer one is read", async || {
        engine
            .get("k")
            .await
            .is_ok_and(|k| k.is_some_and(|k| k.content == "new"))
    })
    .await;
    flush_the_archive(&engine).await;
    assert_eq!(text(&engine, "k").await.as_deref(), Some("new"));
    engine.shutdown().await;
}

/// A caller of `apply` that went away left L1 with the older write, and the archive with the newer one.
#[tokio::test(flavor = "multi_thread")]
async fn i3_an_apply_that_is_given_up_leaves_memory_and_archive_agreed() {
    let dir = tempfile::tempdir().unwrap();
    let archive = SlowArchive::new(0, 0);
    let engine = started_on(config_without_wal(dir.path()), archive.clone()).await;
    let ours = engine.submit(item("k", "ours")).await.unwrap();
    flushed(&engine).await;
    let theirs = stamped(item("k", "theirs"), stamp(ours.time.ms() + 1, 0, "peer"));
    archive.after_commit.set();
    let apply = tokio::spawn({
        let engine = engine.clone();
        async move { engine.apply(vec![theirs], Relay::No).await }
    });
    archive.after_commit.holds().await;
    apply.abort();
    assert!(apply.await.unwrap_err().is_cancelled());
    archive.after_commit.release();
    eventually("the newer one is read", async || {
        text(&engine, "k").await.as_deref() == Some("theirs")
    })
    .await;
    assert_honest(&engine).await;
    engine.shutdown().await;
}

/// A batch of which the archive refuses a part is stored in several commits, and others store newer writes in between: those
/// came into L1 first, and had left it when the older ones came, which went on to the cache.
#[tokio::test(flavor = "multi_thread")]
async fn i3_what_was_stored_first_comes_into_memory_first() {
    let (dir, archive) = (tempfile::tempdir().unwrap(), SlowArchive::new(0, 0));
    archive.inner.refuse(&"bad".into(), true);
    let cache = FlakyCache::new();
    let engine = started_with(unhurried(config(dir.path())), archive.clone(), cache).await;
    let at = |age_ms, counter| stamp(engine.env().now_ms() - age_ms, counter, "peer");
    let durable = item("k", "newer").with_options(SubmitOptions::durable());
    let newer = vec![stamped(durable, at(10, 0))];
    let older = vec![
        stamped(item("k", "older"), at(1_000, 0)),
        stamped(item("bad", "x"), at(1_000, 1)),
    ];
    let apply = |writes| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.apply(writes, Relay::No).await.unwrap() })
    };
    let commits = &archive.before_commit;
    commits.set();
    let first = apply(older);
    commits.holds().await;
    // Both were refused together; now the one that is fit.
    commits.set();
    commits.release();
    commits.holds().await;
    let second = apply(newer);
    // Until it waits for its turn.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _newer_and_then_bad in 0..2 {
        commits.set();
        commits.release();
        commits.holds().await;
    }
    assert_eq!(second.await.unwrap().taken, 1);
    flushed(&engine).await;
    commits.release();
    assert_eq!(first.await.unwrap().refused.len(), 1);
    flushed(&engine).await;
    assert_eq!(text(&engine, "k").await.as_deref(), Some("newer"));
    engine.shutdown().await;
}

/// The archive has stored it, its answer was lost, and whoever sent it finds that it is there and does not send it again.
#[tokio::test(flavor = "multi_thread")]
async fn i3_after_a_lost_answer_of_the_archive_nothing_older_is_read() {
    let (dir, archive) = (tempfile::tempdir().unwrap(), Arc::new(MemoryArchive::new()));
    let engine = started_with(config(dir.path()), archive.clone(), FlakyCache::new()).await;
    let ours = engine.submit(item("k", "ours")).await.unwrap();
    flushed(&engine).await;
    let theirs = stamped(item("k", "theirs"), stamp(ours.time.ms() + 1, 0, "peer"));
    archive.fail_after_next_commit();
    assert!(engine.apply(vec![theirs], Relay::No).await.is_err());
    assert_eq!(text(&engine, "k").await.as_deref(), Some("theirs"));
    engine.shutdown().await;
}

async fn lose_a_write_to_redis(fault: Fault, crash: Option<bool>) {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let proxy = FaultyProxy::start(redis.addr()).unwrap();
    let config = SyncEngineConfig {
        redis_url: Some(proxy.url(&redis.url()).into()),
        redis_timeout_ms: 80,
        redis_response_timeout_ms: 80,
        ..tiny(config(dir.path()))
    };
    let mut engine = started(config.clone()).await;
    for n in 0..10 {
        engine.submit(item(&format!("l.{n}"), "old")).await.unwrap();
    }
    flush_the_archive(&engine).await;
    proxy.set(fault).unwrap();
    for n in 0..10 {
        engine.submit(item(&format!("l.{n}"), "new")).await.unwrap();
    }
    eventually("the archive has them", async || {
        engine.force_flush().await.ok();
        engine.health_check().await.unflushed.0 == 0
    })
    .await;
    match crash {
        Some(true) => {
            drop(engine);
            proxy.set(Fault::Pass).unwrap();
            engine = started(config).await;
        }
        Some(false) => {
            engine.shutdown().await;
            proxy.set(Fault::Pass).unwrap();
            engine = started(config).await;
        }
        None => {
            // Redis is back, with the old values: while the cache is being repaired, and after.
            evict(&engine).await;
            proxy.set(Fault::Pass).unwrap();
        }
    }
    for round in 0..40 {
        for n in 0..10 {
            let id = format!("l.{n}");
            // An error is no lie.
            if let Ok(found) = engine.get(&id).await {
                let found = found.map(|item| item.content.clone());
                assert_eq!(
                    found.as_deref(),
                    Some(&b"new"[..]),
                    "{id} after {fault:?}, round {round}"
                );
            }
        }
        if round % 8 == 0 {
            evict(&engine).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_cache_that_missed_writes_never_gives_the_old_ones() {
    let cases =
        [Fault::Cut, Fault::DropToServer, Fault::Stall].map(|f| lose_a_write_to_redis(f, None));
    futures_util::future::join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_cache_that_missed_writes_is_not_believed_after_a_restart() {
    let cases = [
        (Fault::Cut, true),
        (Fault::Cut, false),
        (Fault::DropToServer, true),
        (Fault::DropToServer, false),
    ];
    futures_util::future::join_all(
        cases.map(|(fault, crash)| lose_a_write_to_redis(fault, Some(crash))),
    )
    .await;
}

/// A cache-only write came while an older write of its key was on its way to the archive, and took nothing away there.
#[tokio::test(flavor = "multi_thread")]
async fn i3_a_cache_only_write_beats_an_older_one_that_is_being_stored() {
    use sync_engine::CacheTtl;
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let slow = SlowArchive::new(0, 0);
    let config = with_redis(config_without_wal(dir.path()), &redis);
    let engine = started_on(config, slow.clone()).await;
    // It knows nothing of the key.
    eventually("the filter is proven", async || {
        engine.l3_filter_stats().unwrap().trust == FilterTrust::Proven
    })
    .await;
    // Holds the turn to commit while "k" waits for it.
    slow.before_commit.set();
    engine.submit(item("other", "x")).await.unwrap();
    slow.before_commit.holds().await;
    engine.submit(item("k", "stored")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let brief = SubmitOptions::cache(CacheTtl::custom_secs(3));
    engine.submit_with(item("k", "brief"), brief).await.unwrap();
    assert_eq!(text(&engine, "k").await.as_deref(), Some("brief"));
    slow.before_commit.release();
    flushed(&engine).await;
    // And what was before it is gone.
    eventually("its time is over", async || {
        text(&engine, "k").await.is_none()
    })
    .await;
    let row = slow.inner.get_many(&["k".into()]).await.unwrap();
    assert!(
        row[0].as_ref().is_none_or(|row| row.item().is_none()),
        "{row:?}"
    );
    engine.shutdown().await;
}
