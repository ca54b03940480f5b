//! Long requests.

use super::*;
use crate::wire::content;

/// Sends the head of a SET of an item, and the first half of its value.
async fn half_a_set(node: &Node, n: usize) -> Wire {
    let mut wire = Wire::to(node).await;
    let head = format!("*3\r\n$3\r\nSET\r\n$7\r\n{}\r\n${ITEM}\r\n", key(n));
    wire.send(head.as_bytes()).await;
    wire.send(&content(n, ITEM)[..ITEM / 2]).await;
    wire
}

async fn the_other_half(wire: &mut Wire, n: usize) {
    wire.send(&content(n, ITEM)[ITEM / 2..]).await;
    wire.send(b"\r\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_long_requests_share_one_budget() {
    let _turn = TURN.lock().await;
    let limits = BudgetLimits {
        requests: 2 * ITEM + MIB,
        patience: Duration::from_millis(200),
        ..LIMITS
    };
    let node = node(limits, ServerLimits::default()).await;
    let mut halves = [half_a_set(&node, 1).await, half_a_set(&node, 2).await];
    until("both halves are held", || {
        node.budget.requests.held_bytes() >= 2 * ITEM
    })
    .await;
    let mut refused = half_a_set(&node, 3).await;
    let answer = String::from_utf8(refused.rest().await).unwrap();
    assert!(
        answer.starts_with("-BUSY too many bytes are on their way from clients"),
        "{answer}"
    );
    // Short ones have room of their own.
    let mut wire = Wire::to(&node).await;
    wire.ask(&["SET", "short", "1"]).await;
    assert_eq!(wire.line().await, "+OK");
    for (n, half) in halves.iter_mut().enumerate() {
        the_other_half(half, n + 1).await;
        assert_eq!(half.line().await, "+OK");
    }
    until("given back with the answer", || {
        node.budget.requests.held_bytes() == 0
    })
    .await;
    let mut third = half_a_set(&node, 3).await;
    the_other_half(&mut third, 3).await;
    assert_eq!(third.line().await, "+OK");
    for n in 1..=3 {
        wire.ask(&["GET", &key(n)]).await;
        wire.content(n, ITEM).await;
    }
    assert!(node.budget.requests.most_held_bytes() <= limits.requests);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_a_long_request_that_does_not_go_on_is_cut_off() {
    let _turn = TURN.lock().await;
    let limits = BudgetLimits {
        requests: ITEM + MIB,
        ..LIMITS
    };
    let server = ServerLimits {
        stall_max: Duration::from_secs(3),
        ..ServerLimits::default()
    };
    let node = node(limits, server).await;
    // 80 KiB a second would be enough of less.
    for bytes in [0, 1, 8 << 10] {
        let mut half = half_a_set(&node, 1).await;
        let trickling = tokio::spawn(async move { half.trickle(&vec![b'x'; bytes]).await });
        a_moment().await;
        let mut wire = half_a_set(&node, 2).await;
        the_other_half(&mut wire, 2).await;
        assert_eq!(wire.line().await, "+OK");
        trickling.abort();
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_short_arguments_count_by_what_they_take() {
    let _turn = TURN.lock().await;
    const ARGS: usize = 500_000;
    let limits = BudgetLimits {
        requests: 256 * MIB,
        ..LIMITS
    };
    let node = node(limits, ServerLimits::default()).await;
    let mut wire = Wire::to(&node).await;
    wire.send(format!("*{}\r\n$3\r\nDEL\r\n", ARGS + 2).as_bytes())
        .await;
    wire.send(&b"$1\r\na\r\n".repeat(ARGS)).await;
    // Where each argument begins and ends, beside the bytes themselves.
    let index = ARGS * 16;
    until("the index is counted", || {
        node.budget.requests.held_bytes() > ARGS * 7 + index
    })
    .await;
    wire.send(b"$1\r\na\r\n").await;
    assert_eq!(wire.line().await, ":0");
    // And what may become of each when they are carried out.
    assert!(node.budget.requests.most_held_bytes() > ARGS * 7 + ARGS * 256);
    until("given back with the answer", || {
        node.budget.requests.held_bytes() == 0
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_a_request_that_may_become_more_than_all_there_is_waits_for_no_more() {
    let _turn = TURN.lock().await;
    const ARGS: usize = 100_000;
    let limits = BudgetLimits {
        requests: ARGS * 128,
        ..LIMITS
    };
    let node = node(limits, ServerLimits::default()).await;
    let mut wire = Wire::to(&node).await;
    let began = std::time::Instant::now();
    wire.send(format!("*{}\r\n$3\r\nDEL\r\n", ARGS + 1).as_bytes())
        .await;
    wire.send(&b"$1\r\na\r\n".repeat(ARGS)).await;
    assert_eq!(wire.line().await, ":0");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!(
        node.budget.requests.most_held_bytes(),
        node.budget.requests.total_bytes()
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_a_buffer_that_doubles_does_not_outgrow_the_longest_request() {
    let _turn = TURN.lock().await;
    let mut server = ServerLimits::default();
    server.request.request_bytes_max = 5 * MIB + MIB / 2;
    let node = node(LIMITS, server).await;
    let mut wire = Wire::to(&node).await;
    let keys = ["a", "b", "c", "d", "e"];
    let mut words = vec![b"MSET".to_vec()];
    for key in keys {
        words.extend([key.into(), vec![b'x'; MIB]]);
    }
    wire.ask(&words).await;
    assert_eq!(wire.line().await, "+OK");
    let most = node.budget.requests.most_held_bytes();
    assert!((5 * MIB..6 * MIB).contains(&most), "{most}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_who_is_turned_away_is_listened_to_for_a_few_seconds_and_not_beyond_the_end() {
    let _turn = TURN.lock().await;
    let limits = BudgetLimits {
        requests: ITEM + MIB,
        patience: Duration::from_millis(100),
        ..LIMITS
    };
    let node = node(limits, ServerLimits::default()).await;
    let all = node.budget.requests.take(usize::MAX).await.unwrap();
    let mut refused = half_a_set(&node, 1).await;
    let answer = refused.line().await;
    assert!(answer.starts_with("-BUSY"), "{answer}");
    let trickle = refused.trickle(b"x");
    tokio::time::timeout(PATIENCE, trickle)
        .await
        .expect("cut off in time");
    let mut refused = half_a_set(&node, 1).await;
    refused.line().await;
    let trickling = tokio::spawn(async move { refused.trickle(b"x").await });
    drop(all);
    let began = std::time::Instant::now();
    node.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4));
    trickling.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_a_long_request_does_not_wait_for_ever() {
    let _turn = TURN.lock().await;
    let node = node(LIMITS, ServerLimits::default()).await;
    let mut wire = Wire::to(&node).await;
    let mut words = vec!["XREAD", "BLOCK", "0", "STREAMS"];
    words.extend(["__local__:cdc"; 1000]);
    words.extend(["$"; 1000]);
    wire.ask(&words).await;
    let refused = wire.line().await;
    assert!(
        refused.starts_with("-ERR this request is too long to wait"),
        "{refused}"
    );
    until("given back with the answer", || {
        node.budget.requests.held_bytes() == 0
    })
    .await;
    node.stop().await;
}
