//! The wire form of an entry. Nothing else knows a field's name. Described in `docs/formats.md`.
//!
//! The fields, in this order: `op` (`PUT` or `DEL`), `key`, `hash` (PUT: SHA-256 of the payload, 64 hex digits), `data`
//! (PUT: the payload as `meta.encoding` says), `meta` (one JSON object). Readers ignore fields and members they do not know.

mod meta;

use bytes::Bytes;

use self::meta::{Encoding, Meta};
use super::compress;
use super::event::{ChangeEvent, Epoch, EventError};
use crate::item::hash::ContentHash;
use crate::item::key::Key;
use crate::item::{Stored, SyncItem};
use crate::limits::KEY_BYTES_MAX;

/// The fields of one entry with their values, in order.
pub type Fields = Vec<(Bytes, Bytes)>;

/// What a reader accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest payload, in bytes: the reader's `max_payload_bytes`. It bounds the memory of one decode, too.
    pub payload_bytes_max: usize,
}

/// Most bytes of `meta` that are read: every limit of its members, escaped in the longest way.
const META_BYTES_MAX: usize = 64 << 10;

const OP: &str = "op";
const KEY: &str = "key";
const HASH: &str = "hash";
const DATA: &str = "data";
const META: &str = "meta";

const PUT: &[u8] = b"PUT";
const DEL: &[u8] = b"DEL";

/// The entry of this write. A payload that is not compressed is shared, not copied.
pub fn encode(stored: &Stored, epoch: Epoch, seq: u64) -> Fields {
    let field = |name: &'static str, value: Bytes| (Bytes::from_static(name.as_bytes()), value);
    let key = Bytes::copy_from_slice(stored.key().as_bytes());
    match stored {
        Stored::Live(item) => {
            let (encoding, data) = match compress::compress_if_worth(&item.content) {
                Some(frame) => (Encoding::Zstd, frame.into()),
                None => (Encoding::Raw, item.content.clone()),
            };
            vec![
                field(OP, Bytes::from_static(PUT)),
                field(KEY, key),
                field(HASH, item.content_hash.to_string().into()),
                field(DATA, data),
                field(
                    META,
                    Meta::of_item(item, encoding, epoch, seq).to_json().into(),
                ),
            ]
        }
        Stored::Tombstone { stamp, .. } => vec![
            field(OP, Bytes::from_static(DEL)),
            field(KEY, key),
            field(
                META,
                Meta::of_tombstone(*stamp, epoch, seq).to_json().into(),
            ),
        ],
    }
}

/// Reads an entry. Whatever is wrong with it is an error that names the field; the payload has been checked against its
/// hash. An uncompressed payload is a slice of what was read.
pub fn decode(fields: &[(Bytes, Bytes)], limits: Limits) -> Result<ChangeEvent, EventError> {
    let op = find(fields, OP)?;
    let is_put = match &op[..] {
        PUT => true,
        DEL => false,
        _ => return Err(unknown_op(op)),
    };
    let key = find(fields, KEY)?;
    check_size(KEY, key.len(), KEY_BYTES_MAX)?;
    let key = Key::parse(key).map_err(EventError::Key)?;
    let meta = find(fields, META)?;
    check_size(META, meta.len(), META_BYTES_MAX)?;
    let meta = meta::read(meta)?;
    let stamp = meta.stamp()?;
    let (epoch, seq) = meta.place()?;
    let stored = match is_put {
        false => Stored::Tombstone { key, stamp },
        true => {
            let hash = find(fields, HASH)?;
            let hash = ContentHash::from_hex(hash).ok_or(EventError::Malformed { field: HASH })?;
            let content = payload(find(fields, DATA)?, meta.encoding()?, limits)?;
            check_hash(&content, hash)?;
            let item = SyncItem::from_parts(key, content, hash, meta.content_type()?);
            Stored::Live(meta.complete(item, stamp)?)
        }
    };
    Ok(ChangeEvent { stored, epoch, seq })
}

/// The first field of that name.
fn find<'f>(fields: &'f [(Bytes, Bytes)], name: &'static str) -> Result<&'f Bytes, EventError> {
    fields
        .iter()
        .find(|(field, _)| field == name.as_bytes())
        .map(|(_, value)| value)
        .ok_or(EventError::Missing { field: name })
}

fn check_size(field: &'static str, bytes: usize, limit: usize) -> Result<(), EventError> {
    match bytes <= limit {
        true => Ok(()),
        false => Err(EventError::Oversize {
            field,
            bytes: bytes as u64,
            limit: limit as u64,
        }),
    }
}

fn payload(data: &Bytes, encoding: Encoding, limits: Limits) -> Result<Bytes, EventError> {
    let limit = limits.payload_bytes_max;
    check_size(DATA, data.len(), limit)?;
    match encoding {
        Encoding::Raw => Ok(data.clone()),
        Encoding::Zstd => match compress::decompress(data, limit) {
            Ok(content) => Ok(content.into()),
            Err(compress::DecompressError::TooLarge { bytes, limit }) => {
                Err(EventError::Oversize {
                    field: DATA,
                    bytes,
                    limit: limit as u64,
                })
            }
            Err(error) => Err(EventError::Decompress(error)),
        },
    }
}

fn check_hash(content: &[u8], expected: ContentHash) -> Result<(), EventError> {
    let actual = ContentHash::of(content);
    match actual == expected {
        true => Ok(()),
        false => Err(EventError::HashMismatch { expected, actual }),
    }
}

fn unknown_op(op: &[u8]) -> EventError {
    EventError::UnknownOp {
        op: String::from_utf8_lossy(op.get(..16).unwrap_or(op)).into_owned(),
    }
}

#[cfg(test)]
mod tests;
