//! The hot path of one peer: dial, read, apply, move the cursor.

use std::sync::Arc;
use std::time::Duration;

use sync_engine::cdc::codec::Limits;
use sync_engine::{Key, StorageError};

use super::peer::{Peer, Wanted};
use super::stop::Stop;
use crate::config::Settings;
use crate::error::RepairError;
use crate::peer::RemoteError;
use crate::tail::pace::Pace;
use crate::tail::step::{Batch, events_behind, lag_ms, place_of_newest};
use crate::tail::{Cursor, Missed};

/// Pause while the store is under pressure, and after it has failed; doubled up to the second.
const STORE_PAUSE_MIN: Duration = Duration::from_millis(100);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often the peer is asked how far ahead it is, while behind.
const LOOK_AHEAD_EVERY: Duration = Duration::from_secs(5);

pub(super) struct TailTask {
    pub(super) peer: Arc<Peer>,
    pub(super) settings: Arc<Settings>,
    pub(super) stop: Stop,
}

impl TailTask {
    /// Until the engine stops.
    pub(super) async fn run(self) {
        while !self.stop.is_given() {
            let dial = self.peer.link.lock().dial(self.peer.node.env.monotonic());
            let ended = match dial {
                Err(wait) => self.wait(wait).await,
                Ok(()) => self.session().await,
            };
            match ended {
                Ok(()) | Err(RepairError::Stopped) => {}
                Err(RepairError::Remote(error)) => self.peer.on_failure(&error),
                Err(error) => {
                    self.peer.on_error(&error);
                    tracing::warn!(peer = %self.peer.config.node_id, %error, "the hot path was interrupted");
                    self.wait(STORE_PAUSE_MAX).await.ok();
                }
            }
        }
    }

