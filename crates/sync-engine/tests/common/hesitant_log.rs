//! A log in a file into which one key waits to be let.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sync_engine::env::RealEnv;
use sync_engine::wal::sqlite::SqliteWal;
use sync_engine::wal::{Appending, Wal, WalError, WalPos};
use sync_engine::{HlcTime, Stored};
use tokio::sync::Semaphore;

/// Large appends wait until they are let in, however early they came.
pub struct HesitantLog {
    file: SqliteWal,
    gate: Semaphore,
}

impl HesitantLog {
    /// Bytes from which on an append waits.
    pub const LARGE: usize = 10_000;

    pub fn open(path: &Path) -> Arc<Self> {
        let env = Arc::new(RealEnv::default());
        Arc::new(Self {
            file: SqliteWal::open(path, env).expect("a log"),
            gate: Semaphore::new(0),
        })
    }

    /// Lets one large append in.
    pub fn let_one_in(&self) {
        self.gate.add_permits(1);
    }
}

#[async_trait]
impl Wal for HesitantLog {
    async fn append(&self, records: Box<dyn Appending>) -> Result<WalPos, WalError> {
        if records.bytes() >= Self::LARGE {
            self.gate.acquire().await.expect("open").forget();
        }
        self.file.append(records).await
    }
    fn free_below(&self, pos: WalPos) {
        self.file.free_below(pos);
    }
    async fn read_from(&self, at: WalPos, n: usize) -> Result<Vec<(WalPos, Stored)>, WalError> {
        self.file.read_from(at, n).await
    }
    fn bounds(&self) -> (WalPos, WalPos) {
        self.file.bounds()
    }
    fn clock_bound(&self) -> HlcTime {
        self.file.clock_bound()
    }
    fn is_durable(&self) -> bool {
        true
    }
    async fn close(&self) -> Result<(), WalError> {
        self.file.close().await
    }
}
