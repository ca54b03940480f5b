//! What a peer's stream brings is not believed: refused, counted, kept for inspection, and nothing stalls.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use common::eventually;
use common::liar::{Liar, entries, item, node_with, stamp_ahead};

#[tokio::test(flavor = "multi_thread")]
async fn i12_bombs_forgeries_and_oversize_items_are_refused_and_counted() {
    let mut entries = entries(&[
        item("good.1", b"v".to_vec(), stamp_ahead(-10)),
        item("bomb", vec![0; 32 << 20], stamp_ahead(-9)),
        item("forged", b"w".to_vec(), stamp_ahead(-8)),
        item("good.2", b"v".to_vec(), stamp_ahead(-7)),
    ]);
    for (name, value) in &mut entries[2].fields {
        if name == "data" {
            *value = "x".into();
        }
    }
    let liar = Liar::that_says(b"\x01not zstd");
    let node = node_with(liar.with_entries(entries)).await;
    eventually("good ones", 60, async || node.get("good.2").await.is_some()).await;
    assert!(node.get("good.1").await.is_some() && node.get("bomb").await.is_none());
    assert!(node.get("forged").await.is_none());
    // Counted a moment after the good ones can be read.
    let kept = || node.replication().rejected("liar").unwrap();
    eventually("both are kept", 60, async || kept().len() >= 2).await;
    assert_eq!(kept().len(), 2, "{:?}", kept());
    eventually("the bad answer is told", 60, async || {
        matches!(node.replication().peers()[0].last_cold, Some(Err(_)))
    })
    .await;
}
