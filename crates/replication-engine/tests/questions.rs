//! Whoever asks, and whatever: answers are bounded, and nobody is locked out.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::clock::OddClock;
use common::{Node, converge};
use replication_engine::PeerConfig;
use replication_engine::apply::SyncEngineRef;
use replication_engine::limits::{ANSWERS_KEPT, ASKERS_MAX};
use replication_engine::peer::memory::{MemoryMesh, MemoryPort};
use replication_engine::repair::answer::answer;
use replication_engine::repair::question::{Question, decode_answer, encode_question};

#[tokio::test(flavor = "multi_thread")]
async fn i12_hostile_questions_get_bounded_answers() {
    let mesh = MemoryMesh::default();
    let node = Node::start(&mesh, "a", &[], 100).await;
    for n in 0..3_000 {
        node.put(&format!("k.{n:04}"), &"v".repeat(10_000)).await;
    }
    node.engine.force_flush().await.unwrap();
    let store: &dyn SyncEngineRef = &*node.engine;
    let mut noise: Vec<Bytes> = (0..200)
        .map(|_| {
            (0..fastrand::usize(..60))
                .map(|_| fastrand::u8(..6))
                .collect::<Vec<_>>()
                .into()
        })
        .collect();
    noise.push(vec![1; 2 << 20].into());
    noise.push(encode_question(&Question::Range {
        after: None,
        end: None,
        bytes_max: u64::MAX,
    }));
    noise.push(encode_question(&Question::Range {
        after: None,
        end: Some(Vec::new()),
        bytes_max: 0,
    }));
    let keys = (0..3_000).map(|n| format!("k.{n:04}").into()).collect();
    noise.push(encode_question(&Question::Records { keys }));
    for question in noise {
        let answered = answer(store, &question).await;
        decode_answer(answered.bytes.clone(), 16 << 20).unwrap();
        assert!(answered.bytes.len() <= 8 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_questions_does_not_stop_the_node() {
    let mesh = MemoryMesh::default();
    let mut a = Node::start(&mesh, "a", &["b"], 5).await;
    let mut b = Node::start(&mesh, "b", &["a"], 5).await;
    for n in 0..200 {
        a.put(&format!("k.{n}"), "v").await;
    }
    a.replicate().await;
    b.replicate().await;
    let config = PeerConfig::for_testing("a", common::url("a"));
    let flooder = mesh.dialler("flooder").remote(&config).unwrap();
    let flood: Vec<Pin<Box<dyn Future<Output = bool> + Send>>> = (0..500)
        .map(|n| {
            let flooder = flooder.clone();
            let question = vec![n as u8; 50];
            Box::pin(async move { flooder.ask(question.into()).await.is_ok() }) as _
        })
        .collect();
    let answered = futures_util::future::join_all(flood).await;
    assert!(answered.iter().filter(|answered| **answered).count() >= 64);
    converge(&[&a, &b], 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_answered_however_many_others_have_asked() {
    let mesh = MemoryMesh::default();
    let mut a = Node::start(&mesh, "a", &["b"], 5).await;
    let mut b = Node::start(&mesh, "b", &["a"], 5).await;
    for n in 0..20 {
        a.put(&format!("k.{n}"), "v").await;
    }
    a.replicate().await;
    let config = PeerConfig::for_testing("a", common::url("a"));
    for n in 0..300 {
        let asker = mesh.dialler(&format!("x{n}")).remote(&config).unwrap();
        let asked = asker.ask(Bytes::from_static(b"?"));
        tokio::time::timeout(Duration::from_millis(50), asked)
            .await
            .ok();
    }
    b.replicate().await;
    converge(&[&a, &b], 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_an_asker_that_is_no_peer_is_answered_again_after_a_flood_of_names() {
    let mesh = MemoryMesh::default();
    let clock = Arc::new(OddClock::default());
    let mut a = Node::start_with(&mesh, "a", &[], 5, clock.clone()).await;
    a.replicate().await;
    let config = PeerConfig::for_testing("a", common::url("a"));
    let ask = async |from: &str, patience: Duration| {
        let asker = mesh.dialler(from).remote(&config).unwrap();
        let asked = asker.ask(Bytes::from_static(b"?"));
        let answered = tokio::time::timeout(patience, asked).await;
        answered.is_ok_and(|answer| answer.is_ok())
    };
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(500));
    for n in 0..ASKERS_MAX {
        assert!(ask(&format!("x{n}"), long).await);
    }
    let is_answered = ask("late", short).await;
    assert!(!is_answered, "there is room for so many streams");
    assert!(ask("x7", long).await);
    clock.skip(ANSWERS_KEPT);
    assert!(ask("late", long).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_though_the_servers_clock_is_behind() {
    let mesh = MemoryMesh::default();
    let mut a = Node::start(&mesh, "a", &[], 5).await;
    let behind = Arc::new(OddClock::ahead(-3_600_000));
    a.port = MemoryPort::new(a.log.clone(), behind);
    mesh.add(&common::url("a"), a.port.clone());
    a.replicate().await;
    let config = PeerConfig::for_testing("a", common::url("a"));
    let asker = mesh.dialler("b").remote(&config).unwrap();
    let asked = asker.ask(encode_question(&Question::Root));
    let answered = tokio::time::timeout(Duration::from_secs(60), asked).await;
    answered.expect("an answer").unwrap();
}
