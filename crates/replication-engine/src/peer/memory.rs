//! A node's streams in memory: what peers in the same process, and simulations, talk to in place of a server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use sync_engine::cdc::memory::{MemoryLog, Span};
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::env::SharedEnv;
use tokio::sync::{Notify, oneshot};

use super::remote::{Dialler, Entry, Remote, RemoteError, StreamState};
use crate::config::{ConfigError, PeerConfig};
use crate::limits::{ASK_PATIENCE, QUESTIONS_KEPT, READ_BYTES_AIM};
use crate::mailbox::{Mailbox, Post, Question};

/// One node's door: its change stream, and the questions that others have put to it.
pub struct MemoryPort {
    log: Arc<MemoryLog>,
    env: SharedEnv,
    is_up: AtomicBool,
    questions: Mutex<VecDeque<Question>>,
    asked: Notify,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Bytes>>>,
    last: AtomicU64,
    /// Bytes of questions and answers that went through.
    traffic: AtomicU64,
}

impl MemoryPort {
    /// The door of the node that publishes to `log`.
    pub fn new(log: Arc<MemoryLog>, env: SharedEnv) -> Arc<Self> {
        Arc::new(Self {
            log,
            env,
            is_up: AtomicBool::new(true),
            questions: Mutex::default(),
            asked: Notify::new(),
            waiting: Mutex::default(),
            last: AtomicU64::new(0),
            traffic: AtomicU64::new(0),
        })
    }

    /// Opens or closes the door: while it is closed, every peer's call fails.
    pub fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::SeqCst);
    }

    /// Bytes that peers' questions and their answers had so far.
    pub fn traffic(&self) -> u64 {
        self.traffic.load(Ordering::SeqCst)
    }

    fn check(&self, op: &'static str) -> Result<(), RemoteError> {
        match self.is_up.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(RemoteError::Unavailable {
                op,
                source: "the node is down".into(),
            }),
        }
    }

    fn put(&self, from: &str, bytes: Bytes) -> (u64, oneshot::Receiver<Bytes>) {
        let id = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().insert(id, answer);
        let now = u64::try_from(self.env.now_ms()).unwrap_or(0);
        let mut questions = self.questions.lock();
        let last = questions.back().map_or(StreamId::MIN, |last| last.at);
        questions.push_back(Question {
            at: last.next().unwrap_or(last).max(StreamId::new(now, 0)),
            id,
            from: from.to_owned(),
            bytes,
        });
        if questions.len() > QUESTIONS_KEPT {
            questions.pop_front();
        }
        self.asked.notify_waiters();
        (id, answered)
    }
}

#[async_trait]
impl Mailbox for MemoryPort {
    async fn end(&self) -> Result<StreamId, RemoteError> {
        let questions = self.questions.lock();
        Ok(questions.back().map_or(StreamId::MIN, |last| last.at))
    }

    async fn next(&self, after: StreamId, wait: Duration) -> Result<Post, RemoteError> {
        let asked = self.asked.notified();
        let mut asked = std::pin::pin!(asked);
        // Before the look, so that what is asked in between wakes us.
        asked.as_mut().enable();
        let found = self.after(after);
        if found.next.is_some() {
            return Ok(found);
        }
        match sync_engine::env::timeout(&*self.env, wait, asked).await {
            Ok(()) => Ok(self.after(after)),
            Err(_) => Ok(Post::default()),
        }
    }

    async fn answer(&self, _: &str, id: u64, _: u64, parts: Vec<Bytes>) -> Result<(), RemoteError> {
        let whole = parts.concat();
        self.traffic.fetch_add(whole.len() as u64, Ordering::SeqCst);
        if let Some(answer) = self.waiting.lock().remove(&id) {
            // An asker that has given up is none of our business.
            answer.send(whole.into()).ok();
        }
        Ok(())
    }
}

impl MemoryPort {
    fn after(&self, after: StreamId) -> Post {
        let questions = self.questions.lock();
        let later = questions.iter().filter(|question| question.at > after);
        let questions: Vec<Question> = later.cloned().collect();
        Post {
            next: questions.last().map(|question| question.at),
            questions,
            malformed: 0,
        }
    }
}

/// A peer in the same process, found anew at each call: a node that starts again has another door.
pub struct MemoryRemote {
    mesh: MemoryMesh,
    url: String,
    from: String,
}

impl MemoryRemote {
    fn port(&self, op: &'static str) -> Result<Arc<MemoryPort>, RemoteError> {
        let port = self.mesh.ports.lock().get(&self.url).cloned();
        let port = port.ok_or_else(|| RemoteError::Unavailable {
            op,
            source: "there is no such node".into(),
        })?;
        port.check(op)?;
        Ok(port)
    }
}

#[async_trait]
impl Remote for MemoryRemote {
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        let op = "read the change stream";
        let port = self.port(op)?;
        let mut news = port.log.subscribe();
        news.mark_unchanged();
        let read = || {
            let entries = port.log.read_after(after, count, READ_BYTES_AIM);
            let entry = |(id, fields): (StreamId, Arc<Vec<(Bytes, Bytes)>>)| Entry {
                id,
                fields: fields.to_vec(),
            };
            entries.into_iter().map(entry).collect::<Vec<_>>()
        };
        let found = read();
        if !found.is_empty() || block == Duration::ZERO {
            return Ok(found);
        }
        let waited = sync_engine::env::timeout(&*port.env, block, news.changed()).await;
        port.check(op)?;
        Ok(waited.map(|_| read()).unwrap_or_default())
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        let port = self.port("look at the change stream")?;
        let newest = port.log.range(Span::NEWEST, 0);
        Ok(StreamState {
            newest: newest.first().map(|newest| Entry {
                id: newest.id(),
                fields: newest.fields().to_vec(),
            }),
        })
    }

    async fn root(&self) -> Result<Option<String>, RemoteError> {
        Ok(self.port("get the root")?.log.root())
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        let op = "ask";
        let port = self.port(op)?;
        let size = question.len() as u64;
        port.traffic.fetch_add(size, Ordering::SeqCst);
        let (id, answered) = port.put(&self.from, question);
        let answer = sync_engine::env::timeout(&*port.env, ASK_PATIENCE, answered).await;
        port.waiting.lock().remove(&id);
        port.check(op)?;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(RemoteError::Unavailable {
                op,
                source: Box::new(source),
            }),
            Err(elapsed) => Err(RemoteError::Silent {
                op,
                limit: elapsed.0,
            }),
        }
    }

    async fn ping(&self) -> Result<(), RemoteError> {
        self.port("ping").map(|_| ())
    }
}

/// The doors of a whole mesh in one process, by the URL that peers are given.
#[derive(Clone, Default)]
pub struct MemoryMesh {
    ports: Arc<Mutex<BTreeMap<String, Arc<MemoryPort>>>>,
}

impl MemoryMesh {
    /// Puts the door under this URL.
    pub fn add(&self, url: &str, port: Arc<MemoryPort>) {
        self.ports.lock().insert(url.to_owned(), port);
    }

    /// Makes remotes for the node `from`.
    pub fn dialler(&self, from: &str) -> Arc<dyn Dialler> {
        Arc::new(MemoryDialler {
            mesh: self.clone(),
            from: from.to_owned(),
        })
    }
}

struct MemoryDialler {
    mesh: MemoryMesh,
    from: String,
}

impl Dialler for MemoryDialler {
    fn remote(&self, peer: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError> {
        Ok(Arc::new(MemoryRemote {
            mesh: self.mesh.clone(),
            url: peer.redis_url.expose().to_owned(),
            from: self.from.clone(),
        }))
    }
}
