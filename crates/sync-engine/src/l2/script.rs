//! The conditional change: one script call writes or removes a chunk of records, each unless a newer one is there.

use redis::{Cmd, Script};

use super::CacheWrite;
use super::record::HEADER_LEN;
use crate::item::key::Key;
use crate::item::stamp::Stamp;

/// Most records of one call.
const RECORDS_MAX: usize = 200;
/// Most bytes of one call; a larger record goes alone.
const BYTES_MAX: usize = 1 << 20;
/// Longest TTL that is given to Redis, in milliseconds (about 35,000 years): it refuses some longer ones.
const TTL_MS_MAX: u128 = 1 << 50;
/// Stands in the place of the TTL of what is to be removed.
const REMOVED: i64 = -1;

/// KEYS: the keys. ARGV: the TTL in milliseconds, 0 or -1 (removed), then a record for each key, or of what is removed its header.
/// Gives the numbers of the keys that stayed as they were because of a newer item that the archive does not keep (flag 1 without
/// flag 32).
///
/// A record there is older when its stamp is not greater, or when it is of a lower generation of the same archive and the archive
/// keeps such records. Not older is an item that the archive does not keep than a tombstone, or a removal, of the same stamp: the
/// archive has such a tombstone of it, and peers send it back.
/// Stamps and generations are compared as numbers of 32 bits, which Lua's doubles hold exactly. What is no record is older, too:
/// other types (`pcall` gives a table), short strings, strings without the envelope's magic byte. The offsets are strings
/// because Redis takes longer to make text of a Lua number than to read the header.
const SOURCE: &str = r"
local call, pcall, unpack = redis.call, redis.pcall, struct.unpack
local ttl = ARGV[1]
local kept = {}
for i = 1, #KEYS do
  local key, new = KEYS[i], ARGV[i + 1]
  local old = pcall('GETRANGE', key, '0', '31')
  local keep, alone = false, false
  if type(old) == 'string' and #old == 32 and old:byte(9) == 82 then
    local e, g, _, _, a, b, c, d = unpack('>I4I4I4I4I4I4I4I4', old)
    local f, h, _, _, p, q, r, s = unpack('>I4I4I4I4I4I4I4I4', new)
    alone = bit.band(old:byte(12), 33) == 1
    if e ~= f or g >= h or alone then
      if a ~= p then keep = a > p
      elseif b ~= q then keep = b > q
      elseif c ~= r then keep = c > r
      elseif d ~= s then keep = d > s
      else keep = alone and new:byte(12) % 2 == 0 end
    end
  end
  if not keep then
    if ttl == '-1' then call('UNLINK', key)
    elseif ttl == '0' then call('SET', key, new)
    else call('SET', key, new, 'PX', ttl) end
  elseif alone then kept[#kept + 1] = i end
end
return kept
";

// The script's 31 and 32.
const _: () = assert!(HEADER_LEN == 32);

/// The script and its hash.
pub(super) struct ChangeScript(Script);

/// What is to become of one key.
pub(super) struct Change<'a> {
    of: (&'a Key, Stamp),
    /// What Redis knows it by.
    name: Vec<u8>,
    ttl_ms: i64,
    value: Vec<u8>,
}

impl<'a> Change<'a> {
    /// This record is written.
    pub(super) fn put(write: &'a CacheWrite, name: Vec<u8>, record: Vec<u8>) -> Self {
        Self {
            of: (write.stored.key(), write.stored.stamp()),
            name,
            ttl_ms: ttl_ms(write),
            value: record,
        }
    }

    /// What is not newer than this header goes.
    pub(super) fn removal(of: (&'a Key, Stamp), name: Vec<u8>, header: Vec<u8>) -> Self {
        Self {
            of,
            name,
            ttl_ms: REMOVED,
            value: header,
        }
    }
}

/// One call of the script.
pub(super) struct Call<'a> {
    pub(super) cmd: Cmd,
    /// What it is about, in the order in which the answer counts, from 1.
    pub(super) of: Vec<(&'a Key, Stamp)>,
}

impl ChangeScript {
    pub(super) fn new() -> Self {
        Self(Script::new(SOURCE))
    }

    /// The command that makes the server know the script.
    pub(super) fn load(&self) -> Cmd {
        let mut cmd = redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(SOURCE);
        cmd
    }

    /// The calls that do all this, in order.
    pub(super) fn calls<'a>(&self, changes: impl Iterator<Item = Change<'a>>) -> Vec<Call<'a>> {
        let mut calls = Vec::new();
        let mut chunk = Chunk::default();
        for change in changes {
            if chunk.is_full(&change) {
                calls.extend(std::mem::take(&mut chunk).into_call(self.0.get_hash()));
            }
            chunk.add(change);
        }
        calls.extend(chunk.into_call(self.0.get_hash()));
        calls
    }
}

/// The TTL for Redis: 0 is none, and no TTL is shorter than a millisecond.
fn ttl_ms(write: &CacheWrite) -> i64 {
    let ms = write.ttl.map(|ttl| ttl.as_millis().clamp(1, TTL_MS_MAX));
    i64::try_from(ms.unwrap_or(0)).unwrap_or(i64::MAX)
}

/// Changes with one TTL that go into one call.
#[derive(Default)]
struct Chunk<'a> {
    bytes: usize,
    changes: Vec<Change<'a>>,
}

impl<'a> Chunk<'a> {
    fn is_full(&self, next: &Change) -> bool {
        self.changes.first().is_some_and(|first| {
            first.ttl_ms != next.ttl_ms
                || self.changes.len() >= RECORDS_MAX
                || self.bytes + next.name.len() + next.value.len() > BYTES_MAX
        })
    }

    fn add(&mut self, change: Change<'a>) {
        self.bytes += change.name.len() + change.value.len();
        self.changes.push(change);
    }

    fn into_call(self, hash: &str) -> Option<Call<'a>> {
        let first = self.changes.first()?;
        let mut cmd = Cmd::with_capacity(4 + 2 * self.changes.len(), self.bytes + 128);
        cmd.arg("EVALSHA").arg(hash).arg(self.changes.len());
        for change in &self.changes {
            cmd.arg(change.name.as_slice());
        }
        cmd.arg(first.ttl_ms);
        for change in &self.changes {
            cmd.arg(change.value.as_slice());
        }
        let of = self.changes.iter().map(|change| change.of).collect();
        Some(Call { cmd, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Stored, SyncItem};
    use crate::l2::record;
    use std::time::Duration;

    fn write(bytes: usize, ttl_secs: Option<u64>) -> CacheWrite {
        CacheWrite {
            stored: Stored::Live(SyncItem::new("k", vec![0; bytes])),
            ttl: ttl_secs.map(Duration::from_secs),
        }
    }

    fn keys_per_call(writes: &[CacheWrite]) -> Vec<usize> {
        let change = |write| Change::put(write, b"k".to_vec(), record::encode(1, &write.stored));
        let calls = ChangeScript::new().calls(writes.iter().map(change));
        let sizes = calls.iter().map(|call| {
            let keys = (call.cmd.args_iter().count() - 4) / 2;
            assert_eq!(call.of.len(), keys);
            keys
        });
        sizes.collect()
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
