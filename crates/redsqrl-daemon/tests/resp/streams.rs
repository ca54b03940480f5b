//! The node's own keys: the change stream, the root, the mail of peers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{AsyncCommands, Value, cmd};
use redsqrl_daemon::resp::mailbox::StreamMailbox;
use redsqrl_daemon::resp::streams::StreamId;

use crate::node::{Node, PATIENCE};

const CDC: &str = "__local__:cdc";

/// Waits until a client is blocked.
async fn somebody_waits(node: &Node) {
    let mut client = node.client().await;
    let begun = Instant::now();
    loop {
        let info: String = cmd("INFO").query_async(&mut client).await.unwrap();
        if info.contains("blocked_clients:1\r\n") {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{info}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_reader_of_the_change_stream_sees_a_set() {
    let node = Node::start().await;
    let mut reader = node.client().await;
    let mut writer = node.client().await;
    let waiting = tokio::spawn(async move {
        let mut read = cmd("XREAD");
        read.arg("BLOCK")
            .arg(30_000)
            .arg("STREAMS")
            .arg(CDC)
            .arg("$");
        read.query_async::<StreamReadReply>(&mut reader)
            .await
            .unwrap()
    });
    somebody_waits(&node).await;
    let began = Instant::now();
    let () = writer.set("uk.a", "hello").await.unwrap();
    let reply = waiting.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
    let entry = &reply.keys[0].ids[0];
    assert_eq!(entry.get::<String>("op").as_deref(), Some("PUT"));
    assert_eq!(entry.get::<String>("key").as_deref(), Some("uk.a"));
    let len: usize = writer.xlen(CDC).await.unwrap();
    let all: StreamRangeReply = writer.xrange_all(CDC).await.unwrap();
    assert_eq!((len, all.ids.len()), (1, 1));
    assert_eq!(all.ids[0].id, entry.id);
    let info: HashMap<String, Value> = cmd("XINFO")
        .arg("STREAM")
        .arg(CDC)
        .query_async(&mut writer)
        .await
        .unwrap();
    assert_eq!(info["length"], Value::Int(1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_write_the_nodes_own_keys() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let () = client.set("uk.a", "v").await.unwrap();
    node.engine.force_flush().await.unwrap();
    let root: String = client.get("__local__:merkle:root").await.unwrap();
    assert_eq!(root, node.engine.merkle_root().unwrap().to_string());
    for line in [
        "SET __local__:cdc x",
        "SET __local__:merkle:root x",
        "SET __local__:sync:req x NX",
        "MSET uk.b 1 __local__:cdc 2",
        "GETDEL __local__:merkle:root",
        "DEL __local__:cdc",
        "EXPIRE __local__:merkle:root 1",
        "PERSIST __local__:cdc",
        "XADD __local__:cdc * a b",
        "XADD uk.stream * a b",
        "XADD __local__:merkle:root * a b",
        "XADD __local__:sync:req 18446744073709551615-18446744073709551615 a b",
        "XADD __local__:sync:resp:uk.peer 99999999999999-* a b",
        "XDEL __local__:cdc 1-1",
        "XTRIM __local__:cdc MAXLEN 0",
        "GET __local__:cdc",
        "XLEN uk.a",
        "XREAD STREAMS uk.a 0",
    ] {
        let mut words = line.split(' ');
        let mut command = cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        let refused = command.query_async::<Value>(&mut client).await;
        assert!(refused.is_err(), "{line}: {refused:?}");
    }
    let nothing: Option<String> = client.get("uk.b").await.unwrap();
    assert_eq!(nothing, None, "a refused MSET writes nothing");
    assert_eq!(client.xlen::<_, usize>("uk.none").await.unwrap(), 0);
    let kind: String = cmd("TYPE").arg(CDC).query_async(&mut client).await.unwrap();
    assert_eq!(kind, "stream");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_through_the_mailbox() {
    let node = Node::start().await;
    let mailbox = StreamMailbox::new(
        node.shared.streams(),
        node.shared.keys().clone(),
        node.engine.env(),
    );
    let answering = tokio::spawn(async move {
        let questions = mailbox.next_questions(StreamId::MIN, PATIENCE).await;
        let id = questions[0].id.to_string();
        mailbox
            .answer("uk.peer", vec![("re".into(), id.into())])
            .unwrap();
        mailbox.done(questions[0].id);
    });
    let mut peer = node.client().await;
    let asked: String = peer
        .xadd("__local__:sync:req", "*", &[("q", "root")])
        .await
        .unwrap();
    let mut read = cmd("XREAD");
    read.arg("BLOCK")
        .arg(30_000)
        .arg("STREAMS")
        .arg("__local__:sync:resp:uk.peer")
        .arg("0");
    let reply: StreamReadReply = read.query_async(&mut peer).await.unwrap();
    assert_eq!(reply.keys[0].ids[0].get::<String>("re"), Some(asked));
    answering.await.unwrap();
    let id = reply.keys[0].ids[0].id.clone();
    let gone: usize = peer
        .xdel("__local__:sync:resp:uk.peer", &[id])
        .await
        .unwrap();
    assert_eq!(gone, 1);
    assert_eq!(
        peer.xlen::<_, usize>("__local__:sync:req").await.unwrap(),
        0
    );
    let mut short = cmd("XREAD");
    short
        .arg("BLOCK")
        .arg(50)
        .arg("STREAMS")
        .arg("__local__:sync:req")
        .arg("$");
    assert_eq!(
        short.query_async::<Value>(&mut peer).await.unwrap(),
        Value::Nil
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_frees_the_waiting() {
    let node = Node::start().await;
    let mut reader = node.client().await;
    let waiting = tokio::spawn(async move {
        let mut read = cmd("XREAD");
        read.arg("BLOCK").arg(0).arg("STREAMS").arg(CDC).arg("$");
        read.query_async::<Value>(&mut reader).await
    });
    somebody_waits(&node).await;
    let began = Instant::now();
    node.stop().await;
    assert!(began.elapsed() < PATIENCE / 2);
    assert_eq!(waiting.await.unwrap().unwrap(), Value::Nil);
}
