//! A node's change stream on its Redis.

use async_trait::async_trait;
use sync_engine::cdc::codec;
use sync_engine::cdc::event::Epoch;
use sync_engine::cdc::{ChangeLog, PublishError};
use sync_engine::env::SharedEnv;
use sync_engine::item::Stored;
use tokio::sync::Mutex;

use crate::redis::{Fields, SimRedis};

/// Where the changes are.
pub(crate) const CHANGES: &str = "cdc";
/// Most entries of one transaction.
const ENTRIES_MAX: usize = 50;

/// The stream as one life of a node publishes to it: what `RedisLog` does over a connection.
pub struct SimStream {
    redis: SimRedis,
    entries_max: usize,
    env: SharedEnv,
    position: Mutex<Position>,
}

/// Where the next entry goes.
struct Position {
    epoch: Epoch,
    seq: u64,
    /// A publish began and has not been confirmed.
    is_in_doubt: bool,
}

impl SimStream {
    /// A stream on this server that keeps so many entries.
    pub fn new(redis: &SimRedis, entries_max: usize, env: SharedEnv) -> Self {
        let position = Position {
            epoch: Epoch(env.random()),
            seq: 0,
            is_in_doubt: false,
        };
        Self {
            redis: redis.clone(),
            entries_max,
            env,
            position: Mutex::new(position),
        }
    }

    fn begin_epoch(&self, position: &mut Position) {
        *position = Position {
            epoch: Epoch(self.env.random()),
            seq: 0,
            is_in_doubt: false,
        };
    }

    /// One transaction: all of it is done, or nothing.
    async fn add(&self, position: &mut Position, part: &[Stored]) -> Result<(), PublishError> {
        if position.is_in_doubt {
            self.begin_epoch(position);
        }
        let numbered = part.iter().zip(position.seq + 1..);
        let entries: Vec<Fields> = numbered
            .map(|(stored, seq)| codec::encode(stored, position.epoch, seq))
            .collect();
        position.is_in_doubt = true;
        let kept = self.entries_max;
        let sent = self.redis.call(1, true, move |memory, now, done| {
            for fields in entries.into_iter().filter(|_| done > 0) {
                memory.add(now, CHANGES, kept, fields);
            }
        });
        sent.await.map_err(|error| PublishError(Box::new(error)))?;
        position.seq += part.len() as u64;
        position.is_in_doubt = false;
        Ok(())
    }

    async fn set_root(&self, root: Option<String>) -> Result<(), PublishError> {
        let sent = self
            .redis
            .call(1, root.is_some(), move |memory, now, done| {
                if done > 0 {
                    memory.set_root(now, root);
                }
            });
        sent.await.map_err(|error| PublishError(Box::new(error)))
    }
}

#[async_trait]
impl ChangeLog for SimStream {
    async fn publish(&self, changes: &[Stored]) -> Result<(), PublishError> {
        let mut position = self.position.lock().await;
        for part in changes.chunks(ENTRIES_MAX) {
            self.add(&mut position, part).await?;
        }
        Ok(())
    }

    async fn new_epoch(&self) {
        let mut position = self.position.lock().await;
        self.begin_epoch(&mut position);
    }

    async fn publish_root(&self, root: &str) -> Result<(), PublishError> {
        self.set_root(Some(root.to_owned())).await
    }

    async fn withdraw_root(&self) -> Result<(), PublishError> {
        self.set_root(None).await
    }

    fn is_enabled(&self) -> bool {
        true
    }
}
