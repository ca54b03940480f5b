//! The conditional write: one script call writes a chunk of records, each unless a newer one is there.

use redis::{Cmd, Script};

use super::CacheWrite;
use super::record::{self, HEADER_LEN};
use crate::l2::Generation;

/// Most records of one call.
const RECORDS_MAX: usize = 200;
/// Most bytes of one call; a larger record goes alone.
const BYTES_MAX: usize = 1 << 20;
/// Longest TTL that is given to Redis, in milliseconds (about 35,000 years): it refuses some longer ones.
const TTL_MS_MAX: u128 = 1 << 50;

/// KEYS: the keys. ARGV: the TTL in milliseconds or 0, then a record for each key.
///
/// A record there is older, and replaced, when it is of a lower generation of the same archive or its stamp is not greater.
/// Stamps and generations are compared as numbers of 32 bits, which Lua's doubles hold exactly. What is no record is replaced, too:
/// other types (`pcall` gives a table), short strings, strings without the envelope's magic byte. The offsets are strings
/// because Redis takes longer to make text of a Lua number than to read the header.
const SOURCE: &str = r"
local call, pcall, unpack = redis.call, redis.pcall, struct.unpack
local ttl = ARGV[1]
for i = 1, #KEYS do
  local key, new = KEYS[i], ARGV[i + 1]
  local old = pcall('GETRANGE', key, '0', '31')
  local keep = false
  if type(old) == 'string' and #old == 32 and old:byte(9) == 82 then
    local e, g, _, _, a, b, c, d = unpack('>I4I4I4I4I4I4I4I4', old)
    local f, h, _, _, p, q, r, s = unpack('>I4I4I4I4I4I4I4I4', new)
    if e ~= f or g >= h then
      if a ~= p then keep = a > p
      elseif b ~= q then keep = b > q
      elseif c ~= r then keep = c > r
      else keep = d > s end
    end
  end
  if not keep then
    if ttl == '0' then call('SET', key, new) else call('SET', key, new, 'PX', ttl) end
  end
end
return 1
";

// The script's 31 and 32.
const _: () = assert!(HEADER_LEN == 32);

/// The script and its hash.
pub(super) struct PutScript(Script);

impl PutScript {
    pub(super) fn new() -> Self {
        Self(Script::new(SOURCE))
    }

    /// The command that makes the server know the script.
    pub(super) fn load(&self) -> Cmd {
        let mut cmd = redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(SOURCE);
        cmd
    }

    /// The calls that write these records, in order. Records without a key are left out.
    pub(super) fn calls(
        &self,
        generation: Generation,
        writes: &[CacheWrite],
        key_of: impl Fn(&CacheWrite) -> Option<Vec<u8>>,
    ) -> Vec<Cmd> {
        let mut calls = Vec::new();
        let mut chunk = Chunk::default();
        for write in writes {
            let Some(key) = key_of(write) else { continue };
            let value = record::encode(generation, &write.stored);
            let ttl_ms = ttl_ms(write);
            if chunk.is_full(ttl_ms, key.len() + value.len()) {
                calls.extend(std::mem::take(&mut chunk).into_call(self.0.get_hash()));
            }
            chunk.add(ttl_ms, key, value);
        }
        calls.extend(chunk.into_call(self.0.get_hash()));
        calls
    }
}

/// The TTL for Redis: 0 is none, and no TTL is shorter than a millisecond.
fn ttl_ms(write: &CacheWrite) -> u64 {
    let ms = write.ttl.map(|ttl| ttl.as_millis().clamp(1, TTL_MS_MAX));
    u64::try_from(ms.unwrap_or(0)).unwrap_or(u64::MAX)
}

/// Records of one TTL that go into one call.
#[derive(Default)]
struct Chunk {
    ttl_ms: u64,
    bytes: usize,
    keys: Vec<Vec<u8>>,
    values: Vec<Vec<u8>>,
}

impl Chunk {
    fn is_full(&self, ttl_ms: u64, bytes: usize) -> bool {
        !self.keys.is_empty()
            && (self.ttl_ms != ttl_ms
                || self.keys.len() >= RECORDS_MAX
                || self.bytes + bytes > BYTES_MAX)
    }

    fn add(&mut self, ttl_ms: u64, key: Vec<u8>, value: Vec<u8>) {
        self.ttl_ms = ttl_ms;
        self.bytes += key.len() + value.len();
        self.keys.push(key);
        self.values.push(value);
    }

    fn into_call(self, hash: &str) -> Option<Cmd> {
        if self.keys.is_empty() {
            return None;
        }
        let mut cmd = Cmd::with_capacity(4 + 2 * self.keys.len(), self.bytes + 128);
        cmd.arg("EVALSHA").arg(hash).arg(self.keys.len());
        for key in &self.keys {
            cmd.arg(key.as_slice());
        }
        cmd.arg(self.ttl_ms);
        for value in &self.values {
            cmd.arg(value.as_slice());
        }
        Some(cmd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Stored, SyncItem};
    use std::time::Duration;

    fn write(bytes: usize, ttl_secs: Option<u64>) -> CacheWrite {
        CacheWrite {
            stored: Stored::Live(SyncItem::new("k", vec![0; bytes])),
            ttl: ttl_secs.map(Duration::from_secs),
        }
    }

    fn keys_per_call(writes: &[CacheWrite]) -> Vec<usize> {
        let calls = PutScript::new().calls(1, writes, |w| Some(w.stored.key().as_bytes().to_vec()));
        calls
            .iter()
            .map(|c| (c.args_iter().count() - 4) / 2)
            .collect()
    }

    #[test]
    fn chunks_are_bounded_in_records_and_bytes_and_have_one_ttl() {
        assert_eq!(keys_per_call(&[]), [0; 0]);
        assert_eq!(keys_per_call(&vec![write(1, None); 450]), [200, 200, 50]);
        assert_eq!(keys_per_call(&vec![write(400_000, None); 5]), [2, 2, 1]);
        assert_eq!(
            keys_per_call(&[write(2 << 20, None), write(2 << 20, None)]),
            [1, 1]
        );
        assert_eq!(
            keys_per_call(&[
                write(1, None),
                write(1, Some(5)),
                write(1, Some(5)),
                write(1, None)
            ]),
            [1, 2, 1]
        );
    }

    #[test]
    fn ttls_are_never_zero_or_out_of_range() {
        assert_eq!(ttl_ms(&write(1, None)), 0);
        assert_eq!(ttl_ms(&write(1, Some(0))), 1);
        assert_eq!(ttl_ms(&write(1, Some(u64::MAX))), 1 << 50);
    }
}
