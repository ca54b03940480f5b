//! Cursors in an SQLite file, on a thread of its own.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use sync_engine::env::SharedEnv;
use tokio::sync::{mpsc, oneshot};

use super::{CursorError, CursorStore};
use crate::tail::Cursor;

/// Requests that wait for the thread.
const QUEUE: usize = 64;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS cursors (peer TEXT PRIMARY KEY, stream TEXT NOT NULL, at TEXT NOT NULL, epochs TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS fills (peer TEXT PRIMARY KEY, after BLOB NOT NULL);";

/// For a file from before cursors named their streams: a cursor of an unnamed one is kept where the epoch is known.
const NAME_STREAMS: &str = "ALTER TABLE cursors ADD COLUMN stream TEXT NOT NULL DEFAULT ''";

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// [`CursorStore`] in a file. The file is closed when this is dropped.
pub struct SqliteCursors {
    path: String,
    jobs: mpsc::Sender<Job>,
}

impl SqliteCursors {
    /// Opens the file, and makes it and its directories if they are not there.
    ///
    /// # Errors
    /// The file cannot be made, or is no SQLite file.
    pub async fn open(path: &Path, wal_mode: bool, env: SharedEnv) -> Result<Self, CursorError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let file = path.to_owned();
        let work = move || match open(&file, wal_mode) {
            Ok(connection) => {
                if opened.send(Ok(())).is_ok() {
                    serve(&connection, queue);
                }
            }
            Err(error) => {
                // Whoever wanted to open it has given up.
                opened.send(Err(error)).ok();
            }
        };
        let path = path.display().to_string();
        let failed = |source| CursorError::File {
            op: "open",
            path: path.clone(),
            source,
        };
        let spawned = env.spawn_thread("replication-cursors", Box::new(work));
        spawned.map_err(|error| failed(error.into()))?;
        match is_open.await {
            Ok(Ok(())) => Ok(Self { path, jobs }),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(CursorError::Closed),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, CursorError> {
        let (reply, replied) = oneshot::channel();
        let job = move |connection: &Connection| {
            // A caller that has given up needs no answer.
            reply.send(work(connection)).ok();
        };
        let sent = self.jobs.send(Box::new(job)).await;
        sent.map_err(|_| CursorError::Closed)?;
        let done = replied.await.map_err(|_| CursorError::Closed)?;
        done.map_err(|error| CursorError::File {
            op,
            path: self.path.clone(),
            source: error.into(),
        })
    }
}

/// Opens the file. A damaged one is set aside: cursors are no more than a short cut, and without them the cold path
/// brings what is missing.
fn open(path: &Path, wal_mode: bool) -> Result<Connection, sync_engine::error::Source> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    match open_whole(path, wal_mode) {
        Err(error) if is_damage(&error) && has_header(path)? => {
            let aside = set_aside(path)?;
            tracing::warn!(%error, file = %path.display(), aside = %aside.display(), "the cursors are damaged; beginning without");
            Ok(open_whole(path, wal_mode)?)
        }
        other => Ok(other?),
    }
}

/// Whether the file was a database once. One that never was may be somebody's, and stays where it is.
fn has_header(path: &Path) -> std::io::Result<bool> {
    let mut header = [0; 16];
    let read = std::fs::File::open(path)?.read_exact(&mut header);
    Ok(read.is_ok() && &header == b"SQLite format 3\0")
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
}

/// Renames the file to the first free `….damaged-N`. What is left of its log belongs to it and goes with it.
fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let number = (1u32..)
        .find(|n| !beside(&format!(".damaged-{n}")).exists())
        .unwrap_or(1);
    let aside = beside(&format!(".damaged-{number}"));
    std::fs::rename(path, &aside)?;
    for end in ["-wal", "-shm"] {
        if beside(end).exists() {
            std::fs::rename(beside(end), beside(&format!(".damaged-{number}{end}")))?;
        }
    }
    Ok(aside)
}

fn open_whole(path: &Path, wal_mode: bool) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let mode = match wal_mode {
        true => "WAL",
        false => "DELETE",
    };
    connection.pragma_update(None, "journal_mode", mode)?;
    // An older cursor is harmless, so the last ones may go with the power.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(SCHEMA)?;
    if connection.prepare("SELECT stream FROM cursors").is_err() {
        connection.execute_batch(NAME_STREAMS)?;
    }
    // A row a peer: quickly read.
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match verdict.as_str() {
        "ok" => Ok(connection),
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(verdict),
        )),
    }
}

