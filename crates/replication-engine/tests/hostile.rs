//! What peers send is not believed: refused, counted, kept for inspection, and nothing stalls.
#![allow(clippy::disallowed_methods)] // tests live in real time

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Node, converge, eventually};
use replication_engine::apply::SyncEngineRef;
use replication_engine::peer::memory::MemoryMesh;
use replication_engine::peer::{Dialler, Entry, Remote, RemoteError, StreamState};
use replication_engine::repair::answer::answer;
use replication_engine::repair::question::{
    Answer, Question, Refusal, decode_answer, decode_record, encode_answer, encode_question,
    encode_record,
};
use replication_engine::{ConfigError, PeerConfig};
use sync_engine::cdc::codec::{Limits, decode, encode};
use sync_engine::cdc::event::Epoch;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::env::{Env, RealEnv, Task};
use sync_engine::item::Stored;
use sync_engine::merkle::codec::encode_summary;
use sync_engine::merkle::node::Aggregate;
use sync_engine::merkle::{ShortLeaf, Summary};
use sync_engine::{CacheTtl, HlcTime, Origin, Stamp, SubmitOptions, SyncItem};

/// A peer that says whatever the test wants.
struct Liar {
    entries: Vec<Entry>,
    answers: fn(Question) -> Bytes,
}

#[async_trait::async_trait]
impl Remote for Liar {
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        let later = self.entries.iter().filter(|entry| entry.id > after);
        let found: Vec<Entry> = later.take(count).cloned().collect();
        if found.is_empty() {
            tokio::time::sleep(block).await;
        }
        Ok(found)
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        Ok(StreamState::default())
    }

    async fn root(&self) -> Result<Option<String>, RemoteError> {
        Ok(Some("of another set".into()))
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        // So that a caller that asks for ever can be stopped.
        tokio::task::yield_now().await;
        let question = replication_engine::repair::question::decode_question(&question).unwrap();
        Ok((self.answers)(question))
    }

    async fn ping(&self) -> Result<(), RemoteError> {
        Ok(())
    }
}

struct LiarDialler(Arc<Liar>);

