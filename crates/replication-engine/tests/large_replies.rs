//! I8, I12: no reply of a peer is taken in past a bound, and nothing that is too large is in the way for ever.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::eventually;
use common::pair::{Node, converge, get, pair, put};
use replication_engine::limits::{
    PARTS_REPLY_BYTES_MAX, QUESTIONS_REPLY_BYTES_MAX, tail_reply_bytes_max,
};
use replication_engine::peer::{Dialler, RedisPeers, Remote, RemoteError};
use replication_engine::repair::question::{Question, encode_question};
use replication_engine::{PeerConfig, ReplicationConfig};
use sync_engine::SyncEngineConfig;
use sync_engine::cdc::codec::encode;
use sync_engine::cdc::event::Epoch;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::env::RealEnv;
use sync_engine::item::Stored;
use testbed::{Answer, FakeRedis, RedisServer};

/// Payloads of the nodes here, so that a reply is too large soon.
const PAYLOAD_MAX: usize = 256 << 10;

const CHANGES: &str = "__local__:cdc";

fn small_payloads(settings: &mut SyncEngineConfig, config: &mut ReplicationConfig) {
    settings.max_payload_bytes = PAYLOAD_MAX;
    config.settings.hot_path.block_timeout = Duration::from_millis(300);
    // Only when something asks for it.
    config.settings.cold_path.interval_sec = 3600;
}

fn hot_path_alone(settings: &mut SyncEngineConfig, config: &mut ReplicationConfig) {
    small_payloads(settings, config);
    config.settings.cold_path.enabled = false;
}

fn noise(bytes: usize) -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..))
        .take(bytes)
        .collect()
}

/// Adds an entry with one field.
async fn add(server: &RedisServer, stream: &str, field: &str, value: &[u8]) {
    let client = redis::Client::open(server.url()).unwrap();
    // Without the limit of half a second that is the default.
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await.unwrap();
    let mut add = redis::cmd("XADD");
    add.arg(stream).arg("*").arg(field).arg(value);
    add.query_async::<String>(&mut connection).await.unwrap();
}

fn remote_of(id: &str, url: String) -> Arc<dyn Remote> {
    let peers = RedisPeers::new(id, Arc::new(|| PAYLOAD_MAX), Arc::new(RealEnv::default()));
    peers.remote(&PeerConfig::for_testing("peer", url)).unwrap()
}

