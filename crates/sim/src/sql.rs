//! An SQL server, or a database file, with faults: slow, down, failing before or after it has done what was asked, and
//! committing for a client that is long dead.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use parking_lot::Mutex;
use sync_engine::item::key::Key;
use sync_engine::item::stamp::{HlcTime, Stamp};
use sync_engine::item::{Leaf, Stored};
use sync_engine::l3::memory::MemoryArchive;
use sync_engine::l3::{ArchiveError, ArchiveStore, KeyRange, MetaKey, Opened, Planner, RowAction};
use sync_engine::merkle::node::NodeRow;
use tokio::sync::oneshot;

use crate::exec::{Group, WORLD, World};

/// What may go wrong.
#[derive(Clone, Debug, Default)]
pub struct SqlFaults {
    /// Nothing is answered.
    pub is_down: bool,
    /// One call in so many fails without effect; 0: none.
    pub fails_once_in: u64,
    /// One call in so many is done and answered with an error; 0: none.
    pub loses_reply_once_in: u64,
    /// The longest that a call takes, in milliseconds.
    pub takes_ms: u64,
}

/// Where the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file that dies with the process, transaction and all.
    File,
    /// On a server that goes on with what was sent when the client dies.
    Server,
}

/// The rows, and what goes wrong with them; outlives the node's lives.
#[derive(Clone)]
pub struct SqlDisk {
    world: World,
    place: Place,
    rows: Arc<Mutex<Rows>>,
    faults: Arc<Mutex<SqlFaults>>,
    rng: Arc<Mutex<fastrand::Rng>>,
}

struct Rows {
    archive: MemoryArchive,
    /// Another one for each file: a copy shows.
    fingerprint: u64,
}

impl SqlDisk {
    /// Empty.
    pub fn new(world: &World, place: Place) -> Self {
        let mut rng = world.rng();
        Self {
            world: world.clone(),
            place,
            rows: Arc::new(Mutex::new(Rows {
                archive: MemoryArchive::new(),
                fingerprint: rng.u64(..),
            })),
            faults: Arc::default(),
            rng: Arc::new(Mutex::new(rng)),
        }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut SqlFaults)) {
        change(&mut self.faults.lock());
    }

    /// Whether nothing goes wrong just now.
    pub fn is_well(&self) -> bool {
        let faults = self.faults.lock();
        let breaks = faults.is_down || faults.fails_once_in > 0 || faults.loses_reply_once_in > 0;
        !breaks && faults.takes_ms <= 1
    }

    /// Nothing is left on it.
    pub fn wipe(&self) {
        self.put_back(MemoryArchive::new());
    }

    /// A copy of everything.
    pub fn copy(&self) -> MemoryArchive {
        self.rows.lock().archive.copy()
    }

    /// Puts a copy in the place of what is there.
    pub fn put_back(&self, copy: MemoryArchive) {
        let fingerprint = self.rng.lock().u64(..);
        *self.rows.lock() = Rows {
            archive: copy,
            fingerprint,
        };
    }

    /// Every row, past all faults.
    pub fn all(&self) -> Vec<Stored> {
        let archive = self.rows.lock().archive.restarted();
        let scanned = async move { archive.scan(&KeyRange::all(), usize::MAX, usize::MAX).await };
        scanned
            .now_or_never()
            .and_then(Result::ok)
            .unwrap_or_default()
    }

    /// Opens it for a life of its node.
    pub fn open(&self, group: Group) -> Arc<SimSql> {
        let rows = self.rows.lock();
        Arc::new(SimSql {
            disk: self.clone(),
            fingerprint: rows.fingerprint,
            archive: Arc::new(rows.archive.restarted()),
            group: match self.place {
                Place::File => group,
                Place::Server => WORLD,
            },
        })
    }

    /// What becomes of one call: the time before it is done and after, and how it fails.
    fn fate(&self) -> Fate {
        let faults = self.faults.lock();
        let mut rng = self.rng.lock();
        let mut happens = |once_in: u64| once_in > 0 && rng.u64(..once_in) == 0;
        let (fails, loses_reply) = (
            happens(faults.fails_once_in),
            happens(faults.loses_reply_once_in),
        );
        let mut leg = || Duration::from_micros(rng.u64(10..=(faults.takes_ms.max(1) * 500)));
        Fate {
            before: leg(),
            after: leg(),
            fails,
            loses_reply,
        }
    }
}

struct Fate {
    before: Duration,
    after: Duration,
    fails: bool,
    loses_reply: bool,
}

