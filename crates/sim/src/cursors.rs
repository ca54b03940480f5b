//! Cursors on a disk that may show an older state after a loss of power.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use replication_engine::tail::cursors::CursorError;
use replication_engine::tail::{Cursor, CursorStore};

/// A value and the one before it.
#[derive(Clone, Debug, Default)]
struct Kept<T> {
    now: T,
    before: T,
}

impl<T: Clone> Kept<T> {
    fn set(&mut self, value: T) {
        self.before = std::mem::replace(&mut self.now, value);
    }
}

#[derive(Default)]
struct Book {
    cursors: BTreeMap<String, Kept<Option<Cursor>>>,
    fills: BTreeMap<String, Kept<Option<Vec<u8>>>>,
}

/// See the module.
#[derive(Clone, Default)]
pub struct SimCursors(Arc<Mutex<Book>>);

impl SimCursors {
    /// The machine lost power: the last save of each cursor may be lost.
    pub fn lose_tail(&self, rng: &mut fastrand::Rng) {
        let mut book = self.0.lock();
        for kept in book.cursors.values_mut() {
            if rng.bool() {
                kept.now = kept.before.clone();
            }
        }
        for kept in book.fills.values_mut() {
            if rng.bool() {
                kept.now = kept.before.clone();
            }
        }
    }

    /// Nothing is left.
    pub fn wipe(&self) {
        *self.0.lock() = Book::default();
    }
}

#[async_trait]
impl CursorStore for SimCursors {
    async fn cursor(&self, peer: &str) -> Result<Option<Cursor>, CursorError> {
        let book = self.0.lock();
        Ok(book.cursors.get(peer).and_then(|kept| kept.now.clone()))
    }

    async fn save_cursor(&self, peer: &str, cursor: &Cursor) -> Result<(), CursorError> {
        let mut book = self.0.lock();
        book.cursors
            .entry(peer.to_owned())
            .or_default()
            .set(Some(cursor.clone()));
        Ok(())
    }

    async fn fill(&self, peer: &str) -> Result<Option<Vec<u8>>, CursorError> {
        let book = self.0.lock();
        Ok(book.fills.get(peer).and_then(|kept| kept.now.clone()))
    }

    async fn save_fill(&self, peer: &str, after: Option<&[u8]>) -> Result<(), CursorError> {
        let mut book = self.0.lock();
        book.fills
            .entry(peer.to_owned())
            .or_default()
            .set(after.map(<[u8]>::to_vec));
        Ok(())
    }
}
