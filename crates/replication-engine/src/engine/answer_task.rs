//! Answers the questions of peers: a few at once, the others wait or are told that this node is busy.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sync_engine::cdc::stream_id::StreamId;
use tokio::sync::Semaphore;

use super::node::Node;
use super::roster::Roster;
use super::stop::Stop;
use super::tasks::Tasks;
use crate::limits::{ANSWERS_AT_ONCE, ASK_PATIENCE, QUESTIONS_WAITING_MAX};
use crate::mailbox::askers::Askers;
use crate::mailbox::parts::cut;
use crate::mailbox::{Post, Question};
use crate::peer::RemoteError;
use crate::repair::answer::{answer, busy};

/// How long one look into the mailbox waits.
const WAIT: Duration = Duration::from_secs(5);
/// Pause after the mailbox failed.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct AnswerTask {
    pub(super) node: Arc<Node>,
    pub(super) roster: Arc<Roster>,
    pub(super) stop: Stop,
    pub(super) tasks: Tasks,
}

impl AnswerTask {
    /// Until the engine stops.
    pub(super) async fn run(self) {
        let waiting = Arc::new(Semaphore::new(QUESTIONS_WAITING_MAX));
        let working = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
        let mut askers = Askers::default();
        let Some(mut after) = self.beginning().await else {
            return;
        };
        while !self.stop.is_given() {
            match self.look(after).await {
                None => return,
                Some(Ok(post)) => {
                    after = post.next.unwrap_or(after);
                    let malformed = post.malformed as u64;
                    self.node.metrics.questions_refused.increment(malformed);
                    for question in post.questions {
                        if self.may_ask(&question.from, &mut askers) {
                            self.take(question, &waiting, &working).await;
                        } else {
                            self.node.metrics.questions_refused.increment(1);
                        }
                    }
                }
                Some(Err(error)) => {
                    self.pause_after(&error).await;
                    after = self.after_failure(after).await;
                }
            }
        }
    }

    /// Whether this node is answered. Peers of ours always are.
    fn may_ask(&self, from: &str, others: &mut Askers) -> bool {
        self.roster.has(from) || others.admit(from, self.node.env.monotonic())
    }

    /// Where to begin: what was asked so long before the last question has been given up on by its askers. The server's
    /// clock alone counts here; ours may be another. `None`: the engine stops.
    async fn beginning(&self) -> Option<StreamId> {
        loop {
            match self.stop.unless(self.node.mailbox.end()).await? {
                Ok(end) => {
                    let patience = u64::try_from(ASK_PATIENCE.as_millis()).unwrap_or(u64::MAX);
                    let ms = end.ms.saturating_sub(patience);
                    return Some(StreamId { ms, seq: 0 });
                }
                Err(error) => self.pause_after(&error).await,
            }
        }
    }

    async fn pause_after(&self, error: &RemoteError) {
        tracing::debug!(%error, "the questions of peers cannot be read");
        self.stop.unless(self.node.env.sleep(PAUSE)).await;
    }

    async fn look(&self, after: StreamId) -> Option<Result<Post, RemoteError>> {
        self.stop.unless(self.node.mailbox.next(after, WAIT)).await
    }

    /// A server that forgot its streams may count from lower on.
    async fn after_failure(&self, after: StreamId) -> StreamId {
        match self.stop.unless(self.node.mailbox.end()).await {
            Some(Ok(end)) if end < after => StreamId::MIN,
            _ => after,
        }
    }

    async fn take(&self, question: Question, waiting: &Arc<Semaphore>, working: &Arc<Semaphore>) {
        let node = self.node.clone();
        node.metrics.questions.increment(1);
        let Ok(place) = waiting.clone().try_acquire_owned() else {
            node.metrics.questions_refused.increment(1);
            return send(&node, &question, busy()).await;
        };
        let (working, stop) = (working.clone(), self.stop.clone());
        let work = async move {
            let answered = async {
                // Never closed, so the permit always comes.
                let _permit = working.acquire().await;
                let answered = answer(&*node.store, &question.bytes).await;
                if answered.refused.is_some() {
                    node.metrics.questions_refused.increment(1);
                }
                send(&node, &question, answered.bytes).await;
            };
            // Reads only: it may be dropped anywhere.
            stop.unless(answered).await;
            drop(place);
        };
        self.tasks.spawn("replication-answer", work);
    }
}

async fn send(node: &Node, question: &Question, bytes: Bytes) {
    let by = node.env.random();
    let sent = node
        .mailbox
        .answer(&question.from, question.id, by, cut(bytes))
        .await;
    if let Err(error) = sent {
        tracing::debug!(%error, to = %question.from, "an answer could not be sent");
    }
}
