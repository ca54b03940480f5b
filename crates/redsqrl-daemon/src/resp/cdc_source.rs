//! The engine's change log, read like any other stream.

use std::sync::Arc;

use sync_engine::cdc::memory::{MemoryLog, ReadEntry};
use sync_engine::cdc::stream_id as log;

use super::streams::{Entry, StreamId, StreamSource};

/// Most bytes of entries given to one XREAD of the change log; the reader goes on from there.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A [`MemoryLog`] behind the Redis-protocol port. It is read only; the engine writes it.
pub struct CdcSource {
    log: Arc<MemoryLog>,
}

impl CdcSource {
    /// Serves this log.
    #[must_use]
    pub fn new(log: Arc<MemoryLog>) -> Self {
        CdcSource { log }
    }
}

fn to_log(id: StreamId) -> log::StreamId {
    log::StreamId {
        ms: id.ms,
        seq: id.seq,
    }
}

fn from_log(id: log::StreamId) -> StreamId {
    StreamId::new(id.ms, id.seq)
}

fn entries(read: Vec<ReadEntry>) -> Vec<Entry> {
    let entry = |(id, fields): ReadEntry| Entry {
        id: from_log(id),
        fields: fields.as_ref().clone(),
    };
    read.into_iter().map(entry).collect()
}

impl StreamSource for CdcSource {
    /// To the end of the log, as XREAD asks: at most 8 MiB, or one entry.
    fn range(&self, start: StreamId, end: StreamId, count: usize, rev: bool) -> Vec<Entry> {
        entries(match start.previous() {
            Some(after) if end == StreamId::MAX && !rev => {
                self.log.read_after(to_log(after), count, READ_BYTES_MAX)
            }
            _ => self.log.range(to_log(start), to_log(end), count, rev),
        })
    }

    fn last_id(&self) -> StreamId {
        from_log(self.log.last_id())
    }

    fn len(&self) -> usize {
        self.log.len()
    }

    fn entries_added(&self) -> u64 {
        self.log.entries_added()
    }

    fn first_id(&self) -> StreamId {
        self.log.first_id().map_or(StreamId::MIN, from_log)
    }

    fn max_deleted_id(&self) -> StreamId {
        from_log(self.log.max_deleted_id())
    }
}
