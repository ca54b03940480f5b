//! The archive in an SQLite file.

mod cells;
mod commit;
mod failure;
mod file;
mod read;
mod rebuild;
mod row;
mod schema;
mod thread;
mod url;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use rusqlite::Connection;

pub use url::{InvalidSqliteUrl, path_of_url};

use self::failure::{Because, Failure, unavailable};
use self::file::Role;
use self::thread::{Lane, LaneHandle, Session};
use super::{ArchiveError, ArchiveStore, KeyRange, MetaKey, Opened, Planner, RowAction};
use crate::config::BackendUrl;
use crate::env::SharedEnv;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::merkle::node::NodeRow;

/// Threads that read beside the writer.
const READERS: usize = 2;

/// The archive in one SQLite file, for one process: a thread that writes, and a few that read.
///
/// A commit that returned has been synced to disk. `PATH.lock` beside the file keeps other processes out; it is let go
/// when [`close`](ArchiveStore::close) returns, or some time after the archive is dropped.
pub struct SqliteArchive {
    path: PathBuf,
    env: SharedEnv,
    state: RwLock<State>,
    /// Held while opening or closing.
    turn: tokio::sync::Mutex<()>,
}

enum State {
    New,
    Open(Database),
    Closed,
}

struct Database {
    /// Without symbolic links.
    path: PathBuf,
    writer: Lane,
    readers: Lane,
}

