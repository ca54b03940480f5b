//! An honest peer, and what comparing with it costs.
#![allow(dead_code, clippy::disallowed_methods)] // tests and benches live in real time

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use replication_engine::SyncEngineRef;
use replication_engine::engine::stop::StopSign;
use replication_engine::peer::{Entry, Remote, RemoteError, StreamState};
use replication_engine::repair::asker::Asker;
use replication_engine::repair::cycle::{Cycle, Outcome, RepairSink};
use replication_engine::repair::question::{Question, RecordError, decode_question};
use replication_engine::repair::step::Fill;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::{Applied, Relay};

/// What a comparison took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// From its beginning to its end.
    pub seconds: f64,
    /// Questions.
    pub questions: usize,
    /// Round trips: the longest chain of questions of which each waited for the answer to the one before.
    pub rounds: usize,
    /// Bytes of all questions, and of all answers but those with records.
    pub bytes: usize,
    /// Bytes of answers with records.
    pub items: usize,
}

/// Counts what goes to the peer and comes back.
pub struct Counted {
    inner: Arc<dyn Remote>,
    cost: Mutex<Cost>,
}

impl Counted {
    pub fn new(inner: Arc<dyn Remote>) -> Self {
        let cost = Mutex::default();
        Self { inner, cost }
    }

    /// Compares this store with the peer, once, as when something is known to be missing.
    pub async fn compare(&self, store: &dyn SyncEngineRef, items_max: usize) -> (Outcome, Cost) {
        let (sign, env) = (StopSign::default(), store.env());
        let cycle = Cycle {
            asker: Asker {
                remote: self,
                answer_bytes_max: 32 << 20,
                stop: &sign.heeded(),
            },
            store,
            env: &env,
            items_max,
            is_continued: false,
            filling: Fill::Idle,
            relay: Relay::No,
            sink: &Deaf,
        };
        *self.cost.lock() = Cost::default();
        let begun = Instant::now();
        let outcome = cycle.run(0, true).await.unwrap();
        let mut cost = *self.cost.lock();
        cost.seconds = begun.elapsed().as_secs_f64();
        (outcome, cost)
    }
}

struct Deaf;

impl RepairSink for Deaf {
    fn diverged(&self, _: usize) {}

    fn fetched(&self, _: usize) {}

    fn applied(&self, _: usize, _: Applied) {}

    fn refused(&self, error: RecordError) {
        panic!("{error}");
    }
}

#[async_trait]
impl Remote for Counted {
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        self.inner.tail(after, count, block).await
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        self.inner.stream_state().await
    }

    async fn root(&self) -> Result<Option<String>, RemoteError> {
        let root = self.inner.root().await?;
        let mut cost = self.cost.lock();
        cost.rounds += 1;
        cost.bytes += root.as_ref().map_or(0, String::len);
        Ok(root)
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        let is_of_records = matches!(decode_question(&question), Ok(Question::Records { .. }));
        let begun = {
            let mut cost = self.cost.lock();
            cost.questions += 1;
            cost.bytes += question.len();
            cost.rounds
        };
        let answer = self.inner.ask(question).await?;
        let mut cost = self.cost.lock();
        cost.rounds = cost.rounds.max(begun + 1);
        match is_of_records {
            true => cost.items += answer.len(),
            false => cost.bytes += answer.len(),
        }
        Ok(answer)
    }

    async fn ping(&self) -> Result<(), RemoteError> {
        self.inner.ping().await
    }
}
