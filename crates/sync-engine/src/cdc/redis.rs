//! The change stream on the node's own Redis.

use async_trait::async_trait;
use redis::{Cmd, Pipeline};
use tokio::sync::Mutex;

use super::codec::{self, Fields};
use super::event::Epoch;
use super::keys::SpecialKeys;
use super::{ChangeLog, PublishError};
use crate::config::{BackendUrl, ConfigError};
use crate::env::SharedEnv;
use crate::item::Stored;
use crate::limits::PLAIN_REPLY_BYTES_MAX;
use crate::link::{LinkError, RedisLink, RedisTimeouts};

/// Most entries of one transaction.
const ENTRIES_MAX: usize = 1000;
/// Most bytes of one transaction; a larger entry goes alone.
const BYTES_MAX: usize = 1 << 20;

/// [`ChangeLog`] on one Redis: a stream with `MAXLEN ~`, and a string with the root.
///
/// Entries of one call go in transactions of bounded size, one after the other. Each process begins an epoch. So does a
/// publish after one whose outcome is unknown, because its numbers may or may not have been used: readers then compare.
pub struct RedisLog {
    link: RedisLink,
    stream_key: String,
    root_key: String,
    entries_max: usize,
    env: SharedEnv,
    position: Mutex<Position>,
}

/// Where the next entry goes.
struct Position {
    epoch: Epoch,
    /// The number of the last entry of the epoch.
    seq: u64,
    /// A publish began and has not been confirmed.
    is_in_doubt: bool,
}

impl Position {
    fn begin_epoch(&mut self, random: u64) {
        *self = Self {
            epoch: self.epoch.next(random),
            seq: 0,
            is_in_doubt: false,
        };
    }
}

impl RedisLog {
    /// A stream on this server that keeps about `entries_max` entries (`cdc_stream_maxlen`). Does not connect; fails only
    /// when the URL cannot be one of a Redis.
    pub fn new(
        url: &BackendUrl,
        redis_prefix: Option<&str>,
        entries_max: usize,
        timeouts: RedisTimeouts,
        env: SharedEnv,
    ) -> Result<Self, ConfigError> {
        let keys = SpecialKeys::new(redis_prefix);
        Ok(Self {
            link: RedisLink::new(url, timeouts, PLAIN_REPLY_BYTES_MAX, env.clone())?,
            stream_key: keys.cdc(),
            root_key: keys.merkle_root(),
            entries_max,
            position: Mutex::new(Position {
                epoch: Epoch(env.random()),
                seq: 0,
                is_in_doubt: false,
            }),
            env,
        })
    }

    /// The life this stream is in.
    pub async fn epoch(&self) -> Epoch {
        self.position.lock().await.epoch
    }

    /// Publishes a chunk that fits into one transaction. Gives how many entries it had.
    async fn publish_chunk(
        &self,
        position: &mut Position,
        changes: &[Stored],
    ) -> Result<usize, LinkError> {
        if position.is_in_doubt {
            position.begin_epoch(self.env.random());
        }
        let (pipeline, count) = self.transaction(position, changes);
        // Set before the first await: a caller that gives up midway leaves the doubt behind.
        position.is_in_doubt = true;
        let sent = self.link.send_all(&pipeline).await;
        match &sent {
            Ok(_) => {
                position.seq = position.seq.saturating_add(count as u64);
                position.is_in_doubt = false;
            }
            Err(error) => position.is_in_doubt = !error.is_unsent(),
        }
        sent.map(|_| count)
    }

    /// As many of the changes as fit.
    fn transaction(&self, position: &Position, changes: &[Stored]) -> (Pipeline, usize) {
        let mut pipeline = Pipeline::with_capacity(changes.len().min(ENTRIES_MAX));
        pipeline.atomic();
        let (mut bytes, mut count) = (0, 0);
        for stored in changes.iter().take(ENTRIES_MAX) {
            bytes += stored.size_bytes();
            if bytes > BYTES_MAX && count > 0 {
                break;
            }
            count += 1;
            let seq = position.seq.saturating_add(count as u64);
            pipeline.add_command(self.add(&codec::encode(stored, position.epoch, seq)));
        }
        (pipeline, count)
    }

    fn add(&self, fields: &Fields) -> Cmd {
        let mut cmd = redis::cmd("XADD");
        cmd.arg(&self.stream_key);
        cmd.arg("MAXLEN").arg("~").arg(self.entries_max).arg("*");
        for (name, value) in fields {
            cmd.arg(&name[..]).arg(&value[..]);
        }
        cmd
    }
}

#[async_trait]
impl ChangeLog for RedisLog {
    async fn publish(&self, changes: &[Stored]) -> Result<(), PublishError> {
        let mut position = self.position.lock().await;
        let mut rest = changes;
        while !rest.is_empty() {
            let done = self.publish_chunk(&mut position, rest).await;
            let done = done.map_err(|error| PublishError(Box::new(error)))?;
            rest = rest.get(done..).unwrap_or_default();
        }
        Ok(())
    }

    async fn new_epoch(&self) {
        let random = self.env.random();
        self.position.lock().await.begin_epoch(random);
    }

    async fn publish_root(&self, root: &str) -> Result<(), PublishError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("SET").arg(&self.root_key).arg(root);
        let sent = self.link.send_all(&pipeline).await;
        sent.map(|_| ())
            .map_err(|error| PublishError(Box::new(error)))
    }

    async fn withdraw_root(&self) -> Result<(), PublishError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("DEL").arg(&self.root_key);
        let sent = self.link.send_all(&pipeline).await;
        sent.map(|_| ())
            .map_err(|error| PublishError(Box::new(error)))
    }

    fn is_enabled(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
