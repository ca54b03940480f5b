//! The filter as bytes, and the state of the archive to which it belongs.
//!
//! ```text
//! "RSQF" 1  root[32]  rows[8]  256 × (n[4]  n × gap)  crc32c[4]     numbers big-endian
//! ```
//! A shard's fingerprints ascend; a gap is the difference to the one before, in LEB128.

use super::{FINGERPRINT_MASK, Filter, FilterTrust, SHARDS};
use crate::merkle::node::NodeHash;

const MAGIC: &[u8; 5] = b"RSQF\x01";

/// Why a snapshot is of no use. The filter must then be proven by a scan.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not a snapshot of this format.
    #[error("these bytes are not a filter snapshot of this format")]
    Format,
    /// The checksum does not match: damaged or cut short.
    #[error("the filter snapshot is damaged")]
    Damaged,
    /// It was taken of another state of the archive.
    #[error(
        "the filter snapshot belongs to another state of the archive ({rows} rows, root {root})"
    )]
    OtherState {
        /// Root of that state.
        root: NodeHash,
        /// Rows of that state.
        rows: u64,
    },
    /// The filter does not fit in the memory that it may use.
    #[error("the filter snapshot needs more memory than the filter may use")]
    TooLarge,
}

impl Filter {
    /// The filter as bytes, for the archive with this root and so many rows; `None` while it is unproven.
    ///
    /// Every row of that state must have been inserted before the call. Keys that come meanwhile may be in it or not.
    pub fn snapshot(&self, root: NodeHash, rows: u64) -> Option<Vec<u8>> {
        let doubts = self.begin_proof().doubts;
        if self.trust() == FilterTrust::Unproven {
            return None;
        }
        let mut out = MAGIC.to_vec();
        out.extend(root.0);
        out.extend(rows.to_be_bytes());
        for shard in &self.shards {
            let mut fingerprints: Vec<u64> = shard.read().fingerprints().collect();
            fingerprints.sort_unstable();
            out.extend((fingerprints.len() as u32).to_be_bytes());
            let mut before = 0;
            for fingerprint in fingerprints {
                put_gap(&mut out, fingerprint - before);
                before = fingerprint;
            }
        }
        out.extend(crc32c::crc32c(&out).to_be_bytes());
        let is_whole = self.trust() == FilterTrust::Proven && self.begin_proof().doubts == doubts;
        is_whole.then_some(out)
    }

    /// The filter of a snapshot, proven, if it was taken of exactly this state of the archive. Refused otherwise.
    pub fn restore(
        bytes: &[u8],
        root: NodeHash,
        rows: u64,
        bytes_max: usize,
    ) -> Result<Self, SnapshotError> {
        let (body, sum) = bytes.split_last_chunk().ok_or(SnapshotError::Format)?;
        let mut input = body.strip_prefix(MAGIC).ok_or(SnapshotError::Format)?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*sum) {
            return Err(SnapshotError::Damaged);
        }
        let its_root = NodeHash(take(&mut input)?);
        let its_rows = u64::from_be_bytes(take(&mut input)?);
        if (its_root, its_rows) != (root, rows) {
            return Err(SnapshotError::OtherState {
                root: its_root,
                rows: its_rows,
            });
        }
        let filter = Self::new(bytes_max).map_err(|_| SnapshotError::TooLarge)?;
        let proof = filter.begin_proof();
        for shard in 0..SHARDS {
            let mut fingerprint = 0;
            for _ in 0..u32::from_be_bytes(take(&mut input)?) {
                fingerprint += take_gap(&mut input)?;
                if fingerprint > FINGERPRINT_MASK {
                    return Err(SnapshotError::Damaged);
                }
                filter.insert_at(shard, fingerprint);
            }
        }
        match (input.is_empty(), filter.prove(proof)) {
            (false, _) => Err(SnapshotError::Damaged),
            (true, FilterTrust::Unproven) => Err(SnapshotError::TooLarge),
            (true, FilterTrust::Proven) => Ok(filter),
        }
    }
}

fn put_gap(out: &mut Vec<u8>, mut gap: u64) {
    while gap >= 0x80 {
        out.push(gap as u8 | 0x80);
        gap >>= 7;
    }
    out.push(gap as u8);
}

/// At most 5 bytes, so that adding gaps cannot overflow before the mask is checked.
fn take_gap(input: &mut &[u8]) -> Result<u64, SnapshotError> {
    let mut gap = 0;
    for shift in (0..35).step_by(7) {
        let [byte] = take(input)?;
        gap |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(gap);
        }
    }
    Err(SnapshotError::Damaged)
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], SnapshotError> {
    let (taken, left) = input.split_first_chunk().ok_or(SnapshotError::Damaged)?;
    *input = left;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLENTY: usize = 64 << 20;
    const ROOT: NodeHash = NodeHash([7; 32]);

    fn proven(keys: u32) -> Filter {
        let filter = Filter::new(PLENTY).unwrap();
        let proof = filter.begin_proof();
        (0..keys).for_each(|n| filter.insert(&n.to_string()));
        assert_eq!(filter.prove(proof), FilterTrust::Proven);
        filter
    }

    #[test]
    fn a_snapshot_is_trusted_only_for_its_own_state() {
        let filter = proven(50_000);
        let bytes = filter.snapshot(ROOT, 50_000).unwrap();
        assert!(bytes.len() < 50_000 * 4, "{} bytes", bytes.len());
        let back = Filter::restore(&bytes, ROOT, 50_000, PLENTY).unwrap();
        assert!((0..50_000).all(|n| back.may_contain(&n.to_string())));
        assert_eq!(back.stats().len, filter.stats().len);
        assert!(!back.may_contain("never stored"));
        let other = |root, rows| Filter::restore(&bytes, root, rows, PLENTY).map(|f| f.trust());
        let refused = Err(SnapshotError::OtherState {
            root: ROOT,
            rows: 50_000,
        });
        assert_eq!(other(NodeHash([8; 32]), 50_000), refused);
        assert_eq!(other(ROOT, 49_999), refused);
        let small = Filter::restore(&bytes, ROOT, 50_000, 100_000);
        assert_eq!(small.map(|f| f.trust()), Err(SnapshotError::TooLarge));
        filter.distrust();
        assert_eq!(filter.snapshot(ROOT, 50_000), None);
    }

    proptest! {
        #[test]
        fn damage_is_refused(at: prop::sample::Index, flip in 1..=255u8, noise in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let bytes = proven(300).snapshot(ROOT, 300).unwrap();
            let mut changed = bytes.clone();
            let at = at.index(bytes.len());
            changed[at] ^= flip;
            prop_assert!(Filter::restore(&changed, ROOT, 300, PLENTY).is_err());
            prop_assert!(Filter::restore(&bytes[..at], ROOT, 300, PLENTY).is_err());
            // With a right checksum too.
            let mut sealed = [MAGIC, &ROOT.0[..], &300u64.to_be_bytes(), &noise].concat();
            sealed.extend(crc32c::crc32c(&sealed).to_be_bytes());
            prop_assert!(Filter::restore(&sealed, ROOT, 300, PLENTY).is_err());
        }
    }
}
