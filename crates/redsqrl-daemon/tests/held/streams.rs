//! Readers of the change stream.

use super::*;

const CDC: &str = "__local__:cdc";

/// Checks the entries of a reply to XRANGE or XREVRANGE: how many.
async fn check_entries(wire: &mut Wire, rev: bool) -> usize {
    let entries = wire.head('*').await;
    let mut last = None;
    for _ in 0..entries {
        let id = wire.entry(ITEM).await;
        let (ms, seq) = id.split_once('-').unwrap();
        let id: (u64, u64) = (ms.parse().unwrap(), seq.parse().unwrap());
        assert!(
            last.is_none_or(|last| (last < id) != rev),
            "{last:?}, then {id:?}"
        );
        last = Some(id);
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_whole_ranges_for_slow_readers_are_bounded_and_whole() {
    let _turn = TURN.lock().await;
    // The stream holds 64 MiB: one range at a time fits.
    let limits = BudgetLimits {
        replies: 72 * MIB,
        ..LIMITS
    };
    let node = filled(limits).await;
    let watch = Watch::begin();
    let mut wires = Vec::new();
    for client in 0..3 {
        let mut wire = Wire::to(&node).await;
        let rev = client % 2 == 1;
        match rev {
            false => wire.ask(&["XRANGE", CDC, "-", "+"]).await,
            true => wire.ask(&["XREVRANGE", CDC, "+", "-"]).await,
        }
        a_moment().await;
        // Nothing of what this one reads is in the stream any more when the next one asks.
        write_all(&node).await;
        wires.push((wire, rev));
    }
    until("a range is held", || {
        node.budget.replies.held_bytes() > 32 * MIB
    })
    .await;
    let mut checks = tokio::task::JoinSet::new();
    for (mut wire, rev) in wires {
        checks.spawn(async move { check_entries(&mut wire, rev).await });
    }
    while let Some(entries) = checks.join_next().await {
        assert_eq!(
            entries.unwrap(),
            ITEMS - 1,
            "as many as the stream has room for"
        );
    }
    let grown = watch.grown();
    println!("{} MiB grown", grown / MIB);
    let replies = &node.budget.replies;
    until("it is given back", || replies.held_bytes() == 0).await;
    assert!(replies.most_held_bytes() <= limits.replies);
    assert!(grown < 160 * MIB, "{grown} bytes");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_an_xread_gives_a_part_and_goes_on() {
    let _turn = TURN.lock().await;
    let node = filled(LIMITS).await;
    let mut wire = Wire::to(&node).await;
    let (mut last, mut read) = ("0".to_owned(), 0);
    loop {
        // However often a stream is named, the bound is one.
        let after = last.as_str();
        wire.ask(&[
            "XREAD", "STREAMS", CDC, CDC, CDC, CDC, after, after, after, after,
        ])
        .await;
        let streams = wire.line().await;
        if streams == "*-1" {
            break;
        }
        assert_eq!(streams, "*1");
        assert_eq!(wire.head('*').await, 2);
        assert_eq!(wire.text().await, CDC);
        let entries = wire.head('*').await;
        assert_eq!(
            entries, 1,
            "one that is longer than all of 8 MiB comes alone"
        );
        last = wire.entry(ITEM).await;
        read += entries;
    }
    assert_eq!(read, ITEMS - 1);
    // Nobody who holds all the room keeps others from short entries.
    let _all = node.budget.replies.take(usize::MAX).await.unwrap();
    wire.ask(&["SET", "short", "1"]).await;
    assert_eq!(wire.line().await, "+OK");
    node.engine.force_flush().await.unwrap();
    wire.ask(&["XREAD", "BLOCK", "30000", "STREAMS", CDC, &last])
        .await;
    assert_eq!(wire.line().await, "*1");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i8_an_xread_gives_its_room_back_as_it_is_sent() {
    let _turn = TURN.lock().await;
    let node = node(LIMITS, ServerLimits::default()).await;
    for n in 0..7 {
        node.engine.submit(item(n, MIB)).await.unwrap();
    }
    published(&node).await;
    // The system buffers next to nothing.
    let (narrow, socket) = refusals::narrow(&node).await;
    let mut wire = Wire::over(socket);
    wire.ask(&["XREAD", "STREAMS", CDC, "0"]).await;
    assert_eq!(wire.line().await, "*1");
    assert_eq!(wire.head('*').await, 2);
    assert_eq!(wire.text().await, CDC);
    assert_eq!(wire.head('*').await, 7);
    for left in (0..7).rev() {
        let held = node.budget.replies.held_bytes();
        assert!(held >= left * MIB, "{held} for {left} and the next");
        wire.entry(MIB).await;
        until("its room is given back", || {
            node.budget.replies.held_bytes() < (left + 1) * MIB
        })
        .await;
    }
    narrow.stop(PATIENCE).await.unwrap();
    node.stop().await;
}
