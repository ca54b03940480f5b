use super::super::codec::{Limits, decode};
use super::super::event::ChangeEvent;
use super::super::stream_id::StreamId;
use super::*;
use crate::env::RealEnv;
use crate::item::SyncItem;
use std::sync::Arc;
use std::time::Duration;
use testbed::RedisServer;

fn log(server: &RedisServer, entries_max: usize) -> RedisLog {
    log_within(server, entries_max, Duration::from_secs(60))
}

fn log_within(server: &RedisServer, entries_max: usize, limit: Duration) -> RedisLog {
    let timeouts = RedisTimeouts {
        connect: limit,
        response: limit,
    };
    let env = Arc::new(RealEnv::default());
    RedisLog::new(&server.url().into(), None, entries_max, timeouts, env).unwrap()
}

fn items(count: usize, bytes: usize) -> Vec<Stored> {
    (0..count)
        .map(|n| {
            let content: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
                .take(bytes)
                .collect();
            Stored::Live(SyncItem::new(format!("k.{n}"), content))
        })
        .chain([Stored::Tombstone {
            key: "dead".into(),
            stamp: Default::default(),
        }])
        .collect()
}

async fn connection(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    // Without the limit of half a second that is the default.
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    connection.await.unwrap()
}

/// Id, then fields and values.
type RawEntry = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// Reads the stream as a peer does.
async fn read(server: &RedisServer) -> Vec<ChangeEvent> {
    let mut connection = connection(server).await;
    let reply: redis::Value = redis::cmd("XRANGE")
        .arg("__local__:cdc")
        .arg("-")
        .arg("+")
        .query_async(&mut connection)
        .await
        .unwrap();
    let entries: Vec<RawEntry> = redis::from_redis_value(reply).unwrap();
    let limits = Limits {
        payload_bytes_max: 16 << 20,
    };
    entries
        .into_iter()
        .map(|(id, fields)| {
            assert!(id.parse::<StreamId>().is_ok());
            let fields: Vec<_> = fields
                .into_iter()
                .map(|(n, v)| (n.into(), v.into()))
                .collect();
            decode(&fields, limits).unwrap()
        })
        .collect()
}

fn numbers(events: &[ChangeEvent]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn entries_are_in_order_and_numbered_without_gaps() {
    let server = RedisServer::start().unwrap();
    let log = log(&server, 100_000);
    // More than one transaction by number, then by bytes, then one entry alone over the bound.
    let many = items(2500, 10);
    let large = items(5, 400_000);
    let huge = items(1, 16 << 20);
    for batch in [&many, &large, &huge] {
        log.publish(batch).await.unwrap();
    }
    let events = read(&server).await;
    let published: Vec<&Stored> = many.iter().chain(&large).chain(&huge).collect();
    assert_eq!(events.len(), published.len());
    assert!(
        events
            .iter()
            .zip(published)
            .all(|(event, stored)| event.stored == *stored)
    );
    assert_eq!(
        numbers(&events),
        (1..=events.len() as u64).collect::<Vec<_>>()
    );
    let epoch = log.epoch().await;
    assert!(events.iter().all(|event| event.epoch == epoch));
    assert_ne!(self::log(&server, 1).epoch().await, epoch);
}

#[tokio::test]
async fn the_stream_is_trimmed_about_at_its_length() {
    let server = RedisServer::start().unwrap();
    let log = log(&server, 200);
    log.publish(&items(3000, 10)).await.unwrap();
    let events = read(&server).await;
    assert!((200..400).contains(&events.len()), "{}", events.len());
    assert_eq!(events.last().unwrap().seq, 3001);
}

#[tokio::test]
async fn a_publish_that_was_not_sent_uses_no_number() {
    let server = RedisServer::start().unwrap();
    let log = log(&server, 1000);
    let epoch = log.epoch().await;
    server.kill().unwrap();
    log.publish(&items(1, 10)).await.unwrap_err();
    log.publish_root("r").await.unwrap_err();
    server.restart().unwrap();
    log.publish(&items(1, 10)).await.unwrap();
    let events = read(&server).await;
    assert_eq!(numbers(&events), [1, 2]);
    assert!(events.iter().all(|event| event.epoch == epoch));
}

#[tokio::test]
async fn i11_after_an_unknown_outcome_no_number_is_used_twice() {
    let server = RedisServer::start().unwrap();
    let log = log_within(&server, 1000, Duration::from_secs(3));
    log.publish(&items(1, 10)).await.unwrap();
    let epoch = log.epoch().await;
    // The server has the request and will carry it out, but does not say so.
    server.pause().unwrap();
    log.publish(&items(2, 10)).await.unwrap_err();
    server.resume().unwrap();
    log.publish(&items(2, 10)).await.unwrap();
    assert_ne!(log.epoch().await, epoch);
    let events = read(&server).await;
    assert_eq!(numbers(&events), [1, 2, 3, 4, 5, 1, 2, 3]);
    assert!(events[..5].iter().all(|event| event.epoch == epoch));
    let mut places: Vec<_> = events
        .iter()
        .map(|event| (event.epoch.0, event.seq))
        .collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), events.len());
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_doubt_behind() {
    let server = RedisServer::start().unwrap();
    let log = log(&server, 1000);
    log.publish(&items(1, 10)).await.unwrap();
    let epoch = log.epoch().await;
    server.pause().unwrap();
    let batch = items(1, 10);
    let publish = tokio::time::timeout(Duration::from_millis(100), log.publish(&batch));
    assert!(publish.await.is_err());
    server.resume().unwrap();
    log.publish(&batch).await.unwrap();
    assert_ne!(log.epoch().await, epoch);
}

#[tokio::test]
async fn a_flushed_redis_shows_as_a_gap() {
    let server = RedisServer::start().unwrap();
    let log = log(&server, 1000);
    log.publish(&items(4, 10)).await.unwrap();
    server.flush_all().unwrap();
    log.publish(&items(1, 10)).await.unwrap();
    assert_eq!(numbers(&read(&server).await), [6, 7]);
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_and_a_new_epoch() {
    let server = RedisServer::start().unwrap();
    let log = log(&server, 1000);
    let epoch = log.epoch().await;
    let mut connection = connection(&server).await;
    redis::cmd("SET")
        .arg("__local__:cdc")
        .arg("x")
        .exec_async(&mut connection)
        .await
        .unwrap();
    log.publish(&items(1, 10)).await.unwrap_err();
    server.flush_all().unwrap();
    log.publish(&items(1, 10)).await.unwrap();
    assert_ne!(log.epoch().await, epoch);
    assert_eq!(numbers(&read(&server).await), [1, 2]);
}

#[tokio::test]
async fn a_new_epoch_numbers_from_one_and_the_root_is_one_get() {
    let server = RedisServer::start().unwrap();
    let log = log(&server, 1000);
    log.publish(&items(1, 10)).await.unwrap();
    log.new_epoch().await;
    log.publish(&items(1, 10)).await.unwrap();
    let events = read(&server).await;
    assert_eq!(numbers(&events), [1, 2, 1, 2]);
    assert_ne!(events[0].epoch, events[2].epoch);
    log.publish_root("abc").await.unwrap();
    let mut connection = connection(&server).await;
    let root: String = redis::cmd("GET")
        .arg("__local__:merkle:root")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(root, "abc");
}
