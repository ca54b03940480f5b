//! I6: a deleted key stays deleted.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use sync_engine::{ItemStatus, Relay, SyncEngine, SyncEngineConfig};
use testbed::{Fault, FaultyProxy, RedisServer};

const KEYS: usize = 10_000;

async fn assert_all_gone(engine: &SyncEngine, when: &str) {
    let ids: Vec<String> = (0..KEYS).map(|n| format!("z.{n}")).collect();
    for part in ids.chunks(1_000) {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        let found = engine.get_many(&part).await.unwrap();
        let back: Vec<_> = part
            .iter()
            .zip(found)
            .filter(|(_, item)| item.is_some())
            .collect();
        assert!(
            back.is_empty(),
            "{when}: {} came back, {:?} first",
            back.len(),
            back.first()
        );
    }
    assert_eq!(engine.count_prefix("z.").await.unwrap(), 0, "{when}");
    assert!(
        engine.scan_prefix("z.", 5).await.unwrap().is_empty(),
        "{when}"
    );
}

async fn race(config: SyncEngineConfig) {
    let engine = started(config.clone()).await;
    let done = Arc::new(AtomicBool::new(false));
    // Readers whose misses fill L1 while keys come and go.
    let readers = (0..2u64).map(|seed| {
        let (engine, done, mut chance) = (engine.clone(), done.clone(), chance(seed));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                engine
                    .get(&format!("z.{}", chance.usize(0..KEYS)))
                    .await
                    .unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let writers = (0..16usize).map(|w| {
        let engine = engine.clone();
        tokio::spawn(async move {
            for n in (w..KEYS).step_by(16) {
                let id = format!("z.{n}");
                engine.submit(item(&id, "alive")).await.unwrap();
                // The last word on each key is a delete; for some keys others compete with a put before it.
                let put = async {
                    if n % 3 == 0 {
                        engine.submit(item(&id, "again")).await.unwrap();
                    }
                };
                let (_, deleted) = tokio::join!(put, engine.delete(&id));
                deleted.unwrap();
                if n % 3 == 0 {
                    engine.delete(&id).await.unwrap();
                }
                assert!(engine.get(&id).await.unwrap().is_none(), "{id}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_all_gone(&engine, "at once").await;
    flushed(&engine).await;
    assert_all_gone(&engine, "flushed").await;
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_honest(&engine).await;
    engine.shutdown().await;
    let engine = started(config).await;
    assert_all_gone(&engine, "after a restart").await;
    engine.shutdown().await;
}

fn small(config: SyncEngineConfig) -> SyncEngineConfig {
    SyncEngineConfig {
        l1_max_bytes: 1 << 20,
        max_payload_bytes: 64 << 10,
        batch_flush_ms: 3,
        ..config
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_submit_delete_races_of_10_000_keys_never_resurrect() {
    let dir = tempfile::tempdir().unwrap();
    race(small(config_without_wal(dir.path()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_submit_delete_races_of_10_000_keys_never_resurrect_with_redis() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    race(small(with_redis(config_without_wal(dir.path()), &redis))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_delete_right_after_its_write_wins_each_of_500_times() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = SyncEngineConfig {
        batch_flush_ms: 1,
        ..with_redis(config(dir.path()), &redis)
    };
    let engine = started(config).await;
    for n in 0..500 {
        engine.submit(item("one", &format!("{n}"))).await.unwrap();
        assert!(engine.delete("one").await.unwrap());
        assert_eq!(text(&engine, "one").await, None, "time {n}");
    }
    flushed(&engine).await;
    assert_eq!(text(&engine, "one").await, None);
    assert_eq!(engine.status("one").await.unwrap(), ItemStatus::Missing);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_an_older_write_that_arrives_late_does_not_undo_a_delete() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    let first = engine.submit(item("late", "1")).await.unwrap();
    engine.delete("late").await.unwrap();
    let late = stamped(item("late", "0"), stamp(first.time.ms() - 5, 0, "peer"));
    for flush in [false, true] {
        if flush {
            flushed(&engine).await;
        }
        engine.apply(vec![late.clone()], Relay::No).await.unwrap();
        assert_eq!(text(&engine, "late").await, None);
    }
    engine.shutdown().await;
}

/// After a crash Redis still held items that had been deleted: `status` took them for living.
#[tokio::test(flavor = "multi_thread")]
async fn i6_what_redis_still_holds_after_a_crash_is_not_alive() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let proxy = FaultyProxy::start(redis.addr()).unwrap();
    let config = SyncEngineConfig {
        redis_url: Some(proxy.url(&redis.url()).into()),
        ..config(dir.path())
    };
    let engine = started(config.clone()).await;
    for n in 0..20 {
        engine.submit(item(&format!("c.{n}"), "x")).await.unwrap();
    }
    flushed(&engine).await;
    proxy.set(Fault::Cut).unwrap();
    for n in 0..20 {
        assert!(engine.delete(&format!("c.{n}")).await.unwrap());
    }
    engine.force_flush().await.ok();
    drop(engine);
    proxy.set(Fault::Pass).unwrap();
    let engine = started(config).await;
    flush_the_archive(&engine).await;
    for n in 0..20 {
        let id = format!("c.{n}");
        assert_eq!(
            engine.status(&id).await.unwrap(),
            ItemStatus::Missing,
            "{id}"
        );
        assert_eq!(text(&engine, &id).await, None, "{id}");
        assert!(!engine.contains(&id).await.unwrap());
        assert!(!engine.delete(&id).await.unwrap());
    }
    engine.shutdown().await;
}
