//! One stream in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{AddId, Entry, Fields, Run, Span, StreamError, StreamId, StreamSource};

/// What XADD and XTRIM may cut off the old end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// What stays.
    pub keep: Keep,
    /// Most entries cut by one call (`LIMIT`); `None`: no bound.
    pub limit: Option<u64>,
}

/// What a trim leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The newest so many.
    MaxLen(u64),
    /// Those not below this id.
    MinId(StreamId),
}

/// How many entries at the old end go, and the bytes they give back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Entries.
    pub entries: usize,
    /// Bytes, overhead included.
    pub bytes: usize,
}

/// Counted for each entry beyond its content: its slot, its list of fields, its allocation.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Counted for each field–value pair beyond its content: two handles.
const FIELD_OVERHEAD_BYTES: usize = 64;

/// What an entry of these fields counts, in bytes.
#[must_use]
pub fn entry_bytes(fields: &[(Bytes, Bytes)]) -> usize {
    fields
        .iter()
        .fold(ENTRY_OVERHEAD_BYTES, |sum, (field, value)| {
            sum.saturating_add(field.len())
                .saturating_add(value.len())
                .saturating_add(FIELD_OVERHEAD_BYTES)
        })
}

/// Entries in ascending order of id, and what a stream remembers beyond them. It knows no
/// limits: the store plans with [`Stream::planned_cut`] and decides.
#[derive(Debug, Default)]
pub struct Stream {
    entries: VecDeque<Entry>,
    bytes: usize,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

impl Stream {
    /// A stream without entries.
    #[must_use]
    pub fn new() -> Self {
        Stream::default()
    }

    /// Bytes of its entries, overhead included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The id an XADD gets. `now_ms`: milliseconds since 1970, for [`AddId::Auto`].
    ///
    /// # Errors
    /// The id is not above the last one, or there is no id left.
    pub fn next_id(&self, wanted: AddId, now_ms: u64) -> Result<StreamId, StreamError> {
        let last = self.last_id;
        if last == StreamId::MAX {
            return Err(StreamError::IdsExhausted);
        }
        let id = match wanted {
            AddId::Auto if now_ms > last.ms => StreamId::new(now_ms, 0),
            AddId::Auto => return last.next().ok_or(StreamError::IdsExhausted),
            AddId::AutoSeq(ms) if ms == last.ms => {
                let seq = last.seq.checked_add(1).ok_or(StreamError::IdNotAbove)?;
                StreamId::new(ms, seq)
            }
            AddId::AutoSeq(ms) => StreamId::new(ms, 0),
            AddId::Exact(id) => id,
        };
        if id > last {
            Ok(id)
        } else {
            Err(StreamError::IdNotAbove)
        }
    }

    /// Adds an entry at the new end; `id` comes from [`Stream::next_id`]. The fields are copied
    /// into one allocation, so that an entry never keeps a read buffer alive.
    pub fn push(&mut self, id: StreamId, fields: &[(Bytes, Bytes)]) {
        debug_assert!(id > self.last_id, "ids grow");
        self.bytes = self.bytes.saturating_add(entry_bytes(fields));
        let fields = Arc::new(copied(fields));
        self.entries.push_back(Entry { id, fields });
        self.last_id = id;
        self.entries_added = self.entries_added.saturating_add(1);
    }

    /// What `trim` would cut after the entries of `arriving` have been added.
    #[must_use]
    pub fn planned_cut(&self, trim: Trim, arriving: &[StreamId]) -> Cut {
        let wanted = match trim.keep {
            Keep::MaxLen(max) => {
                let len = self.entries.len() + arriving.len();
                len.saturating_sub(usize::try_from(max).unwrap_or(usize::MAX))
            }
            Keep::MinId(min) => {
                self.position(min) + arriving.iter().filter(|id| **id < min).count()
            }
        };
        let limit = trim.limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let entries = wanted.min(limit);
        let bytes = self.entries.iter().take(entries);
        Cut {
            entries,
            bytes: bytes.map(|entry| entry_bytes(&entry.fields)).sum(),
        }
    }

    /// Cuts so many entries off the old end.
    pub fn cut(&mut self, entries: usize) -> Cut {
        let entries = entries.min(self.entries.len());
        let gone = self.entries.drain(..entries);
        let bytes = gone.map(|entry| entry_bytes(&entry.fields)).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        Cut { entries, bytes }
    }

    /// Deletes one entry by name; `false` if it is not there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let at = self.position(id);
        if self.entries.get(at).is_none_or(|entry| entry.id != id) {
            return false;
        }
        if let Some(gone) = self.entries.remove(at) {
            self.bytes = self.bytes.saturating_sub(entry_bytes(&gone.fields));
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        true
    }

    /// How many entries lie below `id`.
    fn position(&self, id: StreamId) -> usize {
        self.entries.partition_point(|entry| entry.id < id)
    }
}

fn copied(fields: &[(Bytes, Bytes)]) -> Fields {
    let total = fields
        .iter()
        .map(|(field, value)| field.len() + value.len());
    let mut together = BytesMut::with_capacity(total.sum());
    for (field, value) in fields {
        together.extend_from_slice(field);
        together.extend_from_slice(value);
    }
    let mut together = together.freeze();
    let mut take = |len| together.split_to(len);
    let pairs = fields.iter();
    pairs
        .map(|(field, value)| (take(field.len()), take(value.len())))
        .collect()
}

fn taken<'a>(entries: impl Iterator<Item = &'a Entry>, count: usize, bytes_max: usize) -> Run {
    let (mut bytes, mut taken) = (0usize, Vec::new());
    for entry in entries.take(count) {
        let counts = entry_bytes(&entry.fields);
        if bytes.saturating_add(counts) > bytes_max && !taken.is_empty() {
            break;
        }
        bytes = bytes.saturating_add(counts);
        taken.push((counts, entry.clone()));
    }
    Run::new(bytes, taken.into_iter())
}

impl StreamSource for Stream {
    fn range(&self, span: Span, bytes_max: usize) -> Run {
        if span.start > span.end {
            return Run::empty();
        }
        let from = self.position(span.start);
        let to = self.entries.partition_point(|entry| entry.id <= span.end);
        let inside = self.entries.range(from..to);
        match span.rev {
            false => taken(inside, span.count, bytes_max),
            true => taken(inside.rev(), span.count, bytes_max),
        }
    }

    fn last_id(&self) -> StreamId {
        self.last_id
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn entries_added(&self) -> u64 {
        self.entries_added
    }

    fn first_id(&self) -> StreamId {
        self.entries.front().map_or(StreamId::MIN, |entry| entry.id)
    }

    fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }
}
