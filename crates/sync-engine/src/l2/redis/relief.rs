//! Making room on a Redis that fills up.

use std::sync::atomic::Ordering;

use redis::{Pipeline, Value, from_redis_value};

use super::{KEYS_MAX, RedisCache};
use crate::l2::record::HEADER_LEN;
use crate::l2::relief::{Memory, Relief, Usage, least_used, pattern};
use crate::link::LinkError;

/// Most samples of one call: with [`SAMPLE`], 10,000 places of the server's key table are looked at.
const SAMPLES_MAX: usize = 50;

/// Places of the key table looked at for one sample.
const SAMPLE: usize = 200;

/// KEYS: the keys, the least used first. ARGV: how many bytes to free, and the prefix. Gives the number of dropped keys.
///
/// Looking and dropping are one step, so that a record written meanwhile, which only the cache may keep, never goes in
/// the place of the one that was seen. Dropped is a record of the known layout, of this very key, that is a tombstone (no
/// flags) or an item that is archived (the flags 1 and 32); everything else is left alone.
const DROP_ARCHIVED: &str = r"
local call, pcall, unpack = redis.call, redis.pcall, struct.unpack
local goal, prefix = tonumber(ARGV[1]), ARGV[2]
local freed, dropped = 0, 0
for i = 1, #KEYS do
  if freed >= goal then break end
  local key = KEYS[i]
  local head = pcall('GETRANGE', key, '0', '1057')
  if type(head) == 'string' and #head >= 34 and head:sub(9, 11) == 'R\1\0' then
    local flags, length = head:byte(12), unpack('>I2', head, 33)
    local archived = flags == 0 or bit.band(flags, 33) == 33
    if archived and key == prefix .. head:sub(35, 34 + length) then
      freed = freed + #key + call('STRLEN', key)
      dropped = dropped + call('UNLINK', key)
    end
  end
end
return dropped
";

// The script's 33 to 35 and 1057: after the stamp comes the key, with its length in front.
const _: () = assert!(HEADER_LEN == 32 && crate::limits::KEY_BYTES_MAX == 1024);

/// A server that may not be asked (it refuses a command) is not relieved: that is no outage.
fn granted(value: Option<Value>) -> Option<Value> {
    match value? {
        Value::ServerError(error) => {
            tracing::debug!(%error, "the cache cannot be relieved: the Redis refuses a command");
            None
        }
        value => Some(value),
    }
}

fn read<T: redis::FromRedisValue>(value: Option<Value>) -> Option<T> {
    from_redis_value(granted(value)?).ok()
}

fn ask_memory(pipeline: &mut Pipeline) {
    pipeline.cmd("INFO").arg("memory");
}

fn memory_of(answer: Option<Value>) -> Option<Memory> {
    Memory::parse(&read::<String>(answer)?)
}

impl RedisCache {
    /// Drops archived records, the least used of each sample, until the share in use is `target`, if it is above `start`.
    pub(super) async fn make_room(&self, start: f64, target: f64) -> Result<Relief, LinkError> {
        let mut relief = Relief::default();
        let mut ask = Pipeline::with_capacity(1);
        ask_memory(&mut ask);
        let mut memory = memory_of(self.link.send(&ask).await?.pop());
        if memory.is_none_or(|memory| memory.excess(start) == 0) {
            return Ok(relief);
        }
        for _ in 0..SAMPLES_MAX {
            let Some(now) = memory.filter(|memory| memory.excess(target) > 0) else {
                return Ok(relief);
            };
            let Some(keys) = self.sample().await? else {
                return Ok(relief);
            };
            let keys = self.least_used(keys, now.usage).await?;
            if !keys.is_empty() {
                let dropped;
                (dropped, memory) = self.drop_archived(&keys, now.excess(target)).await?;
                relief.dropped += dropped;
            }
        }
        relief.is_unfinished = memory.is_some_and(|memory| memory.excess(target) > 0);
        Ok(relief)
    }

    /// The keys of items in the next part of the key table. The walk goes on where the last call left it.
    async fn sample(&self) -> Result<Option<Vec<Vec<u8>>>, LinkError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline
            .cmd("SCAN")
            .arg(self.walked.load(Ordering::Relaxed))
            .arg("MATCH")
            .arg(pattern(self.keys.prefix()))
            .arg("COUNT")
            .arg(SAMPLE);
        let answer = self.link.send(&pipeline).await?.pop();
        let Some((cursor, mut keys)) = read::<(u64, Vec<Vec<u8>>)>(answer) else {
            return Ok(None);
        };
        self.walked.store(cursor, Ordering::Relaxed);
        keys.retain(|key| !self.keys.is_special(key));
        Ok(Some(keys))
    }

    /// Only these are then read at all, because reading makes a key look used.
    async fn least_used(
        &self,
        keys: Vec<Vec<u8>>,
        usage: Usage,
    ) -> Result<Vec<Vec<u8>>, LinkError> {
        let question = match usage {
            Usage::IdleTime => "IDLETIME",
            Usage::Frequency => "FREQ",
        };
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in &keys {
            pipeline.cmd("OBJECT").arg(question).arg(key.as_slice());
        }
        let answers = self.link.send(&pipeline).await?;
        let uses = answers.into_iter().map(|answer| match answer {
            Value::Int(uses) => Some(uses),
            _ => None,
        });
        Ok(least_used(keys, uses, usage))
    }

    /// Drops those that are archived until so many bytes are free; gives their number, and how full the server is then.
    async fn drop_archived(
        &self,
        keys: &[Vec<u8>],
        bytes: u64,
    ) -> Result<(u64, Option<Memory>), LinkError> {
        let mut pipeline = Pipeline::new();
        for chunk in keys.chunks(KEYS_MAX) {
            pipeline
                .cmd("EVAL")
                .arg(DROP_ARCHIVED)
                .arg(chunk.len())
                .arg(chunk)
                .arg(bytes)
                .arg(self.keys.prefix());
        }
        ask_memory(&mut pipeline);
        let mut answers = self.link.send(&pipeline).await?;
        let memory = memory_of(answers.pop());
        let mut dropped = 0;
        for answer in answers {
            match read::<u64>(Some(answer)) {
                Some(count) => dropped += count,
                None => return Ok((dropped, None)),
            }
        }
        Ok((dropped, memory))
    }
}

#[cfg(test)]
mod tests;
