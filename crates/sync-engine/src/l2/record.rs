//! What stands in Redis under an item's key: the generation (8 bytes, big-endian), then the envelope.

use bytes::{BufMut, Bytes};

use super::{Generation, Lookup};
use crate::item::Stored;
use crate::item::codec::{self, EnvelopeError, STAMP_AT};
use crate::item::stamp::Stamp;
use crate::limits::ENVELOPE_OVERHEAD_MAX;

/// Bytes of the generation.
const GENERATION_LEN: usize = 8;

/// Bytes up to the end of the stamp: enough to compare, and to tell an item from a tombstone.
pub(super) const HEADER_LEN: usize = GENERATION_LEN + STAMP_AT + 16;

/// First byte of every envelope.
const MAGIC: u8 = b'R';

/// Offset of the flags' lower byte, whose lowest bit says that the record is an item.
const FLAGS_AT: usize = GENERATION_LEN + 3;

/// The record's bytes.
pub(super) fn encode(generation: Generation, stored: &Stored) -> Vec<u8> {
    let mut out = Vec::with_capacity(GENERATION_LEN + stored.size_bytes() + 128);
    out.put_u64(generation);
    codec::encode(stored, &mut out);
    out
}

/// The first [`HEADER_LEN`] bytes of a record with this stamp: as much as is compared.
pub(super) fn header(generation: Generation, stamp: Stamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN);
    out.put_u64(generation);
    out.put_bytes(0, STAMP_AT);
    out.put_slice(&stamp.to_bytes());
    out
}

/// Longest record of a payload of at most so many bytes.
pub(super) fn bytes_max(payload_bytes_max: usize) -> usize {
    payload_bytes_max.saturating_add(GENERATION_LEN + ENVELOPE_OVERHEAD_MAX)
}

/// What was read of a value, up to the first byte that no record has.
pub(super) fn lookup(bytes: Bytes, bytes_max: usize) -> Lookup {
    match bytes.len() {
        0 => Lookup::Absent,
        len if len > bytes_max => Lookup::Garbage(EnvelopeError::Malformed { field: "length" }),
        _ => decode(bytes),
    }
}

/// Reads a record. The payload is a slice of `bytes`.
fn decode(mut bytes: Bytes) -> Lookup {
    let Some(generation) = bytes.first_chunk::<GENERATION_LEN>().copied() else {
        return Lookup::Garbage(EnvelopeError::Truncated {
            field: "generation",
        });
    };
    match codec::decode(bytes.split_off(GENERATION_LEN)) {
        Ok(stored) => Lookup::Hit(stored, Generation::from_be_bytes(generation)),
        Err(error) => Lookup::Garbage(error),
    }
}

/// Whether the first bytes of a record are those of an item, not of a tombstone, and not of something else.
pub(super) fn is_item(header: &[u8]) -> bool {
    header.len() == HEADER_LEN
        && header.get(GENERATION_LEN) == Some(&MAGIC)
        && header.get(FLAGS_AT).is_some_and(|flags| flags & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::codec::tests::stored;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(stored in stored(), generation: u64) {
            let bytes = encode(generation, &stored);
            prop_assert_eq!(is_item(&bytes[..HEADER_LEN]), stored.item().is_some());
            prop_assert_eq!(bytes[GENERATION_LEN], MAGIC);
            prop_assert_eq!(&bytes[HEADER_LEN - 16..HEADER_LEN], &stored.stamp().to_bytes());
            match decode(bytes.into()) {
                Lookup::Hit(read, at) => prop_assert_eq!((read, at), (stored, generation)),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn any_bytes_are_garbage_not_a_panic(bytes: Vec<u8>) {
            prop_assert!(!is_item(&bytes[..bytes.len().min(GENERATION_LEN + 5)]));
            prop_assert!(matches!(decode(bytes.into()), Lookup::Garbage(_)));
        }
    }
}
