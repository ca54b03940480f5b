//! What a stream looks like to its readers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{Span, StreamId, entry_bytes};

/// Field–value pairs, in the order written.
pub type Fields = Vec<(Bytes, Bytes)>;

/// One entry of a stream, shared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in its stream.
    pub id: StreamId,
    /// Fields and values.
    pub fields: Arc<Fields>,
}

/// Entries as they were at one moment, one after the other. Whoever has it keeps them alive, also
/// when the stream has let go of them; none is encoded before its turn.
pub struct Run {
    bytes: usize,
    /// What each counts, and the entry.
    entries: Box<dyn ExactSizeIterator<Item = (usize, Entry)> + Send>,
}

impl Run {
    /// No entries.
    #[must_use]
    pub fn empty() -> Self {
        Run {
            bytes: 0,
            entries: Box::new(std::iter::empty()),
        }
    }

    /// These entries, which count `bytes` together; each comes with what it counts itself.
    pub fn new(
        bytes: usize,
        entries: impl ExactSizeIterator<Item = (usize, Entry)> + Send + 'static,
    ) -> Self {
        Run {
            bytes,
            entries: Box::new(entries),
        }
    }

    /// Bytes that those still to come keep, at the most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Iterator for Run {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let (bytes, entry) = self.entries.next()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Run {}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("entries", &self.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}

/// The reading side of one stream. A stream of the store has it, and so may a log kept
/// elsewhere, which the store then serves under one key.
///
/// The rule: ids only grow, and [`StreamSource::last_id`] never falls, also when entries are
/// trimmed or deleted. Calls are quick and do not block.
pub trait StreamSource: Send + Sync {
    /// The entries of a span, and no more of them once they count `bytes_max`. The first one is
    /// given whatever it counts.
    fn range(&self, span: Span, bytes_max: usize) -> Run;

    /// The highest id ever given; [`StreamId::MIN`] before the first.
    fn last_id(&self) -> StreamId;

    /// How many entries there are now.
    fn len(&self) -> usize;

    /// Whether there is no entry now.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries were ever added.
    fn entries_added(&self) -> u64;

    /// The lowest id present; [`StreamId::MIN`] if there is none.
    fn first_id(&self) -> StreamId;

    /// The highest id that was deleted by name; [`StreamId::MIN`] if none was.
    fn max_deleted_id(&self) -> StreamId {
        StreamId::MIN
    }
}

/// What XINFO STREAM tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Entries present.
    pub length: usize,
    /// See [`StreamSource::last_id`].
    pub last_generated_id: StreamId,
    /// See [`StreamSource::max_deleted_id`].
    pub max_deleted_entry_id: StreamId,
    /// See [`StreamSource::entries_added`].
    pub entries_added: u64,
    /// See [`StreamSource::first_id`].
    pub recorded_first_entry_id: StreamId,
    /// The oldest entry present.
    pub first_entry: Option<Entry>,
    /// The newest entry present.
    pub last_entry: Option<Entry>,
}

impl StreamInfo {
    /// Asks a stream about itself.
    #[must_use]
    pub fn of(source: &dyn StreamSource) -> Self {
        let edge = |span| source.range(span, usize::MAX).next();
        StreamInfo {
            length: source.len(),
            last_generated_id: source.last_id(),
            max_deleted_entry_id: source.max_deleted_id(),
            entries_added: source.entries_added(),
            recorded_first_entry_id: source.first_id(),
            first_entry: edge(Span::OLDEST),
            last_entry: edge(Span::NEWEST),
        }
    }
    /// Bytes that the two entries keep.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let edges = self.first_entry.iter().chain(&self.last_entry);
        edges.map(|entry| entry_bytes(&entry.fields)).sum()
    }
}
