//! Cursors that a restart forgets: for tests and simulations.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{CursorError, CursorStore};
use crate::tail::Cursor;

/// [`CursorStore`] in memory.
#[derive(Debug, Default)]
pub struct MemoryCursors {
    cursors: Mutex<BTreeMap<String, Cursor>>,
    fills: Mutex<BTreeMap<String, Vec<u8>>>,
}

#[async_trait]
impl CursorStore for MemoryCursors {
    async fn cursor(&self, peer: &str) -> Result<Option<Cursor>, CursorError> {
        Ok(self.cursors.lock().get(peer).cloned())
    }

    async fn save_cursor(&self, peer: &str, cursor: &Cursor) -> Result<(), CursorError> {
        self.cursors.lock().insert(peer.to_owned(), cursor.clone());
        Ok(())
    }

    async fn fill(&self, peer: &str) -> Result<Option<Vec<u8>>, CursorError> {
        Ok(self.fills.lock().get(peer).cloned())
    }

    async fn save_fill(&self, peer: &str, after: Option<&[u8]>) -> Result<(), CursorError> {
        let mut fills = self.fills.lock();
        match after {
            Some(after) => fills.insert(peer.to_owned(), after.to_owned()),
            None => fills.remove(peer),
        };
        Ok(())
    }
}
