//! What an entry costs in memory. Pure.

use crate::item::stamp::Stamp;
use crate::item::{ItemFields, Stored};

use super::slot::Slot;

/// An `Arc` keeps two counters before its value.
const ARC_HEADER: usize = 16;

/// The slot with the slab's spare room, the index (5 bytes a place, half to seven eighths full) and the ghost's cell
/// (12 bytes for half to all of the entries).
const TIER_OVERHEAD: usize = size_of::<Slot>() * 17 / 16 + 8 + 9;

/// The bytes one entry costs: key, payload, the item's own block, slot, index, and what the allocator adds.
pub(super) fn weight_of(stored: &Stored) -> usize {
    let body = match stored {
        Stored::Live(item) => item_bytes(item),
        Stored::Tombstone { key, .. } => block(ARC_HEADER + key.len()) + block(size_of::<Stamp>()),
    };
    // A weight is kept in 32 bits; payloads are far below.
    (TIER_OVERHEAD + body).min(u32::MAX as usize)
}

fn item_bytes(item: &ItemFields) -> usize {
    let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| block(text.len()));
    let state = match &*item.state {
        // One block, shared by all items without a tag of their own.
        "default" => 0,
        own => block(ARC_HEADER + own.len()),
    };
    block(ARC_HEADER + size_of::<ItemFields>())
        + block(ARC_HEADER + item.object_id.len())
        + block(item.content.len())
        + state
        + text(&item.batch_id)
        + text(&item.trace_parent)
        + text(&item.trace_state)
        + text(&item.home_instance_id)
        + (item.submit_options.state.as_ref()).map_or(0, |state| block(state.capacity()))
}

/// What an allocator takes for a block of `bytes`: a header of 8 bytes, in steps of 16, 32 at the least.
const fn block(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let taken = (bytes + 8).next_multiple_of(16);
    if taken < 32 { 32 } else { taken }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::SyncItem;

    #[test]
    fn every_field_on_the_heap_counts() {
        let plain = SyncItem::new("key", vec![0; 100]);
        let weigh = |item: &SyncItem| weight_of(&Stored::Live(item.clone()));
        let base = weigh(&plain);
        assert!(base > 100 + size_of::<ItemFields>());
        assert_eq!(weigh(&plain.clone().with_state("x".repeat(40))), base + 64);
        assert_eq!(
            weigh(&plain.clone().with_batch_id("x".repeat(40))),
            base + 48
        );
        let traced = plain
            .clone()
            .with_trace_context("p".repeat(55), Some("s".into()));
        assert_eq!(weigh(&traced), base + 64 + 32);
        let empty = SyncItem::new("key", Vec::new());
        assert_eq!(weigh(&empty), base - block(100));
    }

    #[test]
    fn a_slot_stays_small() {
        assert!(size_of::<Slot>() <= 56, "{}", size_of::<Slot>());
    }
}
