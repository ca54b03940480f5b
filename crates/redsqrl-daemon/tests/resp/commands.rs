//! What an ordinary client does with ordinary keys.

use std::collections::{BTreeSet, HashMap};

use redis::{AsyncCommands, ErrorKind, Value, cmd, pipe};

use crate::node::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_come_back_bit_for_bit() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let big: Vec<u8> = (0..16 << 20)
        .map(|n: u32| (n >> 3) as u8 ^ n as u8)
        .collect();
    let values: [(&str, Vec<u8>); 5] = [
        ("uk.empty", vec![]),
        ("uk.binary", (0..=255).collect()),
        ("uk.json", b"{ \"b\":1,\n \"a\" : 2 }".to_vec()),
        ("uk.crlf", b"\r\n$5\r\n*1\r\n".to_vec()),
        ("uk.big", big),
    ];
    for (key, value) in &values {
        let () = client.set(key, value).await.unwrap();
    }
    for (key, value) in &values {
        let found: Option<Vec<u8>> = client.get(key).await.unwrap();
        assert!(found.as_ref() == Some(value), "{key}");
        assert_eq!(client.strlen::<_, usize>(key).await.unwrap(), value.len());
        let stored = node.engine.get(key).await.unwrap().unwrap();
        assert!(stored.content == value, "{key}");
    }
    let too_big = vec![1u8; (16 << 20) + 1];
    let refused = client
        .set::<_, _, ()>("uk.too.big", too_big)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("ERR"), "{refused}");
    assert!(refused.to_string().contains("16777216"), "{refused}");
    let nothing: Option<Vec<u8>> = client.get("uk.too.big").await.unwrap();
    assert_eq!(nothing, None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_at_once() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let pairs: Vec<(String, String)> = (0..1000)
        .map(|n| (format!("k.{n}"), n.to_string()))
        .collect();
    let () = client.mset(&pairs).await.unwrap();
    let mut keys: Vec<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
    keys.insert(3, "none".into());
    let found: Vec<Option<String>> = client.mget(&keys).await.unwrap();
    assert_eq!(
        (found.len(), &found[3], &found[4]),
        (1001, &None, &Some("3".into()))
    );
    node.engine.force_flush().await.unwrap();
    assert_eq!(
        cmd("DBSIZE").query_async::<u64>(&mut client).await.unwrap(),
        1000
    );
    let count: usize = client
        .exists(&["k.1", "none", "k.1", "__local__:cdc"])
        .await
        .unwrap();
    assert_eq!(count, 3, "a key named twice counts twice");
    let gone: usize = client.del(&["k.1", "none", "k.1", "k.2"]).await.unwrap();
    assert_eq!(gone, 2, "a key deleted twice counts once");
    let gone: usize = client.unlink("k.3").await.unwrap();
    assert_eq!(gone, 1);
    let found: Vec<Option<String>> = client.mget(&["k.1", "k.3", "k.4"]).await.unwrap();
    assert_eq!(found, [None, None, Some("4".into())]);
    node.engine.force_flush().await.unwrap();
    assert_eq!(
        cmd("DBSIZE").query_async::<u64>(&mut client).await.unwrap(),
        997
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scan_gives_every_key_once() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let pairs: Vec<(String, u32)> = (0..500).map(|n| (format!("uk.{}.{n}", n % 2), n)).collect();
    let () = client.mset(&pairs).await.unwrap();
    node.engine.force_flush().await.unwrap();
    let () = client.set("uk.[x]", "v").await.unwrap();
    for (pattern, count, expected) in [
        (None, 7, 501),
        (Some("uk.1.*"), 50, 250),
        (Some("*.7"), 1000, 1),
        (Some(r"uk.\[x\]"), 10, 1),
        (Some("uk.none"), 10, 0),
    ] {
        let (mut seen, mut cursor, mut rounds) = (BTreeSet::new(), 0u64, 0);
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(count);
            if let Some(pattern) = pattern {
                scan.arg("MATCH").arg(pattern);
            }
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut client).await.unwrap();
            for key in keys {
                assert!(seen.insert(key.clone()), "{key} came twice");
            }
            rounds += 1;
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), expected, "{pattern:?}");
        assert!(rounds <= 501 / count + 1);
    }
    let mut unknown = cmd("SCAN");
    let refused = unknown.arg(12_345).query_async::<Value>(&mut client).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("begin again with 0")
    );
    let mut streams = cmd("SCAN");
    streams.arg(0).arg("TYPE").arg("stream");
    let found: (u64, Vec<String>) = streams.query_async(&mut client).await.unwrap();
    assert_eq!(found, (0, vec![]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_of_ten_thousand_keeps_its_order() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut pipeline = pipe();
    for n in 0..10_000 {
        match n % 5 {
            0 => pipeline.set(format!("p.{n}"), n),
            1 => pipeline.get(format!("p.{}", n - 1)),
            2 => pipeline.set(format!("p.{}", n - 2), -n),
            3 => pipeline.get(format!("p.{}", n - 3)),
            _ => pipeline.del(format!("p.{}", n - 4)),
        };
    }
    let replies: Vec<Value> = pipeline.query_async(&mut client).await.unwrap();
    let bulk = |n: i64| Value::BulkString(n.to_string().into_bytes());
    for (n, reply) in (0i64..).zip(&replies) {
        let expected = match n % 5 {
            0 | 2 => Value::Okay,
            1 => bulk(n - 1),
            3 => bulk(1 - n),
            _ => Value::Int(1),
        };
        assert_eq!(*reply, expected, "reply {n}");
    }
    assert_eq!(replies.len(), 10_000);
    node.engine.force_flush().await.unwrap();
    assert!(node.engine.is_empty().await.unwrap());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_command_leaves_its_neighbours_alone() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut pipeline = pipe();
    pipeline
        .set("a", 1)
        .set("bad\nkey", 2)
        .set("a", vec![0u8; (16 << 20) + 1])
        .set("a", 3);
    pipeline
        .cmd("NONSENSE")
        .arg("x")
        .get("a")
        .get(b"\xff\xfe")
        .get("b");
    pipeline.ignore_errors();
    let replies: Vec<redis::RedisResult<Value>> = pipeline.query_async(&mut client).await.unwrap();
    let is_error: Vec<bool> = replies.iter().map(Result::is_err).collect();
    assert_eq!(
        is_error,
        [false, true, true, false, true, false, false, false]
    );
    assert_eq!(replies[5], Ok(Value::BulkString(b"3".to_vec())));
    assert_eq!(
        (&replies[6], &replies[7]),
        (&Ok(Value::Nil), &Ok(Value::Nil))
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_hold_among_many_clients() {
    let node = Node::start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut client = node.client().await;
        tasks.spawn(async move {
            let mut won = 0;
            for round in 0..20 {
                let set = cmd("SET")
                    .arg(format!("lock.{round}"))
                    .arg(n)
                    .arg("NX")
                    .to_owned();
                won +=
                    u32::from(set.query_async::<Value>(&mut client).await.unwrap() == Value::Okay);
            }
            won
        });
    }
    let won: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(won, 20, "each lock is taken once");
    let mut client = node.client().await;
    let mut query = async |line: &str| {
        let mut words = line.split(' ');
        let mut command = cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query_async::<Value>(&mut client).await
    };
    let text = |text: &str| Ok(Value::BulkString(text.into()));
    assert_eq!(query("SET x 1 XX").await, Ok(Value::Nil));
    assert_eq!(query("SET x 1 GET").await, Ok(Value::Nil));
    assert_eq!(query("SET x 2 XX GET").await, text("1"));
    assert_eq!(query("SET x 3 NX GET").await, text("2"));
    assert_eq!(query("GETSET x 4").await, text("2"));
    assert_eq!(query("SETNX x 5").await, Ok(Value::Int(0)));
    assert_eq!(query("GETDEL x").await, text("4"));
    assert_eq!(query("GETDEL x").await, Ok(Value::Nil));
    assert_eq!(query("SETNX x 5").await, Ok(Value::Int(1)));
    assert_eq!(
        query("TYPE x").await,
        Ok(Value::SimpleString("string".into()))
    );
    assert_eq!(
        query("TYPE y").await,
        Ok(Value::SimpleString("none".into()))
    );
    assert!(query("SELECT 0").await.is_ok() && query("SELECT 1").await.is_err());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_tells_the_truth_in_both_versions() {
    let node = Node::start().await;
    for query in ["", "?protocol=resp3"] {
        let mut client = node.client_at(query).await;
        let () = client.set("uk.a", "v").await.unwrap();
        let _: Option<String> = client.get("uk.a").await.unwrap();
        node.engine.force_flush().await.unwrap();
        let info: redis::InfoDict = cmd("INFO").query_async(&mut client).await.unwrap();
        assert_eq!(info.get::<String>("db0").unwrap(), "keys=1");
        assert_eq!(info.get::<String>("role").unwrap(), "master");
        assert!(info.get::<u64>("connected_clients").unwrap() >= 1);
        assert!(info.get::<u64>("keyspace_hits").unwrap() >= 1);
        assert!(info.get::<u64>("used_memory").unwrap() > 0);
        let config: HashMap<String, String> = cmd("CONFIG")
            .arg("GET")
            .arg("*max*")
            .query_async(&mut client)
            .await
            .unwrap();
        assert_eq!(config["maxclients"], "10000");
        let list: String = cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut client)
            .await
            .unwrap();
        assert!(list.contains("addr=127.0.0.1:"), "{list}");
    }
    let mut client = node.client_at("?protocol=resp3").await;
    let hello: HashMap<String, Value> = cmd("HELLO").arg(3).query_async(&mut client).await.unwrap();
    assert_eq!(hello["proto"], Value::Int(3));
    let refused = cmd("HELLO").arg(4).query_async::<Value>(&mut client).await;
    assert_eq!(refused.unwrap_err().code(), Some("NOPROTO"));
    let down = node.client().await;
    node.engine.shutdown().await;
    let mut down = down;
    let refused = down.get::<_, Option<String>>("uk.a").await.unwrap_err();
    assert_eq!(
        refused.code(),
        Some("SHUTDOWN"),
        "an outage is no null: {refused}"
    );
    assert_ne!(refused.kind(), ErrorKind::Io);
    node.stop().await;
}
