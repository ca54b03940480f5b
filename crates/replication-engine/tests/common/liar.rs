//! A peer that says whatever the test wants.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use replication_engine::peer::memory::MemoryMesh;
use replication_engine::peer::{Dialler, Entry, Remote, RemoteError, StreamState};
use replication_engine::repair::question::{
    Answer, Question, Refusal, decode_question, encode_answer, encode_record,
};
use replication_engine::{ConfigError, PeerConfig};
use sync_engine::cdc::codec::{Limits, decode, encode};
use sync_engine::cdc::event::Epoch;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::env::{Env, RealEnv, SharedEnv};
use sync_engine::item::Stored;
use sync_engine::merkle::codec::encode_summary;
use sync_engine::merkle::node::Aggregate;
use sync_engine::merkle::read::summarize_leaves;
use sync_engine::{HlcTime, Origin, Stamp, SyncItem};

use super::{Node, eventually};

/// Has the entries of its stream, a root that it has published, and answers as it likes.
pub struct Liar {
    entries: Vec<Entry>,
    published: String,
    answer: Box<dyn Fn(Question) -> Bytes + Send + Sync>,
    is_silent: Box<dyn Fn(&Question) -> bool + Send + Sync>,
}

impl Liar {
    pub fn new(answer: impl Fn(Question) -> Answer + Send + Sync + 'static) -> Self {
        Self::answering(move |question| encode_answer(&answer(question)))
    }

    /// Answers everything with these bytes.
    pub fn that_says(bytes: &'static [u8]) -> Self {
        Self::answering(move |_| Bytes::from_static(bytes))
    }

    fn answering(answer: impl Fn(Question) -> Bytes + Send + Sync + 'static) -> Self {
        Self {
            entries: Vec::new(),
            published: "of another set".into(),
            answer: Box::new(answer),
            is_silent: Box::new(|_| false),
        }
    }

    /// Lets these questions wait for ever.
    pub fn silent_when(
        self,
        is_silent: impl Fn(&Question) -> bool + Send + Sync + 'static,
    ) -> Self {
        let is_silent = Box::new(is_silent);
        Self { is_silent, ..self }
    }

    /// Answers nothing.
    pub fn busy() -> Self {
        Self::new(|_| Answer::Refusal(Refusal::Busy))
    }

    pub fn with_entries(self, entries: Vec<Entry>) -> Self {
        Self { entries, ..self }
    }

    /// The root that it has published is that of these, whatever it answers.
    pub fn with_root_of(self, all: &[Stored]) -> Self {
        let published = aggregate(all).hash().to_string();
        Self { published, ..self }
    }

    pub fn dialler(self) -> Arc<dyn Dialler> {
        Arc::new(LiarDialler(Arc::new(self)))
    }
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
        Ok(Some(self.published.clone()))
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        // So that a caller that asks for ever can be stopped.
        tokio::task::yield_now().await;
        let question = decode_question(&question).unwrap();
        if (self.is_silent)(&question) {
            std::future::pending::<()>().await;
        }
        Ok((self.answer)(question))
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

pub fn stamp_ahead(ms: i64) -> Stamp {
    Stamp {
        time: HlcTime::from_ms(RealEnv::default().now_ms() + ms),
        origin: Origin::from_raw(0x66),
    }
}

/// An item with a stamp of the test's choice: through the wire, as no caller may set stamps.
pub fn item(key: &str, content: Vec<u8>, stamp: Stamp) -> Stored {
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

fn aggregate(all: &[Stored]) -> Aggregate {
    let mut aggregate = Aggregate::default();
    for stored in all {
        aggregate.insert(&stored.leaf().digest(stored.key().as_bytes()));
    }
    aggregate
}

/// What a node that holds these, in key order, answers; its pages have so many records.
pub fn honest(all: &[Stored], page: usize, question: Question) -> Answer {
    match question {
        Question::Root => Answer::Root(aggregate(all)),
        Question::Summaries { prefixes, detail } => {
            let summary = |prefix: &Vec<u8>| {
                let under = all
                    .iter()
                    .filter(|stored| stored.key().as_bytes().starts_with(prefix));
                let leaves = under.map(|stored| (stored.key().clone(), stored.leaf()));
                let summary = summarize_leaves(leaves.collect(), detail.bounded());
                encode_summary(prefix, &summary).into()
            };
            Answer::Summaries(prefixes.iter().map(summary).collect())
        }
        Question::Records { keys } => {
            let asked = all.iter().filter(|stored| keys.contains(stored.key()));
            Answer::Records {
                done: keys.len(),
                records: asked.map(encode_record).collect(),
            }
        }
        Question::Range { after, .. } => {
            let after = after.unwrap_or_default();
            let behind = all
                .iter()
                .filter(|stored| stored.key().as_bytes() > &after[..]);
            let records: Vec<Bytes> = behind.take(page).map(encode_record).collect();
            Answer::Range {
                done: records.is_empty(),
                records,
            }
        }
        Question::Cells { .. } => Answer::Refusal(Refusal::NotUnderstood),
    }
}

pub fn entries(writes: &[Stored]) -> Vec<Entry> {
    let entry = |(at, stored): (usize, &Stored)| Entry {
        id: StreamId {
            ms: at as u64 + 1,
            seq: 0,
        },
        fields: encode(stored, Epoch(9), at as u64 + 1),
    };
    writes.iter().enumerate().map(entry).collect()
}

/// An empty node whose only peer is the liar.
pub async fn node_with(liar: Liar) -> Node {
    node_that_has(&[], liar).await
}

pub async fn node_that_has(items: &[(&str, &str)], liar: Liar) -> Node {
    node_in(Arc::new(RealEnv::default()), items, liar).await
}

pub async fn node_in(env: SharedEnv, items: &[(&str, &str)], liar: Liar) -> Node {
    let mut node = filled(env, items).await;
    node.replicate_over(liar.dialler()).await;
    node
}

/// The same with a sketch of what it has.
pub async fn node_with_sketch(items: &[(&str, &str)], liar: Liar) -> Node {
    let mut node = filled(Arc::new(RealEnv::default()), items).await;
    eventually("a sketch", 60, async || {
        node.engine.merkle_sketch().unwrap().is_some()
    })
    .await;
    node.replicate_over(liar.dialler()).await;
    node
}

async fn filled(env: SharedEnv, items: &[(&str, &str)]) -> Node {
    let mesh = MemoryMesh::default();
    let node = Node::start_with(&mesh, "a", &["liar"], 100, env).await;
    for (key, value) in items {
        node.put(key, value).await;
    }
    node.engine.force_flush().await.unwrap();
    node
}
