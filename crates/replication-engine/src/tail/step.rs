//! From what was read to what is to be applied. Pure.

use sync_engine::cdc::codec::{Limits, decode};
use sync_engine::cdc::event::Epoch;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::item::Stored;
use sync_engine::link::VALUE_BYTES;

use super::cursor::{Cursor, Missed};
use super::rejected::{Rejected, excerpt};
use crate::limits::{APPLY_BYTES_MAX, APPLY_EVENTS_MAX};
use crate::peer::{Entry, StreamState};

/// Events on their way into the store, gathered over one or more reads.
#[derive(Debug)]
pub struct Batch {
    /// The writes, in stream order.
    pub writes: Vec<Stored>,
    /// Entries that are none.
    pub rejected: Vec<Rejected>,
    /// What showed that events were missed.
    pub missed: Option<Missed>,
    /// Where the cursor may go once all writes are applied.
    pub cursor: Cursor,
    /// Entries read.
    pub entries: usize,
    bytes: usize,
}

/// What one read did to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It brought something.
    Moved,
    /// It brought only entries that were asked not to be brought: no server does that.
    Stuck,
}

impl Batch {
    /// An empty batch at this cursor.
    pub fn new(cursor: Cursor) -> Self {
        Self {
            writes: Vec::new(),
            rejected: Vec::new(),
            missed: None,
            cursor,
            entries: 0,
            bytes: 0,
        }
    }

    /// Takes the entries of one read in, until it is full: a few bytes of a stream may stand for many of content. What is
    /// left over is to be read again, from the cursor on.
    pub fn add(&mut self, entries: Vec<Entry>, limits: Limits) -> Progress {
        let before = self.entries;
        let is_empty = entries.is_empty();
        for entry in entries {
            if self.is_full() {
                break;
            }
            if entry.id > self.cursor.at {
                self.entries += 1;
                self.add_one(entry, limits);
            }
        }
        match is_empty || self.entries > before {
            true => Progress::Moved,
            false => Progress::Stuck,
        }
    }

    fn add_one(&mut self, entry: Entry, limits: Limits) {
        match decode(&entry.fields, limits) {
            Ok(event) => {
                let missed = self.cursor.pass(entry.id, event.epoch, event.seq);
                self.missed = self.missed.or(missed);
                self.bytes += event.stored.size_bytes();
                self.writes.push(event.stored);
            }
            Err(error) => {
                self.cursor.pass_malformed(entry.id);
                self.rejected.push(Rejected {
                    id: Some(entry.id),
                    reason: error.to_string(),
                    excerpt: excerpt(&entry.fields),
                });
            }
        }
    }

    /// Passes over an entry that is too large to be read: so many bytes are read at the most.
    pub fn pass_oversize(&mut self, id: StreamId, limit: usize) {
        self.entries += 1;
        self.cursor.pass_malformed(id);
        self.missed = self.missed.or(Some(Missed::Oversize));
        self.rejected.push(Rejected {
            id: Some(id),
            reason: format!("larger than the {limit} bytes that are read at once"),
            excerpt: String::new(),
        });
    }

    /// Bytes that one of its entries stands for, on average.
    pub fn entry_bytes(&self) -> usize {
        self.bytes.checked_div(self.entries).unwrap_or(0)
    }

    /// Whether it should be applied before more is read.
    pub fn is_full(&self) -> bool {
        self.entries >= APPLY_EVENTS_MAX || self.bytes >= APPLY_BYTES_MAX
    }
}

/// What the entries took in the reply that brought them, as a link counts it.
pub fn reply_bytes(entries: &[Entry]) -> usize {
    // The entry, its id, the list of its fields.
    let fixed = 3 * VALUE_BYTES * entries.len();
    let fields = entries.iter().flat_map(|entry| &entry.fields);
    let fields = fields.map(|(name, value)| 2 * VALUE_BYTES + name.len() + value.len());
    fixed + fields.sum::<usize>()
}

/// The newest event's number, where it can be read.
pub fn place_of_newest(state: &StreamState, limits: Limits) -> Option<(Epoch, u64)> {
    let event = decode(&state.newest.as_ref()?.fields, limits).ok()?;
    Some((event.epoch, event.seq))
}

/// Events between the cursor and the newest one, as far as their numbers tell.
pub fn events_behind(cursor: &Cursor, newest: Option<(Epoch, u64)>) -> u64 {
    let Some((epoch, seq)) = newest else {
        return 0;
    };
    seq.saturating_sub(cursor.last_of(epoch).unwrap_or(0))
}