async fn followed(nodes: &[Node; 2]) {
    for node in nodes {
        node.replication.start().await.unwrap();
    }
    // Again and again: a stream is followed from its end on.
    eventually("the first one", 60, async || {
        put(&nodes[0], "first", "v").await;
        get(&nodes[1], "first").await.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_large_entries_after_small_ones_are_read_through_without_a_failure() {
    // The story: reads asked for as many entries as the small ones before had suggested, whatever the next ones weighed.
    let nodes = pair(None, hot_path_alone).await;
    followed(&nodes).await;
    nodes[1].replication.shutdown().await;
    for n in 0..2_000 {
        put(&nodes[0], &format!("small.{n}"), format!("value {n}")).await;
    }
    nodes[0].engine.force_flush().await.unwrap();
    let large = noise(PAYLOAD_MAX - 100);
    for n in 0..120u8 {
        let mut value = large.clone();
        value[0] = n;
        put(&nodes[0], &format!("large.{n}"), value).await;
    }
    nodes[0].engine.force_flush().await.unwrap();
    assert!(100 * large.len() > tail_reply_bytes_max(PAYLOAD_MAX));
    nodes[1].replication.start().await.unwrap();
    // The cold path is off: only the stream can bring them.
    converge(&nodes, 2_121, 60).await;
    let report = &nodes[1].replication.peers()[0];
    assert_eq!(
        (report.rejected, &report.last_error),
        (0, &None),
        "{report:?}"
    );
    // What was read in vain is little beside what was read.
    let (brought, read) = (120 * large.len() as u64, nodes[0].proxy.bytes_to_client());
    assert!(read < 3 * brought, "{read} bytes were read for {brought}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_an_entry_over_the_bound_is_stepped_over_counted_and_asked_for() {
    let nodes = pair(None, small_payloads).await;
    followed(&nodes).await;
    converge(&nodes, 1, 60).await;
    let report = || nodes[1].replication.peers().remove(0);
    eventually("the first comparison", 60, async || {
        report().cold_cycles > 0
    })
    .await;
    let before = report();
    let over = vec![7; tail_reply_bytes_max(PAYLOAD_MAX) + 1];
    add(&nodes[0].redis, CHANGES, "data", &over).await;
    for n in 0..50 {
        put(&nodes[0], &format!("after.{n}"), "v").await;
    }
    converge(&nodes, 51, 60).await;
    eventually("a comparison", 60, async || {
        report().cold_cycles > before.cold_cycles && report().rejected > 0
    })
    .await;
    let after = report();
    assert_eq!((after.rejected, &after.last_error), (1, &None), "{after:?}");
    assert!(after.is_connected && after.cursor > before.cursor);
    let rejected = nodes[1].replication.rejected("node-0").unwrap().remove(0);
    assert!(rejected.id.unwrap() > before.cursor && rejected.reason.contains("larger than"));
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_stream_that_ends_with_an_entry_over_the_bound_is_followed() {
    let nodes = pair(None, hot_path_alone).await;
    let over = vec![7; tail_reply_bytes_max(PAYLOAD_MAX) + 1];
    add(&nodes[0].redis, CHANGES, "data", &over).await;
    nodes[1].replication.start().await.unwrap();
    let cursor = || nodes[1].replication.peers()[0].cursor;
    eventually("a cursor", 60, async || cursor() > StreamId::MIN).await;
    put(&nodes[0], "k", "v").await;
    converge(&nodes, 1, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_i12_an_endless_reply_is_an_error_at_the_bound() {
    let entry = "*2\r\n$3\r\n5-1\r\n*2\r\n$4\r\ndata\r\n$99999999999\r\n";
    let xread = format!("*1\r\n*2\r\n$13\r\n{CHANGES}\r\n*1\r\n{entry}");
    let server = FakeRedis::start(move |command| {
        Answer::Endless(match &command[0][..] {
            b"XREAD" => xread.clone().into_bytes(),
            b"XREVRANGE" => format!("*1\r\n{entry}").into_bytes(),
            _ => b"+".to_vec(),
        })
    })
    .unwrap();
    let remote = remote_of("n", server.url());
    let id = StreamId { ms: 5, seq: 1 };
    for count in [1, 100] {
        let read = remote.tail(StreamId::MIN, count, Duration::ZERO).await;
        let Err(RemoteError::TooLarge { limit, first, .. }) = read else {
            panic!("{read:?}");
        };
        assert_eq!(
            (limit, first),
            (tail_reply_bytes_max(PAYLOAD_MAX), Some(id))
        );
    }
    assert_eq!(remote.stream_state().await.unwrap().last_id(), id);
    for error in [
        remote.root().await.unwrap_err(),
        remote.ping().await.unwrap_err(),
        remote.ask(Bytes::from_static(b"q")).await.unwrap_err(),
    ] {
        let is_bound = matches!(error, RemoteError::TooLarge { first: None, .. });
        assert!(is_bound, "{error:?}");
        assert!(error.to_string().contains("larger than"));
    }
    let sent = server.bytes_sent();
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_peer_that_sends_nothing_but_entries_over_the_bound_is_passed_by() {
    let nodes = pair(None, hot_path_alone).await;
    let replies = Arc::new(AtomicU64::new(0));
    let last = replies.clone();
    let liar = FakeRedis::start(move |command| match &command[0][..] {
        b"XREAD" => {
            let id = format!("{}-0", 1_000_000 + last.fetch_add(1, Ordering::SeqCst));
            Answer::Endless(
                format!(
                    "*1\r\n*2\r\n$3\r\ncdc\r\n*1\r\n*2\r\n${}\r\n{id}\r\n*2\r\n+",
                    id.len()
                )
                .into_bytes(),
            )
        }
        _ => Answer::Bytes(b"*0\r\n".to_vec()),
    })
    .unwrap();
    let mut config = nodes[1].config.clone();
    config
        .peers
        .push(PeerConfig::for_testing("liar", liar.url()));
    nodes[1].configs.send(config).unwrap();
    followed(&nodes).await;
    let liars = || {
        let mut peers = nodes[1].replication.peers();
        peers.retain(|peer| peer.node_id == "liar");
        peers.remove(0)
    };
    eventually("several refused", 60, async || liars().rejected >= 5).await;
    put(&nodes[0], "k", "v").await;
    converge(&nodes, 2, 60).await;
    // Beside the bound there is what the system took for us.
    let (sent, replies) = (liar.bytes_sent(), replies.load(Ordering::SeqCst));
    let each = tail_reply_bytes_max(PAYLOAD_MAX) as u64 + (16 << 20);
    assert!(sent < replies * each, "{sent} bytes in {replies} replies");
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_part_over_the_bound_spoils_one_question_and_no_other() {
    // The story: what no asker could read stayed on the stream of answers, where each later question met it again.
    let nodes = pair(None, small_payloads).await;
    nodes[0].replication.start().await.unwrap();
    let asker = remote_of("asker", nodes[0].redis.url());
    let question = || encode_question(&Question::Root);
    asker.ask(question()).await.unwrap();
    let over = vec![7; PARTS_REPLY_BYTES_MAX + 1];
    add(&nodes[0].redis, "__local__:sync:resp:asker", "data", &over).await;
    let failed = asker.ask(question()).await;
    assert!(
        matches!(failed, Err(RemoteError::TooLarge { .. })),
        "{failed:?}"
    );
    asker.ask(question()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_question_over_the_bound_keeps_no_other_from_being_answered() {
    let nodes = pair(None, small_payloads).await;
    nodes[0].replication.start().await.unwrap();
    let asker = remote_of("asker", nodes[0].redis.url());
    let question = || encode_question(&Question::Root);
    let over = vec![7; QUESTIONS_REPLY_BYTES_MAX + 1];
    for _ in 0..2 {
        add(&nodes[0].redis, "__local__:sync:req", "q", &over).await;
        asker.ask(question()).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_well_behaved_node_sends_fits() {
    // The largest there is of everything, in fields that are escaped in the longest way.
    let item = sync_engine::SyncItem::new("k".repeat(1024), noise(PAYLOAD_MAX));
    let fields = encode(&Stored::Live(item), Epoch(u64::MAX), u64::MAX);
    let bytes: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len() + 128)
        .sum();
    // `meta` is read up to 64 KiB.
    assert!(bytes + (64 << 10) < PAYLOAD_MAX + replication_engine::limits::ENTRY_OVERHEAD_MAX);
}
