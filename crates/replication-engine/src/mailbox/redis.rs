//! The mailbox on the node's own Redis.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::cmd;
use sync_engine::BackendUrl;
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::env::SharedEnv;
use sync_engine::limits::PLAIN_REPLY_BYTES_MAX;
use sync_engine::link::{RedisLink, RedisTimeouts};

use super::parts::{part_fields, question};
use super::{Mailbox, Post};
use crate::config::ConfigError;
use crate::limits::{
    ANSWERS_KEPT, PARTS_KEPT, PEER_PATIENCE, QUESTIONS_READ, QUESTIONS_REPLY_BYTES_MAX,
};
use crate::peer::redis::commands::{BLOCK_MAX, newest, read_stream, send, xread};
use crate::peer::{Entry, RemoteError};

/// [`Mailbox`] on one Redis.
pub struct RedisMailbox {
    /// For questions alone: anybody who reaches the server may put there what is too large to be read.
    reads: RedisLink,
    commands: RedisLink,
    keys: SpecialKeys,
}

impl RedisMailbox {
    /// The mailbox under this prefix of this server. Does not connect.
    ///
    /// # Errors
    /// A URL that cannot be one of a Redis.
    pub fn new(
        url: &BackendUrl,
        redis_prefix: Option<&str>,
        env: SharedEnv,
    ) -> Result<Self, ConfigError> {
        let link = |response, reply_bytes_max| {
            let timeouts = RedisTimeouts {
                connect: PEER_PATIENCE,
                response,
            };
            RedisLink::new(url, timeouts, reply_bytes_max, env.clone())
                .map_err(|error| ConfigError::new(error.field, error.found, error.expected))
        };
        Ok(Self {
            reads: link(BLOCK_MAX + PEER_PATIENCE, QUESTIONS_REPLY_BYTES_MAX)?,
            commands: link(PEER_PATIENCE, PLAIN_REPLY_BYTES_MAX)?,
            keys: SpecialKeys::new(redis_prefix),
        })
    }
}

impl RedisMailbox {
    async fn read(
        &self,
        after: StreamId,
        count: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        let read = xread(&self.keys.sync_requests(), after, count, wait);
        read_stream(&self.reads, "read the questions", read).await
    }
}

#[async_trait]
impl Mailbox for RedisMailbox {
    async fn end(&self) -> Result<StreamId, RemoteError> {
        let key = self.keys.sync_requests();
        let last = newest(&self.reads, "look at the questions", &key).await?;
        Ok(last.map_or(StreamId::MIN, |entry| entry.id))
    }

    async fn next(&self, after: StreamId, wait: Duration) -> Result<Post, RemoteError> {
        let entries = match self.read(after, QUESTIONS_READ, wait).await {
            // One of them, or all together: those that can be read one by one are.
            Err(RemoteError::TooLarge { .. }) => self.read(after, 1, wait).await,
            read => read,
        };
        let entries = match entries {
            Err(RemoteError::TooLarge {
                first: Some(id), ..
            }) if id > after => {
                return Ok(Post {
                    malformed: 1,
                    next: Some(id),
                    ..Post::default()
                });
            }
            read => read?,
        };
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
