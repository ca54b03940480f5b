//! The envelope: one binary form of a stored write, used by the log, the Redis tier and the peers' answers.
//!
//! Byte by byte in `docs/formats.md`. The stamp stands at a fixed place so that a Redis script can compare it.

use bytes::{Buf, BufMut, Bytes};

use super::Stored;
use super::hash::ContentHash;
use super::key::Key;
use super::options::{CacheTtl, SubmitOptions};
use super::stamp::Stamp;
use super::sync_item::{ContentType, SyncItem};

/// First byte of every envelope.
const MAGIC: u8 = b'R';
/// Second byte: the layout.
const VERSION: u8 = 1;
/// magic, version, flags (2 bytes), checksum (4 bytes).
const PREFIX_LEN: usize = 8;
/// Offset of the 16 bytes of the stamp.
pub const STAMP_AT: usize = PREFIX_LEN;

const LIVE: u16 = 1;
const JSON: u16 = 2;
const EXPIRES: u16 = 4;
const REDIS: u16 = 8;
const REDIS_TTL: u16 = 16;
const SQL: u16 = 32;
const STATE: u16 = 64;
const EXTRAS: u16 = 128;
const KNOWN: u16 = 255;

/// Why bytes are not an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too short, or a length inside points past the end.
    #[error("the envelope is cut off at {field}")]
    Truncated {
        /// Where it ends too early.
        field: &'static str,
    },
    /// Not an envelope, or one of a later layout.
    #[error("not an envelope of layout {VERSION}: it starts with {first:#04x} {second:#04x}")]
    Unknown {
        /// First byte.
        first: u8,
        /// Second byte.
        second: u8,
    },
    /// The bytes changed since they were written.
    #[error("the envelope's checksum does not match")]
    Checksum,
    /// A field holds what no writer puts there.
    #[error("the envelope's {field} is malformed")]
    Malformed {
        /// Which one.
        field: &'static str,
    },
}

/// Appends the envelope of `stored` to `out`.
pub fn encode(stored: &Stored, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(stored.size_bytes() + 128);
    out.put_slice(&[MAGIC, VERSION]);
    out.put_u16(flags(stored));
    out.put_u32(0);
    out.put_slice(&stored.stamp().to_bytes());
    put_short(out, stored.key().as_bytes());
    if let Stored::Live(item) = stored {
        encode_item(item, out);
    }
    let checksum = crc32c::crc32c(&out[start + PREFIX_LEN..]) ^ u32::from(flags(stored));
    out[start + 4..start + 8].copy_from_slice(&checksum.to_be_bytes());
}

fn flags(stored: &Stored) -> u16 {
    let Stored::Live(item) = stored else { return 0 };
    let options = &item.submit_options;
    [
        (true, LIVE),
        (item.content_type == ContentType::Json, JSON),
        (item.expires_at.is_some(), EXPIRES),
        (options.redis, REDIS),
        (options.redis_ttl.is_some(), REDIS_TTL),
        (options.sql, SQL),
        (&*item.state != super::sync_item::DEFAULT_STATE, STATE),
        (extras(item).iter().any(Option::is_some), EXTRAS),
    ]
    .iter()
    .filter(|(on, _)| *on)
    .fold(0, |all, (_, bit)| all | bit)
}

fn extras(item: &SyncItem) -> [Option<&str>; 4] {
    [
        item.batch_id.as_deref(),
        item.trace_parent.as_deref(),
        item.trace_state.as_deref(),
        item.home_instance_id.as_deref(),
    ]
}