    pub(super) async fn wait(&self, pause: Duration) -> Result<(), RepairError> {
        let slept = self.stop.unless(self.peer.node.env.sleep(pause)).await;
        slept.ok_or(RepairError::Stopped)
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            payload_bytes_max: self.peer.node.store.payload_bytes_max(),
        }
    }

    /// From the first answer to the first failure. What comes next is read while a batch is applied.
    async fn session(&self) -> Result<(), RepairError> {
        let mut cursor = self.open().await?;
        let now = self.peer.node.env.monotonic();
        let mut pace = Pace::new(&self.settings.hot_path, now);
        let mut looked_at = now;
        let mut batch = self.gather(&cursor, &mut pace).await?;
        loop {
            if batch.entries == 0 {
                self.on_caught_up();
                batch = self.gather(&cursor, &mut pace).await?;
                continue;
            }
            let read_up_to = batch.cursor.clone();
            let next = self.gather(&read_up_to, &mut pace);
            let (settled, next) = futures_util::future::join(self.settle(batch), next).await;
            (cursor, batch) = (settled?, next?);
            let now = self.peer.node.env.monotonic();
            let is_behind = self.peer.memory.lock().is_catching_up;
            if is_behind && now.saturating_sub(looked_at) >= LOOK_AHEAD_EVERY {
                looked_at = now;
                self.look_ahead(&cursor).await?;
            }
        }
    }

    /// The cursor to go on from.
    async fn open(&self) -> Result<Cursor, RepairError> {
        let peer = &self.peer;
        let state = self.remote(peer.remote.stream_state()).await?;
        peer.on_answer();
        let kept = peer.node.cursors.cursor(&peer.config.node_id).await?;
        let newest = place_of_newest(&state, self.limits());
        let stream = peer.config.stream();
        let (cursor, missed) = Cursor::resume(kept, &stream, state.last_id(), newest);
        if let Some(missed) = missed {
            self.keep(&cursor).await?;
            self.on_missed(missed);
        }
        peer.memory.lock().cursor = cursor.at;
        Ok(cursor)
    }

    pub(super) async fn remote<T>(
        &self,
        asked: impl Future<Output = Result<T, RemoteError>>,
    ) -> Result<T, RepairError> {
        Ok(self
            .stop
            .unless(asked)
            .await
            .ok_or(RepairError::Stopped)??)
    }

    /// Applies a batch, then moves the cursor: in this order, or a crash between would lose it.
    async fn settle(&self, batch: Batch) -> Result<Cursor, RepairError> {
        let mut pause = STORE_PAUSE_MIN;
        let refused = loop {
            match self.apply(&batch).await {
                Ok(refused) => break refused,
                Err(error) => {
                    self.peer.on_error(&error);
                    tracing::warn!(peer = %self.peer.config.node_id, %error, "a batch could not be applied yet");
                    self.wait(pause).await?;
                    pause = (pause * 2).min(STORE_PAUSE_MAX);
                }
            }
        };
        self.keep(&batch.cursor).await?;
        batch
            .rejected
            .into_iter()
            .for_each(|one| self.peer.reject(one));
        // The archive may take them later, and the stream shows them once.
        if let Some(missed) = batch.missed.or(refused) {
            self.on_missed(missed);
        }
        self.note_lag(&batch.cursor);
        Ok(batch.cursor)
    }

    /// Gives whether the archive refused some of it.
    async fn apply(&self, batch: &Batch) -> Result<Option<Missed>, RepairError> {
        let (peer, node) = (&self.peer, &self.peer.node);
        while node.store.is_under_pressure() {
            peer.metrics.pauses.increment(1);
            self.wait(STORE_PAUSE_MIN).await?;
        }
        if self.stop.is_given() {
            return Err(RepairError::Stopped);
        }
        if batch.writes.is_empty() {
            return Ok(None);
        }
        let begun = node.env.monotonic();
        let applied = node.store.apply(batch.writes.clone(), node.relay).await?;
        let took = node.env.monotonic().saturating_sub(begun);
        peer.metrics.batch_flush.increment(1);
        peer.metrics.batch_flush_seconds.record(took.as_secs_f64());
        let limit_ms = self.settings.slo.max_batch_flush_latency_ms;
        peer.check_slo("applying a batch", took, limit_ms);
        peer.metrics.events_applied.increment(applied.taken as u64);
        peer.metrics.events_deduped.increment(applied.kept as u64);
        let mut memory = peer.memory.lock();
        memory.events_applied += applied.taken as u64;
        memory.events_deduped += applied.kept as u64;
        drop(memory);
        let is_refused =
            |(_, why): &(Key, StorageError)| matches!(why, StorageError::Refused { .. });
        let refused = applied.refused.iter().any(is_refused);
        peer.on_applied(applied);
        Ok(refused.then_some(Missed::Refused))
    }

    async fn keep(&self, cursor: &Cursor) -> Result<(), RepairError> {
        let peer = &self.peer;
        peer.node
            .cursors
            .save_cursor(&peer.config.node_id, cursor)
            .await?;
        peer.memory.lock().cursor = cursor.at;
        Ok(())
    }

    fn on_missed(&self, missed: Missed) {
        let why = missed.as_str();
        tracing::info!(peer = %self.peer.config.node_id, why, "changes were missed: comparing");
        self.peer.metrics.events_missed.increment(1);
        self.peer.want(Wanted::Missed);
    }

    fn on_caught_up(&self) {
        let mut memory = self.peer.memory.lock();
        (memory.is_catching_up, memory.lag_ms, memory.lag_events) = (false, 0, 0);
        drop(memory);
        self.peer.metrics.lag_ms.set(0.0);
        self.peer.metrics.lag_events.set(0.0);
    }

    fn note_lag(&self, cursor: &Cursor) {
        let is_behind = self.peer.memory.lock().is_catching_up;
        if !is_behind {
            return self.on_caught_up();
        }
        let lag = lag_ms(cursor.at, self.peer.node.env.now_ms());
        self.peer.memory.lock().lag_ms = lag;
        self.peer.metrics.lag_ms.set(lag as f64);
        let limit_ms = self
            .settings
            .slo
            .max_replication_lag_sec
            .saturating_mul(1000);
        self.peer
            .check_slo("replication", Duration::from_millis(lag), limit_ms);
    }

    async fn look_ahead(&self, cursor: &Cursor) -> Result<(), RepairError> {
        let state = self.remote(self.peer.remote.stream_state()).await?;
        let behind = events_behind(cursor, place_of_newest(&state, self.limits()));
        self.peer.memory.lock().lag_events = behind;
        self.peer.metrics.lag_events.set(behind as f64);
        Ok(())
    }
}
