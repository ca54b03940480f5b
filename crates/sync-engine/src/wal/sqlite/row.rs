//! One row of the log: the records of adjacent positions, written together.
//!
//! A row's `records` are envelopes, each behind its length in 4 bytes, big-endian. The row's checksum covers its position, its count
//! and the records, so that no row can pass for another.

use bytes::Bytes;

use super::{RECORD_BYTES_MAX, ROW_BYTES};
use crate::item::{Stored, codec};
use crate::wal::WalPos;

/// Bytes of the length before each envelope.
const LENGTH: usize = 4;

/// Envelopes of adjacent records, each behind its length.
#[derive(Debug, Default)]
pub struct Pack {
    /// How many.
    pub count: u32,
    /// Lengths and envelopes.
    pub bytes: Vec<u8>,
}

/// A record that no row can hold.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a record of {0} bytes is too large for the log, the limit is {RECORD_BYTES_MAX}")]
pub struct TooLarge(usize);

/// Packs the records in order, into packs of at most [`ROW_BYTES`] unless one record alone is larger.
pub fn pack(records: &[Stored]) -> Result<Vec<Pack>, TooLarge> {
    let mut packs: Vec<Pack> = Vec::new();
    for record in records {
        match packs.last_mut() {
            Some(last) if last.bytes.len() + record.size_bytes() < ROW_BYTES => {
                last.push(record)?
            }
            _ => {
                let mut pack = Pack::default();
                pack.push(record)?;
                packs.push(pack);
            }
        }
    }
    Ok(packs)
}

impl Pack {
    fn push(&mut self, record: &Stored) -> Result<(), TooLarge> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH]);
        codec::encode(record, &mut self.bytes);
        let len = self.bytes.len() - start - LENGTH;
        if len > RECORD_BYTES_MAX {
            return Err(TooLarge(len));
        }
        // Below 2^32: checked just now.
        self.bytes[start..start + LENGTH].copy_from_slice(&(len as u32).to_be_bytes());
        self.count += 1;
        Ok(())
    }

    /// Takes in the records of `other`, which follow.
    pub fn append(&mut self, other: &Pack) {
        self.count += other.count;
        self.bytes.extend_from_slice(&other.bytes);
    }
}

/// A row as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The position of its first record.
    pub first: WalPos,
    /// How many records it has. 0: it only keeps the next position of an empty log.
    pub count: u64,
    /// Its checksum.
    pub crc: u32,
    /// Lengths and envelopes.
    pub records: Bytes,
}

/// Why a row is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// The bytes changed.
    #[error("the checksum of the records from position {0} on does not match")]
    Checksum(WalPos),
    /// The checksum is right, and yet it is no row of this log.
    #[error("the records from position {0} on are malformed")]
    Malformed(WalPos),
}

impl Row {
    /// The position after its last record.
    pub fn end(&self) -> WalPos {
        self.first.saturating_add(self.count)
    }

    /// Its records with their positions; an error when anything in it is damaged.
    pub fn records(&self) -> Result<Vec<(WalPos, Stored)>, RowFault> {
        if checksum(self.first, self.count, &self.records) != self.crc {
            return Err(RowFault::Checksum(self.first));
        }
        let found = self.intact();
        match found.len() as u64 == self.count {
            true => Ok(found),
            false => Err(RowFault::Malformed(self.first)),
        }
    }

    /// The records that can be read, whatever the rest looks like. Each envelope has a checksum of its own; what comes behind a
    /// damaged length is lost.
    pub fn intact(&self) -> Vec<(WalPos, Stored)> {
        let mut found = Vec::new();
        let mut rest = self.records.clone();
        for pos in self.first..self.end() {
            let Some(length) = rest.first_chunk::<LENGTH>() else {
                break;
            };
            let end = LENGTH.saturating_add(u32::from_be_bytes(*length) as usize);
            if end > rest.len() {
                break;
            }
            let envelope = rest.split_to(end).slice(LENGTH..);
            if let Ok(record) = codec::decode(envelope) {
                found.push((pos, record));
            }
        }
        found
    }
}

/// The checksum of a row.
pub fn checksum(first: WalPos, count: u64, records: &[u8]) -> u32 {
    let head = crc32c::crc32c(&first.to_be_bytes());
    let head = crc32c::crc32c_append(head, &count.to_be_bytes());
    crc32c::crc32c_append(head, records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::codec::tests::stored;
    use proptest::prelude::*;

    fn row(first: WalPos, pack: &Pack) -> Row {
        let count = u64::from(pack.count);
        Row {
            first,
            count,
            crc: checksum(first, count, &pack.bytes),
            records: pack.bytes.clone().into(),
        }
    }

    proptest! {
        #[test]
        fn round_trip(records in prop::collection::vec(stored(), 1..12), first in 0..1u64 << 62) {
            let packs = pack(&records).unwrap();
            prop_assert_eq!(packs.len(), 1);
            let found = row(first, &packs[0]).records().unwrap();
            prop_assert_eq!(found.iter().map(|(p, _)| *p).collect::<Vec<_>>(), (first..first + records.len() as u64).collect::<Vec<_>>());
            prop_assert_eq!(found.into_iter().map(|(_, r)| r).collect::<Vec<_>>(), records);
        }

        #[test]
        fn a_flipped_bit_is_found_and_costs_no_record_before_it(
            records in prop::collection::vec(stored(), 1..12), at: prop::sample::Index, bit in 0..8u8,
        ) {
            let mut packs = pack(&records).unwrap();
            let clean = row(5, &packs[0]);
            let at = at.index(packs[0].bytes.len());
            packs[0].bytes[at] ^= 1 << bit;
            let damaged = Row { records: packs[0].bytes.clone().into(), ..clean };
            prop_assert_eq!(damaged.records(), Err(RowFault::Checksum(5)));
            let mut end = 0;
            for (pos, record) in damaged.intact() {
                prop_assert_eq!(&record, &records[(pos - 5) as usize]);
            }
            for (index, record) in records.iter().enumerate() {
                let mut one = Vec::new();
                codec::encode(record, &mut one);
                end += LENGTH + one.len();
                if end <= at {
                    prop_assert!(damaged.intact().iter().any(|(p, _)| *p == 5 + index as u64));
                }
            }
        }

        #[test]
        fn any_bytes_are_an_error_not_a_panic(bytes: Vec<u8>, first: u64, count in 1..u64::MAX) {
            let count = count % 1000 + 1;
            let row = Row { first, count, crc: checksum(first, count, &bytes), records: bytes.into() };
            prop_assert!(row.records().is_err());
        }
    }

    #[test]
    fn large_appends_are_cut_at_the_row_size_and_a_large_record_stands_alone() {
        let item = |n: usize| Stored::Live(crate::item::SyncItem::new("k", vec![1; n]));
        let packs = pack(&[item(100), item(ROW_BYTES * 2), item(100), item(100)]).unwrap();
        let counts: Vec<u32> = packs.iter().map(|p| p.count).collect();
        assert_eq!(counts, [1, 1, 2]);
    }
}
