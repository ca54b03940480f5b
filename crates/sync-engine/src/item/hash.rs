//! Content hashes and leaf digests, both SHA-256.

use std::fmt;

use sha2::{Digest, Sha256};

use super::Leaf;

/// SHA-256 of an item's content; hex when shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// Hash of these bytes.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The hash of 64 hex digits, either case; `None` for anything else.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digits: &[u8; 64] = text.try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(*pair.first()?).to_digit(16)?;
            let low = char::from(*pair.last()?).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// What one write adds to the sums of the Merkle tree: SHA-256 over (key, stamp, content hash, live or tombstone).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafDigest(pub [u8; 32]);

impl LeafDigest {
    pub(crate) fn of(key: &[u8], leaf: &Leaf) -> Self {
        let mut hasher = Sha256::new();
        // The length first, so that no key can pass for another key plus a stamp.
        hasher.update((key.len() as u32).to_be_bytes());
        hasher.update(key);
        hasher.update(leaf.stamp.to_bytes());
        match &leaf.hash {
            Some(hash) => {
                hasher.update([1]);
                hasher.update(hash.0);
            }
            None => hasher.update([0]),
        }
        Self(hasher.finalize().into())
    }
}

impl LeafDigest {
    /// Its lowest 32 bits, as sums read it.
    pub fn low(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d])
    }
}

impl fmt::Debug for LeafDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_other_text() {
        let hash = ContentHash::of(b"abc");
        assert_eq!(
            hash.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            ContentHash::from_hex(hash.to_string().as_bytes()),
            Some(hash)
        );
        assert_eq!(ContentHash::from_hex(b"zz"), None);
        assert_eq!(ContentHash::from_hex(&[b'g'; 64]), None);
    }
}
