//! What a stream looks like to its readers.

use bytes::Bytes;

use super::StreamId;

/// One entry of a stream: an id and field–value pairs, in the order written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in its stream.
    pub id: StreamId,
    /// Fields and values.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// The reading side of one stream. A stream of the store has it, and so may a log kept
/// elsewhere, which the store then serves under one key.
///
/// The rule: ids only grow, and [`StreamSource::last_id`] never falls, also when entries are
/// trimmed or deleted. Calls are quick and do not block.
pub trait StreamSource: Send + Sync {
    /// The entries from `start` to `end`, both inside, at most `count`: the lowest ids in
    /// ascending order, or with `rev` the highest in descending order.
    fn range(&self, start: StreamId, end: StreamId, count: usize, rev: bool) -> Vec<Entry>;

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
        let edge = |rev| source.range(StreamId::MIN, StreamId::MAX, 1, rev).pop();
        StreamInfo {
            length: source.len(),
            last_generated_id: source.last_id(),
            max_deleted_entry_id: source.max_deleted_id(),
            entries_added: source.entries_added(),
            recorded_first_entry_id: source.first_id(),
            first_entry: edge(false),
            last_entry: edge(true),
        }
    }
}
