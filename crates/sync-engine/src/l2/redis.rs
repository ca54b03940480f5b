//! The cache tier on a Redis.

mod relief;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Pipeline, Value, from_redis_value};

use super::keys::ItemKeys;
use super::record::{self, HEADER_LEN, bytes_max};
use super::script::{Call, Change, ChangeScript};
use super::{CacheError, CacheStore, CacheWrite, Generation, Lookup, Relief};
use crate::config::{BackendUrl, ConfigError};
use crate::env::SharedEnv;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::limits::PLAIN_REPLY_BYTES_MAX;
use crate::link::{LinkError, RedisLink, RedisTimeouts};

/// Most keys of one command that takes many.
const KEYS_MAX: usize = 200;

/// [`CacheStore`] on one Redis, that several engines may share.
///
/// Each record stands under `redis_prefix` + the item's key as a string: the generation (8 bytes, big-endian), then the
/// envelope. Writes and removals are conditional, in a script. The first request connects; after a failure the next one does.
/// An item whose Redis key is that of the change stream (or its like) is never cached.
///
/// Of a value that is longer than any record only so much is read as shows that.
pub struct RedisCache {
    link: RedisLink,
    /// Longest record there may be.
    record_bytes_max: AtomicUsize,
    keys: ItemKeys,
    script: ChangeScript,
    /// How far the walk over the server's keys has come: its cursor.
    walked: AtomicU64,
}

impl RedisCache {
    /// A cache on this server, for payloads of at most `payload_bytes_max` bytes. Does not connect; fails only when the URL
    /// cannot be one of a Redis.
    pub fn new(
        url: &BackendUrl,
        redis_prefix: Option<&str>,
        payload_bytes_max: usize,
        timeouts: RedisTimeouts,
        env: SharedEnv,
    ) -> Result<Self, ConfigError> {
        let record_bytes_max = bytes_max(payload_bytes_max);
        Ok(Self {
            link: RedisLink::new(url, timeouts, reply_bytes_max(record_bytes_max), env)?,
            record_bytes_max: AtomicUsize::new(record_bytes_max),
            keys: ItemKeys::new(redis_prefix),
            script: ChangeScript::new(),
            walked: AtomicU64::new(0),
        })
    }

    /// The Redis keys of the items that may be cached, with each item's place in `keys`.
    fn names(&self, keys: &[Key]) -> (Vec<usize>, Vec<Vec<u8>>) {
        let named = |(at, key)| Some((at, self.keys.of(key)?));
        keys.iter().enumerate().filter_map(named).unzip()
    }

    /// The bytes of each key's value up to this place, itself included; empty: there is none.
    async fn get_ranges(&self, names: &[Vec<u8>], end: usize) -> Result<Vec<Value>, LinkError> {
        let mut pipeline = Pipeline::with_capacity(names.len());
        for name in names {
            let range = pipeline.cmd("GETRANGE").arg(name.as_slice());
            range.arg(0).arg(end);
        }
        self.link.send(&pipeline).await
    }

    /// What a `GETRANGE` gave. A key of another type is an error reply to its own command, and no record.
    fn bytes_of(&self, answer: Value) -> Result<Bytes, LinkError> {
        match answer {
            Value::BulkString(bytes) => Ok(bytes.into()),
            Value::ServerError(error) if error.code() != "WRONGTYPE" => {
                Err(self.link.refusal(error))
            }
            _ => Ok(Bytes::new()),
        }
    }

