//! The cache tier on a Redis.

mod relief;

use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Pipeline, Value};

use super::keys::ItemKeys;
use super::record::{self, HEADER_LEN};
use super::script::PutScript;
use super::{CacheError, CacheStore, CacheWrite, Generation, Lookup, Relief};
use crate::config::{BackendUrl, ConfigError};
use crate::item::key::Key;
use crate::link::{LinkError, RedisLink, RedisTimeouts};

/// Most keys of one command that takes many.
const KEYS_MAX: usize = 200;

/// [`CacheStore`] on one Redis, that several engines may share.
///
/// Each record stands under `redis_prefix` + the item's key as a string: the generation (8 bytes, big-endian), then the
/// envelope. Writes are conditional, in a script. The first request connects; after a failure the next one does.
/// An item whose Redis key is that of the change stream (or its like) is never cached.
pub struct RedisCache {
    link: RedisLink,
    keys: ItemKeys,
    script: PutScript,
    /// How far the walk over the server's keys has come: its cursor.
    walked: AtomicU64,
}

impl RedisCache {
    /// A cache on this server. Does not connect; fails only when the URL cannot be one of a Redis.
    pub fn new(
        url: &BackendUrl,
        redis_prefix: Option<&str>,
        timeouts: RedisTimeouts,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            link: RedisLink::new(url, timeouts)?,
            keys: ItemKeys::new(redis_prefix),
            script: PutScript::new(),
            walked: AtomicU64::new(0),
        })
    }

    /// The Redis keys of the items that may be cached, with each item's place in `keys`.
    fn names(&self, keys: &[Key]) -> (Vec<usize>, Vec<Vec<u8>>) {
        let named = |(at, key)| Some((at, self.keys.of(key)?));
        keys.iter().enumerate().filter_map(named).unzip()
    }

    /// Sends the script calls; the server answers each. A server that does not know the script is told, once.
    async fn call_script(&self, calls: &Pipeline) -> Result<(), LinkError> {
        let answers = self.link.send(calls).await?;
        let Some(refusal) = first_refusal(answers) else {
            return Ok(());
        };
        if refusal.code() != "NOSCRIPT" {
            return Err(self.link.refusal(refusal));
        }
        let mut load = Pipeline::with_capacity(1);
        load.add_command(self.script.load());
        self.link.send_all(&load).await?;
        // All again: what was written already may be written twice.
        self.link.send_all(calls).await.map(|_| ())
    }
}

/// The first error reply that is not about the script being unknown, or else any.
fn first_refusal(answers: Vec<Value>) -> Option<redis::ServerError> {
    let mut unknown_script = None;
    for answer in answers {
        match answer {
            Value::ServerError(error) if error.code() == "NOSCRIPT" => unknown_script = Some(error),
            Value::ServerError(error) => return Some(error),
            _ => {}
        }
    }
    unknown_script
}

fn failed(op: &'static str) -> impl Fn(LinkError) -> CacheError {
    move |error| match error.is_read_only() {
        true => CacheError::ReadOnly {
            op,
            source: Box::new(error),
        },
        false => CacheError::Unavailable {
            op,
            source: Box::new(error),
        },
    }
}

fn lookup(value: Value) -> Lookup {
    match value {
        Value::BulkString(bytes) => record::decode(Bytes::from(bytes)),
        // MGET answers nil for a key of another type, too.
        _ => Lookup::Absent,
    }
}

#[async_trait]
impl CacheStore for RedisCache {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError> {
        let (places, names) = self.names(keys);
        let mut pipeline = Pipeline::new();
        for chunk in names.chunks(KEYS_MAX) {
            pipeline.cmd("MGET").arg(chunk);
        }
        let answers = self.link.send_all(&pipeline).await;
        let values = answers
            .map_err(failed("reading from the cache"))?
            .into_iter()
            .flat_map(|answer| match answer {
                Value::Array(values) => values,
                other => vec![other],
            });
        let mut found: Vec<Lookup> = keys.iter().map(|_| Lookup::Absent).collect();
        for (place, value) in places.into_iter().zip(values) {
            if let Some(slot) = found.get_mut(place) {
                *slot = lookup(value);
            }
        }
        Ok(found)
    }

    async fn put_many(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
    ) -> Result<(), CacheError> {
        let key_of = |write: &CacheWrite| self.keys.of(write.stored.key());
        let calls = self.script.calls(generation, writes, key_of);
        let mut pipeline = Pipeline::with_capacity(calls.len());
        for call in calls {
            pipeline.add_command(call);
        }
        let written = self.call_script(&pipeline).await;
        written.map_err(failed("writing to the cache"))
    }

    async fn remove_many(&self, keys: &[Key]) -> Result<(), CacheError> {
        let (_, names) = self.names(keys);
        let mut pipeline = Pipeline::new();
        for chunk in names.chunks(KEYS_MAX) {
            pipeline.cmd("UNLINK").arg(chunk);
        }
        let removed = self.link.send_all(&pipeline).await;
        removed
            .map(|_| ())
            .map_err(failed("removing from the cache"))
    }

    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        let (places, names) = self.names(keys);
        let mut pipeline = Pipeline::with_capacity(names.len());
        for name in &names {
            pipeline
                .cmd("GETRANGE")
                .arg(name.as_slice())
                .arg(0)
                .arg(HEADER_LEN - 1);
        }
        // A key of another type is an error reply to its own command, and no record.
        let answers = self.link.send(&pipeline).await;
        let answers = answers.map_err(failed("asking the cache"))?;
        let mut exist = vec![false; keys.len()];
        for (place, answer) in places.into_iter().zip(answers) {
            let is_item = match answer {
                Value::BulkString(header) => record::is_item(&header),
                Value::ServerError(error) if error.code() == "WRONGTYPE" => false,
                Value::ServerError(error) => {
                    return Err(failed("asking the cache")(self.link.refusal(error)));
                }
                _ => false,
            };
            if let Some(slot) = exist.get_mut(place) {
                *slot = is_item;
            }
        }
        Ok(exist)
    }

    async fn ping(&self) -> Result<(), CacheError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("PING");
        let pong = self.link.send_all(&pipeline).await;
        pong.map(|_| ())
            .map_err(failed("asking whether the cache is there"))
    }

    async fn relieve(&self, start: f64, target: f64) -> Result<Relief, CacheError> {
        let relief = self.make_room(start, target).await;
        relief.map_err(failed("making room in the cache"))
    }

    fn life(&self) -> Option<std::sync::Arc<str>> {
        self.link.life()
    }

    fn is_configured(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
