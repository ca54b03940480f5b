//! A fill goes on behind what is damaged and where it was cut off, and ends whatever the peer says.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::eventually;
use common::liar::{Liar, honest, item, node_with};
use parking_lot::Mutex;
use replication_engine::repair::question::{Answer, Question, Refusal, encode_record};
use sync_engine::item::Stored;
use sync_engine::{CacheTtl, Stamp, SubmitOptions, SyncItem};

fn items(count: usize) -> Vec<Stored> {
    let one = |n| item(&format!("k.{n:04}"), b"v".to_vec(), Stamp::default());
    (0..count).map(one).collect()
}

/// Answers ranges as `pages` says, and the root; nothing else.
fn by_ranges_alone(
    all: Vec<Stored>,
    pages: impl Fn(&[Stored], Question) -> Answer + Send + Sync + 'static,
) -> Liar {
    Liar::new(move |question| match question {
        Question::Root | Question::Cells { .. } => honest(&all, 1, question),
        Question::Range { .. } => pages(&all, question),
        _ => Answer::Refusal(Refusal::Busy),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_brings_only_forgeries_ends() {
    let liar = by_ranges_alone(items(1), |all, _| {
        let mut record = encode_record(&all[0]).to_vec();
        *record.last_mut().unwrap() ^= 1;
        Answer::Range {
            done: false,
            records: vec![record.into()],
        }
    });
    let node = node_with(liar).await;
    eventually("told", 60, async || {
        matches!(node.replication().peers()[0].last_cold, Some(Err(_)))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        node.replication().peers()[0].rejected < 10,
        "it does not go on for ever"
    );
    assert_eq!(node.all().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_fill_of_the_same_page_for_ever_ends() {
    let liar = by_ranges_alone(items(2), |all, _| Answer::Range {
        done: false,
        records: vec![encode_record(&all[0])],
    });
    let node = node_with(liar).await;
    eventually("told", 60, async || {
        matches!(node.replication().peers()[0].last_cold, Some(Err(_)))
    })
    .await;
    assert_eq!(node.all().await.len(), 1);
}

/// Pages of one record each; `instead` of the record of number `at`.
fn with_another(all: &[Stored], at: usize, instead: &Bytes, question: Question) -> Answer {
    match honest(all, 1, question) {
        Answer::Range { records, .. } if records.contains(&encode_record(&all[at])) => {
            let (done, records) = (false, vec![instead.clone()]);
            Answer::Range { done, records }
        }
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_fill_goes_behind_a_page_of_which_everything_is_refused() {
    // One is of the kind that no node sends; of the other only the payload is damaged, so that its place is known.
    let item = SyncItem::new("k.0001", b"v".to_vec());
    let options = SubmitOptions::cache(CacheTtl::Minute);
    let unfit = encode_record(&Stored::Live(item.with_options(options)));
    let mut damaged = encode_record(&items(2)[1]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    for record in [unfit, damaged.into()] {
        let liar = by_ranges_alone(items(3), move |all, question| {
            with_another(all, 1, &record, question)
        });
        let node = node_with(liar).await;
        eventually("what is behind it", 60, async || {
            node.get("k.0002").await.is_some()
        })
        .await;
        assert_eq!(node.all().await.len(), 2);
        assert!(!node.replication().rejected("liar").unwrap().is_empty());
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_where_a_fill_cannot_go_on_the_trees_are_compared() {
    let ranges = Arc::new(AtomicU64::new(0));
    let asked = ranges.clone();
    let liar = Liar::new(move |question| {
        asked.fetch_add(
            matches!(question, Question::Range { .. }).into(),
            Ordering::SeqCst,
        );
        let noise = Bytes::from_static(b"nothing with a key in it");
        with_another(&items(300), 0, &noise, question)
    });
    let node = node_with(liar).await;
    eventually("everything", 60, async || node.all().await.len() == 300).await;
    let report = &node.replication().peers()[0];
    let error = report.last_error.clone().unwrap();
    assert!(error.contains("the fill cannot go on"), "{error}");
    assert!(!node.replication().rejected("liar").unwrap().is_empty());
    assert!(ranges.load(Ordering::SeqCst) < 10, "it is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_was_cut_off_goes_on_where_it_was() {
    let asked_after = Arc::new(Mutex::new(Vec::new()));
    let liar = || {
        let asked_after = asked_after.clone();
        by_ranges_alone(items(400), move |all, question| {
            if let Question::Range { after, .. } = &question {
                asked_after.lock().push(after.clone());
            }
            honest(all, 20, question)
        })
    };
    let asked = asked_after.clone();
    let is_silent = move |question: &Question| {
        matches!(question, Question::Range { .. }) && asked.lock().len() >= 6
    };
    let mut node = node_with(liar().silent_when(is_silent)).await;
    eventually("some of it", 60, async || {
        node.replication().peers()[0].items_repaired >= 120
    })
    .await;
    node.replication().shutdown().await;
    assert_eq!(node.all().await.len(), 120);
    node.replicate_over(liar().dialler()).await;
    eventually("all of it", 60, async || node.all().await.len() == 400).await;
    let again = asked_after.lock()[6].clone().unwrap();
    assert_eq!(again, b"k.0119");
}
