//! Streams shared by connections, and the wait for news.

use std::future::Future;
use std::pin::pin;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::streams::{Append, Read, ReadResult, StreamError, StreamId, StreamStore};

/// A [`StreamStore`] behind a lock, whose readers can wait for entries. The lock is never held
/// across an `await`.
#[derive(Debug)]
pub struct SharedStreams {
    store: Mutex<StreamStore>,
    news: watch::Sender<()>,
}

impl SharedStreams {
    /// Shares a store.
    #[must_use]
    pub fn new(store: StreamStore) -> Self {
        SharedStreams {
            store: Mutex::new(store),
            news: watch::Sender::new(()),
        }
    }

    /// Runs `work` on the store. To add entries use [`SharedStreams::add`], which wakes readers.
    pub fn with<T>(&self, work: impl FnOnce(&mut StreamStore) -> T) -> T {
        work(&mut self.store.lock())
    }

    /// XADD, waking the readers that wait. `now_ms`: milliseconds since 1970.
    ///
    /// # Errors
    /// As [`StreamStore::add`].
    pub fn add(&self, append: &Append, now_ms: u64) -> Result<Option<StreamId>, StreamError> {
        let added = self.store.lock().add(append, now_ms)?;
        if added.is_some() {
            self.wake();
        }
        Ok(added)
    }

    /// Has every waiting reader look again. A stream served from elsewhere calls it when it has
    /// grown.
    pub fn wake(&self) {
        self.news.send_replace(());
    }

    /// XREAD without waiting, within so many bytes: see [`StreamStore::read`].
    pub fn read(&self, read: &Read, bytes_max: usize) -> ReadResult {
        self.store.lock().read(read, bytes_max)
    }

    /// Turns every `$` into the id it stands for now.
    pub fn resolve(&self, read: Read) -> Read {
        self.store.lock().resolve(read)
    }

    /// Waits until a resolved read would find something; `false`: `deadline` was over before.
    /// Dropping the future is safe: it has changed nothing.
    pub async fn wait(&self, read: &Read, deadline: impl Future<Output = ()>) -> bool {
        let mut deadline = pin!(deadline);
        // Subscribed before the first look: what is added after that look is news.
        let mut news = self.news.subscribe();
        loop {
            if self.store.lock().has_news(read) {
                return true;
            }
            tokio::select! {
                () = &mut deadline => return false,
                changed = news.changed() => if changed.is_err() {
                    return false; // cannot happen while `self` lives: it owns the sender
                },
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests live in real time")]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::resp::StreamLimits;
    use crate::resp::streams::{AddId, IfMissing, ReadFrom};

    fn append() -> Append {
        Append {
            key: Bytes::from_static(b"s"),
            missing: IfMissing::Create,
            trim: None,
            id: AddId::Auto,
            fields: vec![(Bytes::from_static(b"f"), Bytes::from_static(b"v"))],
        }
    }

    fn read_now() -> Read {
        Read {
            count: None,
            streams: vec![(Bytes::from_static(b"s"), ReadFrom::Now)],
        }
    }

    #[tokio::test]
    async fn a_reader_wakes_for_what_comes_after_it() {
        let shared = Arc::new(SharedStreams::new(
            StreamStore::new(StreamLimits::default()),
        ));
        shared.add(&append(), 1).unwrap();
        let read = shared.resolve(read_now());
        let reader = tokio::spawn({
            let (shared, read) = (Arc::clone(&shared), read.clone());
            async move { shared.wait(&read, pending()).await }
        });
        while shared.news.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        shared.wake();
        tokio::task::yield_now().await;
        shared.add(&append(), 2).unwrap();
        assert!(reader.await.unwrap());
        let found = shared.read(&read, usize::MAX).pop().unwrap();
        let ids: Vec<StreamId> = found.1.map(|entry| entry.id).collect();
        assert_eq!(ids, [StreamId::new(2, 0)]);
    }

    #[tokio::test]
    async fn the_deadline_ends_the_wait() {
        let shared = SharedStreams::new(StreamStore::new(StreamLimits::default()));
        let read = shared.resolve(read_now());
        assert!(!shared.wait(&read, ready(())).await);
    }
}