impl SqliteArchive {
    /// The archive in the file `path`, which `open` creates where it is missing; its folder must be there.
    pub fn new(path: impl Into<PathBuf>, env: SharedEnv) -> Self {
        Self {
            path: path.into(),
            env,
            state: RwLock::new(State::New),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The archive of a URL, see [`path_of_url`].
    pub fn from_url(url: &BackendUrl, env: SharedEnv) -> Result<Self, InvalidSqliteUrl> {
        Ok(Self::new(path_of_url(url)?, env))
    }

    async fn start(&self) -> Result<(Database, Opened), ArchiveError> {
        let path = file::resolve(&self.path)?;
        let mut writer = Lane::new();
        let mut readers = Lane::new();
        let own = path.clone();
        let open = move || open_writer(&own);
        let (lock, opened) = writer
            .add_thread(&*self.env, "l3-writer", &path, open)
            .await?;
        for _ in 0..READERS {
            let (own, lock) = (path.clone(), lock.clone());
            let open = move || Ok((connect(&own, Role::Reader, lock)?, ()));
            readers
                .add_thread(&*self.env, "l3-reader", &path, open)
                .await?;
        }
        let database = Database {
            path,
            writer,
            readers,
        };
        Ok((database, opened))
    }

    fn lane(&self, op: &'static str, role: Role) -> Result<LaneHandle, ArchiveError> {
        match (&*self.state.read(), role) {
            (State::Open(db), Role::Writer) => Ok(db.writer.handle(&db.path)),
            (State::Open(db), Role::Reader) => Ok(db.readers.handle(&db.path)),
            (State::Closed, _) => Err(ArchiveError::Closed),
            (State::New, _) => {
                let because = Because("the archive was not opened".into());
                Err(unavailable(op, &self.path, because))
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        self.lane(op, Role::Reader)?.run(op, work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        self.lane(op, Role::Writer)?.run(op, work).await
    }
}

fn connect(path: &Path, role: Role, lock: Arc<File>) -> Result<Session, ArchiveError> {
    let conn = file::connect(path, role).map_err(|failure| failure.during("open", path))?;
    Ok(Session { conn, _lock: lock })
}

fn open_writer(path: &Path) -> Result<(Session, (Arc<File>, Opened)), ArchiveError> {
    let lock = Arc::new(file::lock(path)?);
    file::prepare(path)?;
    let session = connect(path, Role::Writer, lock.clone())?;
    let bound = |name| {
        let number = value::number(&session.conn, name);
        number
            .map(HlcTime)
            .map_err(|failure| failure.during("open", path))
    };
    let opened = Opened {
        clock_bound: bound(schema::CLOCK_BOUND)?,
        collected: bound(schema::COLLECTED)?,
        fingerprint: file::fingerprint(path)?,
    };
    Ok((session, (lock, opened)))
}

#[async_trait]
impl ArchiveStore for SqliteArchive {
    async fn open(&self) -> Result<Opened, ArchiveError> {
        let _turn = self.turn.lock().await;
        match *self.state.read() {
            State::New => {}
            State::Closed => return Err(ArchiveError::Closed),
            State::Open(_) => {
                let because = Because("the archive is open already".into());
                return Err(unavailable("open", &self.path, because));
            }
        }
        let (database, opened) = self.start().await?;
        *self.state.write() = State::Open(database);
        Ok(opened)
    }

    async fn commit(
        &self,
        records: Vec<Stored>,
        plan: Planner,
    ) -> Result<Vec<RowAction>, ArchiveError> {
        let work = move |conn: &mut Connection| commit::commit(conn, &records, plan);
        self.write("commit", work).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, ArchiveError> {
        let keys = keys.to_vec();
        self.read("get_many", move |conn| read::get_many(conn, &keys))
            .await
    }

    async fn leaves_of(&self, keys: &[Key]) -> Result<Vec<Option<Leaf>>, ArchiveError> {
        let keys = keys.to_vec();
        self.read("leaves_of", move |conn| read::leaves_of(conn, &keys))
            .await
    }

    async fn scan(
        &self,
        range: &KeyRange,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, ArchiveError> {
        let range = range.clone();
        let work = move |conn: &mut Connection| read::scan(conn, &range, limit, bytes_max);
        self.read("scan", work).await
    }

    async fn scan_leaves(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        let range = range.clone();
        let work = move |conn: &mut Connection| read::scan_leaves(conn, &range, limit);
        self.read("scan_leaves", work).await
    }

    async fn count_live(&self, range: &KeyRange, now_ms: i64) -> Result<u64, ArchiveError> {
        let range = range.clone();
        let work = move |conn: &mut Connection| read::count_live(conn, &range, now_ms);
        self.read("count_live", work).await
    }

    async fn expired(&self, now_ms: i64, limit: usize) -> Result<Vec<(Key, Leaf)>, ArchiveError> {
        self.read("expired", move |conn| read::expired(conn, now_ms, limit))
            .await
    }

    async fn tombstones(
        &self,
        until: HlcTime,
        after: Option<&(Key, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(Key, Stamp)>, ArchiveError> {
        let after = after.cloned();
        let work =
            move |conn: &mut Connection| read::tombstones(conn, until, after.as_ref(), limit);
        self.read("tombstones", work).await
    }

    async fn load_tree(&self) -> Result<(Vec<NodeRow>, u64), ArchiveError> {
        self.read("load_tree", read::load_tree).await
    }

    async fn rebuild_tree(&self) -> Result<(), ArchiveError> {
        self.write("rebuild_tree", rebuild::rebuild_tree).await
    }

    async fn meta(&self, key: MetaKey) -> Result<Option<Vec<u8>>, ArchiveError> {
        self.read("meta", move |conn| value::get(conn, key.name()))
            .await
    }

    async fn set_meta(&self, key: MetaKey, value: Vec<u8>) -> Result<(), ArchiveError> {
        let work = move |conn: &mut Connection| value::set(conn, key.name(), &value);
        self.write("set_meta", work).await
    }

    async fn raise_clock_bound(&self, bound: HlcTime) -> Result<(), ArchiveError> {
        // The writer is the only one that changes it, so reading and writing need no transaction.
        self.write("raise_clock_bound", move |conn| {
            commit::raise(conn, schema::CLOCK_BOUND, bound)
        })
        .await
    }

    async fn ping(&self) -> Result<(), ArchiveError> {
        self.read("ping", |conn| {
            Ok(conn.query_row("SELECT 1", [], |_| Ok(()))?)
        })
        .await
    }

    fn is_configured(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    async fn close(&self) -> Result<(), ArchiveError> {
        let _turn = self.turn.lock().await;
        let before = std::mem::replace(&mut *self.state.write(), State::Closed);
        match before {
            State::New => Ok(()),
            State::Closed => Err(ArchiveError::Closed),
            State::Open(db) => {
                // The writer last: the last connection to close copies the log into the file.
                db.readers.finish().await;
                db.writer.finish().await;
                Ok(())
            }
        }
    }
}

impl fmt::Debug for SqliteArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteArchive")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
