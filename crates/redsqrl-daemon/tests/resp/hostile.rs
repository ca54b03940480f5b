//! Clients that mean harm, or are broken.

use std::time::Duration;

use redsqrl_daemon::resp::{RespSettings, ServerLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::node::{Node, PATIENCE};

/// What the server says to a client that sends no more.
async fn answer_to(node: &Node, bytes: &[u8]) -> Vec<u8> {
    let mut socket = node.socket().await;
    // The server may close before everything is sent.
    socket.write_all(bytes).await.ok();
    socket.shutdown().await.ok();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    read.expect("an end in time").ok();
    answer
}

async fn assert_alive(node: &Node) {
    assert_eq!(answer_to(node, b"PING\r\n").await, b"+PONG\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_answered_and_shut_out() {
    let node = Node::start().await;
    for (bytes, beginning) in [
        (
            &b"*1\r\n$999999999999\r\n"[..],
            "-ERR Protocol error: invalid bulk length",
        ),
        (
            b"*99999999999\r\n",
            "-ERR Protocol error: invalid multibulk length",
        ),
        (b"*-5\r\nPING\r\n", "+PONG"),
        (
            b"*2\r\n$3\r\nGET\r\n+a\r\n",
            "-ERR Protocol error: expected '$'",
        ),
        (b"*1\r\n$4\r\nPINGxx", "-ERR Protocol error"),
        (b"GET 'open\r\n", "-ERR Protocol error: unbalanced quotes"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n",
            "-ERR this port speaks the Redis protocol",
        ),
        (b"*2\r\n$3\r\nGET\r\n$10\r\nabc", ""),
    ] {
        let answer = answer_to(&node, bytes).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(beginning), "{bytes:?}: {answer}");
        assert!(!beginning.is_empty() || answer.is_empty());
        assert!(answer.matches('\n').count() <= 1, "{answer}");
    }
    let mut seed = 0x9e37_79b9_u64;
    for _ in 0..40 {
        let bytes: Vec<u8> = (0..2000)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                *b"*$\r\n0129-PINGSET\xff\0 "
                    .get(seed as usize % 24)
                    .unwrap_or(&(seed as u8))
            })
            .collect();
        let mut socket = node.socket().await;
        socket.write_all(&bytes).await.ok();
    }
    assert_alive(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_may_come_one_by_one() {
    let node = Node::start().await;
    let mut socket = node.socket().await;
    socket.set_nodelay(true).unwrap();
    for byte in b"*3\r\n$3\r\nSET\r\n$4\r\nuk.a\r\n$2\r\nhi\r\n*2\r\n$3\r\nGET\r\n$4\r\nuk.a\r\n" {
        socket.write_all(&[*byte]).await.unwrap();
    }
    let mut answer = [0; 13];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n$2\r\nhi\r\n");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_a_slow_reader_does_not_grow_memory() {
    let node = Node::start().await;
    let item = sync_engine::SyncItem::new("uk.big", vec![7u8; 1 << 20]);
    node.engine.submit(item).await.unwrap();
    let mut socket = node.socket().await;
    let mut sent = 0usize;
    let gets = b"GET uk.big\r\n".repeat(1000);
    // Never reads: 1 GiB of replies is asked for again and again, until the server takes no more.
    let flood = async {
        loop {
            sent += socket.write(&gets).await.unwrap();
        }
    };
    let before = resident_bytes();
    assert!(timeout(Duration::from_secs(3), flood).await.is_err());
    let grown = resident_bytes().saturating_sub(before);
    assert!(sent < 64 << 20, "the server read on: {sent} bytes");
    assert!(grown < 256 << 20, "{grown} bytes for one slow reader");
    assert_alive(&node).await;
    drop(socket);
    node.stop().await;
}

/// What this process has in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: usize = line
        .unwrap()
        .trim()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    kib * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_clients_are_counted_and_the_stalled_are_closed() {
    let limits = ServerLimits {
        clients_max: 3,
        idle_max: Some(Duration::from_secs(4)),
        stall_max: Duration::from_secs(4),
        ..ServerLimits::default()
    };
    let settings = RespSettings {
        limits,
        ..RespSettings::default()
    };
    let node = Node::start_with(settings).await;
    let item = sync_engine::SyncItem::new("uk.big", vec![7u8; 1 << 20]);
    node.engine.submit(item).await.unwrap();
    let mut stalled = node.socket().await;
    stalled
        .write_all(&b"GET uk.big\r\n".repeat(50))
        .await
        .unwrap();
    let mut silent = [node.socket().await, node.socket().await];
    let deadline = std::time::Instant::now() + PATIENCE;
    while node.shared.clients() < 3 {
        assert!(std::time::Instant::now() < deadline, "three clients");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = answer_to(&node, b"PING\r\n").await;
    assert!(
        refused.is_empty() || refused.starts_with(b"-ERR max number of clients"),
        "{refused:?}"
    );
    let mut nothing = Vec::new();
    for socket in &mut silent {
        let closed = timeout(PATIENCE, socket.read_to_end(&mut nothing)).await;
        assert_eq!(closed.unwrap().unwrap(), 0, "idle");
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while node.shared.clients() > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "the stalled client stays"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_alive(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unwanted_replies_are_not_sent() {
    let node = Node::start().await;
    let lines = b"CLIENT REPLY SKIP\r\nPING\r\nECHO a\r\nCLIENT REPLY OFF\r\nSET a 1\r\nGET a\r\nCLIENT REPLY ON\r\nGET a\r\n";
    let answer = answer_to(&node, lines).await;
    assert_eq!(
        String::from_utf8_lossy(&answer),
        "$1\r\na\r\n+OK\r\n$1\r\n1\r\n"
    );
    node.stop().await;
}
