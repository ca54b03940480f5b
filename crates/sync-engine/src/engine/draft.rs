//! Writes that have no stamp yet.

use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::item::{Stored, SyncItem};
use crate::l1::L1;

/// A write that has no stamp yet.
pub(super) enum Draft {
    Put(SyncItem),
    Delete(Key),
}

impl Draft {
    pub(super) fn key(&self) -> &Key {
        match self {
            Self::Put(item) => &item.object_id,
            Self::Delete(key) => key,
        }
    }

    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Put(item) => L1::weight_of(&Stored::Live(item.clone())),
            Self::Delete(key) => L1::weight_of(&Stored::Tombstone {
                key: key.clone(),
                stamp: Stamp::default(),
            }),
        }
    }

    fn stamped(self, stamp: Stamp) -> Stored {
        match self {
            Self::Put(item) => Stored::Live(item.edit(|fields| {
                fields.stamp = stamp;
                if fields.updated_at == 0 {
                    fields.updated_at = stamp.time.ms();
                }
            })),
            Self::Delete(key) => Stored::Tombstone { key, stamp },
        }
    }
}

/// Stamps in a row, as [`Clock::reserve`](crate::item::clock::Clock::reserve) gives them out.
pub(super) fn stamps_from(first: Stamp) -> impl Iterator<Item = Stamp> {
    std::iter::successors(Some(first), |stamp| {
        let time = stamp.time.next();
        Some(Stamp { time, ..*stamp })
    })
}

/// The writes with their stamps, from `first` on.
pub(super) fn stamped(drafts: Vec<Draft>, first: Stamp) -> Vec<Stored> {
    let stamps = stamps_from(first);
    drafts
        .into_iter()
        .zip(stamps)
        .map(|(draft, stamp)| draft.stamped(stamp))
        .collect()
}

/// Cuts writes into parts of at most so many bytes and writes each.
pub(super) fn portions(
    drafts: Vec<Draft>,
    part_bytes: usize,
    part_count: usize,
) -> Vec<Vec<Draft>> {
    let mut parts: Vec<Vec<Draft>> = Vec::new();
    let mut bytes = 0usize;
    for draft in drafts {
        let weight = draft.weight();
        match parts.last_mut() {
            Some(part) if part.len() < part_count && bytes + weight <= part_bytes => {
                bytes += weight;
                part.push(draft);
            }
            _ => {
                bytes = weight;
                parts.push(vec![draft]);
            }
        }
    }
    parts
}
