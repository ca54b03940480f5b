//! An honest peer; the test hears what it is asked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use replication_engine::peer::{Dialler, Entry, Remote, RemoteError, StreamState};
use replication_engine::repair::question::{Question, decode_question};
use replication_engine::{ConfigError, PeerConfig};
use sync_engine::cdc::stream_id::StreamId;

type Heard = Arc<dyn Fn(&Question) + Send + Sync>;
type Tailed = Arc<dyn Fn(StreamId) + Send + Sync>;

pub struct WatchedDialler {
    inner: Arc<dyn Dialler>,
    heard: Heard,
    tailed: Tailed,
}

/// Tells from where on the change stream is read.
pub fn watched_tail(
    inner: Arc<dyn Dialler>,
    tailed: impl Fn(StreamId) + Send + Sync + 'static,
) -> Arc<dyn Dialler> {
    Arc::new(WatchedDialler {
        inner,
        heard: Arc::new(|_| {}),
        tailed: Arc::new(tailed),
    })
}

/// Tells each question before it is asked.
pub fn watched(
    inner: Arc<dyn Dialler>,
    heard: impl Fn(&Question) + Send + Sync + 'static,
) -> Arc<dyn Dialler> {
    Arc::new(WatchedDialler {
        inner,
        heard: Arc::new(heard),
        tailed: Arc::new(|_| {}),
    })
}

impl Dialler for WatchedDialler {
    fn remote(&self, peer: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError> {
        Ok(Arc::new(Watched {
            inner: self.inner.remote(peer)?,
            heard: self.heard.clone(),
            tailed: self.tailed.clone(),
        }))
    }
}

struct Watched {
    inner: Arc<dyn Remote>,
    heard: Heard,
    tailed: Tailed,
}

#[async_trait]
impl Remote for Watched {
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        (self.tailed)(after);
        self.inner.tail(after, count, block).await
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        self.inner.stream_state().await
    }

    async fn root(&self) -> Result<Option<String>, RemoteError> {
        self.inner.root().await
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        (self.heard)(&decode_question(&question).unwrap());
        self.inner.ask(question).await
    }

    async fn ping(&self) -> Result<(), RemoteError> {
        self.inner.ping().await
    }
}