impl Dialler for LiarDialler {
    fn remote(&self, _: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn stamp_ahead(ms: i64) -> Stamp {
    Stamp {
        time: HlcTime::from_ms(RealEnv::default().now_ms() + ms),
        origin: Origin::from_raw(0x66),
    }
}

/// An item with a stamp of the test's choice: through the wire, as no caller may set stamps.
fn item(key: &str, content: Vec<u8>, stamp: Stamp) -> Stored {
    let limits = Limits {
        payload_bytes_max: 1 << 30,
    };
    let mut fields = encode(&Stored::Live(SyncItem::new(key, content)), Epoch(1), 1);
    let (_, meta) = fields.last_mut().unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(meta).unwrap();
    json["stamp"] = stamp.time.0.into();
    json["origin"] = stamp.origin.to_string().into();
    *meta = json.to_string().into();
    decode(&fields, limits).unwrap().stored
}

async fn node_with(liar: Liar) -> Node {
    node_that_has(&[], liar).await
}

async fn node_that_has(items: &[(&str, &str)], liar: Liar) -> Node {
    let mesh = MemoryMesh::default();
    let mut node = Node::start(&mesh, "a", &["liar"], 100).await;
    for (key, value) in items {
        node.put(key, value).await;
    }
    node.engine.force_flush().await.unwrap();
    node.replicate_over(Arc::new(LiarDialler(Arc::new(liar))))
        .await;
    node
}

fn entries(writes: &[Stored]) -> Vec<Entry> {
    let entry = |(at, stored): (usize, &Stored)| Entry {
        id: StreamId {
            ms: at as u64 + 1,
            seq: 0,
        },
        fields: encode(stored, Epoch(9), at as u64 + 1),
    };
    writes.iter().enumerate().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_bombs_forgeries_and_oversize_items_are_refused_and_counted() {
    let mut entries = entries(&[
        item("good.1", b"v".to_vec(), stamp_ahead(-10)),
        item("bomb", vec![0; 256 << 20], stamp_ahead(-9)),
        item("forged", b"w".to_vec(), stamp_ahead(-8)),
        item("good.2", b"v".to_vec(), stamp_ahead(-7)),
    ]);
    for (name, value) in &mut entries[2].fields {
        if name == "data" {
            *value = "x".into();
        }
    }
    let node = node_with(Liar {
        entries,
        answers: |_| Bytes::from_static(b"\x01not zstd"),
    })
    .await;
    eventually("good ones", 10, async || node.get("good.2").await.is_some()).await;
    assert!(node.get("good.1").await.is_some() && node.get("bomb").await.is_none());
    assert!(node.get("forged").await.is_none());
    let kept = node.replication().rejected("liar").unwrap();
    assert_eq!(kept.len(), 2, "{kept:?}");
    eventually("the bad answer is told", 10, async || {
        matches!(node.replication().peers()[0].last_cold, Some(Err(_)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_write_from_the_future_waits_for_its_time_and_names_its_origin() {
    let write = item("early", b"v".to_vec(), stamp_ahead(6_500));
    let other = item("good", b"v".to_vec(), stamp_ahead(0));
    let answers = |_| encode_answer(&Answer::Refusal(Refusal::Busy));
    let node = node_with(Liar {
        entries: entries(&[write, other]),
        answers,
    })
    .await;
    eventually("the good one", 10, async || {
        node.get("good").await.is_some()
    })
    .await;
    assert!(node.get("early").await.is_none());
    let health = node.replication().health_check();
    assert_eq!(
        health.quarantined.into_iter().collect::<Vec<_>>(),
        [(Origin::from_raw(0x66), 1)]
    );
    eventually("its time", 12, async || node.get("early").await.is_some()).await;
    assert!(node.replication().health_check().quarantined.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_peer_that_claims_to_have_nothing_or_everything_takes_nothing_away() {
    let answers = |question| {
        encode_answer(&match question {
            Question::Root => Answer::Root(Aggregate::default()),
            _ => Answer::Range {
                done: true,
                records: Vec::new(),
            },
        })
    };
    let node = node_with(Liar {
        entries: Vec::new(),
        answers,
    })
    .await;
    for n in 0..100 {
        node.put(&format!("k.{n}"), "v").await;
    }
    eventually("compared", 15, async || {
        node.replication().peers()[0].cold_cycles > 2
    })
    .await;
    let all = node.all().await;
    assert!(all.len() == 100 && all.values().all(|stored| stored.item().is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_brings_only_forgeries_ends() {
    let answers = |question| {
        let mut aggregate = Aggregate::default();
        let forged = item("k", b"v".to_vec(), Stamp::default());
        aggregate.insert(&forged.leaf().digest(b"k"));
        encode_answer(&match question {
            Question::Root => Answer::Root(aggregate),
            _ => {
                let mut record = encode_record(&forged).to_vec();
                *record.last_mut().unwrap() ^= 1;
                Answer::Range {
                    done: false,
                    records: vec![record.into()],
                }
            }
        })
    };
    let node = node_with(Liar {
        entries: Vec::new(),
        answers,
    })
    .await;
    eventually("told", 10, async || {
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

/// Says it has a newer `k.1`, and sends more than that when asked for it.
fn more_than_was_asked_for(question: Question) -> Bytes {
    let newer = item("k.1", b"newer".to_vec(), stamp_ahead(1_000));
    let extra = item("k.2", b"of nobody".to_vec(), stamp_ahead(1_000));
    encode_answer(&match question {
        Question::Root => {
            let mut aggregate = Aggregate::default();
            aggregate.insert(&newer.leaf().digest(b"k.1"));
            Answer::Root(aggregate)
        }
        Question::Summaries { prefixes, .. } => {
            let summary = Summary {
                groups: Vec::new(),
                leaves: vec![("k.1".into(), ShortLeaf::from(&newer.leaf()))],
            };
            let one = |prefix: &Vec<u8>| encode_summary(prefix, &summary).into();
            Answer::Summaries(prefixes.iter().map(one).collect())
        }
        Question::Records { keys } => Answer::Records {
            done: keys.len(),
            records: vec![encode_record(&newer), encode_record(&extra)],
        },
        Question::Range { .. } => Answer::Refusal(Refusal::Busy),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_what_was_not_asked_for_is_not_taken() {
    let liar = Liar {
        entries: Vec::new(),
        answers: more_than_was_asked_for,
    };
    let node = node_that_has(&[("k.1", "older"), ("k.2", "mine")], liar).await;
    eventually("what was asked for", 15, async || {
        node.get("k.1").await.as_deref() == Some("newer")
    })
    .await;
    assert_eq!(node.get("k.2").await.as_deref(), Some("mine"));
}

/// Has something newer, as it says, and never comes out with it.
fn nothing_dealt_with(question: Question) -> Bytes {
    match question {
        Question::Records { .. } => encode_answer(&Answer::Records {
            done: 0,
            records: Vec::new(),
        }),
        other => more_than_was_asked_for(other),
    }
}

/// Has something else, as it says, and never tells what.
fn nothing_told(question: Question) -> Bytes {
    match question {
        Question::Summaries { .. } => encode_answer(&Answer::Summaries(Vec::new())),
        other => more_than_was_asked_for(other),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_answers_that_lead_nowhere_end_the_comparison() {
    let answers: [fn(Question) -> Bytes; 2] = [nothing_dealt_with, nothing_told];
    for answers in answers {
        let liar = Liar {
            entries: Vec::new(),
            answers,
        };
        let node = node_that_has(&[("k.1", "older")], liar).await;
        eventually("told", 10, async || {
            matches!(node.replication().peers()[0].last_cold, Some(Err(_)))
        })
        .await;
        assert_eq!(node.get("k.1").await.as_deref(), Some("older"));
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_fill_of_the_same_page_for_ever_ends() {
    let answers = |question| {
        let again = item("k", b"v".to_vec(), Stamp::default());
        let mut aggregate = Aggregate::default();
        aggregate.insert(&again.leaf().digest(b"k"));
        aggregate.insert(&again.leaf().digest(b"l"));
        encode_answer(&match question {
            Question::Root => Answer::Root(aggregate),
            Question::Range { .. } => Answer::Range {
                done: false,
                records: vec![encode_record(&again)],
            },
            _ => Answer::Refusal(Refusal::Busy),
        })
    };
    let node = node_with(Liar {
        entries: Vec::new(),
        answers,
    })
    .await;
    eventually("told", 10, async || {
        matches!(node.replication().peers()[0].last_cold, Some(Err(_)))
    })
    .await;
    assert_eq!(node.all().await.len(), 1);
}

/// Three pages of one record each; the second is refused.
fn refused_page(question: Question) -> Bytes {
    let stored = |key: &str| item(key, b"v".to_vec(), Stamp::default());
    let keys = ["k.1", "k.2", "k.3"];
    encode_answer(&match question {
        Question::Root => {
            let mut aggregate = Aggregate::default();
            for key in keys {
                aggregate.insert(&stored(key).leaf().digest(key.as_bytes()));
            }
            Answer::Root(aggregate)
        }
        Question::Range { after, .. } => {
            let after = after.unwrap_or_default();
            let next = keys.iter().find(|key| key.as_bytes() > &after[..]);
            let records = next.iter().map(|key| match **key {
                "k.2" => {
                    let item = SyncItem::new("k.2", b"v".to_vec());
                    let options = SubmitOptions::cache(CacheTtl::Minute);
                    encode_record(&Stored::Live(item.with_options(options)))
                }
                key => encode_record(&stored(key)),
            });
            Answer::Range {
                done: next.is_none(),
                records: records.collect(),
            }
        }
        _ => Answer::Refusal(Refusal::Busy),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_goes_past_a_page_of_which_everything_is_refused() {
    let node = node_with(Liar {
        entries: Vec::new(),
        answers: refused_page,
    })
    .await;
    eventually("what is behind it", 10, async || {
        node.all().await.len() == 2
    })
    .await;
    assert!(node.get("k.3").await.is_some());
    assert!(!node.replication().rejected("liar").unwrap().is_empty());
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
    converge(&[&a, &b], 10).await;
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
    converge(&[&a, &b], 20).await;
}

/// The clock of a node that is ahead.
struct Ahead(RealEnv, i64);

impl Env for Ahead {
    fn now_ms(&self) -> i64 {
        self.0.now_ms() + self.1
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.0.sleep(duration)
    }
    fn spawn(&self, name: &'static str, task: Task) {
        self.0.spawn(name, task);
    }
    fn spawn_thread(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send + 'static>,
    ) -> std::io::Result<()> {
        self.0.spawn_thread(name, work)
    }
    fn random(&self) -> u64 {
        self.0.random()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_clock_is_ahead_is_equal_in_the_end() {
    let mesh = MemoryMesh::default();
    let ahead = Arc::new(Ahead(RealEnv::default(), 7_000));
    let mut fast = Node::start_with(&mesh, "fast", &["a"], 100, ahead).await;
    let mut a = Node::start(&mesh, "a", &["fast"], 100).await;
    for node in [&mut fast, &mut a] {
        node.replicate().await;
    }
    for n in 0..20 {
        fast.put(&format!("k.{n}"), "from the future").await;
        a.put(&format!("k.{n}"), "of now").await;
    }
    let all = converge(&[&fast, &a], 30).await;
    assert_eq!(all.len(), 20);
}

static ASKED_AFTER: std::sync::Mutex<Vec<Option<Vec<u8>>>> = std::sync::Mutex::new(Vec::new());

/// 400 items in pages of 20, slowly.
fn slow_pages(question: Question) -> Bytes {
    let stored = |n: u32| item(&format!("k.{n:04}"), b"v".to_vec(), Stamp::default());
    encode_answer(&match question {
        Question::Root => {
            let mut aggregate = Aggregate::default();
            (0..400).for_each(|n| {
                aggregate.insert(&stored(n).leaf().digest(stored(n).key().as_bytes()))
            });
            Answer::Root(aggregate)
        }
        Question::Range { after, .. } => {
            std::thread::sleep(Duration::from_millis(60));
            ASKED_AFTER.lock().unwrap().push(after.clone());
            let number =
                |after: Vec<u8>| String::from_utf8_lossy(&after[2..]).parse::<u32>().unwrap();
            let from = after.map_or(0, |after| number(after) + 1);
            let found: Vec<Stored> = (from..(from + 20).min(400)).map(stored).collect();
            Answer::Range {
                done: found.is_empty(),
                records: found.iter().map(encode_record).collect(),
            }
        }
        _ => Answer::Refusal(Refusal::Busy),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_was_cut_off_goes_on_where_it_was() {
    let liar = || Liar {
        entries: Vec::new(),
        answers: slow_pages,
    };
    let mut node = node_with(liar()).await;
    eventually("some of it", 20, async || {
        node.replication().peers()[0].items_repaired >= 120
    })
    .await;
    node.replication().shutdown().await;
    let had = node.all().await.len();
    assert!((120..400).contains(&had), "{had}");
    let asked = ASKED_AFTER.lock().unwrap().len();
    node.replicate_over(Arc::new(LiarDialler(Arc::new(liar()))))
        .await;
    eventually("all of it", 20, async || node.all().await.len() == 400).await;
    let again = ASKED_AFTER.lock().unwrap()[asked].clone().unwrap();
    assert_eq!(again, format!("k.{:04}", had - 1).into_bytes());
}
