//! A change stream that is dead, or dawdles, until it is told otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use sync_engine::Stored;
use sync_engine::cdc::{ChangeLog, PublishError};
use tokio::sync::watch;

/// What the stream does with a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes it.
    Up,
    /// Refuses it at once.
    Dead,
    /// Lets it wait until the mood changes.
    Stuck,
}

/// Counts what it takes, and keeps nothing.
pub struct MoodyStream {
    mood: watch::Sender<Mood>,
    /// Publications begun, changes published, epochs begun.
    pub begun: AtomicUsize,
    pub published: AtomicUsize,
    pub epochs: AtomicUsize,
}

impl MoodyStream {
    pub fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            mood: watch::Sender::new(mood),
            begun: AtomicUsize::new(0),
            published: AtomicUsize::new(0),
            epochs: AtomicUsize::new(0),
        })
    }

    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

#[async_trait]
impl ChangeLog for MoodyStream {
    async fn publish(&self, changes: &[Stored]) -> Result<(), PublishError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut mood = self.mood.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Stuck).await.unwrap();
        if mood == Mood::Dead {
            return Err(PublishError("no stream".into()));
        }
        self.published.fetch_add(changes.len(), Ordering::SeqCst);
        Ok(())
    }
    async fn new_epoch(&self) {
        self.epochs.fetch_add(1, Ordering::SeqCst);
    }
    async fn publish_root(&self, _: &str) -> Result<(), PublishError> {
        Ok(())
    }
    fn is_enabled(&self) -> bool {
        true
    }
}
