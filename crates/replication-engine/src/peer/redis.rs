//! A peer behind its Redis, or behind its own Redis-protocol port: the two look the same from here.
//!
//! Three connections: one for the change stream, whose reads block, one for waiting for answers, one for everything else.
//! Each has a bound on the bytes of one reply, as a peer may send what it likes.

pub(crate) mod commands;

pub(crate) mod reply;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Value, cmd};
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::env::SharedEnv;
use sync_engine::limits::PLAIN_REPLY_BYTES_MAX;
use sync_engine::link::{RedisLink, RedisTimeouts};
use tokio::sync::Mutex;

use self::commands::{BLOCK_MAX, newest, read_stream, send, xread};
use super::remote::{Dialler, Entry, Remote, RemoteError, StreamState};
use crate::config::{ConfigError, PeerConfig};
use crate::limits::{
    ASK_PATIENCE, PARTS_READ, PARTS_REPLY_BYTES_MAX, PEER_PATIENCE, QUESTIONS_KEPT,
    answer_bytes_max, tail_reply_bytes_max,
};
use crate::mailbox::parts::Assembly;

/// Says the largest payload that the local store takes, in bytes: it may change.
pub type PayloadBound = Arc<dyn Fn() -> usize + Send + Sync>;

/// Makes remotes over the Redis protocol.
pub struct RedisPeers {
    local_node_id: String,
    env: SharedEnv,
    payload_bytes_max: PayloadBound,
}

impl RedisPeers {
    /// For the node of this id. How much of a reply and of an answer is read follows from the largest payload.
    pub fn new(local_node_id: &str, payload_bytes_max: PayloadBound, env: SharedEnv) -> Self {
        Self {
            local_node_id: local_node_id.to_owned(),
            env,
            payload_bytes_max,
        }
    }
}

impl Dialler for RedisPeers {
    fn remote(&self, peer: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError> {
        let link = |response, reply_bytes_max| {
            let timeouts = RedisTimeouts {
                connect: PEER_PATIENCE,
                response,
            };
            let link = RedisLink::new(&peer.redis_url, timeouts, reply_bytes_max, self.env.clone());
            link.map_err(|error| ConfigError {
                field: format!("peers[{}].{}", peer.node_id, error.field),
                found: error.found,
                expected: error.expected,
            })
        };
        let blocking = BLOCK_MAX + PEER_PATIENCE;
        let tail_bytes_max = tail_reply_bytes_max((self.payload_bytes_max)());
        let keys = SpecialKeys::new(peer.redis_prefix.as_deref());
        Ok(Arc::new(RedisRemote {
            reads: link(blocking, tail_bytes_max)?,
            answers: link(blocking, PARTS_REPLY_BYTES_MAX)?,
            commands: link(PEER_PATIENCE, PLAIN_REPLY_BYTES_MAX)?,
            cdc: keys.cdc(),
            root: keys.merkle_root(),
            questions: keys.sync_requests(),
            responses: keys.sync_responses(&self.local_node_id),
            local_node_id: self.local_node_id.clone(),
            env: self.env.clone(),
            payload_bytes_max: self.payload_bytes_max.clone(),
            asking: Mutex::new(()),
        }))
    }
}

struct RedisRemote {
    /// For the change stream alone, so that a reply that is too large takes nothing else with it.
    reads: RedisLink,
    answers: RedisLink,
    commands: RedisLink,
    cdc: String,
    root: String,
    questions: String,
    responses: String,
    local_node_id: String,
    env: SharedEnv,
    payload_bytes_max: PayloadBound,
    /// One question at a time: all answers come on one stream.
    asking: Mutex<()>,
}

impl RedisRemote {
    async fn put_question(&self, id: u64, question: &[u8]) -> Result<(), RemoteError> {
        let mut add = cmd("XADD");
        add.arg(&self.questions);
        add.arg("MAXLEN").arg("~").arg(QUESTIONS_KEPT).arg("*");
        add.arg("id").arg(id);
        add.arg("from").arg(&self.local_node_id);
        add.arg("q").arg(question);
        send(&self.commands, "ask", [add]).await.map(|_| ())
    }

    /// The parts of answers that have come after this one. When they are more than parts can be, all are thrown away: what
    /// cannot be read would be in the way of every later answer.
    async fn read_parts(
        &self,
        op: &'static str,
        after: StreamId,
    ) -> Result<Vec<Entry>, RemoteError> {
        let read = xread(&self.responses, after, PARTS_READ, BLOCK_MAX);
        let parts = read_stream(&self.answers, op, read).await;
        if let Err(RemoteError::TooLarge { .. }) = parts {
            let mut delete = cmd("DEL");
            delete.arg(&self.responses);
            send(&self.commands, "throw answers away", [delete]).await?;
        }
        parts
    }

    /// Waits for the answer to `id`. Everything read is deleted: what belongs to other questions was given up on.
    async fn take_answer(&self, id: u64) -> Result<Bytes, RemoteError> {
        let op = "await an answer";
        let bytes_max = answer_bytes_max((self.payload_bytes_max)());
        let mut assembly = Assembly::new(id, bytes_max);
        let mut after = StreamId::MIN;
        loop {
            let entries = self.read_parts(op, after).await?;
            let Some(last) = entries.last() else {
                continue;
            };
            after = last.id;
            let mut delete = cmd("XDEL");
            delete.arg(&self.responses);
            entries.iter().for_each(|entry| {
                delete.arg(entry.id.to_string());
            });
            let mut answer = None;
            for entry in &entries {
                let whole = assembly.add(&entry.fields);
                let whole = whole.map_err(|what| RemoteError::Nonsense { op, what })?;
                answer = answer.or(whole);
            }
            send(&self.commands, "delete an answer", [delete]).await?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }
}

#[async_trait]
impl Remote for RedisRemote {
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        let bytes_max = tail_reply_bytes_max((self.payload_bytes_max)());
        self.reads.set_reply_bytes_max(bytes_max);
        let read = xread(&self.cdc, after, count, block);
        read_stream(&self.reads, "read the change stream", read).await
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        let newest = newest(&self.reads, "look at the change stream", &self.cdc).await?;
        Ok(StreamState { newest })
    }

    async fn root(&self) -> Result<Option<String>, RemoteError> {
        let op = "get the root";
        let mut get = cmd("GET");
        get.arg(&self.root);
        match send(&self.commands, op, [get]).await?.pop() {
            Some(Value::Nil) => Ok(None),
            Some(Value::BulkString(root)) if root.len() <= 128 => {
                Ok(Some(String::from_utf8_lossy(&root).into_owned()))
            }
            _ => Err(RemoteError::Nonsense {
                op,
                what: "the reply is not a root",
            }),
        }
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        let _one = self.asking.lock().await;
        let id = self.env.random();
        let put = self.put_question(id, &question);
        // Both at once: on a long line each round trip counts.
        let answer = async {
            let (_, answer) = futures_util::future::try_join(put, self.take_answer(id)).await?;
            Ok(answer)
        };
        match sync_engine::env::timeout(&*self.env, ASK_PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(RemoteError::Silent {
                op: "await an answer",
                limit: elapsed.0,
            }),
        }
    }

    async fn ping(&self) -> Result<(), RemoteError> {
        send(&self.commands, "ping", [cmd("PING")])
            .await
            .map(|_| ())
    }
}
