//! What a peer answers is not believed: it is refused and counted, or the comparison ends.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::eventually;
use common::liar::{Liar, honest, item, node_that_has, node_with_sketch, stamp_ahead};
use replication_engine::error::RepairError;
use replication_engine::repair::question::{Answer, Question, encode_record};
use sync_engine::merkle::codec::encode_summary;
use sync_engine::merkle::node::Aggregate;
use sync_engine::merkle::{Group, ShortLeaf, Sketch, Summary, WalkError};

/// Has a newer `k.1`, and sends more than that when asked for it.
fn more_than_was_asked_for(question: Question) -> Answer {
    let newer = item("k.1", b"newer".to_vec(), stamp_ahead(1_000));
    let extra = item("k.2", b"of nobody".to_vec(), stamp_ahead(1_000));
    match question {
        Question::Records { keys } => Answer::Records {
            done: keys.len(),
            records: vec![encode_record(&newer), encode_record(&extra)],
        },
        other => honest(&[newer], 9, other),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_what_was_not_asked_for_is_not_taken() {
    let liar = Liar::new(more_than_was_asked_for);
    let node = node_that_has(&[("k.1", "older"), ("k.2", "mine")], liar).await;
    eventually("what was asked for", 60, async || {
        node.get("k.1").await.as_deref() == Some("newer")
    })
    .await;
    assert_eq!(node.get("k.2").await.as_deref(), Some("mine"));
}

/// Has something newer, as it says, and never comes out with it.
fn nothing_dealt_with(question: Question) -> Answer {
    match question {
        Question::Records { .. } => Answer::Records {
            done: 0,
            records: Vec::new(),
        },
        other => more_than_was_asked_for(other),
    }
}

/// Has something else, as it says, and never tells what.
fn nothing_told(question: Question) -> Answer {
    match question {
        Question::Summaries { .. } => Answer::Summaries(Vec::new()),
        other => more_than_was_asked_for(other),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_answers_that_lead_nowhere_end_the_comparison() {
    let answers: [fn(Question) -> Answer; 2] = [nothing_dealt_with, nothing_told];
    for answer in answers {
        let node = node_that_has(&[("k.1", "older")], Liar::new(answer)).await;
        eventually("told", 60, async || {
            matches!(node.replication().peers()[0].last_cold, Some(Err(_)))
        })
        .await;
        assert_eq!(node.get("k.1").await.as_deref(), Some("older"));
        node.stop().await;
    }
}

/// Has a newer `k.1`, and a sketch of these keys, which it says is that of its set, in so many cells.
fn a_sketch_of(keys: &'static [&str], cells: usize, asked: Arc<AtomicU64>) -> Liar {
    let newer = item("k.1", b"newer".to_vec(), stamp_ahead(1_000));
    let mut sketch = Sketch::default();
    for key in keys {
        let leaf = newer.leaf();
        sketch.insert(key.as_bytes(), &leaf, &leaf.digest(key.as_bytes()));
    }
    // As it can only be where the keys are sound, the honest count and sum go with them.
    let is_sound = keys.iter().all(|key| !key.contains('\u{1}'));
    Liar::new(move |question| {
        let honest = honest(
            std::slice::from_ref(&newer),
            9,
            match question {
                Question::Cells { .. } => Question::Root,
                ref other => other.clone(),
            },
        );
        match (question, honest) {
            (Question::Cells { from, .. }, Answer::Root(honest)) => {
                asked.fetch_add(1, Ordering::SeqCst);
                Answer::Cells {
                    aggregate: if is_sound {
                        honest
                    } else {
                        *sketch.aggregate()
                    },
                    cells: sketch.from(from, cells).to_vec(),
                }
            }
            (_, honest) => honest,
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_where_a_sketch_is_a_lie_the_trees_are_compared() {
    // Invented keys, a key that cannot be one, and cells that never suffice.
    let lies: [(&'static [&str], usize); 3] = [(&["x", "y"], 50), (&["\u{1}"], 50), (&["k.1"], 1)];
    for (keys, cells) in lies {
        let asked = Arc::new(AtomicU64::new(0));
        let liar = a_sketch_of(keys, cells, asked.clone());
        let node =
            node_with_sketch(&[("k.1", "older"), ("k.2", "mine"), ("k.3", "mine")], liar).await;
        eventually("what is newer", 15, async || {
            node.get("k.1").await.as_deref() == Some("newer")
        })
        .await;
        let comparisons = node.replication().peers()[0].cold_cycles + 1;
        let asked = asked.load(Ordering::SeqCst);
        assert!(
            (1..=3 * comparisons).contains(&asked),
            "{asked} in {comparisons}"
        );
        assert_eq!(node.all().await.len(), 3);
        node.stop().await;
    }
}

/// Divides everything into the keys under `k.`, and then speaks of `then` in place of them.
fn beside_the_question(then: Summary, asked: Arc<AtomicU64>) -> Liar {
    let newer = item("k.1", b"newer".to_vec(), stamp_ahead(1_000));
    let group = |prefix: &[u8]| Group::new(prefix.to_vec(), &Aggregate::default());
    let first = Summary {
        groups: vec![group(b"k.")],
        leaves: Vec::new(),
    };
    Liar::new(move |question| {
        let Question::Summaries { prefixes, .. } = &question else {
            return honest(std::slice::from_ref(&newer), 9, question);
        };
        asked.fetch_add(1, Ordering::SeqCst);
        let one = |prefix: &Vec<u8>| match prefix.is_empty() {
            true => encode_summary(prefix, &first).into(),
            false => encode_summary(prefix, &then).into(),
        };
        Answer::Summaries(prefixes.iter().map(one).collect())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_answers_about_other_keys_than_were_asked_about_end_the_comparison() {
    let again = Group::new(b"k.".to_vec(), &Aggregate::default());
    let newer = item("other", b"v".to_vec(), stamp_ahead(1_000));
    let other = (newer.key().clone(), ShortLeaf::from(&newer.leaf()));
    for (groups, leaves) in [(vec![again], vec![]), (vec![], vec![other])] {
        let asked = Arc::new(AtomicU64::new(0));
        let liar = beside_the_question(Summary { groups, leaves }, asked.clone());
        let node = node_that_has(&[("k.1", "older")], liar).await;
        let outside = RepairError::from(WalkError::Outside).to_string();
        eventually("told", 60, async || {
            node.replication().peers()[0].last_cold == Some(Err(outside.clone()))
        })
        .await;
        assert!(asked.load(Ordering::SeqCst) < 10);
        assert_eq!(node.all().await.len(), 1);
        node.stop().await;
    }
}