fn encode_item(item: &SyncItem, out: &mut Vec<u8>) {
    out.put_u64(item.version);
    out.put_i64(item.updated_at);
    out.put_slice(&item.content_hash.0);
    if let Some(at) = item.expires_at {
        out.put_i64(at);
    }
    if let Some(ttl) = item.submit_options.redis_ttl {
        out.put_u64(ttl.secs());
    }
    if &*item.state != super::sync_item::DEFAULT_STATE {
        put_short(out, item.state.as_bytes());
    }
    let extras = extras(item);
    if extras.iter().any(Option::is_some) {
        for extra in extras {
            match extra {
                Some(text) => {
                    out.put_u8(1);
                    put_short(out, text.as_bytes());
                }
                None => out.put_u8(0),
            }
        }
    }
    // Ingest keeps payloads below 1 GiB, so the length fits.
    out.put_u32(item.content.len() as u32);
    out.put_slice(&item.content);
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    // Ingest keeps keys, states and free-text fields below 64 KiB, so the length fits.
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

/// Reads one envelope that fills `bytes`. The payload is a slice of `bytes`, not a copy.
pub fn decode(bytes: Bytes) -> Result<Stored, EnvelopeError> {
    let mut rest = bytes;
    if rest.len() < PREFIX_LEN {
        return Err(EnvelopeError::Truncated { field: "header" });
    }
    let (first, second) = (rest.get_u8(), rest.get_u8());
    if (first, second) != (MAGIC, VERSION) {
        return Err(EnvelopeError::Unknown { first, second });
    }
    let flags = rest.get_u16();
    let checksum = rest.get_u32();
    if checksum != crc32c::crc32c(&rest) ^ u32::from(flags) {
        return Err(EnvelopeError::Checksum);
    }
    if flags & !KNOWN != 0 {
        return Err(EnvelopeError::Malformed { field: "flags" });
    }
    let mut reader = Reader(rest);
    let stamp = Stamp::from_bytes(reader.array("stamp")?);
    let key = reader.short("key")?;
    let key = Key::parse(&key).map_err(|_| EnvelopeError::Malformed { field: "key" })?;
    let stored = if flags & LIVE == 0 {
        Stored::Tombstone { key, stamp }
    } else {
        Stored::Live(decode_item(key, stamp, flags, &mut reader)?)
    };
    match reader.0.is_empty() {
        true => Ok(stored),
        false => Err(EnvelopeError::Malformed { field: "end" }),
    }
}

/// The key that an envelope seems to be of. It may be damaged: the checksum is not looked at, so this is for stepping over
/// what [`decode`] refuses, and for nothing else.
pub fn peek_key(bytes: &Bytes) -> Option<Key> {
    let mut reader = Reader(bytes.clone());
    let head = reader.take(PREFIX_LEN, "header").ok()?;
    if !head.starts_with(&[MAGIC, VERSION]) {
        return None;
    }
    reader.array::<16>("stamp").ok()?;
    Key::parse(&reader.short("key").ok()?).ok()
}

fn decode_item(
    key: Key,
    stamp: Stamp,
    flags: u16,
    reader: &mut Reader,
) -> Result<SyncItem, EnvelopeError> {
    let version = reader.u64("version")?;
    let updated_at = reader.u64("updated_at")? as i64;
    let hash = ContentHash(reader.array("content hash")?);
    let expires_at = match flags & EXPIRES {
        0 => None,
        _ => Some(reader.u64("expires_at")? as i64),
    };
    let redis_ttl = match flags & REDIS_TTL {
        0 => None,
        _ => Some(CacheTtl::custom_secs(reader.u64("redis_ttl")?)),
    };
    let state = match flags & STATE {
        0 => None,
        _ => Some(reader.text("state")?),
    };
    let mut extras = [None, None, None, None];
    if flags & EXTRAS != 0 {
        for extra in &mut extras {
            *extra = reader.optional_text("extra field")?;
        }
    }
    let len = reader.u32("content length")? as usize;
    let content = reader.take(len, "content")?;
    let content_type = match flags & JSON {
        0 => ContentType::Binary,
        _ => ContentType::Json,
    };
    let options = SubmitOptions {
        redis: flags & REDIS != 0,
        redis_ttl,
        sql: flags & SQL != 0,
        state: None,
    };
    let [batch_id, trace_parent, trace_state, home_instance_id] = extras;
    Ok(
        SyncItem::from_parts(key, content, hash, content_type).edit(|fields| {
            fields.stamp = stamp;
            fields.version = version;
            fields.updated_at = updated_at;
            fields.expires_at = expires_at;
            fields.submit_options = options;
            fields.batch_id = batch_id;
            fields.trace_parent = trace_parent;
            fields.trace_state = trace_state;
            fields.home_instance_id = home_instance_id;
            if let Some(state) = state {
                fields.state = state.into();
            }
        }),
    )
}

/// A cursor that says which field was cut off.
struct Reader(Bytes);

impl Reader {
    fn take(&mut self, len: usize, field: &'static str) -> Result<Bytes, EnvelopeError> {
        match len <= self.0.len() {
            true => Ok(self.0.split_to(len)),
            false => Err(EnvelopeError::Truncated { field }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], EnvelopeError> {
        let bytes = self.take(N, field)?;
        <[u8; N]>::try_from(&bytes[..]).map_err(|_| EnvelopeError::Truncated { field })
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, EnvelopeError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, EnvelopeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    fn short(&mut self, field: &'static str) -> Result<Bytes, EnvelopeError> {
        let len = u16::from_be_bytes(self.array(field)?);
        self.take(usize::from(len), field)
    }

    fn text(&mut self, field: &'static str) -> Result<Box<str>, EnvelopeError> {
        let bytes = self.short(field)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| EnvelopeError::Malformed { field })?;
        Ok(text.into())
    }

    fn optional_text(&mut self, field: &'static str) -> Result<Option<Box<str>>, EnvelopeError> {
        match self.array::<1>(field)? {
            [0] => Ok(None),
            [1] => self.text(field).map(Some),
            _ => Err(EnvelopeError::Malformed { field }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
