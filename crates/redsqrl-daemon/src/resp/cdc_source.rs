//! The engine's change log, read like any other stream.

use std::sync::Arc;

use sync_engine::cdc::memory::{self, HeldEntry, MemoryLog};
use sync_engine::cdc::stream_id as log;

use super::streams::{Entry, Run, Span, StreamId, StreamSource};

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

fn entry(held: HeldEntry) -> (usize, Entry) {
    let entry = Entry {
        id: from_log(held.id()),
        fields: held.fields(),
    };
    (held.bytes(), entry)
}

impl StreamSource for CdcSource {
    fn range(&self, span: Span, bytes_max: usize) -> Run {
        let span = memory::Span {
            start: to_log(span.start),
            end: to_log(span.end),
            count: span.count,
            rev: span.rev,
        };
        let held = self.log.range(span, bytes_max);
        let bytes = held.iter().map(HeldEntry::bytes).sum();
        Run::new(bytes, held.into_iter().map(entry))
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
