//! Records go in and come out, expire, are damaged, and cannot be had.

use std::time::Instant;

use super::*;
use crate::item::codec::EnvelopeError;

#[tokio::test]
async fn i7_what_was_put_is_found_bit_for_bit() {
    let (_server, cache) = started();
    let large: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(16 << 20)
        .collect();
    let contents: [Vec<u8>; 4] = [
        vec![],
        vec![0xff, 0, b'\r', b'\n'],
        b"{ \"b\" :1}".into(),
        large,
    ];
    let mut writes: Vec<_> = contents
        .iter()
        .enumerate()
        .map(|(at, content)| item_at(&format!("größe.{at}"), stamp(1, 2), content.clone()))
        .collect();
    writes.push(tombstone("dead", 3, None));
    cache.put_many(1, &writes).await.unwrap();
    // In the order asked, with the missing one in its place.
    let mut keys: Vec<Key> = writes.iter().map(|w| w.stored.key().clone()).collect();
    keys.reverse();
    keys.insert(2, "none".into());
    let mut found = cache.get_many(&keys).await.unwrap();
    assert!(matches!(found.remove(2), Lookup::Absent));
    for (write, lookup) in writes.iter().rev().zip(found) {
        let Lookup::Hit(stored, 1) = lookup else {
            panic!("{lookup:?}");
        };
        assert_eq!(stored, write.stored);
    }
}

#[tokio::test]
async fn a_record_with_a_ttl_is_gone_after_it() {
    let (server, cache) = started();
    let ttl = Some(Duration::from_secs(2));
    let short = CacheWrite {
        ttl,
        ..item("short", 1)
    };
    let writes = [short, item("long", 1), tombstone("dead", 1, ttl)];
    cache.put_many(1, &writes).await.unwrap();
    let Value::Int(left) = raw(&server, &[b"PTTL", b"p:dead"]).await else {
        panic!("no TTL");
    };
    assert!((1..=2_000).contains(&left), "{left}");
    assert_eq!(raw(&server, &[b"PTTL", b"p:long"]).await, Value::Int(-1));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert!(matches!(get(&cache, "short").await, Lookup::Absent));
    assert!(matches!(get(&cache, "dead").await, Lookup::Absent));
    stamp_of(&cache, "long").await;
    // A write without a TTL lifts the one of the record it replaces.
    cache
        .put_many(
            1,
            &[CacheWrite {
                ttl,
                ..item("long", 2)
            }],
        )
        .await
        .unwrap();
    cache.put_many(1, &[item("long", 3)]).await.unwrap();
    assert_eq!(raw(&server, &[b"PTTL", b"p:long"]).await, Value::Int(-1));
}

#[tokio::test]
async fn i13_an_outage_is_an_error_never_absent() {
    let server = RedisServer::start().unwrap();
    let cache = cache_with(&server, Some("p:"), SHORT);
    cache.put_many(1, &[item("a", 1)]).await.unwrap();
    server.kill().unwrap();
    for _ in 0..2 {
        let begun = Instant::now();
        cache.get_many(&["a".into()]).await.unwrap_err();
        cache.put_many(1, &[item("a", 2)]).await.unwrap_err();
        cache
            .remove_many(1, &[("a".into(), stamp(9, 0))])
            .await
            .unwrap_err();
        cache.exist_many(&["a".into()]).await.unwrap_err();
        cache.ping().await.unwrap_err();
        assert!(begun.elapsed() < SHORT.response);
    }
    server.restart().unwrap();
    cache.ping().await.unwrap();
    // The new process knows neither the record nor the script.
    assert!(matches!(get(&cache, "a").await, Lookup::Absent));
    cache.put_many(1, &[item("a", 3)]).await.unwrap();
    assert_eq!(stamp_of(&cache, "a").await.0, stamp(3, 0));
    server.pause().unwrap();
    let begun = Instant::now();
    cache.get_many(&["a".into()]).await.unwrap_err();
    assert!(begun.elapsed() < 2 * SHORT.response);
    server.resume().unwrap();
    assert_eq!(stamp_of(&cache, "a").await.0, stamp(3, 0));
}

#[tokio::test]
async fn i8_i13_of_what_is_longer_than_any_record_only_the_beginning_is_read() {
    const BOUND: usize = 4 << 20;
    // The story: whatever stood under a key of ours was taken into memory whole, 512 MiB as Redis allows.
    let (server, cache) = started();
    let proxy = testbed::FaultyProxy::start(server.addr()).unwrap();
    let env = Arc::new(crate::env::RealEnv::default());
    let url = proxy.url(&server.url()).into();
    let bounded = RedisCache::new(&url, Some("p:"), BOUND, PATIENT, env).unwrap();
    raw(&server, &[b"SETRANGE", b"p:foreign", b"67108864", b"x"]).await;
    let largest = item_at("largest", stamp(1, 1), vec![7u8; BOUND]);
    let larger = item_at("larger", stamp(1, 1), vec![7u8; BOUND + (64 << 10)]);
    cache.put_many(1, &[largest, larger]).await.unwrap();
    let keys = ["foreign", "largest", "larger", "none"].map(Key::from);
    let found = bounded.get_many(&keys).await.unwrap();
    assert!(matches!(found[0], Lookup::Garbage(_)), "{:?}", found[0]);
    assert!(matches!(found[1], Lookup::Hit(..)));
    assert!(matches!(found[2], Lookup::Garbage(_)));
    assert!(matches!(found[3], Lookup::Absent));
    let read = proxy.bytes_to_client();
    assert!(read < 4 * BOUND as u64, "{read} bytes were read");
    // The settings allow more, and then less again: what was written meanwhile stays readable.
    for payload_bytes_max in [2 * BOUND, 1] {
        bounded.set_payload_bytes_max(payload_bytes_max);
        let found = bounded.get_many(&keys).await.unwrap();
        assert!(matches!(found[0], Lookup::Garbage(_)));
        assert!(matches!(found[2], Lookup::Hit(..)));
    }
}