    /// Makes the changes; gives those that something newer, which nobody else keeps, has kept out.
    async fn change<'a>(
        &self,
        changes: impl Iterator<Item = Change<'a>>,
    ) -> Result<Vec<(Key, Stamp)>, LinkError> {
        let (mut pipeline, mut calls) = (Pipeline::new(), Vec::new());
        for Call { cmd, of } in self.script.calls(changes) {
            pipeline.add_command(cmd);
            calls.push(of);
        }
        let answers = self.call_script(&pipeline).await?;
        let mut outlived = Vec::new();
        for (of, answer) in calls.iter().zip(answers) {
            // From 1; what is no list of numbers is of no server that knows the script.
            let numbers: Vec<usize> = from_redis_value(answer).unwrap_or_default();
            let places = numbers.iter().filter_map(|number| number.checked_sub(1));
            let there = places.filter_map(|at| of.get(at));
            outlived.extend(there.map(|(key, stamp)| ((*key).clone(), *stamp)));
        }
        Ok(outlived)
    }

    /// Sends the script calls; the server answers each. A server that does not know the script is told, once.
    async fn call_script(&self, calls: &Pipeline) -> Result<Vec<Value>, LinkError> {
        let answers = self.link.send(calls).await?;
        let Some(refusal) = first_refusal(&answers) else {
            return Ok(answers);
        };
        if refusal.code() != "NOSCRIPT" {
            return Err(self.link.refusal(refusal.clone()));
        }
        let mut load = Pipeline::with_capacity(1);
        load.add_command(self.script.load());
        self.link.send_all(&load).await?;
        // All again: what was written already may be written twice.
        self.link.send_all(calls).await
    }
}

/// The first error reply that is not about the script being unknown, or else any.
fn first_refusal(answers: &[Value]) -> Option<&redis::ServerError> {
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

fn reply_bytes_max(record_bytes_max: usize) -> usize {
    record_bytes_max.saturating_add(PLAIN_REPLY_BYTES_MAX)
}

#[async_trait]
impl CacheStore for RedisCache {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Lookup>, CacheError> {
        let op = "reading from the cache";
        let (places, names) = self.names(keys);
        let record_bytes_max = self.record_bytes_max.load(Ordering::Relaxed);
        // One byte more than a record may have shows that it is none. (`GETRANGE` counts from 0, its end included.)
        let answers = self.get_ranges(&names, record_bytes_max).await;
        let answers = answers.map_err(failed(op))?;
        let mut found: Vec<Lookup> = keys.iter().map(|_| Lookup::Absent).collect();
        for (place, answer) in places.into_iter().zip(answers) {
            let bytes = self.bytes_of(answer).map_err(failed(op))?;
            if let Some(slot) = found.get_mut(place) {
                *slot = record::lookup(bytes, record_bytes_max);
            }
        }
        Ok(found)
    }

    async fn put_many(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        let puts = writes.iter().filter_map(|write| {
            let name = self.keys.of(write.stored.key())?;
            let record = record::encode(generation, &write.stored);
            Some(Change::put(write, name, record))
        });
        let kept = self.change(puts).await;
        kept.map_err(failed("writing to the cache"))
    }

    async fn remove_many(
        &self,
        generation: Generation,
        ends: &[(Key, Stamp)],
    ) -> Result<Vec<(Key, Stamp)>, CacheError> {
        let removals = ends.iter().filter_map(|(key, stamp)| {
            let header = record::header(generation, *stamp);
            let name = self.keys.of(key)?;
            Some(Change::removal((key, *stamp), name, header))
        });
        let kept = self.change(removals).await;
        kept.map_err(failed("removing from the cache"))
    }

    async fn exist_many(&self, keys: &[Key]) -> Result<Vec<bool>, CacheError> {
        let op = "asking the cache";
        let (places, names) = self.names(keys);
        let answers = self.get_ranges(&names, HEADER_LEN - 1).await;
        let answers = answers.map_err(failed(op))?;
        let mut exist = vec![false; keys.len()];
        for (place, answer) in places.into_iter().zip(answers) {
            let header = self.bytes_of(answer).map_err(failed(op))?;
            if let Some(slot) = exist.get_mut(place) {
                *slot = record::is_item(&header);
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

    fn set_payload_bytes_max(&self, payload_bytes_max: usize) {
        let bytes = bytes_max(payload_bytes_max);
        let bytes = self
            .record_bytes_max
            .fetch_max(bytes, Ordering::Relaxed)
            .max(bytes);
        self.link.set_reply_bytes_max(reply_bytes_max(bytes));
    }

    fn is_configured(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
