//! The mailbox on the node's own Redis.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::cmd;
use sync_engine::BackendUrl;
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::link::{RedisLink, RedisTimeouts};

use super::parts::{part_fields, question};
use super::{Mailbox, Post};
use crate::config::ConfigError;
use crate::limits::{ANSWERS_KEPT, PARTS_KEPT, PEER_PATIENCE};
use crate::peer::RemoteError;
use crate::peer::redis::{read_stream, reply, send, xread};

/// Questions read at once.
const QUESTIONS_READ: usize = 16;

/// Longest wait for a question on the server; a silent network shows [`PEER_PATIENCE`] later.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// [`Mailbox`] on one Redis.
pub struct RedisMailbox {
    reads: RedisLink,
    commands: RedisLink,
    keys: SpecialKeys,
}

impl RedisMailbox {
    /// The mailbox under this prefix of this server. Does not connect.
    ///
    /// # Errors
    /// A URL that cannot be one of a Redis.
    pub fn new(url: &BackendUrl, redis_prefix: Option<&str>) -> Result<Self, ConfigError> {
        let link = |response| {
            let connect = PEER_PATIENCE;
            RedisLink::new(url, RedisTimeouts { connect, response })
                .map_err(|error| ConfigError::new(error.field, error.found, error.expected))
        };
        Ok(Self {
            reads: link(WAIT_MAX + PEER_PATIENCE)?,
            commands: link(PEER_PATIENCE)?,
            keys: SpecialKeys::new(redis_prefix),
        })
    }
}

#[async_trait]
impl Mailbox for RedisMailbox {
    async fn end(&self) -> Result<StreamId, RemoteError> {
        let op = "look at the questions";
        let mut last = cmd("XREVRANGE");
        last.arg(self.keys.sync_requests());
        last.arg("+").arg("-").arg("COUNT").arg(1);
        let reply = send(&self.commands, op, [last]).await?.pop();
        let entries = reply.and_then(|reply| reply::entries(reply, 1));
        let what = "the reply is not a list of entries";
        let entries = entries.ok_or(RemoteError::Nonsense { op, what })?;
        Ok(entries.last().map_or(StreamId::MIN, |entry| entry.id))
    }

    async fn next(&self, after: StreamId, wait: Duration) -> Result<Post, RemoteError> {
        let key = self.keys.sync_requests();
        let read = xread(&key, after, QUESTIONS_READ, wait.min(WAIT_MAX));
        let entries = read_stream(&self.reads, "read the questions", read).await?;
        let mut post = Post {
            next: entries.last().map(|entry| entry.id),
            ..Post::default()
        };
        for entry in entries {
            match question(entry.id, &entry.fields) {
                Some(question) => post.questions.push(question),
                None => post.malformed += 1,
            }
        }
        Ok(post)
    }

    async fn answer(
        &self,
        to: &str,
        id: u64,
        by: u64,
        parts: Vec<Bytes>,
    ) -> Result<(), RemoteError> {
        let key = self.keys.sync_responses(to);
        let n = parts.len();
        // One after the other, so that a large answer does not lie in memory twice.
        for (part, data) in parts.into_iter().enumerate() {
            let mut add = cmd("XADD");
            add.arg(&key)
                .arg("MAXLEN")
                .arg("~")
                .arg(PARTS_KEPT)
                .arg("*");
            for (name, value) in part_fields(id, by, part, n, data) {
                add.arg(&name[..]).arg(&value[..]);
            }
            // Whoever asked may never come for it, and may have been invented.
            let mut expire = cmd("PEXPIRE");
            expire.arg(&key).arg(ANSWERS_KEPT.as_millis() as u64);
            send(&self.commands, "answer", [add, expire]).await?;
        }
        Ok(())
    }
}
