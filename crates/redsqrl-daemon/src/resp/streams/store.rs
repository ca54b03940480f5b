//! The store of all streams.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    AddId, Append, Cut, IfMissing, Read, ReadFrom, ReadResult, Span, Stream, StreamError, StreamId,
    StreamInfo, StreamSource, Trim, entry_bytes,
};
use crate::resp::StreamLimits;

/// A stream of this store, or one served from elsewhere.
enum Slot {
    Kept(Stream),
    Served(Arc<dyn StreamSource>),
}

/// All streams of a node, by key.
pub struct StreamStore {
    limits: StreamLimits,
    slots: BTreeMap<Bytes, Slot>,
    bytes: usize,
}

impl fmt::Debug for StreamStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamStore")
            .field("streams", &self.slots.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}

/// Counted for each stream beyond its key and entries.
const STREAM_OVERHEAD_BYTES: usize = 192;

pub(super) fn slot_bytes(key: &[u8]) -> usize {
    key.len().saturating_add(STREAM_OVERHEAD_BYTES)
}

impl StreamStore {
    /// A store without streams.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        StreamStore {
            limits,
            slots: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Serves a stream kept elsewhere under `key`, in place of whatever was there. It can be
    /// read like any other and not be written; DEL does not touch it. It costs no bytes here.
    pub fn serve(&mut self, key: &[u8], source: Arc<dyn StreamSource>) {
        self.remove_kept(key);
        self.slots
            .insert(Bytes::copy_from_slice(key), Slot::Served(source));
    }

    /// XADD. `now_ms`: milliseconds since 1970. `None` if there is no stream and none is wanted.
    ///
    /// # Errors
    /// A bad id, a stream served from elsewhere, or a limit that would be passed even after the
    /// trim asked for. Nothing has changed then.
    pub fn add(&mut self, append: &Append, now_ms: u64) -> Result<Option<StreamId>, StreamError> {
        if append.id == AddId::Exact(StreamId::MIN) {
            return Err(StreamError::IdZero);
        }
        let empty = Stream::new();
        let (stream, slot_cost) = match self.slots.get(append.key.as_ref()) {
            Some(Slot::Kept(stream)) => (stream, 0),
            Some(Slot::Served(_)) => return Err(StreamError::ReadOnly),
            None if append.missing == IfMissing::Skip => return Ok(None),
            None => (&empty, slot_bytes(&append.key)),
        };
        let id = stream.next_id(append.id, now_ms)?;
        let trim = append.trim;
        let cut = trim.map_or_else(Cut::default, |trim| stream.planned_cut(trim, &[id]));
        self.check_room(stream, append, cut, slot_cost)?;

        let key = || Bytes::copy_from_slice(&append.key);
        if slot_cost > 0 {
            self.slots.insert(key(), Slot::Kept(empty));
        }
        if let Some(Slot::Kept(stream)) = self.slots.get_mut(append.key.as_ref()) {
            let before = stream.bytes();
            stream.push(id, &append.fields);
            stream.cut(cut.entries);
            self.bytes = (self.bytes + slot_cost + stream.bytes()).saturating_sub(before);
        }
        Ok(Some(id))
    }

    /// Whether the entry fits once `cut` has gone.
    fn check_room(
        &self,
        stream: &Stream,
        append: &Append,
        cut: Cut,
        slot_cost: usize,
    ) -> Result<(), StreamError> {
        let limits = &self.limits;
        let streams_max = limits.streams_max;
        if slot_cost > 0 && self.slots.len() >= streams_max {
            return Err(StreamError::TooManyStreams { streams_max });
        }
        let entries_max = limits.entries_max;
        if (stream.len() + 1).saturating_sub(cut.entries) > entries_max {
            return Err(StreamError::TooManyEntries { entries_max });
        }
        // Held for a moment even when the trim takes the entry itself away again.
        let entry = entry_bytes(&append.fields);
        let grown = |bytes: usize| bytes.saturating_sub(cut.bytes).saturating_add(entry);
        let bytes_max = limits.stream_bytes_max;
        if grown(stream.bytes()) > bytes_max {
            return Err(StreamError::StreamFull { bytes_max });
        }
        let bytes_max = limits.total_bytes_max;
        if grown(self.bytes).saturating_add(slot_cost) > bytes_max {
            return Err(StreamError::StoreFull { bytes_max });
        }
        Ok(())
    }

    /// XTRIM: how many entries went.
    ///
    /// # Errors
    /// The stream is served from elsewhere.
    pub fn trim(&mut self, key: &[u8], trim: Trim) -> Result<usize, StreamError> {
        let Some(stream) = self.kept_mut(key)? else {
            return Ok(0);
        };
        let planned = stream.planned_cut(trim, &[]);
        let gone = stream.cut(planned.entries);
        self.bytes = self.bytes.saturating_sub(gone.bytes);
        Ok(gone.entries)
    }

