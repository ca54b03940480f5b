//! Passwords.

use redsqrl_daemon::resp::shared::Password;
use redsqrl_daemon::resp::{RespSettings, ServerLimits};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::node::{Node, PATIENCE};

async fn say(socket: &mut TcpStream, line: &str) -> String {
    socket.write_all(line.as_bytes()).await.unwrap();
    socket.write_all(b"\r\n").await.unwrap();
    let mut reply = vec![0; 4096];
    let len = socket.read(&mut reply).await.unwrap();
    String::from_utf8_lossy(&reply[..len]).into_owned()
}

fn settings(login_max: Duration) -> RespSettings {
    RespSettings {
        password: Some(Password::new("open sesame")),
        limits: ServerLimits {
            login_max,
            ..ServerLimits::default()
        },
        ..RespSettings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_before_the_password() {
    let node = Node::start_with(settings(Duration::from_secs(60))).await;
    let mut socket = node.socket().await;
    for line in [
        "GET a",
        "SET a 1",
        "PING",
        "INFO",
        "CLIENT LIST",
        "HELLO 3",
        "XREAD STREAMS a 0",
    ] {
        assert!(
            say(&mut socket, line).await.starts_with("-NOAUTH "),
            "{line}"
        );
    }
    for line in [
        "AUTH wrong",
        "AUTH root 'open sesame'",
        "AUTH default wrong",
        "HELLO 3 AUTH default no",
    ] {
        assert!(
            say(&mut socket, line).await.starts_with("-WRONGPASS "),
            "{line}"
        );
    }
    assert_eq!(say(&mut socket, "AUTH 'open sesame'").await, "+OK\r\n");
    assert_eq!(say(&mut socket, "PING").await, "+PONG\r\n");
    assert_eq!(say(&mut socket, "RESET").await, "+RESET\r\n");
    assert!(say(&mut socket, "GET a").await.starts_with("-NOAUTH "));
    let hello = say(&mut socket, "HELLO 3 AUTH default 'open sesame' SETNAME me").await;
    assert!(hello.starts_with("%7\r\n"), "{hello}");
    assert_eq!(say(&mut socket, "GET a").await, "_\r\n");
    assert_eq!(say(&mut socket, "CLIENT GETNAME").await, "$2\r\nme\r\n");
    assert!(!format!("{:?}", settings(Duration::from_secs(60))).contains("sesame"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_little_memory_and_little_time() {
    let node = Node::start_with(settings(Duration::from_secs(3))).await;
    let mut socket = node.socket().await;
    let reply = say(&mut socket, "*2\r\n$4\r\nAUTH\r\n$100000").await;
    assert!(reply.starts_with("-ERR Protocol error"), "{reply}");
    let mut silent = node.socket().await;
    let mut end = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut end));
    assert_eq!(closed.await.unwrap().unwrap(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_password_says_so() {
    let node = Node::start().await;
    let mut socket = node.socket().await;
    assert!(say(&mut socket, "AUTH x").await.starts_with("-ERR AUTH"));
    assert_eq!(say(&mut socket, "AUTH default x").await, "+OK\r\n");
    assert_eq!(say(&mut socket, "QUIT").await, "+OK\r\n");
    assert_eq!(socket.read(&mut [0; 8]).await.unwrap(), 0);
    node.stop().await;
}
