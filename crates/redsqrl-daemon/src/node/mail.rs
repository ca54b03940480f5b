//! The questions of peers to a node without a Redis: they come in on its own Redis-protocol port.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use replication_engine::mailbox::parts::{part_fields, question};
use replication_engine::mailbox::{Mailbox, Post};
use replication_engine::peer::RemoteError;
use sync_engine::cdc::keys::SpecialKeys;
use sync_engine::cdc::stream_id::StreamId;
use sync_engine::env::SharedEnv;

use crate::resp::mailbox::StreamMailbox;
use crate::resp::stream_wait::SharedStreams;
use crate::resp::streams::StreamId as PortId;

/// A mailbox in the streams that the port serves.
pub(super) struct PortMailbox {
    streams: Arc<SharedStreams>,
    keys: SpecialKeys,
    mail: StreamMailbox,
}

impl PortMailbox {
    pub(super) fn new(streams: Arc<SharedStreams>, keys: SpecialKeys, env: SharedEnv) -> Self {
        let mail = StreamMailbox::new(streams.clone(), keys.clone(), env);
        Self {
            streams,
            keys,
            mail,
        }
    }
}

fn from_port(id: PortId) -> StreamId {
    StreamId {
        ms: id.ms,
        seq: id.seq,
    }
}

#[async_trait]
impl Mailbox for PortMailbox {
    async fn end(&self) -> Result<StreamId, RemoteError> {
        let key = self.keys.sync_requests();
        let last = self
            .streams
            .with(|store| store.source(key.as_bytes()).map(|stream| stream.last_id()));
        Ok(last.map_or(StreamId::MIN, from_port))
    }

    async fn next(&self, after: StreamId, wait: Duration) -> Result<Post, RemoteError> {
        let after = PortId::new(after.ms, after.seq);
        let mut post = Post::default();
        for entry in self.mail.next_questions(after, wait).await {
            let at = from_port(entry.id);
            post.next = Some(at);
            match question(at, &entry.fields) {
                Some(question) => post.questions.push(question),
                None => post.malformed += 1,
            }
            // Nobody else reads it; an asker who gets no answer asks again.
            self.mail.done(entry.id);
        }
        Ok(post)
    }

    async fn answer(
        &self,
        to: &str,
        id: u64,
        by: u64,
        parts: Vec<Bytes>,
    ) -> Result<(), RemoteError> {
        let n = parts.len();
        for (part, data) in parts.into_iter().enumerate() {
            let added = self.mail.answer(to, part_fields(id, by, part, n, data));
            added.map_err(|source| RemoteError::Unavailable {
                op: "answer",
                source: source.into(),
            })?;
        }
        Ok(())
    }
}
