//! A cursor never passes what was not applied.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::watched::watched_tail;
use common::{Node, converge, eventually, following, mesh};
use replication_engine::repair::cycle::Outcome;
use replication_engine::tail::{Cursor, CursorStore};
use sync_engine::cdc::stream_id::StreamId;

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_cursor_never_passes_what_could_not_be_applied() {
    let mut nodes = mesh(&["a", "b"], 10_000).await;
    nodes[1].config.settings.cold_path.enabled = false;
    nodes[1].replicate().await;
    // From then on it is followed: the end of the stream was asked for.
    eventually("connected", 60, async || {
        nodes[1].replication().peers()[0].is_connected
    })
    .await;
    nodes[0].put("k.0", "v").await;
    let cursor = |nodes: &[Node]| nodes[1].replication().peers()[0].cursor;
    eventually("the first write", 60, async || {
        let last = nodes[0].log.last_id();
        nodes[1].get("k.0").await.is_some() && last > StreamId::MIN && cursor(&nodes) == last
    })
    .await;
    let before = cursor(&nodes);
    nodes[1].archive.set_down(true);
    for n in 1..50 {
        nodes[0].put(&format!("k.{n}"), "v").await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(cursor(&nodes), before);
    // Killed and started anew, still down: nothing has moved.
    nodes[1].replication().shutdown().await;
    nodes[1].replicate().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    nodes[1].archive.set_down(false);
    let all = converge(&[&nodes[0], &nodes[1]], 60).await;
    assert_eq!(all.len(), 50);
    // It is kept a moment after they are there.
    eventually("the cursor goes on", 60, async || cursor(&nodes) > before).await;
}

/// What comes next is read while a batch waits for the archive, and the cursor knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn i11_reading_goes_ahead_of_the_cursor() {
    let mut nodes = mesh(&["a", "b"], 10_000).await;
    nodes[1].config.settings.cold_path.enabled = false;
    let read_from = Arc::new(Mutex::new(StreamId::MIN));
    let dialler = watched_tail(nodes[1].mesh.dialler("b"), {
        let read_from = read_from.clone();
        move |from| *read_from.lock().unwrap() = from
    });
    nodes[1].replicate_over(dialler).await;
    nodes[0].put("k.0", "v").await;
    let cursor_now = || nodes[1].replication().peers()[0].cursor;
    eventually("the first write", 60, async || {
        nodes[1].get("k.0").await.is_some() && cursor_now() == nodes[0].log.last_id()
    })
    .await;
    nodes[1].archive.set_down(true);
    let cursor = cursor_now();
    nodes[0].put("k.1", "v").await;
    eventually("the next one is read", 60, async || {
        let last = nodes[0].log.last_id();
        last > cursor && *read_from.lock().unwrap() == last
    })
    .await;
    assert_eq!(cursor_now(), cursor);
    nodes[1].archive.set_down(false);
    assert_eq!(converge(&[&nodes[0], &nodes[1]], 60).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_cursor_past_the_end_of_the_stream_begins_anew() {
    let mut nodes = mesh(&["a", "b"], 1000).await;
    for n in 0..20 {
        nodes[0].put(&format!("k.{n}"), "v").await;
    }
    eventually("published", 60, async || nodes[0].log.len() == 20).await;
    // As after the peer has lost its Redis: what we know is longer than what there is.
    let mut last = nodes[0].log.last_id();
    last.ms += 3_600_000;
    let stream = nodes[1].config.peers[0].stream();
    let kept = Cursor::from_end(&stream, last, None);
    nodes[1].cursors.save_cursor("a", &kept).await.unwrap();
    nodes[1].config.settings.cold_path.enabled = false;
    nodes[1].replicate().await;
    let all = converge(&[&nodes[0], &nodes[1]], 60).await;
    assert_eq!(all.len(), 20);
}

/// The stream shows a write once: what the archive refused of it is for the cold path, though no look is due for long.
#[tokio::test(flavor = "multi_thread")]
async fn i11_what_the_archive_refuses_is_asked_for_on_the_cold_path() {
    let nodes = following("good").await;
    let report = || nodes[1].replication().peers().remove(0);
    nodes[1].archive.refuse(&"bad".into(), true);
    nodes[0].put("bad", "v").await;
    eventually("refused, and asked for", 60, async || {
        matches!(
            report().last_cold,
            Some(Ok(Outcome::Compared { refused: 1, .. }))
        )
    })
    .await;
}
