//! What stands for one leaf in a sketch: small, of fixed size, and yet enough to ask for the record.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64;

use crate::item::Leaf;
use crate::item::hash::LeafDigest;

/// Bytes of a key that a mark has room for. Of a longer key it names the prefix of this length.
pub const MARK_KEY_BYTES: usize = 8 * KEY_WORDS;

const KEY_WORDS: usize = 10;

/// A leaf: its key, when it was written, and the lowest 32 bits of its digest, in which any two leaves of one key and time
/// differ but by accident. Marks are added and taken out by XOR, all bits zero being the mark of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub(super) tag: u32,
    pub(super) time: u64,
    /// Big-endian. Keys hold no zeros, so zeros at the end are no part of one.
    pub(super) key: [u64; KEY_WORDS],
}

impl Mark {
    /// The mark of this key's leaf, whose digest this is.
    pub fn new(key: &[u8], leaf: &Leaf, digest: &LeafDigest) -> Self {
        let mut mark = Self {
            tag: digest.low(),
            time: leaf.stamp.time.0,
            ..Self::default()
        };
        for (word, bytes) in mark.key.iter_mut().zip(key.chunks(8)) {
            let mut whole = [0; 8];
            whole
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, byte)| *to = *byte);
            *word = u64::from_be_bytes(whole);
        }
        mark
    }

    /// The key; cut off where [`Mark::is_cut`] says so.
    pub fn key(&self) -> Vec<u8> {
        let mut key: Vec<u8> = self
            .key
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        key.truncate(self.key_len());
        key
    }

    pub(super) fn key_len(&self) -> usize {
        let empty = self.key.iter().rev().take_while(|word| **word == 0).count();
        let last = self.key.iter().rev().nth(empty);
        let zeros = last.map_or(0, |word| word.trailing_zeros() as usize / 8);
        MARK_KEY_BYTES - 8 * empty - zeros
    }

    /// The byte of the key at this place, 0 behind its end.
    pub(super) fn key_byte(&self, at: usize) -> u8 {
        let word = self.key.get(at / 8).copied().unwrap_or(0);
        word.to_be_bytes()[at % 8]
    }

    /// Puts this byte there, where there is none yet.
    pub(super) fn put_key_byte(&mut self, at: usize, byte: u8) {
        if let Some(word) = self.key.get_mut(at / 8) {
            *word |= u64::from(byte) << (56 - 8 * (at % 8));
        }
    }

    /// Whether the key may go on.
    pub fn is_cut(&self) -> bool {
        self.key_len() == MARK_KEY_BYTES
    }

    /// Whether the leaf may be newer than ours. It is asked for where times are equal, too, unless it is the very same: the
    /// mark does not tell all of its stamp.
    pub fn is_ahead_of(&self, key: &[u8], ours: Option<&Leaf>) -> bool {
        ours.is_none_or(|ours| match self.time.cmp(&ours.stamp.time.0) {
            Ordering::Greater => true,
            Ordering::Equal => self.tag != ours.digest(key).low(),
            Ordering::Less => false,
        })
    }

    pub(super) fn toggle(&mut self, other: &Self) {
        self.tag ^= other.tag;
        self.time ^= other.time;
        self.key
            .iter_mut()
            .zip(other.key)
            .for_each(|(a, b)| *a ^= b);
    }

    pub(super) fn hash(&self) -> u64 {
        let mut bytes = [0; 12 + MARK_KEY_BYTES];
        bytes[..4].copy_from_slice(&self.tag.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.time.to_le_bytes());
        for (to, word) in bytes[12..].chunks_exact_mut(8).zip(self.key) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        xxh3_64(&bytes)
    }
}

/// The cells that a mark of this hash is in: ascending without end, the first one is 0. A mark is in cell `i` with the chance
/// 1 / (1 + i/2) (Yang, Gilad, Alizadeh, "Practical Rateless Set Reconciliation", SIGCOMM 2024, section 4).
pub(super) struct Places {
    state: u64,
    next: u64,
}

impl Places {
    pub(super) fn of(hash: u64) -> Self {
        Self {
            state: hash,
            next: 0,
        }
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let here = self.next;
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut random = self.state;
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        random ^= random >> 31;
        // IEEE 754 says each bit of these results: they are the same on every machine.
        let share = (1u64 << 32) as f64 / (random as f64 + 1.0).sqrt() - 1.0;
        let skipped = ((here as f64 + 1.5) * share).ceil().max(1.0);
        self.next = here.saturating_add(skipped as u64);
        usize::try_from(here).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::hash::ContentHash;
    use crate::item::stamp::{HlcTime, Origin, Stamp};

    fn leaf(time: u64, origin: u64) -> Leaf {
        Leaf {
            stamp: Stamp {
                time: HlcTime(time),
                origin: Origin::from_raw(origin),
            },
            hash: Some(ContentHash::of(b"")),
        }
    }

    fn mark(key: &[u8], leaf: &Leaf) -> Mark {
        Mark::new(key, leaf, &leaf.digest(key))
    }

    #[test]
    fn a_mark_tells_its_key_and_where_it_is_cut() {
        for length in [1, 79, 80, 81, 1024] {
            let key = vec![b'k'; length];
            let mark = mark(&key, &leaf(1, 2));
            assert_eq!(mark.key(), key[..length.min(MARK_KEY_BYTES)]);
            let mut again = Mark::default();
            (0..100).for_each(|at| again.put_key_byte(at, mark.key_byte(at)));
            assert_eq!(again.key, mark.key);
            assert_eq!(mark.is_cut(), length >= MARK_KEY_BYTES);
        }
    }

    #[test]
    fn what_is_newer_or_may_be_is_ahead() {
        let ours = leaf(5, 4);
        let is_ahead = |theirs| mark(b"k", &theirs).is_ahead_of(b"k", Some(&ours));
        assert!(is_ahead(leaf(6, 2)));
        assert!(
            is_ahead(leaf(5, 6)) && is_ahead(leaf(5, 2)),
            "a tie is asked for"
        );
        assert!(!is_ahead(leaf(5, 4)), "the same is not");
        assert!(!is_ahead(leaf(4, 6)));
        assert!(mark(b"k", &ours).is_ahead_of(b"k", None));
    }

    #[test]
    fn places_thin_out_as_they_should() {
        let mut counts = [0; 4];
        for n in 0..4_000u64 {
            let places = Places::of(xxh3_64(&n.to_le_bytes())).take_while(|at| *at < 1_000);
            let places: Vec<usize> = places.collect();
            assert!(places[0] == 0 && places.windows(2).all(|pair| pair[0] < pair[1]));
            for (count, at) in counts.iter_mut().zip([2, 18, 98, 498]) {
                *count += usize::from(places.contains(&at));
            }
        }
        // 1/2, 1/10, 1/50, 1/250 of 4,000, give or take four standard deviations.
        for (count, expected) in counts.into_iter().zip([2000usize, 400, 80, 16]) {
            assert!(
                count.abs_diff(expected) < 4 * expected.isqrt() + 4,
                "{counts:?}"
            );
        }
    }
}
