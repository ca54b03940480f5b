//! The questions of peers on a node without a Redis, and the answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::env::SharedEnv;

use super::stream_wait::SharedStreams;
use super::streams::{
    AddId, Append, Entry, IfMissing, Keep, Read, ReadFrom, StreamError, StreamId, Trim,
};

/// Most questions handed out at once.
const QUESTIONS_MAX: usize = 64;

/// Questions handed out at once have about so many bytes at most.
const QUESTIONS_BYTES_MAX: usize = 8 << 20;

/// Most entries of answers that wait for one peer; the oldest go.
const ANSWERS_MAX: u64 = 2048;

/// Nobody waits for an answer for so long: older questions and answers are thrown away.
pub(super) const MAIL_AGE_MAX: Duration = Duration::from_secs(300);

/// The node's end of the mail streams: peers write to the other end through the port.
pub struct StreamMailbox {
    streams: Arc<SharedStreams>,
    keys: SpecialKeys,
    env: SharedEnv,
}

impl StreamMailbox {
    /// A mailbox in these streams, the ones the server serves.
    #[must_use]
    pub fn new(streams: Arc<SharedStreams>, keys: SpecialKeys, env: SharedEnv) -> Self {
        StreamMailbox { streams, keys, env }
    }

    /// The place after everything that was asked so far.
    #[must_use]
    pub fn end(&self) -> StreamId {
        let key = self.keys.sync_requests();
        self.streams.with(|store| {
            let requests = store.source(key.as_bytes());
            requests.map_or(StreamId::MIN, |requests| requests.last_id())
        })
    }

    /// The questions after `after`, oldest first: at once if there are any, else the first that
    /// comes within `patience`; none if none comes. Throws old mail away.
    pub async fn next_questions(&self, after: StreamId, patience: Duration) -> Vec<Entry> {
        self.sweep();
        let read = Read {
            count: Some(QUESTIONS_MAX),
            streams: vec![(self.keys.sync_requests().into(), ReadFrom::After(after))],
        };
        if !self.streams.wait(&read, self.env.sleep(patience)).await {
            return Vec::new();
        }
        let mut found = self.streams.read(&read, QUESTIONS_BYTES_MAX);
        found
            .pop()
            .map(|(_, run)| run.collect())
            .unwrap_or_default()
    }

    /// Takes a question away that has been dealt with.
    pub fn done(&self, question: StreamId) {
        let key = self.keys.sync_requests();
        let gone = self
            .streams
            .with(|store| store.delete_entries(key.as_bytes(), &[question]));
        // Only a stream served from elsewhere refuses, and then nothing was asked here.
        gone.ok();
    }

    /// Answers the peer `node`: adds an entry to its stream. What a peer has not read gives way
    /// to what is new: it will ask again.
    ///
    /// # Errors
    /// The streams are full, even after old mail was thrown away.
    pub fn answer(
        &self,
        node: &str,
        fields: Vec<(Bytes, Bytes)>,
    ) -> Result<Option<StreamId>, StreamError> {
        let append = Append {
            key: self.keys.sync_responses(node).into(),
            missing: IfMissing::Create,
            trim: Some(keep_newest(ANSWERS_MAX)),
            id: AddId::Auto,
            fields,
        };
        match self.streams.add(&append, self.now_ms()) {
            Err(StreamError::StreamFull { .. } | StreamError::TooManyEntries { .. }) => {
                self.halve(&append.key)?;
            }
            Err(StreamError::StoreFull { .. } | StreamError::TooManyStreams { .. }) => {
                self.sweep();
            }
            done => return done,
        }
        self.streams.add(&append, self.now_ms())
    }

