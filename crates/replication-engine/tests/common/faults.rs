//! A network that loses, repeats and reorders what streams carry, and puts in what nobody sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use replication_engine::peer::{Dialler, Entry, Remote, RemoteError, StreamState};
use replication_engine::{ConfigError, PeerConfig};
use sync_engine::cdc::stream_id::StreamId;

/// Which faults, each once in so many entries; 0: never.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub lose: u64,
    pub repeat: u64,
    pub swap: u64,
    pub spoil: u64,
}

pub struct FaultyDialler {
    pub inner: Arc<dyn Dialler>,
    pub faults: Faults,
    pub seed: u64,
    /// Entries spoiled so far.
    pub spoiled: Arc<AtomicU64>,
}

impl Dialler for FaultyDialler {
    fn remote(&self, peer: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError> {
        Ok(Arc::new(FaultyRemote {
            inner: self.inner.remote(peer)?,
            faults: self.faults,
            rng: Mutex::new(fastrand::Rng::with_seed(self.seed)),
            spoiled: self.spoiled.clone(),
        }))
    }
}

struct FaultyRemote {
    inner: Arc<dyn Remote>,
    faults: Faults,
    rng: Mutex<fastrand::Rng>,
    spoiled: Arc<AtomicU64>,
}

impl FaultyRemote {
    fn happens(&self, once_in: u64) -> bool {
        once_in > 0 && self.rng.lock().u64(..once_in) == 0
    }

    fn spoil(&self, entry: &mut Entry) {
        self.spoiled.fetch_add(1, Ordering::SeqCst);
        let kind = self.rng.lock().usize(..5);
        let mut set = |name: &str, value: Bytes| {
            for (field, old) in &mut entry.fields {
                if field == name.as_bytes() {
                    *old = value.clone();
                }
            }
        };
        match kind {
            0 => set("data", "not what was hashed".into()),
            1 => set("hash", "f00".into()),
            2 => set("meta", "{\"stamp\": 5".into()),
            3 => set("key", vec![0xff; 3000].into()),
            _ => entry.fields.clear(),
        }
    }
}

#[async_trait]
impl Remote for FaultyRemote {
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        let mut entries = Vec::new();
        for mut entry in self.inner.tail(after, count, block).await? {
            if self.happens(self.faults.lose) {
                continue;
            }
            if self.happens(self.faults.repeat) {
                entries.push(entry.clone());
            }
            if self.happens(self.faults.spoil) {
                self.spoil(&mut entry);
            }
            entries.push(entry);
            let last = entries.len() - 1;
            if last > 0 && self.happens(self.faults.swap) {
                entries.swap(last - 1, last);
            }
        }
        Ok(entries)
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        self.inner.stream_state().await
    }

    async fn root(&self) -> Result<Option<String>, RemoteError> {
        self.inner.root().await
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        self.inner.ask(question).await
    }

    async fn ping(&self) -> Result<(), RemoteError> {
        self.inner.ping().await
    }
}
