//! The entries of a stream in memory, bounded in number and in bytes. Plain data: no clock, no lock, no waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::codec::{self, Fields};
use super::event::Epoch;
use super::stream_id::StreamId;
use crate::item::Stored;

/// Bytes that an entry costs beside its key, payload and free texts: `meta`, the hash, names and bookkeeping.
const ENTRY_OVERHEAD: usize = 768;

/// Most bytes of JSON that one byte of text becomes (`\u0001`).
const ESCAPED_MAX: usize = 6;

/// Caps of a [`Ring`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) entries_max: usize,
    pub(super) bytes_max: usize,
}

/// One entry. Readers share it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: StreamId,
    epoch: Epoch,
    seq: u64,
    pub(super) bytes: usize,
    body: Mutex<Body>,
}

/// The write until somebody reads it, then its wire form: never both, so that an entry costs its payload once.
#[derive(Debug)]
enum Body {
    Waiting(Stored),
    Encoded(Arc<Fields>),
}

impl Entry {
    /// The wire form, made once.
    pub(super) fn fields(&self) -> Arc<Fields> {
        let mut body = self.body.lock();
        match &*body {
            Body::Encoded(fields) => fields.clone(),
            Body::Waiting(stored) => {
                let fields = Arc::new(codec::encode(stored, self.epoch, self.seq));
                *body = Body::Encoded(fields.clone());
                fields
            }
        }
    }
}

/// Which entries a reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lowest id.
    pub start: StreamId,
    /// The highest one.
    pub end: StreamId,
    /// Most entries.
    pub count: usize,
    /// Those with the highest ids, in descending order, instead of those with the lowest in ascending order.
    pub rev: bool,
}

impl Span {
    /// The whole stream.
    pub const ALL: Self = Self {
        start: StreamId::MIN,
        end: StreamId::MAX,
        count: usize::MAX,
        rev: false,
    };

    /// The oldest entry.
    pub const OLDEST: Self = Self {
        count: 1,
        ..Self::ALL
    };

    /// The newest entry.
    pub const NEWEST: Self = Self {
        count: 1,
        rev: true,
        ..Self::ALL
    };
}

/// The entries, oldest first; ids only grow.
#[derive(Debug)]
pub(super) struct Ring {
    caps: Caps,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    last_id: StreamId,
    deleted_max: StreamId,
    added: u64,
    epoch: Epoch,
    seq: u64,
}

impl Ring {
    pub(super) fn new(caps: Caps, epoch: Epoch) -> Self {
        Self {
            caps,
            entries: VecDeque::new(),
            bytes: 0,
            last_id: StreamId::MIN,
            deleted_max: StreamId::MIN,
            added: 0,
            epoch,
            seq: 0,
        }
    }

    /// Adds an entry and trims to the caps. An entry over the byte cap is trimmed at once: readers see that a number is missing.
    pub(super) fn push(&mut self, now_ms: i64, stored: Stored) {
        let wall = StreamId {
            ms: u64::try_from(now_ms).unwrap_or(0),
            seq: 0,
        };
        self.last_id = wall.max(self.last_id.next().unwrap_or(StreamId::MAX));
        self.seq = self.seq.saturating_add(1);
        self.added = self.added.saturating_add(1);
        let bytes = cost(&stored);
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.push_back(Arc::new(Entry {
            id: self.last_id,
            epoch: self.epoch,
            seq: self.seq,
            bytes,
            body: Mutex::new(Body::Waiting(stored)),
        }));
        self.trim();
    }

    fn trim(&mut self) {
        while self.entries.len() > self.caps.entries_max || self.bytes > self.caps.bytes_max {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.deleted_max = oldest.id;
        }
    }

    /// Numbers start again at 1, in another life.
    pub(super) fn begin_epoch(&mut self, random: u64) {
        self.epoch = self.epoch.next(random);
        self.seq = 0;
    }

    /// The entries of a span, and no more of them once they cost `bytes_max`. The first one is given whatever it costs.
    pub(super) fn range(&self, span: Span, bytes_max: usize) -> Vec<Arc<Entry>> {
        let from = self.entries.partition_point(|entry| entry.id < span.start);
        let to = self.entries.partition_point(|entry| entry.id <= span.end);
        let within = self.entries.range(from..to.max(from));
        match span.rev {
            false => taken(within, span.count, bytes_max),
            true => taken(within.rev(), span.count, bytes_max),
        }
    }

