//! Where peers' questions come in and answers go out.
//!
//! A question is an entry of the stream `sync:req` on the answering node's side: `id`, `from`, `q`. Its answer is one or
//! more entries of the stream `sync:resp:<from>` there: `id`, `by` (a random number, new for each answer, so that the answers
//! of two engines behind one stream are not mixed), `part`, `n`, `data`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sync_engine::cdc::stream_id::StreamId;

pub mod askers;

pub mod parts;

pub mod redis;

pub use self::redis::RedisMailbox;
use crate::peer::RemoteError;

/// A peer's question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Its place in the stream of questions.
    pub at: StreamId,
    /// The asker's number for it, to be repeated in the answer.
    pub id: u64,
    /// The asker's node id.
    pub from: String,
    /// What is asked.
    pub bytes: Bytes,
}

/// What came out of one look into the mailbox.
#[derive(Clone, Debug, Default)]
pub struct Post {
    /// Well-formed questions, oldest first.
    pub questions: Vec<Question>,
    /// Entries that are none.
    pub malformed: usize,
    /// Where to go on; `None`: nothing came.
    pub next: Option<StreamId>,
}

/// The answering node's own side.
#[async_trait]
pub trait Mailbox: Send + Sync {
    /// The place of the last question there is; [`StreamId::MIN`]: there is none.
    async fn end(&self) -> Result<StreamId, RemoteError>;

    /// What was asked after `after`; waits up to `wait` for the first question.
    async fn next(&self, after: StreamId, wait: Duration) -> Result<Post, RemoteError>;

    /// Sends the parts of an answer, in order. What the asker does not fetch goes by itself some time after
    /// [`crate::limits::ANSWERS_KEPT`].
    async fn answer(
        &self,
        to: &str,
        id: u64,
        by: u64,
        parts: Vec<Bytes>,
    ) -> Result<(), RemoteError>;
}

/// The mailbox of a node that nobody asks: peers can follow its stream, and not compare with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AbsentMailbox;

#[async_trait]
impl Mailbox for AbsentMailbox {
    async fn end(&self) -> Result<StreamId, RemoteError> {
        Ok(StreamId::MIN)
    }

    async fn next(&self, _after: StreamId, _wait: Duration) -> Result<Post, RemoteError> {
        std::future::pending().await
    }

    async fn answer(&self, _: &str, _: u64, _: u64, _: Vec<Bytes>) -> Result<(), RemoteError> {
        Ok(())
    }
}
