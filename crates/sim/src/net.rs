//! The network between nodes: slow, cut off one way or both, losing what was answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use replication_engine::peer::{Dialler, Entry, Remote, RemoteError, StreamState};
use replication_engine::{ConfigError, PeerConfig};
use sync_engine::cdc::stream_id::StreamId;

use crate::exec::World;
use crate::post::SimPeer;
use crate::redis::SimRedis;

/// How long a caller waits on a line that is cut.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a cut line is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The state of one direction of a line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Nothing gets through.
    pub is_cut: bool,
    /// The longest that something is on its way, in milliseconds.
    pub takes_ms: u64,
    /// One message in so many is lost; 0: none.
    pub loses_once_in: u64,
    /// One question in so many arrives twice; 0: none.
    pub repeats_once_in: u64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            is_cut: false,
            takes_ms: 5,
            loses_once_in: 0,
            repeats_once_in: 0,
        }
    }
}

/// All lines, by (from, to).
#[derive(Clone)]
pub struct Net {
    world: World,
    lines: Arc<Mutex<BTreeMap<(String, String), Line>>>,
    /// The nodes that are reached through their Redis.
    redis: Arc<Mutex<BTreeMap<String, SimRedis>>>,
    rng: Arc<Mutex<fastrand::Rng>>,
}

impl Net {
    /// Every line whole.
    pub fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            lines: Arc::default(),
            redis: Arc::default(),
            rng: Arc::new(Mutex::new(world.rng())),
        }
    }

    /// From now on this node is reached through this Redis.
    pub fn reach_through(&self, node: &str, redis: &SimRedis) {
        self.redis.lock().insert(node.to_owned(), redis.clone());
    }

    /// Changes the line from one node to another.
    pub fn line(&self, from: &str, to: &str, change: impl FnOnce(&mut Line)) {
        let mut lines = self.lines.lock();
        change(lines.entry((from.to_owned(), to.to_owned())).or_default());
    }

    /// Makes every line whole.
    pub fn heal(&self) {
        self.lines.lock().clear();
    }

    fn state(&self, from: &str, to: &str) -> Line {
        let lines = self.lines.lock();
        lines
            .get(&(from.to_owned(), to.to_owned()))
            .copied()
            .unwrap_or_default()
    }

    /// One message on its way.
    async fn travel(&self, op: &'static str, from: &str, to: &str) -> Result<(), RemoteError> {
        let line = self.state(from, to);
        let (takes, is_lost) = {
            let mut rng = self.rng.lock();
            let takes = rng.u64(10..=line.takes_ms.max(1) * 1000);
            let is_lost = line.loses_once_in > 0 && rng.u64(..line.loses_once_in) == 0;
            (Duration::from_micros(takes), is_lost)
        };
        self.world.sleep(takes).await;
        let mut waited = Duration::ZERO;
        while self.state(from, to).is_cut {
            if waited >= PATIENCE {
                return Err(broken(op));
            }
            self.world.sleep(LOOK).await;
            waited += LOOK;
        }
        match is_lost {
            true => Err(broken(op)),
            false => Ok(()),
        }
    }

    /// Whether a question arrives twice, and then whether the answer to the first one comes last.
    fn repeats(&self, from: &str, to: &str) -> Option<bool> {
        let once_in = self.state(from, to).repeats_once_in;
        let mut rng = self.rng.lock();
        (once_in > 0 && rng.u64(..once_in) == 0).then(|| rng.bool())
    }

    /// The dialler of this node, over lines that end at the doors which `inner` finds.
    pub fn dialler(&self, from: &str, inner: Arc<dyn Dialler>) -> Arc<dyn Dialler> {
        Arc::new(SimDialler {
            net: self.clone(),
            from: from.to_owned(),
            inner,
        })
    }
}

fn broken(op: &'static str) -> RemoteError {
    RemoteError::Unavailable {
        op,
        source: "the line is broken".into(),
    }
}

struct SimDialler {
    net: Net,
    from: String,
    inner: Arc<dyn Dialler>,
}

impl Dialler for SimDialler {
    fn remote(&self, peer: &PeerConfig) -> Result<Arc<dyn Remote>, ConfigError> {
        let redis = self.net.redis.lock().get(&peer.node_id).cloned();
        let inner: Arc<dyn Remote> = match redis {
            Some(redis) => Arc::new(SimPeer::new(&self.net.world, &redis, &self.from)),
            None => self.inner.remote(peer)?,
        };
        Ok(Arc::new(SimRemote {
            net: self.net.clone(),
            from: self.from.clone(),
            to: peer.node_id.clone(),
            inner,
        }))
    }
}

struct SimRemote {
    net: Net,
    from: String,
    to: String,
    inner: Arc<dyn Remote>,
}

impl SimRemote {
    async fn call<T>(
        &self,
        op: &'static str,
        call: impl Future<Output = Result<T, RemoteError>>,
    ) -> Result<T, RemoteError> {
        self.net.travel(op, &self.from, &self.to).await?;
        let answer = call.await?;
        self.net.travel(op, &self.to, &self.from).await?;
        Ok(answer)
    }
}

#[async_trait]
impl Remote for SimRemote {
    async fn tail(
        &self,
        after: StreamId,
        count: usize,
        block: Duration,
    ) -> Result<Vec<Entry>, RemoteError> {
        self.call("tail", self.inner.tail(after, count, block))
            .await
    }

    async fn stream_state(&self) -> Result<StreamState, RemoteError> {
        self.call("state", self.inner.stream_state()).await
    }

    async fn root(&self) -> Result<Option<String>, RemoteError> {
        self.call("root", self.inner.root()).await
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes, RemoteError> {
        let asked = async {
            let first = self.inner.ask(question.clone()).await;
            match self.net.repeats(&self.from, &self.to) {
                None => first,
                Some(is_late) => {
                    let second = self.inner.ask(question.clone()).await;
                    if is_late { first } else { second }
                }
            }
        };
        self.call("ask", asked).await
    }

    async fn ping(&self) -> Result<(), RemoteError> {
        self.call("ping", self.inner.ping()).await
    }
}
