//! What peers read of a node's Redis and put there: its changes, and questions with their answers.

use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use replication_engine::limits::{
    ASK_PATIENCE, PARTS_KEPT, PARTS_READ, QUESTIONS_KEPT, QUESTIONS_READ,
};
use replication_engine::mailbox::parts::{Assembly, part_fields, question, question_fields};
use replication_engine::mailbox::{Mailbox, Post};
use replication_engine::peer::{Entry, Remote, RemoteError, StreamState};
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::l2::CacheError;
use tokio::sync::Mutex;

use crate::exec::World;
use crate::redis::{Fields, Memory, SimRedis};
use crate::stream::CHANGES;

const QUESTIONS: &str = "req";
/// Longest wait of one read.
const BLOCK: Duration = Duration::from_secs(5);
/// More than any answer has.
const ANSWER_BYTES_MAX: usize = 64 << 20;

fn answers_to(node: &str) -> String {
    format!("resp:{node}")
}

fn remote_error(op: &'static str) -> impl Fn(CacheError) -> RemoteError {
    move |error| RemoteError::Unavailable {
        op,
        source: Box::new(error),
    }
}

fn entries(memory: &Memory, stream: &str, after: StreamId, count: usize) -> Option<Vec<Entry>> {
    let later = memory
        .streams
        .get(stream)?
        .entries
        .range((Bound::Excluded(after), Bound::Unbounded));
    let entry = |(id, fields): (&StreamId, &Fields)| Entry {
        id: *id,
        fields: fields.clone(),
    };
    let found: Vec<Entry> = later.take(count).map(entry).collect();
    (!found.is_empty()).then_some(found)
}

async fn read(
    redis: &SimRedis,
    (stream, after): (String, StreamId),
    count: usize,
    block: Duration,
) -> Result<Vec<Entry>, CacheError> {
    let look = move |memory: &Memory| entries(memory, &stream, after, count);
    redis.wait_for(block, look).await
}

/// Some of what is sent arrives twice while the server is unwell.
async fn add(
    redis: &SimRedis,
    stream: String,
    kept: usize,
    fields: Fields,
) -> Result<(), CacheError> {
    let times = if redis.repeats() { 2 } else { 1 };
    let sent = redis.call(1, true, move |memory, now, done| {
        for _ in 0..times * done {
            memory.add(now, &stream, kept, fields.clone());
        }
    });
    sent.await
}

/// The newest entry of a stream.
async fn newest(redis: &SimRedis, stream: &'static str) -> Result<Option<Entry>, CacheError> {
    let look = move |memory: &mut Memory, _: Duration, _: usize| {
        let (id, fields) = memory.streams.get(stream)?.entries.last_key_value()?;
        Some(Entry {
            id: *id,
            fields: fields.clone(),
        })
    };
    redis.call(0, false, look).await
}

/// A node's own side.
pub struct SimMailbox(pub SimRedis);

#[async_trait]
impl Mailbox for SimMailbox {
    async fn end(&self) -> Result<StreamId, RemoteError> {
        let last = newest(&self.0, QUESTIONS).await;
        let last = last.map_err(remote_error("look at the questions"))?;
        Ok(last.map_or(StreamId::MIN, |entry| entry.id))
    }

    async fn next(&self, after: StreamId, wait: Duration) -> Result<Post, RemoteError> {
        let from = (QUESTIONS.to_owned(), after);
        let found = read(&self.0, from, QUESTIONS_READ, wait).await;
        let found = found.map_err(remote_error("read the questions"))?;
        let questions: Vec<_> = found
            .iter()
            .filter_map(|entry| question(entry.id, &entry.fields))
            .collect();
        Ok(Post {
            malformed: found.len() - questions.len(),
            next: found.last().map(|entry| entry.id),
            questions,
        })
    }

    async fn answer(
        &self,
        to: &str,
        id: u64,
        by: u64,
        parts: Vec<Bytes>,
    ) -> Result<(), RemoteError> {
        let count = parts.len();
        for (part, data) in parts.into_iter().enumerate() {
            let fields = part_fields(id, by, part, count, data);
            let sent = add(&self.0, answers_to(to), PARTS_KEPT, fields).await;
            sent.map_err(remote_error("answer"))?;
        }
        Ok(())
    }
}

/// Another node, behind its Redis.
pub struct SimPeer {
    world: World,
    redis: SimRedis,
    /// Who asks.
    from: String,
    rng: parking_lot::Mutex<fastrand::Rng>,
    asking: Mutex<()>,
}

impl SimPeer {
    /// The node with this Redis, as `from` sees it.
    pub fn new(world: &World, redis: &SimRedis, from: &str) -> Self {
        Self {
            world: world.clone(),
            redis: redis.clone(),
            from: from.to_owned(),
            rng: parking_lot::Mutex::new(world.rng()),
            asking: Mutex::default(),
        }
    }

    async fn take_answer(&self, id: u64) -> Result<Bytes, RemoteError> {
        let op = "await an answer";
        let stream = answers_to(&self.from);
        let mut assembly = Assembly::new(id, ANSWER_BYTES_MAX);
        let mut after = StreamId::MIN;
        loop {
            let found = read(&self.redis, (stream.clone(), after), PARTS_READ, BLOCK).await;
            let found = found.map_err(remote_error(op))?;
            let Some(last) = found.last() else { continue };
            after = last.id;
            let mut answer = None;
            for entry in &found {
                let whole = assembly.add(&entry.fields);
                answer = answer.or(whole.map_err(|what| RemoteError::Nonsense { op, what })?);
            }
            let (stream, ids) = (stream.clone(), found.into_iter().map(|entry| entry.id));
            let ids: Vec<StreamId> = ids.collect();
            let deleted = self.redis.call(ids.len(), false, move |memory, _, done| {
                if let Some(stream) = memory.streams.get_mut(&stream) {
                    ids.iter().take(done).for_each(|id| {
                        stream.entries.remove(id);
                    });
                }
            });
            deleted.await.map_err(remote_error("delete an answer"))?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }
}

#[async_trait]
impl Remote for SimPeer {
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        let found = read(&self.redis, (CHANGES.to_owned(), after), count, block).await;
        found.map_err(remote_error("read the change stream"))
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        let newest = newest(&self.redis, CHANGES).await;
        let newest = newest.map_err(remote_error("look at the change stream"))?;
        Ok(StreamState { newest })
    }

    async fn root(&self) -> Result<Option<String>, RemoteError> {
        let root = self
            .redis
            .call(0, false, |memory, _, _| memory.root.clone());
        root.await.map_err(remote_error("get the root"))
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        let _one = self.asking.lock().await;
        let id = self.rng.lock().u64(..);
        let fields = question_fields(id, &self.from, question);
        let put = async {
            let put = add(&self.redis, QUESTIONS.to_owned(), QUESTIONS_KEPT, fields).await;
            put.map_err(remote_error("ask"))
        };
        let answer = std::pin::pin!(futures_util::future::try_join(put, self.take_answer(id)));
        let over = std::pin::pin!(self.world.sleep(ASK_PATIENCE));
        match futures_util::future::select(answer, over).await {
            futures_util::future::Either::Left((answer, _)) => Ok(answer?.1),
            futures_util::future::Either::Right(_) => Err(RemoteError::Silent {
                op: "await an answer",
                limit: ASK_PATIENCE,
            }),
        }
    }

    async fn ping(&self) -> Result<(), RemoteError> {
        let pong = self.redis.call(0, false, |_, _, _| ());
        pong.await.map_err(remote_error("ping"))
    }
}
