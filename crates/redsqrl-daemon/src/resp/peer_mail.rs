//! The replication engine's [`Mailbox`] on the streams of this port.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use replication_engine::mailbox::parts::{part_fields, question};
use replication_engine::mailbox::{Mailbox, Post};
use replication_engine::peer::RemoteError;

use super::mailbox::StreamMailbox;
use super::streams::StreamId;

#[async_trait]
impl Mailbox for StreamMailbox {
    async fn end(&self) -> Result<StreamId, RemoteError> {
        Ok(StreamMailbox::end(self))
    }

    async fn next(&self, after: StreamId, wait: Duration) -> Result<Post, RemoteError> {
        let entries = self.next_questions(after, wait).await;
        let mut post = Post {
            next: entries.last().map(|entry| entry.id),
            ..Post::default()
        };
        for entry in entries {
            match question(entry.id, &entry.fields) {
                Some(question) => post.questions.push(question),
                None => post.malformed += 1,
            }
            // Nobody but this mailbox reads it.
            self.done(entry.id);
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
            let added = StreamMailbox::answer(self, to, part_fields(id, by, part, n, data));
            added.map_err(|error| RemoteError::Unavailable {
                op: "answer",
                source: Box::new(error),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use replication_engine::mailbox::parts::question_fields;
    use sync_engine::cdc::keys::SpecialKeys;
    use sync_engine::env::RealEnv;

    use super::*;
    use crate::resp::StreamLimits;
    use crate::resp::stream_wait::SharedStreams;
    use crate::resp::streams::{AddId, Append, IfMissing, Span, StreamStore};

    #[tokio::test]
    async fn questions_come_in_and_parts_go_out() {
        let streams = SharedStreams::new(StreamStore::new(StreamLimits::default()));
        let streams = Arc::new(streams);
        let env = Arc::new(RealEnv::default());
        let mail = StreamMailbox::new(streams.clone(), SpecialKeys::new(None), env.clone());
        let mail: &dyn Mailbox = &mail;
        assert_eq!(mail.end().await.unwrap(), StreamId::MIN);
        let ask = |fields| Append {
            key: "__local__:sync:req".into(),
            missing: IfMissing::Create,
            trim: None,
            id: AddId::Auto,
            fields,
        };
        let now = u64::try_from(sync_engine::env::Env::now_ms(&*env)).unwrap();
        let good = question_fields(7, "uk.b", Bytes::from_static(b"root?"));
        streams.add(&ask(good), now).unwrap();
        streams
            .add(&ask(vec![("x".into(), "y".into())]), now)
            .unwrap();
        let wait = Duration::from_millis(1);
        let post = mail.next(StreamId::MIN, wait).await.unwrap();
        assert_eq!((post.questions.len(), post.malformed), (1, 1));
        assert_eq!(
            (post.questions[0].id, &*post.questions[0].from),
            (7, "uk.b")
        );
        assert_eq!(post.next, Some(mail.end().await.unwrap()));
        let again = mail.next(StreamId::MIN, wait).await.unwrap();
        assert!(again.questions.is_empty() && again.next.is_none());
        let parts = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        mail.answer("uk.b", 7, 1, parts).await.unwrap();
        let answers = streams.with(|store| {
            let source = store.source(b"__local__:sync:resp:uk.b").unwrap();
            source.range(Span::ALL, usize::MAX).collect::<Vec<_>>()
        });
        assert_eq!(answers.len(), 2);
        let value = |n: usize, name: &[u8]| {
            let mut fields = answers[n].fields.iter();
            fields
                .find(|(field, _)| field == name)
                .map(|(_, value)| value.clone())
        };
        assert_eq!(value(1, b"data"), Some(Bytes::from_static(b"b")));
        assert_eq!(value(1, b"n"), Some(Bytes::from_static(b"2")));
    }
}
