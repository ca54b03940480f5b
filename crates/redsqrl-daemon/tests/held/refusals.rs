//! Clients for whom there is no room.

use redsqrl_daemon::resp::RespServer;
use tokio::net::{TcpSocket, TcpStream};

use super::*;

/// A client that asked for everything and reads nothing holds all the room there is for replies.
pub async fn hog(node: &Node) -> Wire {
    let mut hog = Wire::to(node).await;
    take_all_room(node, &mut hog).await;
    hog
}

async fn take_all_room(node: &Node, hog: &mut Wire) {
    let mut words: Vec<String> = (0..ITEMS).map(key).collect();
    words.insert(0, "MGET".into());
    hog.ask(&words).await;
    let full = async {
        while node.budget.replies.held_bytes() < ITEM {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, full).await.expect("the room is taken");
}

/// A port of this node, and a client of it, between which the system buffers next to nothing: the node waits for each few
/// bytes.
pub async fn narrow(node: &Node) -> (RespServer, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let server = RespServer::start(listener, node.shared.clone()).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let socket = socket.connect(server.addr()).await.unwrap();
    (server, socket)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_without_room_large_replies_are_refused_and_short_ones_are_not() {
    let _turn = TURN.lock().await;
    let node = filled(SCARCE).await;
    let mut wire = Wire::to(&node).await;
    for n in 0..500 {
        wire.ask(&["SET", &format!("short.{n:03}"), &"x".repeat(1000)])
            .await;
        assert_eq!(wire.line().await, "+OK");
    }
    let hog = hog(&node).await;
    let big = key(3);
    for ask in [
        &["GET", &big][..],
        &["MGET", "short.000", &big],
        &["GETDEL", &big],
        &["SET", &big, "x", "GET"],
        &["XRANGE", "__local__:cdc", "-", "+"],
        &["XINFO", "STREAM", "__local__:cdc"],
    ] {
        wire.ask(ask).await;
        let refused = wire.line().await;
        let busy = "-BUSY too many bytes are on their way to clients";
        assert!(refused.starts_with(busy), "{ask:?}: {refused}");
    }
    for (ask, answer) in [
        (&["EXISTS", &big][..], ":1"),
        (&["STRLEN", &big], &format!(":{ITEM}")),
        (&["GET", "short.000"], "$1000"),
    ] {
        wire.ask(ask).await;
        assert_eq!(wire.line().await, answer, "{ask:?}");
    }
    wire.line().await;
    // A part of this reply is sent before there is no room for the rest: it breaks off.
    let mut cut = Wire::to(&node).await;
    let mut words: Vec<String> = (0..500).map(|n| format!("short.{n:03}")).collect();
    words.insert(0, "MGET".into());
    words.push(big.clone());
    cut.ask(&words).await;
    let answer = cut.rest().await;
    assert!(answer.starts_with(b"*501\r\n") && answer.len() > 200_000);
    assert!(!answer.windows(5).any(|part| part == b"-BUSY"));
    // With the hog its room goes.
    drop(hog);
    until("its room is free", || node.budget.replies.held_bytes() == 0).await;
    wire.ask(&["GETDEL", &big]).await;
    wire.content(3, ITEM).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_who_waits_for_room_for_an_old_value_keeps_nobody_from_the_key() {
    let _turn = TURN.lock().await;
    let node = filled(LIMITS).await;
    let big = key(3);
    for ask in [&["GETDEL", &big][..], &["SET", &big, "y", "GET"]] {
        node.engine.submit(item(3, ITEM)).await.unwrap();
        let all = node.budget.replies.take(usize::MAX).await.unwrap();
        let mut waiting = Wire::to(&node).await;
        waiting.ask(ask).await;
        a_moment().await;
        let mut wire = Wire::to(&node).await;
        wire.ask(&["SET", &big, "x"]).await;
        let set = timeout(PATIENCE / 3, wire.line()).await;
        assert_eq!(set.expect("the key is free"), "+OK", "{ask:?}");
        drop(all);
        // What is there now.
        assert_eq!(waiting.text().await, "x", "{ask:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_who_takes_nothing_or_next_to_nothing_is_cut_off() {
    let _turn = TURN.lock().await;
    let limits = BudgetLimits {
        replies: ITEM + MIB,
        ..LIMITS
    };
    let server = ServerLimits {
        stall_max: Duration::from_secs(3),
        ..ServerLimits::default()
    };
    let node = filled_within(limits, server).await;
    // 80 KiB a second would be enough of less.
    for kib in [0, 1, 8] {
        let (narrow, socket) = narrow(&node).await;
        let mut hog = Wire::over(socket);
        take_all_room(&node, &mut hog).await;
        let holding = tokio::spawn(async move {
            match kib {
                // Holds the connection, and takes nothing.
                0 => std::future::pending().await,
                kib => hog.sip(kib).await,
            }
        });
        let mut wire = Wire::to(&node).await;
        wire.ask(&["GET", &key(3)]).await;
        wire.content(3, ITEM).await;
        holding.abort();
        narrow.stop(PATIENCE).await.unwrap();
    }
    node.stop().await;
}
