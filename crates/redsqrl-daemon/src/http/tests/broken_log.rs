//! A node whose log could not be synced: it reads, takes no writes, and says so.

use std::sync::Arc;

use sync_engine::wal::{Appending, Wal, WalError, WalPos};
use sync_engine::{Stored, SyncEngineConfig};

use super::stand_over;

/// A log whose disk does not sync.
struct BrokenLog;

const CAUSE: &str = "the disk did not sync";

#[async_trait::async_trait]
impl Wal for BrokenLog {
    async fn append(&self, _: Box<dyn Appending>) -> Result<WalPos, WalError> {
        Err(WalError::Poisoned(CAUSE.into()))
    }
    fn free_below(&self, _: WalPos) {}
    async fn read_from(&self, _: WalPos, _: usize) -> Result<Vec<(WalPos, Stored)>, WalError> {
        Ok(Vec::new())
    }
    fn bounds(&self) -> (WalPos, WalPos) {
        (0, 0)
    }
    fn is_durable(&self) -> bool {
        true
    }
    fn failure(&self) -> Option<String> {
        Some(CAUSE.into())
    }
    async fn close(&self) -> Result<(), WalError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_can_log_no_write_is_neither_ready_nor_well() {
    let config = SyncEngineConfig::default();
    let stand = stand_over(config, |engine| engine.with_wal(Arc::new(BrokenLog))).await;
    assert_eq!(stand.put("/v1/items/a", b"1").await.status, 503);
    assert_eq!(stand.get("/v1/items/a").await.status, 404);
    let health = stand.get("/health").await;
    assert_eq!(
        (health.status, health.json()["healthy"].as_bool()),
        (503, Some(false))
    );
    assert_eq!(health.json()["wal"]["failure"], CAUSE);
    let ready = stand.get("/ready").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains(CAUSE), "{}", ready.text());
    stand.engine.shutdown().await;
}