    /// Throws the older half of a stream away.
    fn halve(&self, key: &[u8]) -> Result<(), StreamError> {
        self.streams.with(|store| {
            let len = store.source(key).map_or(0, |stream| stream.len());
            store.trim(key, keep_newest(len as u64 / 2)).map(|_| ())
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.env.now_ms()).unwrap_or(0)
    }

    /// Throws away mail nobody waits for any more, and the streams of answers left empty.
    fn sweep(&self) {
        let age_ms = u64::try_from(MAIL_AGE_MAX.as_millis()).unwrap_or(u64::MAX);
        let oldest = StreamId::new(self.now_ms().saturating_sub(age_ms), 0);
        let old = Trim {
            keep: Keep::MinId(oldest),
            limit: None,
        };
        let requests = self.keys.sync_requests();
        let responses = self.keys.sync_responses("");
        self.streams.with(|store| {
            let keys: Vec<Bytes> = store.keys().cloned().collect();
            for key in keys {
                let is_answers = key.starts_with(responses.as_bytes());
                if !is_answers && key != requests.as_bytes() {
                    continue;
                }
                let trimmed = store.trim(&key, old);
                let is_empty = store.source(&key).is_some_and(|stream| stream.is_empty());
                let is_quiet = store
                    .source(&key)
                    .is_some_and(|stream| stream.last_id() < oldest);
                if trimmed.is_ok() && is_answers && is_empty && is_quiet {
                    // Cannot be refused: the trim was not.
                    store.remove(&key).ok();
                }
            }
        });
    }
}

fn keep_newest(entries: u64) -> Trim {
    Trim {
        keep: Keep::MaxLen(entries),
        limit: None,
    }
}

#[cfg(test)]
mod tests {
    use sync_engine::env::{Env as _, RealEnv};

    use super::*;
    use crate::resp::StreamLimits;
    use crate::resp::streams::{Span, StreamStore};

    fn mailbox() -> (StreamMailbox, Arc<SharedStreams>) {
        mailbox_within(StreamLimits::default())
    }

    fn mailbox_within(limits: StreamLimits) -> (StreamMailbox, Arc<SharedStreams>) {
        let store = StreamStore::new(limits);
        let streams = Arc::new(SharedStreams::new(store));
        let keys = SpecialKeys::new(None);
        let env = Arc::new(RealEnv::default());
        (StreamMailbox::new(streams.clone(), keys, env), streams)
    }

    fn append(key: &str, id: AddId) -> Append {
        Append {
            key: key.to_owned().into(),
            missing: IfMissing::Create,
            trim: None,
            id,
            fields: vec![("q".into(), "root".into())],
        }
    }

    #[tokio::test]
    async fn a_question_wakes_the_mailbox_and_is_answered_once() {
        let (mailbox, streams) = mailbox();
        let asked = async {
            tokio::task::yield_now().await;
            let now = RealEnv::default().now_ms() as u64;
            streams.add(&append("__local__:sync:req", AddId::Auto), now)
        };
        let patience = Duration::from_secs(5);
        let (questions, _) = tokio::join!(mailbox.next_questions(StreamId::MIN, patience), asked);
        assert_eq!(questions.len(), 1);
        assert_eq!(mailbox.end(), questions[0].id);
        mailbox.done(questions[0].id);
        let none = mailbox.next_questions(StreamId::MIN, Duration::from_millis(1));
        assert!(none.await.is_empty());
        let id = mailbox.answer("uk.b", vec![("a".into(), "1".into())]);
        let id = id.unwrap().unwrap();
        let answers = streams.with(|store| {
            let source = store.source(b"__local__:sync:resp:uk.b").unwrap();
            source.range(Span::ALL, usize::MAX).collect::<Vec<_>>()
        });
        assert_eq!(answers[0].id, id);
    }

    #[tokio::test]
    async fn i8_old_mail_goes() {
        let (mailbox, streams) = mailbox();
        let old = AddId::Exact(StreamId::new(1, 1));
        for key in ["__local__:sync:req", "__local__:sync:resp:uk.gone"] {
            streams.add(&append(key, old), 1).unwrap();
        }
        let found = mailbox.next_questions(StreamId::MIN, Duration::from_millis(1));
        assert!(found.await.is_empty());
        let keys = streams.with(|store| store.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys, ["__local__:sync:req"]);
    }

    #[tokio::test]
    async fn i8_a_peer_that_does_not_read_fills_no_memory() {
        let limits = StreamLimits {
            stream_bytes_max: 64 * 1024,
            ..StreamLimits::default()
        };
        let (mailbox, streams) = mailbox_within(limits);
        for _ in 0..1000 {
            let part = Bytes::from(vec![7; 4096]);
            mailbox
                .answer("uk.slow", vec![("data".into(), part)])
                .unwrap();
        }
        assert!(streams.with(|store| store.bytes()) <= 80 * 1024);
    }
}
