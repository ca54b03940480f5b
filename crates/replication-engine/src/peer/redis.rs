//! A peer behind its Redis, or behind its own Redis-protocol port: the two look the same from here.
//!
//! Three connections: one for reads of the change stream that block, one for waiting for answers, one for everything else.

pub(crate) mod reply;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, Pipeline, Value, cmd};
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::env::SharedEnv;
use sync_engine::link::{LinkError, RedisLink, RedisTimeouts};
use tokio::sync::Mutex;

use super::remote::{Dialler, Entry, Remote, RemoteError, StreamState};
use crate::config::{ConfigError, PeerConfig};
use crate::limits::{ASK_PATIENCE, PEER_PATIENCE, QUESTIONS_KEPT};
use crate::mailbox::parts::Assembly;

/// Longest that one read blocks on the server; a silent network shows [`PEER_PATIENCE`] later.
const BLOCK_MAX: Duration = Duration::from_secs(5);
/// Parts of answers read at once.
const PARTS_READ: usize = 8;

/// Makes remotes over the Redis protocol.
pub struct RedisPeers {
    local_node_id: String,
    env: SharedEnv,
    answer_bytes_max: usize,
}

impl RedisPeers {
    /// For the node of this id. Answers over `answer_bytes_max` are refused.
    pub fn new(local_node_id: &str, answer_bytes_max: usize, env: SharedEnv) -> Self {
        Self {
            local_node_id: local_node_id.to_owned(),
            env,
            answer_bytes_max,
        }
    }
}

impl Dialler for RedisPeers {
    fn remote(&self, peer: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError> {
        let link = |response| {
            let timeouts = RedisTimeouts {
                connect: PEER_PATIENCE,
                response,
            };
            RedisLink::new(&peer.redis_url, timeouts).map_err(|error| ConfigError {
                field: format!("peers[{}].{}", peer.node_id, error.field),
                found: error.found,
                expected: error.expected,
            })
        };
        let keys = SpecialKeys::new(peer.redis_prefix.as_deref());
        Ok(Arc::new(RedisRemote {
            reads: link(BLOCK_MAX + PEER_PATIENCE)?,
            answers: link(BLOCK_MAX + PEER_PATIENCE)?,
            commands: link(PEER_PATIENCE)?,
            cdc: keys.cdc(),
            root: keys.merkle_root(),
            questions: keys.sync_requests(),
            responses: keys.sync_responses(&self.local_node_id),
            local_node_id: self.local_node_id.clone(),
            env: self.env.clone(),
            answer_bytes_max: self.answer_bytes_max,
            asking: Mutex::new(()),
        }))
    }
}

struct RedisRemote {
    reads: RedisLink,
    answers: RedisLink,
    commands: RedisLink,
    cdc: String,
    root: String,
    questions: String,
    responses: String,
    local_node_id: String,
    env: SharedEnv,
    answer_bytes_max: usize,
    /// One question at a time: all answers come on one stream.
    asking: Mutex<()>,
}

fn unavailable(op: &'static str) -> impl Fn(LinkError) -> RemoteError {
    move |error| RemoteError::Unavailable {
        op,
        source: Box::new(error),
    }
}

/// Sends commands, and gives their replies; an error reply is an error.
pub(crate) async fn send(
    link: &RedisLink,
    op: &'static str,
    cmds: impl IntoIterator<Item = Cmd>,
) -> Result<Vec<Value>, RemoteError> {
    let mut pipeline = Pipeline::new();
    for cmd in cmds {
        pipeline.add_command(cmd);
    }
    link.send_all(&pipeline).await.map_err(unavailable(op))
}

pub(crate) fn xread(key: &str, after: StreamId, count: usize, block: Duration) -> Cmd {
    let mut read = cmd("XREAD");
    read.arg("COUNT").arg(count);
    if block > Duration::ZERO {
        // `BLOCK 0` would be for ever.
        let ms = u64::try_from(block.min(BLOCK_MAX).as_millis()).unwrap_or(1);
        read.arg("BLOCK").arg(ms.max(1));
    }
    read.arg("STREAMS").arg(key).arg(after.to_string());
    read
}

/// The entries of one stream out of the reply to one XREAD.
pub(crate) async fn read_stream(
    link: &RedisLink,
    op: &'static str,
    read: Cmd,
) -> Result<Vec<Entry>, RemoteError> {
    let replies = send(link, op, [read]).await?;
    let entries = replies.into_iter().next().and_then(reply::xread);
    entries.ok_or(RemoteError::Nonsense {
        op,
        what: "the reply is not that of XREAD",
    })
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

    /// Waits for the answer to `id`. Everything read is deleted: what belongs to other questions was given up on.
    async fn take_answer(&self, id: u64) -> Result<Bytes, RemoteError> {
        let op = "await an answer";
        let mut assembly = Assembly::new(id, self.answer_bytes_max);
        let mut after = StreamId::MIN;
        loop {
            let read = xread(&self.responses, after, PARTS_READ, BLOCK_MAX);
            let entries = read_stream(&self.answers, op, read).await?;
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
        let read = xread(&self.cdc, after, count, block);
        read_stream(&self.reads, "read the change stream", read).await
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        let op = "look at the change stream";
        let end = |command, from, to| {
            let mut range = cmd(command);
            range.arg(&self.cdc).arg(from).arg(to).arg("COUNT").arg(1);
            range
        };
        let ends = [end("XRANGE", "-", "+"), end("XREVRANGE", "+", "-")];
        let replies = send(&self.commands, op, ends).await?;
        let mut ends = replies.into_iter().map(|reply| reply::entries(reply, 1));
        let (Some(Some(first)), Some(Some(newest))) = (ends.next(), ends.next()) else {
            let what = "the reply is not a list of entries";
            return Err(RemoteError::Nonsense { op, what });
        };
        Ok(StreamState {
            first: first.first().map(|entry| entry.id),
            newest: newest.into_iter().next(),
        })
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
