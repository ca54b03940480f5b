//! Records in answers: envelopes, checked.

use bytes::Bytes;
use sync_engine::item::codec::EnvelopeError;
use sync_engine::item::{Stored, codec as envelope};
use sync_engine::{ContentHash, Key};

/// The bytes of a record.
pub fn encode_record(stored: &Stored) -> Bytes {
    let mut out = Vec::new();
    envelope::encode(stored, &mut out);
    out.into()
}

/// A record that is refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its envelope cannot be read.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Its payload is not the one that its hash belongs to.
    #[error("{key}: the content has the hash {actual}, the record says {expected}")]
    HashMismatch {
        /// Which key.
        key: Key,
        /// The hash in the record.
        expected: ContentHash,
        /// The hash of the payload.
        actual: ContentHash,
    },
    /// It says of itself that no archive keeps it; such items are not exchanged.
    #[error("{key}: it is not meant for replicas")]
    NotArchived {
        /// Which key.
        key: Key,
    },
}

/// The record of these bytes, its payload checked against its hash.
pub fn decode_record(bytes: Bytes) -> Result<Stored, RecordError> {
    let stored = envelope::decode(bytes)?;
    if let Some(item) = stored.item() {
        let (expected, actual) = (item.content_hash, ContentHash::of(&item.content));
        if expected != actual {
            let key = stored.key().clone();
            return Err(RecordError::HashMismatch {
                key,
                expected,
                actual,
            });
        }
    }
    match stored.is_archived() {
        true => Ok(stored),
        false => Err(RecordError::NotArchived {
            key: stored.key().clone(),
        }),
    }
}

/// The place behind a page of records: the last key in it, whatever else the record is worth. Should the key be damaged,
/// too, then a comparison finds what was passed over. `None`: nothing in the page even seems to be a key.
pub fn place_behind(records: &[Bytes]) -> Option<Key> {
    records.iter().rev().find_map(envelope::peek_key)
}
