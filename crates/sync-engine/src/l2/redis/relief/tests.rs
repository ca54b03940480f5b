use std::collections::BTreeSet;

use redis::{Connection, cmd};
use testbed::RedisServer;

use super::super::tests::{PATIENT, cache_with, item, item_at, stamp, tombstone};
use super::*;
use crate::item::Stored;
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::l2::{CacheStore, CacheWrite};

/// Under an LFU policy, where nothing stays for being new.
fn server(args: &[&str]) -> (RedisServer, Connection) {
    let policy = ["--maxmemory-policy", "volatile-lfu"];
    let server = RedisServer::start_with(&[&policy[..], args].concat()).unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let connection = client.get_connection().unwrap();
    (server, connection)
}

fn cache(server: &RedisServer, prefix: Option<&str>) -> RedisCache {
    cache_with(server, prefix, PATIENT)
}

fn with(options: SubmitOptions, key: &str) -> CacheWrite {
    let CacheWrite { stored, ttl } = item_at(key, stamp(1, 0), "x");
    let Stored::Live(item) = stored else {
        panic!("an item");
    };
    CacheWrite {
        stored: Stored::Live(item.with_options(options)),
        ttl,
    }
}

fn names(connection: &mut Connection) -> BTreeSet<String> {
    let names: Vec<String> = cmd("KEYS").arg("*").query(connection).unwrap();
    names.into_iter().collect()
}

/// Drops all that may be dropped: no server is ever empty enough.
async fn relieve_fully(cache: &RedisCache) -> u64 {
    let mut dropped = 0;
    for _ in 0..100 {
        let relief = cache.relieve(0.000_002, 0.000_001).await.unwrap();
        dropped += relief.dropped;
        assert!(relief.is_unfinished);
        if relief.dropped == 0 {
            return dropped;
        }
    }
    panic!("it never ends");
}

#[tokio::test]
async fn only_copies_of_what_the_archive_keeps_are_dropped() {
    let (server, mut raw) = server(&["--maxmemory", "50mb"]);
    // Every character of a pattern is in the prefix, and a key that the pattern would match unescaped is not ours.
    let cache = self::cache(&server, Some("a*[b]?\\:"));
    let ours = [
        item("both", 1),
        tombstone("dead", 2, None),
        with(SubmitOptions::cache(CacheTtl::Hour), "c.only"),
        with(SubmitOptions::default(), "default"),
    ];
    cache.put_many(1, &ours).await.unwrap();
    let other = self::cache(&server, Some("aXb?:"));
    other.put_many(1, &[item("both", 1)]).await.unwrap();
    // Another engine's records, whose prefix begins with this one.
    let inner = self::cache(&server, Some("a*[b]?\\:inner:"));
    inner.put_many(1, &[item("both", 1)]).await.unwrap();
    let prefixed = |name: &str| format!("a*[b]?\\:{name}");
    let set = |raw: &mut Connection, name: &str, value: &[u8]| {
        let mut set = cmd("SET");
        set.arg(prefixed(name)).arg(value).exec(raw).unwrap();
    };
    set(
        &mut raw,
        "text",
        b"just some text that is long enough to hold a header",
    );
    set(&mut raw, "empty", b"");
    let record: Vec<u8> = cmd("GET").arg(prefixed("both")).query(&mut raw).unwrap();
    set(&mut raw, "moved", &record);
    let mut later = record.clone();
    later[5] = 2;
    set(&mut raw, "late", &later);
    set(&mut raw, "cdc", &record);
    let mut push = cmd("RPUSH");
    push.arg(prefixed("list")).arg("x").exec(&mut raw).unwrap();

    let before = names(&mut raw);
    assert_eq!(relieve_fully(&cache).await, 3);
    let gone = ["both", "dead", "default"].map(prefixed);
    let kept = before.into_iter().filter(|name| !gone.contains(name));
    assert_eq!(names(&mut raw), kept.collect());
}

#[tokio::test]
async fn it_ends_at_the_target_and_goes_on_where_it_left() {
    let (server, mut raw) = server(&["--maxmemory", "20mb"]);
    let cache = cache(&server, None);
    let big = |n| item_at(&format!("k.{n}"), stamp(1, 0), vec![7; 4_000]);
    let writes: Vec<CacheWrite> = (0..3_600).map(big).collect();
    cache.put_many(1, &writes).await.unwrap();
    let share = |raw: &mut Connection| {
        let info: String = cmd("INFO").arg("memory").query(raw).unwrap();
        Memory::parse(&info).unwrap().excess(0.0) as f64 / (20 << 20) as f64
    };
    assert!(share(&mut raw) > 0.75, "{}", share(&mut raw));
    assert_eq!(cache.relieve(0.97, 0.1).await.unwrap(), Relief::default());
    let relief = cache.relieve(0.75, 0.60).await.unwrap();
    assert!(!relief.is_unfinished && relief.dropped > 300, "{relief:?}");
    let left = share(&mut raw);
    assert!((0.50..=0.61).contains(&left), "{left}");
    assert_eq!(names(&mut raw).len() as u64, 3_600 - relief.dropped);
    // The next calls find the rest.
    assert_eq!(relieve_fully(&cache).await, 3_600 - relief.dropped);
}

#[tokio::test]
async fn without_a_limit_or_the_right_to_ask_nothing_is_dropped() {
    let (server, mut raw) = server(&[]);
    let cache = cache(&server, None);
    cache.put_many(1, &[item("k", 1)]).await.unwrap();
    let relief = cache.relieve(0.000_002, 0.000_001).await.unwrap();
    assert_eq!(relief, Relief::default());
    let mut limit = cmd("CONFIG");
    limit.arg("SET").arg("maxmemory").arg("50mb");
    limit.exec(&mut raw).unwrap();
    for denied in ["-info", "-scan", "-unlink", "-eval"] {
        let acl = |rule: &str| {
            cmd("ACL")
                .arg("SETUSER")
                .arg("default")
                .arg(rule)
                .to_owned()
        };
        acl(denied).exec(&mut raw).unwrap();
        let relief = cache.relieve(0.000_002, 0.000_001).await.unwrap();
        assert_eq!(relief.dropped, 0, "{denied}");
        acl("+@all").exec(&mut raw).unwrap();
    }
    assert_eq!(relieve_fully(&cache).await, 1);
    server.kill().unwrap();
    cache.relieve(0.75, 0.60).await.unwrap_err();
}
