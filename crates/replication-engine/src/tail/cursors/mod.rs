//! Where cursors are kept.

mod memory;

mod sqlite;

use async_trait::async_trait;

pub use memory::MemoryCursors;
pub use sqlite::SqliteCursors;

use super::Cursor;

/// A cursor could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The file could not be used.
    #[error("{op} {path}: {source}")]
    File {
        /// What was being done.
        op: &'static str,
        /// Which file.
        path: String,
        /// Why it failed.
        source: sync_engine::error::Source,
    },
    /// The thread that has the file is gone.
    #[error("the file of cursors is closed")]
    Closed,
}

/// Keeps, for each peer, how far its stream was followed and how far a fill from it has come.
///
/// Contract: what a save confirmed is there after the process dies; after a loss of power a cursor may be older than what
/// was saved, never newer. An older cursor is harmless: replays change nothing.
#[async_trait]
pub trait CursorStore: Send + Sync {
    /// The cursor of a peer's stream; `None`: never followed.
    async fn cursor(&self, peer: &str) -> Result<Option<Cursor>, CursorError>;

    /// Keeps a cursor.
    async fn save_cursor(&self, peer: &str, cursor: &Cursor) -> Result<(), CursorError>;

    /// The last key that an unfinished fill from this peer has applied; empty: it was begun and has applied nothing yet;
    /// `None`: no fill is under way.
    async fn fill(&self, peer: &str) -> Result<Option<Vec<u8>>, CursorError>;

    /// Keeps how far a fill has come; empty: begun; `None`: it is done.
    async fn save_fill(&self, peer: &str, after: Option<&[u8]>) -> Result<(), CursorError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use sync_engine::cdc::event::Epoch;
    use sync_engine::cdc::stream_id::StreamId;
    use sync_engine::env::RealEnv;

    async fn keeps(store: &dyn CursorStore) {
        assert_eq!(store.cursor("a").await.unwrap(), None);
        assert_eq!(store.fill("a").await.unwrap(), None);
        let mut cursor = Cursor::from_end(
            "redis://somewhere s",
            StreamId {
                ms: u64::MAX,
                seq: 3,
            },
            None,
        );
        store.save_cursor("a", &cursor).await.unwrap();
        cursor.epochs = vec![(Epoch(u64::MAX), u64::MAX), (Epoch(0), 0)];
        store.save_cursor("a", &cursor).await.unwrap();
        store.save_fill("a", Some(b"\x00\xff'key")).await.unwrap();
        store.save_cursor("b", &Cursor::default()).await.unwrap();
        assert_eq!(store.cursor("a").await.unwrap(), Some(cursor));
        assert_eq!(store.cursor("b").await.unwrap(), Some(Cursor::default()));
        assert_eq!(store.fill("a").await.unwrap().unwrap(), b"\x00\xff'key");
        store.save_fill("b", Some(b"")).await.unwrap();
        assert_eq!(store.fill("b").await.unwrap().unwrap(), b"");
        store.save_fill("b", None).await.unwrap();
        assert_eq!(store.fill("b").await.unwrap(), None);
    }

    #[tokio::test]
    async fn in_memory() {
        keeps(&MemoryCursors::default()).await;
    }

    #[tokio::test]
    async fn in_a_file_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        for wal_mode in [true, false] {
            let path = dir.path().join(format!("deep/{wal_mode}/cursors.db"));
            let env = || Arc::new(RealEnv::default());
            keeps(&SqliteCursors::open(&path, wal_mode, env()).await.unwrap()).await;
            let again = SqliteCursors::open(&path, wal_mode, env()).await.unwrap();
            assert!(again.cursor("a").await.unwrap().is_some());
            assert!(again.fill("a").await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn a_file_that_is_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursors.db");
        std::fs::write(&path, vec![7; 4096]).unwrap();
        let opened = SqliteCursors::open(&path, true, Arc::new(RealEnv::default())).await;
        assert!(matches!(opened.err().unwrap(), CursorError::File { .. }));
    }
}
