//! An archive that is away at the start, and one that two engines share.
#![allow(clippy::disallowed_methods)]

mod common;
use common::*;
use std::sync::Arc;
use sync_engine::item::stamp::{HlcTime, Origin, Stamp};
use sync_engine::item::{Stored, codec};
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::{Relay, SyncEngine, SyncEngineConfig};
use testbed::MariaDb;
use tokio::sync::watch;

fn stamped(id: &str, text: &str, stamp: Stamp) -> Stored {
    let mut bytes = Vec::new();
    codec::encode(&Stored::Live(item(id, text)), &mut bytes);
    bytes[8..24].copy_from_slice(&stamp.to_bytes());
    let flags = u32::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let checksum = crc32c::crc32c(&bytes[8..]) ^ flags;
    bytes[4..8].copy_from_slice(&checksum.to_be_bytes());
    codec::decode(bytes.into()).expect("an envelope")
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_write_accepted_without_the_archive_beats_the_rows_that_it_did_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        sql_url: None,
        ..config(dir.path())
    };
    let archive = Arc::new(MemoryArchive::new());
    let build = |a: Arc<MemoryArchive>| {
        let (_, rx) = watch::channel(config.clone());
        SyncEngine::builder(config.clone(), rx)
            .with_archive(a)
            .build()
    };
    let engine = build(archive.clone());
    engine.start().await.unwrap();
    let now = engine.env().now_ms();
    let peer = Stamp {
        time: HlcTime::from_ms(now + 4_900),
        origin: Origin::of_node("peer", 0),
    };
    let a = engine
        .apply(vec![stamped("k", "peers", peer)], Relay::No)
        .await
        .unwrap();
    assert_eq!(a.taken, 1);
    engine.shutdown().await;
    archive.set_down(true);
    let archive = Arc::new(archive.restarted());
    let engine = build(archive.clone());
    engine.start().await.unwrap();
    engine.submit(item("k", "mine, later")).await.unwrap();
    archive.set_down(false);
    flush_the_archive(&engine).await;
    assert_eq!(text(&engine, "k").await.as_deref(), Some("mine, later"));
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_i9_two_engines_on_one_database_see_each_other_s_writes() {
    let db = MariaDb::start().unwrap();
    let sql = db.fresh_database().unwrap();
    let cfg = |n: &str| SyncEngineConfig {
        sql_url: Some(sql.clone().into()),
        node_id: Some(n.into()),
        batch_flush_ms: 10,
        ..Default::default()
    };
    let (a, b) = (started(cfg("a")).await, started(cfg("b")).await);
    a.submit(item("k", "old")).await.unwrap();
    flushed(&a).await;
    b.submit(item("k", "new")).await.unwrap();
    flushed(&b).await;
    eventually("the first sees what the second has written", async || {
        text(&a, "k").await.as_deref() == Some("new")
            && a.merkle_root().unwrap() == b.merkle_root().unwrap()
    })
    .await;
    assert!(a.verify_filter().await.unwrap().root_is_honest);
    a.shutdown().await;
    b.shutdown().await;
}
