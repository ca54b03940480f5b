//! The engine's change log, read like any other stream.

use std::sync::Arc;

use sync_engine::cdc::memory::{HeldEntry, MemoryLog};

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

fn entry(held: HeldEntry) -> (usize, Entry) {
    let entry = Entry {
        id: held.id(),
        fields: held.fields(),
    };
    (held.bytes(), entry)
}

impl StreamSource for CdcSource {
    fn range(&self, span: Span, bytes_max: usize) -> Run {
        let held = self.log.range(span, bytes_max);
        let bytes = held.iter().map(HeldEntry::bytes).sum();
        Run::new(bytes, held.into_iter().map(entry))
    }

    fn last_id(&self) -> StreamId {
        self.log.last_id()
    }

    fn len(&self) -> usize {
        self.log.len()
    }

    fn entries_added(&self) -> u64 {
        self.log.entries_added()
    }

    fn first_id(&self) -> StreamId {
        self.log.first_id().unwrap_or(StreamId::MIN)
    }

    fn max_deleted_id(&self) -> StreamId {
        self.log.max_deleted_id()
    }
}
