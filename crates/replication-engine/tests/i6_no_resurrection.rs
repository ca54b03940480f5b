//! What was deleted stays deleted, on every node.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use common::liar::{Liar, honest, item, node_with, stamp_ahead};
use common::{Node, converge, eventually, mesh};
use replication_engine::peer::memory::MemoryMesh;
use replication_engine::repair::answer::answer;
use replication_engine::repair::question::{
    Answer, Question, Refusal, decode_answer, decode_record, encode_question,
};
use sync_engine::Stamp;
use sync_engine::item::Stored;

#[tokio::test(flavor = "multi_thread")]
async fn i6_what_was_deleted_while_a_peer_was_away_stays_deleted() {
    let mut nodes = mesh(&["a", "b"], 20).await;
    for node in &mut nodes {
        node.replicate().await;
    }
    for n in 0..200 {
        nodes[0].put(&format!("k.{n}"), "v").await;
    }
    converge(&[&nodes[0], &nodes[1]], 60).await;
    nodes[1].replication().shutdown().await;
    for n in 0..100 {
        assert!(nodes[0].engine.delete(&format!("k.{n}")).await.unwrap());
    }
    nodes[1].put("k.150", "by b").await;
    nodes[1].replicate().await;
    let all = converge(&[&nodes[0], &nodes[1]], 60).await;
    assert_eq!(
        all.values()
            .filter(|stored| stored.item().is_none())
            .count(),
        100
    );
    for node in &nodes {
        assert_eq!(node.get("k.5").await, None);
        assert_eq!(node.get("k.150").await.as_deref(), Some("by b"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_answers_tell_of_what_was_deleted() {
    let mesh = MemoryMesh::default();
    let node = Node::start(&mesh, "a", &[], 100).await;
    node.put("k.1", "v").await;
    node.engine.delete("k.1").await.unwrap();
    node.engine.force_flush().await.unwrap();
    let everything = Question::Range {
        after: None,
        end: None,
        bytes_max: 1 << 20,
    };
    let keys = vec!["k.1".into()];
    for question in [everything, Question::Records { keys }] {
        let answered = answer(&*node.engine, &encode_question(&question)).await;
        let records = match decode_answer(answered.bytes, 1 << 20).unwrap() {
            Answer::Range { records, .. } | Answer::Records { records, .. } => records,
            other => panic!("{other:?}"),
        };
        let read = records
            .into_iter()
            .map(|bytes| decode_record(bytes).unwrap());
        let read: Vec<Stored> = read.collect();
        assert!(read.len() == 1 && read[0].item().is_none(), "{read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_fill_takes_tombstones_by_itself() {
    let (alive, stamp) = (item("k.1", b"v".to_vec(), Stamp::default()), stamp_ahead(0));
    let gone = Stored::Tombstone {
        key: "k.2".into(),
        stamp,
    };
    // No comparison can bring them after it.
    let liar = Liar::new(move |question| match question {
        Question::Summaries { .. } | Question::Records { .. } => Answer::Refusal(Refusal::Busy),
        other => honest(&[alive.clone(), gone.clone()], 9, other),
    });
    let node = node_with(liar).await;
    eventually("both", 60, async || node.all().await.len() == 2).await;
    assert!(node.all().await["k.2"].item().is_none());
}
