//! I7: content in = content out, bit for bit, from every tier.
#![allow(clippy::disallowed_methods)]

mod common;

use std::sync::{Arc, LazyLock};

use common::*;
use sync_engine::{
    ItemStatus, Relay, Stored, SubmitOptions, SyncEngine, SyncEngineConfig, SyncItem,
};
use testbed::RedisServer;

/// Made once: to hash 16 MiB takes long where nothing is optimized.
static PAYLOADS: LazyLock<Vec<(&str, SyncItem)>> = LazyLock::new(|| {
    let made = |(id, payload)| {
        (
            id,
            SyncItem::new(id, payload)
                .with_version(7)
                .with_state("odd state"),
        )
    };
    payloads().into_iter().map(made).collect()
});

fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    let zstd = zstd::encode_all(&b"a frame that nobody asked to be opened"[..], 3).unwrap();
    let mut large = vec![0u8; 16 << 20];
    let mut chance = chance(1);
    large
        .iter_mut()
        .step_by(61)
        .for_each(|byte| *byte = chance.u8(..));
    vec![
        ("p.empty", Vec::new()),
        ("p.zstd", zstd.clone()),
        ("p.zstd-cut", zstd[..9].to_vec()),
        ("p.not-utf8", vec![0xff, 0xfe, 0x00, 0xc3, 0x28]),
        (
            "p.odd-json",
            b" { \"b\" :\t1,\r\n\"a\": 1.0e+2 , \"b\":2, \"\\u00e9\":\"\xc3\xa9\" }\n ".to_vec(),
        ),
        ("p.json-then-nul", b"{}\0".to_vec()),
        ("p.bom", b"\xef\xbb\xbf{}".to_vec()),
        ("p.zeros", vec![0; 100_000]),
        ("p.envelope", [b"R\x01", &[0u8; 40][..]].concat()),
        ("p.16MiB", large),
    ]
}

async fn assert_same(engine: &SyncEngine, place: &str) {
    for (id, made) in PAYLOADS.iter() {
        let item = match made.content.len() < 1 << 20 {
            true => engine.get_verified(id).await.unwrap(),
            false => engine.get(id).await.unwrap(),
        };
        let item = item.unwrap_or_else(|| panic!("{id} is not {place}"));
        let (was, is) = (made.content.len(), item.content.len());
        assert!(
            item.content == made.content,
            "{id} changed {place}: {was} bytes, then {is}"
        );
        assert_eq!(item.content_hash, made.content_hash, "{id} {place}");
        assert_eq!(item.content_type, made.content_type, "{id} {place}");
        assert_eq!(item.version, 7, "{id} {place}");
        assert_eq!(&*item.state, "odd state", "{id} {place}");
    }
}

async fn fill(engine: &SyncEngine, options: SubmitOptions) {
    for (_, made) in PAYLOADS.iter() {
        let item = made.clone();
        engine.submit_with(item, options.clone()).await.unwrap();
    }
    assert_same(engine, "unflushed in L1").await;
    flushed(engine).await;
    assert_same(engine, "in L1").await;
}

fn roomy(config: SyncEngineConfig) -> SyncEngineConfig {
    SyncEngineConfig {
        l1_max_bytes: 96 << 20,
        redis_response_timeout_ms: 10_000,
        ..config
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_bytes_come_back_from_l1_and_l3_and_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = roomy(config(dir.path()));
    let engine = started(config.clone()).await;
    fill(&engine, SubmitOptions::durable()).await;
    engine.shutdown().await;
    let engine = started(config.clone()).await;
    assert_same(&engine, "from L3 after a restart").await;
    engine.shutdown().await;
    // From the log: nothing was stored when the engine was dropped.
    let dir = tempfile::tempdir().unwrap();
    let config = roomy(unhurried(common::config(dir.path())));
    let engine = started(config.clone()).await;
    for (_, made) in PAYLOADS.iter() {
        engine.submit(made.clone()).await.unwrap();
    }
    drop(engine);
    let engine = started(config).await;
    assert_same(&engine, "from the log").await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_bytes_come_back_from_l2() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = roomy(with_redis(config(dir.path()), &redis));
    let engine = started(config.clone()).await;
    fill(&engine, SubmitOptions::default()).await;
    engine.shutdown().await;
    let engine = started(config).await;
    let status = engine.status("p.zstd").await.unwrap();
    assert_eq!(
        status,
        ItemStatus::Synced {
            in_l1: false,
            in_l2: true,
            in_l3: true
        }
    );
    assert_same(&engine, "from L2").await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_bytes_come_through_apply_and_its_records() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from = started(roomy(config(here.path()))).await;
    fill(&from, SubmitOptions::default()).await;
    let keys: Vec<sync_engine::Key> = PAYLOADS.iter().map(|(id, _)| (*id).into()).collect();
    let records = from.records_of(&keys).await.unwrap();
    let records: Vec<Stored> = records.into_iter().map(Option::unwrap).collect();
    let config = roomy(config(there.path()));
    let to: Arc<SyncEngine> = started(config.clone()).await;
    let applied = to.apply(records, Relay::No).await.unwrap();
    assert_eq!(applied.taken, PAYLOADS.len(), "{:?}", applied.refused);
    assert_same(&to, "after apply").await;
    assert_eq!(from.merkle_root().unwrap(), to.merkle_root().unwrap());
    to.shutdown().await;
    let to = started(config).await;
    assert_same(&to, "after apply and a restart").await;
    to.shutdown().await;
    from.shutdown().await;
}
