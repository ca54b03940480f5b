//! The end of keys.

use std::time::Duration;

use redis::{AsyncCommands, Value, cmd};

use crate::node::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_ends_for_every_reader_at_once() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let () = client.set_ex("uk.a", "v", 100).await.unwrap();
    let () = client.set("uk.b", "v").await.unwrap();
    let left: i64 = client.pttl("uk.a").await.unwrap();
    assert!((40_000..=100_000).contains(&left), "{left}");
    let left: i64 = client.ttl("uk.a").await.unwrap();
    assert!((40..=100).contains(&left), "{left}");
    assert_eq!(client.ttl::<_, i64>("uk.b").await.unwrap(), -1);
    assert_eq!(client.ttl::<_, i64>("uk.c").await.unwrap(), -2);
    let () = client.set_ex("uk.a", "v", 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1010)).await;
    assert_eq!(client.get::<_, Option<String>>("uk.a").await.unwrap(), None);
    assert_eq!(client.exists::<_, usize>("uk.a").await.unwrap(), 0);
    assert_eq!(client.ttl::<_, i64>("uk.a").await.unwrap(), -2);
    let found: Vec<Option<String>> = client.mget(&["uk.a", "uk.b"]).await.unwrap();
    assert_eq!(found, [None, Some("v".into())]);
    let (_, keys): (u64, Vec<String>) = cmd("SCAN").arg(0).query_async(&mut client).await.unwrap();
    assert_eq!(keys, ["uk.b"]);
    assert!(node.engine.get("uk.a").await.unwrap().is_none());
    assert_eq!(node.engine.len().await.unwrap(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_can_be_moved() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let mut number = async |line: &str| -> i64 {
        let mut words = line.split(' ');
        let mut command = cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        match command.query_async(&mut client).await.unwrap() {
            Value::Int(number) => number,
            Value::Okay => 0,
            other => panic!("{line}: {other:?}"),
        }
    };
    number("SET a v").await;
    assert_eq!(number("EXPIRE a 100").await, 1);
    assert_eq!(number("EXPIRE a 50 GT").await, 0);
    assert_eq!(number("EXPIRE a 200 GT").await, 1);
    assert!((101..=200).contains(&number("TTL a").await));
    number("SET a w KEEPTTL").await;
    let kept = number("TTL a").await;
    assert!((101..=200).contains(&kept), "KEEPTTL keeps");
    assert_eq!(number("PERSIST a").await, 1);
    assert_eq!(number("PERSIST a").await, 0);
    assert_eq!(number("TTL a").await, -1);
    assert_eq!(number("PEXPIREAT a 4000000000123").await, 1);
    assert_eq!(number("PEXPIRETIME a").await, 4_000_000_000_123);
    assert_eq!(number("EXPIRETIME a").await, 4_000_000_000);
    number("SET a x").await;
    assert_eq!(number("TTL a").await, -1, "a plain SET forgets the end");
    assert_eq!(number("EXPIRE a -1").await, 1);
    assert_eq!(number("EXISTS a").await, 0);
    assert_eq!(number("EXPIRE a 10").await, 0);
    number("SET b v PXAT 1000").await;
    assert_eq!(number("EXISTS b").await, 0, "an end in the past");
    node.stop().await;
}
