//! Clients for whom there is no room.

use redsqrl_daemon::resp::RespServer;
use tokio::net::TcpSocket;
use tokio::time::timeout;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_without_room_large_replies_are_refused_and_short_ones_are_not() {
    let _turn = TURN.lock().await;
    let limits = BudgetLimits {
        replies: ITEM + MIB,
        patience: Duration::from_millis(200),
        ..LIMITS
    };
    let node = filled(limits).await;
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
    wire.ask(&["GETDEL", &big]).await;
    wire.content(3, ITEM).await;
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
        stall_max: Duration::from_secs(1),
        ..ServerLimits::default()
    };
    let node = filled_within(limits, server).await;
    // Whatever the system buffers, the node waits for each few bytes.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let narrow = RespServer::start(listener, node.shared.clone()).unwrap();
    for trickle in [false, true] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut hog = Wire::over(socket.connect(narrow.addr()).await.unwrap());
        take_all_room(&node, &mut hog).await;
        let holding = tokio::spawn(async move {
            match trickle {
                true => hog.sip().await,
                // Holds the connection, and takes nothing.
                false => std::future::pending().await,
            }
        });
        let mut wire = Wire::to(&node).await;
        wire.ask(&["GET", &key(3)]).await;
        wire.content(3, ITEM).await;
        holding.abort();
    }
    narrow.stop(PATIENCE).await.unwrap();
    node.stop().await;
}
