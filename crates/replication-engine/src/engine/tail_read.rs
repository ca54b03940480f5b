//! The hot path of one peer: reading, as much at once as is good for both sides.

use std::time::Duration;

use sync_engine::cdc::stream_id::StreamId;

use super::tail_task::TailTask;
use crate::error::RepairError;
use crate::peer::{Entry, RemoteError};
use crate::tail::Cursor;
use crate::tail::pace::Pace;
use crate::tail::step::{Batch, Progress, reply_bytes};

/// What came of one read.
enum Read {
    Entries(Vec<Entry>),
    /// More than `limit` bytes, from the entry `id` on.
    TooLarge {
        limit: usize,
        id: StreamId,
    },
}

fn not_asked_for() -> RemoteError {
    RemoteError::Nonsense {
        op: "read the change stream",
        what: "entries came that were not asked for",
    }
}

impl TailTask {
    /// Reads until there is nothing more at once, or the batch is full.
    pub(super) async fn gather(
        &self,
        cursor: &Cursor,
        pace: &mut Pace,
    ) -> Result<Batch, RepairError> {
        let env = &self.peer.node.env;
        let mut batch = Batch::new(cursor.clone());
        loop {
            let count = match pace.next_count(env.monotonic()) {
                Ok(count) => count,
                Err(_) if batch.entries > 0 => return Ok(batch),
                Err(wait) => {
                    self.wait(wait).await?;
                    continue;
                }
            };
            let block = match batch.entries {
                0 => self.settings.hot_path.block_timeout,
                _ => Duration::ZERO,
            };
            let entries = match self.read(&batch.cursor, count, block).await? {
                Read::Entries(entries) => entries,
                Read::TooLarge { .. } if count > 1 => {
                    pace.on_too_large();
                    continue;
                }
                Read::TooLarge { limit, id } => {
                    batch.pass_oversize(id, limit);
                    return Ok(batch);
                }
            };
            if !self.take(&mut batch, entries, count, pace)? {
                return Ok(batch);
            }
        }
    }

    /// Takes what one read of `count` brought into the batch. False: it is time to apply.
    fn take(
        &self,
        batch: &mut Batch,
        entries: Vec<Entry>,
        count: usize,
        pace: &mut Pace,
    ) -> Result<bool, RepairError> {
        let (got, in_reply) = (entries.len(), reply_bytes(&entries));
        self.peer.metrics.events_read.increment(got as u64);
        if batch.add(entries, self.limits()) == Progress::Stuck {
            return Err(not_asked_for().into());
        }
        // What was compressed counts as what it is: the next read should bring no more than is taken in at once.
        let bytes = in_reply.max(batch.entry_bytes().saturating_mul(got));
        let is_more = pace.on_read(count, got, bytes) || batch.is_full();
        self.peer.memory.lock().is_catching_up = is_more;
        Ok(is_more && !batch.is_full())
    }

    async fn read(
        &self,
        cursor: &Cursor,
        count: usize,
        block: Duration,
    ) -> Result<Read, RepairError> {
        let env = &self.peer.node.env;
        let begun = env.monotonic();
        let tail = self.peer.remote.tail(cursor.at, count, block);
        let read = match self.remote(tail).await {
            Err(RepairError::Remote(RemoteError::TooLarge {
                limit,
                first: Some(id),
                ..
            })) if id > cursor.at => Read::TooLarge { limit, id },
            entries => Read::Entries(entries?),
        };
        self.peer.on_answer();
        if block == Duration::ZERO {
            let took = env.monotonic().saturating_sub(begun);
            let limit_ms = self.settings.slo.max_stream_read_latency_ms;
            self.peer
                .check_slo("reading the change stream", took, limit_ms);
        }
        Ok(read)
    }
}