/// How old a stream's entry is, in milliseconds; 0 for one from the future.
pub fn lag_ms(id: StreamId, now_ms: i64) -> u64 {
    let now = u64::try_from(now_ms).unwrap_or(0);
    now.saturating_sub(id.ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use sync_engine::SyncItem;
    use sync_engine::cdc::codec::encode;

    const LIMITS: Limits = Limits {
        payload_bytes_max: 1 << 20,
    };

    fn id(ms: u64) -> StreamId {
        StreamId { ms, seq: 0 }
    }

    fn entry(ms: u64, content: Vec<u8>) -> Entry {
        let stored = Stored::Live(SyncItem::new(format!("k.{ms}"), content));
        Entry {
            id: id(ms),
            fields: encode(&stored, Epoch(1), ms),
        }
    }

    fn spoil(entry: &mut Entry, name: &str, value: &'static [u8]) {
        for (field, old) in &mut entry.fields {
            if *field == name.as_bytes() {
                *old = Bytes::from_static(value);
            }
        }
    }

    #[test]
    fn i12_hostile_entries_are_kept_aside_and_do_not_stop_the_others() {
        let mut entries: Vec<Entry> = (1..=6).map(|ms| entry(ms, vec![b'x'; 10])).collect();
        spoil(&mut entries[1], "hash", b"not a hash");
        spoil(&mut entries[2], "data", b"other bytes");
        spoil(&mut entries[3], "meta", b"{");
        // A bomb: 64 MiB in a few KiB.
        entries[4] = entry(5, vec![0; 64 << 20]);
        let mut batch = Batch::new(Cursor::from_end("s", id(0), Some((Epoch(1), 0))));
        assert_eq!(batch.add(entries, LIMITS), Progress::Moved);
        assert_eq!((batch.writes.len(), batch.rejected.len()), (2, 4));
        assert_eq!(batch.cursor.at, id(6));
        assert_eq!(
            batch.missed,
            Some(Missed::Gap),
            "what could not be read was missed"
        );
    }

    #[test]
    fn i8_many_bytes_in_few_are_taken_in_a_portion_at_a_time() {
        let entries: Vec<Entry> = (1..=40).map(|ms| entry(ms, vec![0; 1 << 20])).collect();
        assert!(reply_bytes(&entries) < 1 << 20);
        let (mut cursor, mut batches) = (Cursor::from_end("s", id(0), Some((Epoch(1), 0))), 0);
        while cursor.at < id(40) {
            let mut batch = Batch::new(cursor);
            let at = entries.partition_point(|entry| entry.id <= batch.cursor.at);
            assert_eq!(batch.add(entries[at..].to_vec(), LIMITS), Progress::Moved);
            assert!(batch.writes.len() <= APPLY_BYTES_MAX >> 20 && batch.entry_bytes() > 1 << 20);
            assert_eq!(batch.missed, None);
            (cursor, batches) = (batch.cursor, batches + 1);
        }
        assert_eq!(batches, 3);
    }

    #[test]
    fn a_server_that_goes_back_is_stuck() {
        let mut batch = Batch::new(Cursor::from_end("s", id(9), None));
        assert_eq!(
            batch.add(vec![entry(9, vec![]), entry(3, vec![])], LIMITS),
            Progress::Stuck
        );
        assert_eq!((batch.entries, batch.cursor.at), (0, id(9)));
        assert_eq!(batch.add(Vec::new(), LIMITS), Progress::Moved);
    }

    #[test]
    fn i12_an_entry_that_cannot_be_read_is_passed_over_and_missed() {
        let mut batch = Batch::new(Cursor::from_end("s", id(0), Some((Epoch(1), 0))));
        batch.pass_oversize(id(1), 1000);
        batch.add(vec![entry(2, vec![])], LIMITS);
        assert_eq!((batch.entries, batch.cursor.at), (2, id(2)));
        assert_eq!(batch.missed, Some(Missed::Oversize));
        assert_eq!((batch.writes.len(), batch.rejected[0].id), (1, Some(id(1))));
    }

    proptest! {
        #[test]
        fn any_fields_are_passed_over_not_a_panic(fields: Vec<(Vec<u8>, Vec<u8>)>, ms in 1..u64::MAX) {
            let fields = fields.into_iter().map(|(n, v)| (Bytes::from(n), Bytes::from(v))).collect();
            let mut batch = Batch::new(Cursor::default());
            batch.add(vec![Entry { id: id(ms), fields }], LIMITS);
            prop_assert_eq!((batch.rejected.len(), batch.cursor.at), (1, id(ms)));
        }

        #[test]
        fn lag_and_distance_never_overflow(ms: u64, now: i64, seq: u64, ours: u64) {
            lag_ms(id(ms), now);
            let cursor = Cursor::from_end("s", id(0), Some((Epoch(1), ours)));
            prop_assert_eq!(events_behind(&cursor, Some((Epoch(1), seq))), seq.saturating_sub(ours));
        }
    }
}
