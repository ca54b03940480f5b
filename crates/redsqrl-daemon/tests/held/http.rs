//! The same over HTTP, out of the same budget.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redsqrl_daemon::http::{Face, HttpServer};
use redsqrl_daemon::telemetry;
use sync_engine::cdc::keys::SpecialKeys;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::answer::Answer;
use crate::wire::content;

async fn served(node: &Node) -> HttpServer {
    let face = Face::new(
        node.engine.clone(),
        SpecialKeys::new(None),
        ITEM,
        node.budget.clone(),
        telemetry::metrics(),
        Arc::new(|| serde_json::json!({})),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    HttpServer::start(listener, Arc::new(face)).unwrap()
}

impl Answer {
    fn assert_busy(&self) {
        let (json, head) = (self.json(), &self.head);
        assert_eq!((self.status, &json["kind"]), (503, &"overloaded".into()));
        assert!(head.contains("retry-after: 1"), "{head}");
        assert!(
            json["error"]
                .to_string()
                .contains("too many bytes are on their way"),
            "{json}"
        );
    }
}

/// Asks, and reads nothing yet.
async fn asked(address: SocketAddr, method: &str, path: &str, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let head = format!("{head}content-length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn got(address: SocketAddr, path: &str) -> Answer {
    Answer::read(asked(address, "GET", path, 0).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_greedy_readers_over_http_share_the_budget_too() {
    let _turn = TURN.lock().await;
    const CLIENTS: usize = 24;
    let node = filled(LIMITS).await;
    let server = served(&node).await;
    let before = resident_bytes();
    let mut streams = Vec::new();
    for client in 0..CLIENTS {
        let key = key(client % ITEMS);
        let path = match client % 6 {
            0 => format!("/v1/items?content=true&prefix={key}"),
            _ => format!("/v1/items/{key}"),
        };
        streams.push(asked(server.address(), "GET", &path, 0).await);
    }
    a_moment().await;
    let grown = resident_bytes().saturating_sub(before);
    let mut answers = tokio::task::JoinSet::new();
    for (client, stream) in streams.into_iter().enumerate() {
        answers.spawn(async move { (client, Answer::read(stream).await) });
    }
    while let Some(answer) = answers.join_next().await {
        let (client, answer) = answer.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.head);
        let body = match client % 6 {
            0 => {
                let text = answer.json()[0]["content_base64"].take();
                STANDARD.decode(text.as_str().unwrap()).unwrap()
            }
            _ => answer.body,
        };
        assert!(body == content(client % ITEMS, ITEM), "{client}");
    }
    println!("{CLIENTS} clients: {} MiB grown", grown / MIB);
    for room in [&node.budget.lookups, &node.budget.replies] {
        assert!(room.most_held_bytes() > ITEM, "{room:?}: it was needed");
        assert!(room.most_held_bytes() <= room.total_bytes(), "{room:?}");
        until("it is given back", || room.held_bytes() == 0).await;
    }
    assert!(grown < 112 * MIB, "{grown} bytes");
    server.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_without_room_large_answers_are_refused_and_short_ones_are_not() {
    let _turn = TURN.lock().await;
    let node = filled(SCARCE).await;
    let server = served(&node).await;
    let address = server.address();
    let short = sync_engine::SyncItem::new("short", b"1".to_vec());
    node.engine.submit(short).await.unwrap();
    // It asks on the other port and reads nothing.
    let hog = refusals::hog(&node).await;
    for path in [
        "/v1/items/big.001",
        "/v1/items?content=true",
        "/v1/merkle?path=big",
    ] {
        got(address, path).await.assert_busy();
    }
    assert_eq!(got(address, "/v1/items/short").await.body, b"1");
    let shown = String::from_utf8(got(address, "/metrics").await.body).unwrap();
    let gauge = "redsqrl_held_bytes{for=\"replies\"}";
    let held = shown.lines().find_map(|line| line.strip_prefix(gauge));
    assert_eq!(held.unwrap().trim().parse(), Ok(ITEM as f64));
    drop(hog);
    until("its room is free", || node.budget.replies.held_bytes() == 0).await;
    // What a client does not take is held here too, and is given back with its last byte.
    let slow = asked(address, "GET", "/v1/items/big.001", 0).await;
    until("it is held", || node.budget.replies.held_bytes() == ITEM).await;
    got(address, "/v1/items/big.002").await.assert_busy();
    assert!(Answer::read(slow).await.body == content(1, ITEM));
    until("its room is free", || node.budget.replies.held_bytes() == 0).await;
    server.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_bodies_share_the_budget_of_requests() {
    let _turn = TURN.lock().await;
    let limits = BudgetLimits {
        requests: ITEM + MIB,
        patience: Duration::from_millis(200),
        ..LIMITS
    };
    let node = node(limits, ServerLimits::default()).await;
    let server = served(&node).await;
    let address = server.address();
    let body = content(1, ITEM);
    let (begin, end) = body.split_at(ITEM / 4 * 3);
    let mut half = asked(address, "PUT", "/v1/items/big.001", ITEM).await;
    half.write_all(begin).await.unwrap();
    while node.budget.requests.held_bytes() < begin.len() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut other = asked(address, "PUT", "/v1/items/big.002", ITEM / 2).await;
    other.write_all(&body[..ITEM / 2]).await.unwrap();
    Answer::read(other).await.assert_busy();
    half.write_all(end).await.unwrap();
    assert_eq!(Answer::read(half).await.status, 200);
    until("its room is free", || {
        node.budget.requests.held_bytes() == 0
    })
    .await;
    assert!(got(address, "/v1/items/big.001").await.body == body);
    server.stop().await;
    node.stop().await;
}
