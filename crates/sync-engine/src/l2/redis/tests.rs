mod generations;
mod records;

use super::*;
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::item::{Stored, SyncItem};
use std::sync::Arc;
use std::time::Duration;
use testbed::RedisServer;

/// For outages, which the tests sit out.
const SHORT: RedisTimeouts = RedisTimeouts {
    connect: Duration::from_secs(3),
    response: Duration::from_secs(3),
};

/// For everything else: a busy machine is no outage.
pub(super) const PATIENT: RedisTimeouts = RedisTimeouts {
    connect: Duration::from_secs(20),
    response: Duration::from_secs(20),
};

/// Largest payload of the caches here.
const PAYLOAD_MAX: usize = 16 << 20;

fn cache(server: &RedisServer) -> RedisCache {
    cache_with(server, Some("p:"), PATIENT)
}

pub(super) fn cache_with(
    server: &RedisServer,
    prefix: Option<&str>,
    timeouts: RedisTimeouts,
) -> RedisCache {
    let env = Arc::new(crate::env::RealEnv::default());
    RedisCache::new(&server.url().into(), prefix, PAYLOAD_MAX, timeouts, env).unwrap()
}

fn started() -> (RedisServer, RedisCache) {
    let server = RedisServer::start().unwrap();
    let cache = cache(&server);
    (server, cache)
}

pub(super) fn stamp(time: u64, origin: u64) -> Stamp {
    Stamp {
        time: HlcTime(time),
        origin: Origin::from_raw(origin),
    }
}

pub(super) fn item_at(key: &str, stamp: Stamp, content: impl Into<Bytes>) -> CacheWrite {
    let item = SyncItem::new(key, content).edit(|fields| fields.stamp = stamp);
    CacheWrite {
        stored: Stored::Live(item),
        ttl: None,
    }
}

pub(super) fn item(key: &str, time: u64) -> CacheWrite {
    item_at(key, stamp(time, 0), format!("{key} at {time}"))
}

/// One that the archive does not keep.
fn item_alone(key: &str, time: u64) -> CacheWrite {
    let mut write = item(key, time);
    if let Stored::Live(item) = &write.stored {
        let options = SubmitOptions::cache(CacheTtl::Hour);
        write.stored = Stored::Live(item.clone().with_options(options));
    }
    write
}

pub(super) fn tombstone(key: &str, time: u64, ttl: Option<Duration>) -> CacheWrite {
    let stored = Stored::Tombstone {
        key: key.into(),
        stamp: stamp(time, 0),
    };
    CacheWrite { stored, ttl }
}

async fn get(cache: &RedisCache, key: &str) -> Lookup {
    cache.get_many(&[key.into()]).await.unwrap().remove(0)
}

async fn stamp_of(cache: &RedisCache, key: &str) -> (Stamp, Generation) {
    match get(cache, key).await {
        Lookup::Hit(stored, generation) => (stored.stamp(), generation),
        other => panic!("{key}: {other:?}"),
    }
}

/// Asks the server itself.
async fn raw(server: &RedisServer, args: &[&[u8]]) -> Value {
    let client = redis::Client::open(server.url()).unwrap();
    // Without the limit of half a second that is the default.
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await.unwrap();
    let mut cmd = redis::Cmd::new();
    for arg in args {
        cmd.arg(*arg);
    }
    cmd.query_async(&mut connection).await.unwrap()
}
