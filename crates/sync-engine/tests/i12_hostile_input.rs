//! I12: hostile input is refused and counted; it never panics, stalls, or gets in.
#![allow(clippy::disallowed_methods)]

mod common;

use std::io::Write;
use std::net::TcpStream;

use common::*;
use sync_engine::{
    CacheTtl, ErrorKind, InvalidItem, InvalidKey, Relay, StorageError, Stored, SubmitOptions,
    SyncEngineConfig, SyncItem,
};
use testbed::RedisServer;

fn bad_ids() -> Vec<(String, InvalidKey)> {
    vec![
        (String::new(), InvalidKey::Empty),
        ("x".repeat(1_025), InvalidKey::TooLong { bytes: 1_025 }),
        (
            "a\nb".into(),
            InvalidKey::ControlCharacter { code: 10, at: 1 },
        ),
        (
            "a\0".into(),
            InvalidKey::ControlCharacter { code: 0, at: 1 },
        ),
        (
            "\u{85}".into(),
            InvalidKey::ControlCharacter { code: 0x85, at: 0 },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_ids_that_cannot_be_stored_are_refused_in_a_clear_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    for (id, why) in bad_ids() {
        for error in [
            engine.submit(item(&id, "x")).await.unwrap_err(),
            engine.delete(&id).await.unwrap_err(),
        ] {
            assert!(
                matches!(&error, StorageError::InvalidKey(found) if *found == why),
                "{error}"
            );
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(
                error.to_string().starts_with("invalid key: the key "),
                "{error}"
            );
        }
        assert!(engine.get(&id).await.unwrap().is_none());
        let foreign = stamped(item("ok", "x"), stamp(1_700_000_000_000, 0, "peer"));
        let applied = engine
            .apply(vec![tombstone(&id, foreign.stamp()), foreign], Relay::No)
            .await
            .unwrap();
        assert_eq!(applied.refused.len(), 1);
    }
    let longest = "x".repeat(1_024);
    engine.submit(item(&longest, "fits")).await.unwrap();
    flushed(&engine).await;
    assert_eq!(text(&engine, &longest).await.as_deref(), Some("fits"));
    // Good ones beside bad ones get in.
    let mixed = vec![item("good", "1"), item("", "2"), item("fine", "3")];
    let result = engine.submit_many(mixed).await.unwrap();
    assert_eq!((result.succeeded, result.failed), (2, 1));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_what_a_peer_may_not_send_is_refused_or_kept_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = SyncEngineConfig {
        max_payload_bytes: 1_000,
        max_clock_drift_ms: 5_000,
        ..config(dir.path())
    };
    let engine = started(config).await;
    let now = engine.env().now_ms();
    let at = stamp(now, 0, "peer");
    let fields = [
        item("h.state", "x").with_state("s".repeat(257)),
        item("h.batch", "x").with_batch_id("b".repeat(1_025)),
        SyncItem::new("h.large", vec![0; 1_001]),
    ];
    let mut writes: Vec<Stored> = fields.into_iter().map(|i| stamped(i, at)).collect();
    writes.push(stamped(
        item("h.early", "x"),
        stamp(now + 60_000, 0, "peer"),
    ));
    writes.push(tombstone("h.early2", stamp(now + 60_000, 0, "peer")));
    writes.push(stamped(
        item("h.last-day", "x"),
        sync_engine::Stamp {
            time: sync_engine::HlcTime(u64::MAX),
            origin: at.origin,
        },
    ));
    writes.push(stamped(item("h.good", "x"), at));
    let applied = engine.apply(writes, Relay::No).await.unwrap();
    assert_eq!(
        (applied.taken, applied.refused.len(), applied.early.len()),
        (1, 3, 3)
    );
    assert!(
        applied
            .refused
            .iter()
            .all(|(_, error)| error.kind() == ErrorKind::Invalid)
    );
    let ours = engine.submit(item("h.early", "ours")).await.unwrap();
    assert!(
        ours.time.ms() <= engine.env().now_ms() + 5_000,
        "the clock followed a lie"
    );
    assert_eq!(engine.count_prefix("h.").await.unwrap(), 2);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_an_item_that_is_not_for_sql_comes_from_no_peer() {
    let dir = tempfile::tempdir().unwrap();
    let engine = started(config(dir.path())).await;
    let at = stamp(1_700_000_000_000, 0, "peer");
    let options = SubmitOptions::cache(CacheTtl::Hour);
    let lie = stamped(item("s.lie", "x").with_options(options), at);
    let applied = engine
        .apply(vec![lie, stamped(item("s.good", "x"), at)], Relay::No)
        .await
        .unwrap();
    assert_eq!((applied.taken, applied.refused.len()), (1, 1));
    let (key, error) = &applied.refused[0];
    assert_eq!(*key, "s.lie");
    let reason = InvalidItem::NotReplicated;
    assert!(
        matches!(error, StorageError::InvalidItem { reason: found, .. } if *found == reason),
        "{error}"
    );
    assert!(error.to_string().contains("not replicated"), "{error}");
    assert!(!engine.contains("s.lie").await.unwrap());
    assert_eq!(engine.merkle_aggregate().unwrap().count, 1);
    assert_honest(&engine).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_one_stamp_with_two_contents_comes_out_the_same_in_either_order() {
    let at = stamp(1_700_000_000_000, 3, "broken");
    let twins = [
        stamped(item("t.a", "one"), at),
        stamped(item("t.a", "two"), at),
        tombstone("t.a", at),
        tombstone("t.b", at),
        stamped(item("t.b", "alive"), at),
    ];
    let mut seen = Vec::new();
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let engine = started(config(dir.path())).await;
        let mut order = twins.to_vec();
        chance(seed).shuffle(&mut order);
        for write in order {
            engine.apply(vec![write], Relay::No).await.unwrap();
        }
        assert_honest(&engine).await;
        seen.push((
            engine.merkle_root().unwrap(),
            text(&engine, "t.a").await,
            text(&engine, "t.b").await,
        ));
        engine.shutdown().await;
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].2.as_deref(), Some("alive"));
}

/// Speaks to Redis in its own words.
fn tell(redis: &RedisServer, words: &[&[u8]]) {
    let mut stream = TcpStream::connect(redis.addr()).unwrap();
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n", word.len()).into_bytes());
        request.extend(*word);
        request.extend(b"\r\n");
    }
    stream.write_all(&request).unwrap();
    let mut answer = [0u8; 64];
    std::io::Read::read(&mut stream, &mut answer).unwrap();
    assert_ne!(answer[0], b'-', "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_garbage_in_redis_is_as_good_as_nothing() {
    let (dir, redis) = (tempfile::tempdir().unwrap(), RedisServer::start().unwrap());
    let config = with_redis(config(dir.path()), &redis);
    let engine = started(config.clone()).await;
    for n in 0..8 {
        engine
            .submit(item(&format!("g.{n}"), "true"))
            .await
            .unwrap();
    }
    let ours = engine.submit(item("g.8", "true")).await.unwrap();
    flushed(&engine).await;
    engine.shutdown().await;
    // A record that is well made, of this generation, and from the end of time.
    let mut future = u32::MAX.to_be_bytes().to_vec();
    let lie = stamped(
        item("g.8", "a lie"),
        sync_engine::Stamp {
            time: sync_engine::HlcTime(u64::MAX - 1),
            origin: ours.origin,
        },
    );
    sync_engine::item::codec::encode(&lie, &mut future);
    let garbage: [(&str, &[u8]); 7] = [
        ("g.0", b""),
        ("g.1", b"x"),
        ("g.2", b"\x00\x00\x00\x01R\x01"),
        ("g.3", &[0xff; 300]),
        ("g.4", &future[..future.len() - 1]),
        ("g.5", b"{\"json\": true}"),
        ("g.8", &future),
    ];
    for (id, bytes) in garbage {
        tell(&redis, &[b"SET", id.as_bytes(), bytes]);
    }
    tell(&redis, &[b"DEL", b"g.6"]);
    tell(&redis, &[b"LPUSH", b"g.6", b"a list"]);
    let engine = started(config).await;
    let ids: Vec<String> = (0..9).map(|n| format!("g.{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (id, found) in ids.iter().zip(engine.get_many(&ids).await.unwrap()) {
        assert_eq!(found.expect(id).content, "true", "{id}");
        assert!(engine.contains(id).await.unwrap());
    }
    let later = engine.submit(item("g.8", "newer")).await.unwrap();
    assert!(
        later.time.ms() <= engine.env().now_ms() + 5_000,
        "the clock followed a lie"
    );
    for id in &ids {
        engine.submit(item(id, "again")).await.unwrap();
    }
    flushed(&engine).await;
    for id in &ids {
        assert_eq!(text(&engine, id).await.as_deref(), Some("again"));
    }
    engine.shutdown().await;
}