    pub(super) fn first_id(&self) -> Option<StreamId> {
        self.entries.front().map(|entry| entry.id)
    }

    pub(super) fn last_id(&self) -> StreamId {
        self.last_id
    }

    pub(super) fn deleted_max(&self) -> StreamId {
        self.deleted_max
    }

    pub(super) fn added(&self) -> u64 {
        self.added
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn taken<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    count: usize,
    bytes_max: usize,
) -> Vec<Arc<Entry>> {
    let mut bytes = 0usize;
    let mut taken = Vec::new();
    for entry in entries.take(count) {
        bytes = bytes.saturating_add(entry.bytes);
        if bytes > bytes_max && !taken.is_empty() {
            break;
        }
        taken.push(Arc::clone(entry));
    }
    taken
}

/// Bytes that the entry may come to hold: never too low.
fn cost(stored: &Stored) -> usize {
    let texts = stored.item().map_or(0, |item| {
        let extras = [
            &item.batch_id,
            &item.trace_parent,
            &item.trace_state,
            &item.home_instance_id,
        ];
        let extras = extras.into_iter().flatten().map(|text| text.len());
        item.state.len() + extras.sum::<usize>()
    });
    stored.size_bytes() + texts * ESCAPED_MAX + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::SyncItem;
    use proptest::prelude::*;

    fn item(bytes: usize) -> Stored {
        Stored::Live(SyncItem::new("k", vec![0xff; bytes]))
    }

    #[test]
    fn a_repeated_random_number_is_another_epoch() {
        let caps = Caps {
            entries_max: 1,
            bytes_max: 1,
        };
        let mut ring = Ring::new(caps, Epoch(u64::MAX));
        ring.begin_epoch(u64::MAX);
        assert_eq!(ring.epoch(), Epoch(0));
    }

    #[test]
    fn the_entry_holds_its_payload_once() {
        let mut ring = Ring::new(
            Caps {
                entries_max: 9,
                bytes_max: 1 << 20,
            },
            Epoch(1),
        );
        let stored = item(10_000);
        let weak = match &stored {
            Stored::Live(item) => item.content.clone(),
            Stored::Tombstone { .. } => unreachable!(),
        };
        ring.push(1, stored);
        let entry = ring.range(Span::NEWEST, 0).remove(0);
        assert!(!weak.is_unique());
        let fields = entry.fields();
        assert!(
            weak.is_unique(),
            "the compressed entry still holds the payload"
        );
        assert!(Arc::ptr_eq(&fields, &entry.fields()));
    }

    proptest! {
        #[test]
        fn the_caps_hold_and_ids_grow(
            steps in prop::collection::vec((0..50i64, 0..3000usize), 1..60), entries_max in 1..9usize,
        ) {
            let caps = Caps { entries_max, bytes_max: 8_000 };
            let mut ring = Ring::new(caps, Epoch(1));
            let mut last = StreamId::MIN;
            for (index, (now, bytes)) in steps.iter().enumerate() {
                ring.push(*now, item(*bytes));
                prop_assert!(ring.last_id() > last);
                last = ring.last_id();
                prop_assert!(ring.len() <= entries_max && ring.bytes() <= 8_000);
                prop_assert_eq!(ring.added(), index as u64 + 1);
                let all = ring.range(Span::ALL, usize::MAX);
                prop_assert_eq!(all.iter().map(|e| e.bytes).sum::<usize>(), ring.bytes());
                prop_assert!(all.iter().all(|e| e.id > ring.deleted_max()));
                let seqs: Vec<u64> = all.iter().map(|e| e.seq).collect();
                let first = index as u64 + 2 - all.len() as u64;
                let part = ring.range(Span::ALL, 4_000);
                let bytes = part.iter().map(|e| e.bytes).sum::<usize>();
                prop_assert!(bytes <= 4_000 || part.len() == 1);
                prop_assert_eq!(part.is_empty(), all.is_empty());
                prop_assert_eq!(seqs, (first..index as u64 + 2).collect::<Vec<_>>());
            }
        }
    }
}