#[derive(Debug)]
struct Fault(&'static str);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Fault {}

fn fault(what: &'static str) -> ArchiveError {
    ArchiveError::Unavailable {
        op: "sql",
        source: Box::new(Fault(what)),
    }
}

/// The rows, as one life of a node has them open.
pub struct SimSql {
    disk: SqlDisk,
    archive: Arc<MemoryArchive>,
    fingerprint: u64,
    group: Group,
}

impl SimSql {
    /// Has the call done where the rows are, and waits for the reply.
    async fn call<T: Send + 'static, C>(
        &self,
        call: impl FnOnce(Arc<MemoryArchive>) -> C + Send + 'static,
    ) -> Result<T, ArchiveError>
    where
        C: Future<Output = Result<T, ArchiveError>> + Send,
    {
        let fate = self.disk.fate();
        let (reply, replied) = oneshot::channel();
        let (disk, archive) = (self.disk.clone(), self.archive.clone());
        let work = async move {
            disk.world.sleep(fate.before).await;
            let is_down = || disk.faults.lock().is_down;
            let done = match is_down() || fate.fails {
                true => Err(fault("the server does not answer")),
                false => call(archive).await,
            };
            disk.world.sleep(fate.after).await;
            let told = match is_down() || fate.loses_reply {
                true => Err(fault("the connection was lost")),
                false => done,
            };
            // Whoever asked may be gone.
            reply.send(told).ok();
        };
        self.disk.world.spawn(self.group, "sql", Box::pin(work));
        replied
            .await
            .unwrap_or_else(|_| Err(fault("the server is gone")))
    }
}

#[async_trait]
impl ArchiveStore for SimSql {
    async fn open(&self) -> Result<Opened, ArchiveError> {
        let fingerprint = match self.disk.place {
            Place::File => Some(self.fingerprint.to_string()),
            Place::Server => None,
        };
        let opened = self
            .call(|archive| async move { archive.open().await })
            .await?;
        Ok(Opened {
            fingerprint,
            ..opened
        })
    }

    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        self.call(|archive| async move { archive.commit(records, plan).await })
            .await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError> {
        let keys = keys.to_vec();
        self.call(|archive| async move { archive.get_many(&keys).await })
            .await
    }

    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError> {
        let keys = keys.to_vec();
        self.call(|archive| async move { archive.leaves_of(&keys).await })
            .await
    }

    async fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, ArchiveError> {
        let range = range.clone();
        self.call(move |archive| async move { archive.scan(&range, limit, bytes_max).await })
            .await
    }

    async fn scan_leaves(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        let range = range.clone();
        self.call(move |archive| async move { archive.scan_leaves(&range, limit).await })
            .await
    }

    async fn count_live(&self, range: &KeyRange, now_ms: i64) -> Result<u64, ArchiveError> {
        let range = range.clone();
        self.call(move |archive| async move { archive.count_live(&range, now_ms).await })
            .await
    }

    async fn expired(&self, now_ms: i64, limit: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        self.call(move |archive| async move { archive.expired(now_ms, limit).await })
            .await
    }

    async fn tombstones(
        &self,
        until: HlcTime,
        after: Option<&(Key, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError> {
        let after = after.cloned();
        self.call(
            move |archive| async move { archive.tombstones(until, after.as_ref(), limit).await },
        )
        .await
    }

    async fn load_tree(&self) -> Result<(Vec<NodeRow>, u64), ArchiveError> {
        self.call(|archive| async move { archive.load_tree().await })
            .await
    }

    async fn rebuild_tree(&self) -> Result<(), ArchiveError> {
        self.call(|archive| async move { archive.rebuild_tree().await })
            .await
    }

    async fn tree_seq(&self) -> Result<u64, ArchiveError> {
        self.call(|archive| async move { archive.tree_seq().await })
            .await
    }

    async fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError> {
        self.call(move |archive| async move { archive.meta(key).await })
            .await
    }

    async fn set_meta(&self, key: MetaKey, value: Vec<u8>) -> Result<(), ArchiveError> {
        self.call(move |archive| async move { archive.set_meta(key, value).await })
            .await
    }

    async fn raise_clock_bound(&self, bound: HlcTime) -> Result<(), ArchiveError> {
        self.call(move |archive| async move { archive.raise_clock_bound(bound).await })
            .await
    }

    async fn ping(&self) -> Result<(), ArchiveError> {
        self.call(|archive| async move { archive.ping().await })
            .await
    }

    fn is_configured(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        self.disk.place == Place::File
    }

    async fn close(&self) -> Result<(), ArchiveError> {
        self.archive.close().await
    }
}