    /// XDEL: how many of the ids were there.
    ///
    /// # Errors
    /// The stream is served from elsewhere.
    pub fn delete_entries(&mut self, key: &[u8], ids: &[StreamId]) -> Result<usize, StreamError> {
        let Some(stream) = self.kept_mut(key)? else {
            return Ok(0);
        };
        let before = stream.bytes();
        let gone = ids.iter().filter(|id| stream.delete(**id)).count();
        let freed = before.saturating_sub(stream.bytes());
        self.bytes = self.bytes.saturating_sub(freed);
        Ok(gone)
    }

    /// DEL: whether there was such a stream.
    ///
    /// # Errors
    /// The stream is served from elsewhere.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, StreamError> {
        match self.kept_mut(key)? {
            None => Ok(false),
            Some(_) => {
                self.remove_kept(key);
                Ok(true)
            }
        }
    }

    /// The stream under `key`, to be read.
    #[must_use]
    pub fn source(&self, key: &[u8]) -> Option<&dyn StreamSource> {
        match self.slots.get(key)? {
            Slot::Kept(stream) => Some(stream),
            Slot::Served(source) => Some(source.as_ref()),
        }
    }

    /// XINFO STREAM.
    ///
    /// # Errors
    /// There is no such stream.
    pub fn info(&self, key: &[u8]) -> Result<StreamInfo, StreamError> {
        let source = self.source(key).ok_or(StreamError::NoSuchKey)?;
        Ok(StreamInfo::of(source))
    }

    /// Turns every `$` into the id it stands for now. A reader that waits does this once, before
    /// its first look.
    #[must_use]
    pub fn resolve(&self, read: Read) -> Read {
        let last_id = |key: &[u8]| self.source(key).map_or(StreamId::MIN, |s| s.last_id());
        let streams = read.streams.into_iter().map(|(key, from)| {
            let after = match from {
                ReadFrom::Now => last_id(&key),
                ReadFrom::After(id) => id,
            };
            (key, ReadFrom::After(after))
        });
        Read {
            count: read.count,
            streams: streams.collect(),
        }
    }

    /// XREAD without waiting: the entries after each id, streams without any left out; and no
    /// more of them once they count `bytes_max`. The first one is given whatever it counts; streams
    /// that are left out for want of bytes are read the next time.
    #[must_use]
    pub fn read(&self, read: &Read, bytes_max: usize) -> ReadResult {
        let count = read.count.unwrap_or(usize::MAX);
        let (mut left, mut found) = (bytes_max, ReadResult::new());
        for (key, from) in &read.streams {
            let Some((source, start)) = self.unread(key, *from) else {
                continue;
            };
            let span = Span {
                start,
                count,
                ..Span::ALL
            };
            let run = source.range(span, left);
            if run.len() == 0 {
                continue;
            }
            if run.bytes() > left && !found.is_empty() {
                break;
            }
            left = left.saturating_sub(run.bytes());
            found.push((key.clone(), run));
        }
        found
    }

    /// Whether [`StreamStore::read`] would find anything.
    #[must_use]
    pub fn has_news(&self, read: &Read) -> bool {
        read.streams.iter().any(|(key, from)| {
            let unread = self.unread(key, *from);
            unread.is_some_and(|(source, start)| {
                let span = Span {
                    start,
                    ..Span::OLDEST
                };
                source.range(span, 0).len() > 0
            })
        })
    }

    /// The stream, and its first id that has not been read.
    fn unread(&self, key: &[u8], from: ReadFrom) -> Option<(&dyn StreamSource, StreamId)> {
        match from {
            ReadFrom::Now => None, // nothing can be newer than now
            ReadFrom::After(after) => Some((self.source(key)?, after.next()?)),
        }
    }

    /// The keys of all streams, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.slots.keys()
    }

    /// Bytes held, overhead included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn kept_mut(&mut self, key: &[u8]) -> Result<Option<&mut Stream>, StreamError> {
        match self.slots.get_mut(key) {
            None => Ok(None),
            Some(Slot::Kept(stream)) => Ok(Some(stream)),
            Some(Slot::Served(_)) => Err(StreamError::ReadOnly),
        }
    }

    fn remove_kept(&mut self, key: &[u8]) {
        if let Some(Slot::Kept(stream)) = self.slots.remove(key) {
            let freed = stream.bytes().saturating_add(slot_bytes(key));
            self.bytes = self.bytes.saturating_sub(freed);
        }
    }
}