fn serve(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        job(connection);
    }
}

#[async_trait]
impl CursorStore for SqliteCursors {
    async fn cursor(&self, peer: &str) -> Result<Option<Cursor>, CursorError> {
        let peer = peer.to_owned();
        let read = move |connection: &Connection| {
            let sql = "SELECT stream, at, epochs FROM cursors WHERE peer = ?1";
            let row = |row: &rusqlite::Row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                ))
            };
            connection.query_row(sql, [peer], row).optional()
        };
        let row = self.run("read a cursor in", read).await?;
        // A row that cannot be read is like none: the stream is followed from its end, and the cold path brings the rest.
        Ok(row.and_then(|(stream, at, epochs)| {
            Some(Cursor {
                stream,
                at: at.parse().ok()?,
                epochs: Cursor::parse_epochs(&epochs)?,
            })
        }))
    }

    async fn save_cursor(&self, peer: &str, cursor: &Cursor) -> Result<(), CursorError> {
        let (peer, stream) = (peer.to_owned(), cursor.stream.clone());
        let row = (peer, stream, cursor.at.to_string(), cursor.epochs_text());
        let write = move |connection: &Connection| {
            let sql =
                "INSERT OR REPLACE INTO cursors (peer, stream, at, epochs) VALUES (?1, ?2, ?3, ?4)";
            connection.prepare_cached(sql)?.execute(row)
        };
        self.run("write a cursor to", write).await.map(|_| ())
    }

    async fn fill(&self, peer: &str) -> Result<Option<Vec<u8>>, CursorError> {
        let peer = peer.to_owned();
        let read = move |connection: &Connection| {
            let sql = "SELECT after FROM fills WHERE peer = ?1";
            connection
                .query_row(sql, [peer], |row| row.get(0))
                .optional()
        };
        self.run("read a fill in", read).await
    }

    async fn save_fill(&self, peer: &str, after: Option<&[u8]>) -> Result<(), CursorError> {
        let (peer, after) = (peer.to_owned(), after.map(<[u8]>::to_vec));
        let write = move |connection: &Connection| match after {
            Some(after) => {
                let sql = "INSERT OR REPLACE INTO fills (peer, after) VALUES (?1, ?2)";
                connection.execute(sql, params![peer, after])
            }
            None => connection.execute("DELETE FROM fills WHERE peer = ?1", [peer]),
        };
        self.run("write a fill to", write).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sync_engine::cdc::event::Epoch;

    use sync_engine::cdc::stream_id::StreamId;
    use sync_engine::env::RealEnv;

    use super::*;

    #[tokio::test]
    async fn a_file_from_before_streams_had_names_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursors.db");
        let before =
            "CREATE TABLE cursors (peer TEXT PRIMARY KEY, at TEXT NOT NULL, epochs TEXT NOT NULL);
            INSERT INTO cursors VALUES ('a', '7-1', '5:9')";
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(before).unwrap();
        drop(connection);
        for _ in 0..2 {
            let env = Arc::new(RealEnv::default());
            let cursors = SqliteCursors::open(&path, true, env).await.unwrap();
            let cursor = Cursor::from_end("", StreamId { ms: 7, seq: 1 }, Some((Epoch(5), 9)));
            assert_eq!(cursors.cursor("a").await.unwrap(), Some(cursor.clone()));
            cursors.save_cursor("b", &cursor).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_set_aside_and_the_cursors_begin_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursors.db");
        let env = || -> SharedEnv { Arc::new(RealEnv::default()) };
        let cursor = Cursor::from_end("s", StreamId { ms: 7, seq: 1 }, None);
        let cursors = SqliteCursors::open(&path, false, env()).await.unwrap();
        cursors.save_cursor("a", &cursor).await.unwrap();
        drop(cursors);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100..].fill(0xee);
        std::fs::write(&path, &bytes).unwrap();
        let cursors = SqliteCursors::open(&path, false, env()).await.unwrap();
        assert_eq!(cursors.cursor("a").await.unwrap(), None);
        cursors.save_cursor("a", &cursor).await.unwrap();
        assert_eq!(cursors.cursor("a").await.unwrap(), Some(cursor));
        let kept = std::fs::read(dir.path().join("cursors.db.damaged-1")).unwrap();
        assert_eq!(kept, bytes);
    }
}