#[tokio::test]
async fn i12_garbage_is_garbage_and_the_next_write_heals_it() {
    let (server, cache) = started();
    cache
        .put_many(1, &[item("cut", 1), item("flip", 1), item("good", 1)])
        .await
        .unwrap();
    raw(&server, &[b"SET", b"p:short", b"abc"]).await;
    raw(&server, &[b"SET", b"p:empty", b""]).await;
    raw(&server, &[b"SET", b"p:text", &[b'z'; 100]]).await;
    raw(&server, &[b"RPUSH", b"p:list", b"x"]).await;
    raw(&server, &[b"SETRANGE", b"p:flip", b"30", b"\xff"]).await;
    let Value::BulkString(cut) = raw(&server, &[b"GETRANGE", b"p:cut", b"0", b"40"]).await else {
        panic!();
    };
    raw(&server, &[b"SET", b"p:cut", &cut]).await;
    let names = ["short", "empty", "text", "flip", "cut", "list", "good"];
    let keys = names.map(Key::from);
    let found = cache.get_many(&keys).await.unwrap();
    for (name, lookup) in names.iter().zip(&found).take(5) {
        // Of a string without bytes Redis itself says that it is not there.
        let is_garbage = matches!(lookup, Lookup::Garbage(_));
        assert!(is_garbage != (*name == "empty"), "{name}: {lookup:?}");
    }
    assert!(matches!(found[4], Lookup::Garbage(EnvelopeError::Checksum)));
    assert!(matches!(found[5], Lookup::Absent));
    assert!(matches!(found[6], Lookup::Hit(..)));
    let exist = cache.exist_many(&keys).await.unwrap();
    assert_eq!(
        (exist[0], exist[1], exist[2], exist[5], exist[6]),
        (false, false, false, false, true)
    );
    let writes = names.map(|name| item(name, 2));
    cache.put_many(1, &writes).await.unwrap();
    for (lookup, write) in cache.get_many(&keys).await.unwrap().into_iter().zip(writes) {
        assert!(matches!(lookup, Lookup::Hit(stored, 1) if stored == write.stored));
    }
}

#[tokio::test]
async fn the_live_exist_and_the_removed_and_the_deleted_do_not() {
    let (_server, cache) = started();
    let writes: Vec<_> = (0..500).map(|n| item(&format!("k{n}"), 1)).collect();
    cache.put_many(1, &writes).await.unwrap();
    cache
        .put_many(1, &[tombstone("k1", 2, None)])
        .await
        .unwrap();
    cache
        .remove_many(
            1,
            &[("k2".into(), stamp(1, 0)), ("none".into(), stamp(1, 0))],
        )
        .await
        .unwrap();
    let keys: Vec<Key> = (0..501).map(|n| format!("k{n}").into()).collect();
    let exist = cache.exist_many(&keys).await.unwrap();
    for (at, exists) in exist.into_iter().enumerate() {
        assert_eq!(exists, at != 1 && at != 2 && at != 500, "k{at}");
    }
    let ends: Vec<_> = keys.iter().map(|key| (key.clone(), stamp(2, 0))).collect();
    assert!(cache.remove_many(1, &ends).await.unwrap().is_empty());
    assert!(!cache.exist_many(&keys).await.unwrap().contains(&true));
    // A removed record comes back with any stamp: the cache holds no memory of it.
    cache.put_many(1, &[item("k1", 1)]).await.unwrap();
    assert_eq!(stamp_of(&cache, "k1").await.0, stamp(1, 0));
}

#[tokio::test]
async fn nothing_asked_is_nothing_done() {
    let server = RedisServer::start().unwrap();
    let cache = cache(&server);
    server.kill().unwrap();
    assert!(cache.get_many(&[]).await.unwrap().is_empty());
    cache.put_many(1, &[]).await.unwrap();
    cache.remove_many(1, &[]).await.unwrap();
    assert!(cache.exist_many(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_change_stream_is_never_overwritten_by_an_item() {
    let (server, cache) = started();
    raw(&server, &[b"XADD", b"p:cdc", b"*", b"a", b"b"]).await;
    cache
        .put_many(1, &[item("cdc", 1), item("cdc.x", 1)])
        .await
        .unwrap();
    cache
        .remove_many(1, &[("cdc".into(), stamp(9, 0))])
        .await
        .unwrap();
    assert_eq!(raw(&server, &[b"XLEN", b"p:cdc"]).await, Value::Int(1));
    assert!(matches!(get(&cache, "cdc").await, Lookup::Absent));
    assert_eq!(
        cache
            .exist_many(&["cdc".into(), "cdc.x".into()])
            .await
            .unwrap(),
        [false, true]
    );
}

#[tokio::test]
async fn a_full_server_is_an_error() {
    let server = RedisServer::start_with(&["--maxmemory", "3mb"]).unwrap();
    let cache = cache(&server);
    let big = |n: u64| item_at(&format!("k{n}"), stamp(1, 1), vec![1; 600 << 10]);
    let writes: Vec<_> = (0..8).map(big).collect();
    let error = cache.put_many(1, &writes).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("OOM"), "{source}");
}
