//! Bytes on their way out.

use bytes::{Bytes, BytesMut};

/// Values from this length on are shared, shorter ones are copied: that is cheaper than a write of
/// their own.
const SHARED_BYTES_MIN: usize = 64 * 1024;

/// Bytes in their order: short pieces copied into one buffer, long ones shared with whoever has
/// them.
#[derive(Debug, Default)]
pub struct Pieces {
    /// What comes before the tail.
    parts: Vec<Bytes>,
    parts_len: usize,
    tail: BytesMut,
}

impl Pieces {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts_len.saturating_add(self.tail.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer at the end, to be added to.
    pub fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Adds bytes, uncopied if they are many.
    pub fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            return self.tail.extend_from_slice(bytes);
        }
        if !self.tail.is_empty() {
            let before = self.tail.split().freeze();
            self.push(before);
        }
        self.push(bytes.clone());
    }

    fn push(&mut self, part: Bytes) {
        self.parts_len = self.parts_len.saturating_add(part.len());
        self.parts.push(part);
    }

    /// Takes away everything behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.tail.truncate(len.saturating_sub(self.parts_len));
        while self.parts_len > len
            && let Some(mut part) = self.parts.pop()
        {
            self.parts_len -= part.len();
            if self.parts_len < len {
                part.truncate(len - self.parts_len);
                self.push(part);
            }
        }
    }

    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let parts = self.parts.iter().map(Bytes::as_ref);
        parts.chain(std::iter::once(self.tail.as_ref()))
    }

    /// A copy in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.iter().flatten().copied().collect()
    }

    /// Takes everything away. A buffer that grew beyond `kept_bytes` is given back.
    pub fn clear(&mut self, kept_bytes: usize) {
        self.parts = Vec::new();
        self.parts_len = 0;
        self.tail.clear();
        if self.tail.capacity() > kept_bytes {
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_value_is_not_copied() {
        let long = Bytes::from(vec![7; SHARED_BYTES_MIN]);
        let mut pieces = Pieces::default();
        pieces.share(&long);
        assert!(!long.is_unique());
        assert_eq!(pieces.tail().len(), 0);
        pieces.clear(0);
        assert!(long.is_unique());
    }

    proptest! {
        #[test]
        fn agrees_with_one_vector(
            steps in prop::collection::vec((any::<bool>(), 0..3usize, 0..150_000usize), 0..12),
        ) {
            let (mut pieces, mut model) = (Pieces::default(), Vec::new());
            for (at, (shorten, kind, size)) in steps.into_iter().enumerate() {
                if shorten && kind == 0 {
                    let len = size.min(model.len());
                    pieces.truncate(len);
                    model.truncate(len);
                    continue;
                }
                let size = if kind == 1 { size % 50 } else { size };
                let bytes = Bytes::from(vec![at as u8; size]);
                model.extend_from_slice(&bytes);
                match kind {
                    2 => pieces.tail().extend_from_slice(&bytes),
                    _ => pieces.share(&bytes),
                }
                prop_assert_eq!(pieces.len(), model.len());
            }
            prop_assert_eq!(pieces.to_vec(), model);
        }
    }
}
