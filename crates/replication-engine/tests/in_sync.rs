//! A node says that it is in sync with a peer only when nothing is missing here that the peer has.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::eventually;
use common::liar::{Liar, honest, item, node_that_has, node_with, stamp_ahead};
use replication_engine::repair::cycle::Outcome;
use replication_engine::repair::question::{Answer, encode_record};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_from_the_future_is_a_difference() {
    let all = [
        item("k.damaged", b"v".to_vec(), stamp_ahead(0)),
        item("k.early", b"v".to_vec(), stamp_ahead(3_600_000)),
        item("k.good", b"v".to_vec(), stamp_ahead(0)),
    ];
    let is_damaged = Arc::new(AtomicBool::new(true));
    let damages = is_damaged.clone();
    let liar = Liar::new(move |question| {
        let mut answer = honest(&all, 9, question);
        if let Answer::Records { records, .. } = &mut answer {
            if damages.load(Ordering::SeqCst) {
                records.retain(|record| *record != encode_record(&all[0]));
                records.push("nothing".into());
            }
            // What comes several times is still one.
            let last = encode_record(&all[2]);
            if records.contains(&last) {
                records.extend([last.clone(), last]);
            }
        }
        answer
    });
    let node = node_that_has(&[("mine", "v")], liar).await;
    let report = || node.replication().peers().remove(0);
    let differs = |refused| {
        let is_truncated = false;
        Some(Ok(Outcome::Compared {
            behind: refused,
            refused,
            is_truncated,
        }))
    };
    eventually("two refused", 60, async || report().last_cold == differs(2)).await;
    assert!(node.get("k.good").await.is_some());
    assert_eq!(report().in_sync_at_ms, None);
    let shown = report().last_cold.unwrap().unwrap().to_string();
    assert_eq!(shown, "differs: 2 refused, 0 taken");
    is_damaged.store(false, Ordering::SeqCst);
    eventually("one refused", 60, async || report().last_cold == differs(1)).await;
    assert_eq!(report().in_sync_at_ms, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_peer_lacks_is_none() {
    let all = [item("k", b"v".to_vec(), stamp_ahead(0))];
    let liar = Liar::new(move |question| honest(&all, 9, question));
    let node = node_that_has(&[("mine", "v")], liar).await;
    eventually("in sync", 60, async || {
        node.replication().peers()[0].in_sync_at_ms.is_some()
    })
    .await;
    assert!(node.get("k").await.is_some());
}

/// What a peer publishes may be older than what is known to be missing: the node took an old root that was its own for the
/// answer, and did not look again for a whole interval.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_is_called_for_does_not_believe_an_old_root_that_the_peer_has_published()
{
    let all = ["k.1", "k.2"].map(|key| item(key, b"v".to_vec(), stamp_ahead(0)));
    let held = Arc::new(AtomicUsize::new(1));
    let (before, holds) = (all[..1].to_vec(), held.clone());
    let liar = Liar::new(move |question| honest(&all[..holds.load(Ordering::SeqCst)], 9, question));
    let node = node_with(liar.with_root_of(&before)).await;
    let report = || node.replication().peers().remove(0);
    eventually("in sync with what is published", 60, async || {
        node.get("k.1").await.is_some() && report().last_cold == Some(Ok(Outcome::InSync))
    })
    .await;
    held.store(2, Ordering::SeqCst);
    node.replication().run_cold_path(None).unwrap();
    eventually("what is missing", 60, async || {
        node.get("k.2").await.is_some()
    })
    .await;
}
