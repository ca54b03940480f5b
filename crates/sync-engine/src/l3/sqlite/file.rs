//! The archive file: made whole or not at all, locked, and checked before it is used.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::failure::{Because, Failure, damaged, unavailable};
use super::schema::{APPLICATION_ID, LAYOUT, OBJECTS};
use crate::l3::ArchiveError;

/// SQLite before this (3.51.3) can corrupt a database that is checkpointed by one connection while another writes.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Bytes a page. Measured: 2 KiB is slower (and holds only one item of 1 KiB), 8 KiB is no faster.
const PAGE_BYTES: u32 = 4096;

/// Pages in the log before it is copied into the file: 32 MiB. A log of 4 MiB is filled by one commit of a thousand random
/// keys, and copying it each time halves the rate; a longer one wins nothing.
const CHECKPOINT_PAGES: u32 = 8192;

/// Up to this size the whole file is checked at every opening: a fraction of a second.
const CHECK_BYTES_MAX: u64 = 64 << 20;

/// How long a connection waits for another one's lock. Only closing and recovery take any that readers meet.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Clone, Copy)]
pub(super) enum Role {
    /// The only one that changes anything.
    Writer,
    /// One of those that read beside it.
    Reader,
}

/// `path`, absolute and without symbolic links as far as it exists, so that one file has one lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, ArchiveError> {
    match fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(_) => std::path::absolute(path).map_err(|error| unavailable("open", path, error)),
    }
}

/// Takes the lock that keeps every other process out, until the file is dropped.
///
/// The lock file stays where it is: removing it would let two processes lock two files of the same name.
pub(super) fn lock(path: &Path) -> Result<File, ArchiveError> {
    let lock_path = beside(path, ".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|error| unavailable("open", &lock_path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ArchiveError::InUse {
            what: path.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(unavailable("open", &lock_path, error)),
    }
}

/// Makes sure that there is a file at `path` that this engine can use, under the lock.
pub(super) fn prepare(path: &Path) -> Result<(), ArchiveError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        let found = rusqlite::version();
        let because = Because(format!("SQLite {found} is too old, 3.51.3 is the least"));
        return Err(unavailable("open", path, because));
    }
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 => Err(damaged(
            path.display().to_string(),
            "it is empty (move it away to begin a new archive)",
        )),
        Ok(found) => check(path, found.len()).map_err(|failure| failure.during("open", path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(path),
        Err(error) => Err(unavailable("open", path, error)),
    }
}

/// A connection for `role` to a file that [`prepare`] found fit.
pub(super) fn connect(path: &Path, role: Role) -> Result<Connection, Failure> {
    let conn = open_existing(path)?;
    conn.set_prepared_statement_cache_capacity(32);
    conn.pragma_update(None, "foreign_keys", false)?;
    match role {
        Role::Writer => {
            conn.pragma_update(None, "journal_mode", "WAL")?;
            // A commit frees positions of the write-ahead log, so it must be on disk when it returns.
            conn.pragma_update(None, "synchronous", "FULL")?;
            conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
            conn.pragma_update(None, "cache_size", -(64 << 10))?;
        }
        Role::Reader => {
            conn.pragma_update(None, "query_only", true)?;
            conn.pragma_update(None, "cache_size", -(16 << 10))?;
        }
    }
    Ok(conn)
}

/// Device and inode, where the system has them.
pub(super) fn fingerprint(path: &Path) -> Result<Option<String>, ArchiveError> {
    let found = fs::metadata(path).map_err(|error| unavailable("open", path, error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(Some(format!("{}:{}", found.dev(), found.ino())))
    }
    #[cfg(not(unix))]
    {
        drop(found);
        Ok(None)
    }
}

fn open_existing(path: &Path) -> rusqlite::Result<Connection> {
    // Neither CREATE nor URI: a path is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    Ok(conn)
}

/// Refuses a file that is not ours or not whole, before anything is written to it.
fn check(path: &Path, bytes: u64) -> Result<(), Failure> {
    let conn = open_existing(path)?;
    let refuse = |how: String| Err(damaged(path.display().to_string(), how).into());
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, layout) = (pragma("application_id")?, pragma("user_version")?);
    if application != APPLICATION_ID {
        return refuse("it is an SQLite database, but not an archive of this program".into());
    }
    if layout != LAYOUT {
        return refuse(format!(
            "its tables have layout {layout}, this program knows layout {LAYOUT}"
        ));
    }
    for (name, wanted) in OBJECTS {
        let found: Option<String> = conn
            .query_row(
                "SELECT sql FROM sqlite_schema WHERE name = ?1",
                [name],
                |row| row.get(0),
            )
            .optional()?;
        if found.as_deref() != Some(wanted) {
            return refuse(format!("{name} is not as this program created it"));
        }
    }
    if bytes <= CHECK_BYTES_MAX {
        let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return refuse(verdict);
        }
    }
    Ok(())
}

/// Builds a new file under another name and moves it into place, so that `path` never names half an archive.
fn create(path: &Path) -> Result<(), ArchiveError> {
    let log = beside(path, "-wal");
    if log.exists() {
        // SQLite would take it for the new file's log.
        let how = format!(
            "the file is missing, but its log {} is there",
            log.display()
        );
        return Err(damaged(path.display().to_string(), how));
    }
    let new = beside(path, ".new");
    let io = |error| unavailable("open", path, error);
    for suffix in ["", "-journal", "-wal", "-shm"] {
        match fs::remove_file(beside(&new, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    fill(&new).map_err(|failure| failure.during("open", path))?;
    fs::rename(&new, path).map_err(io)?;
    sync_folder_of(path).map_err(io)
}

fn fill(new: &Path) -> Result<(), Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(new, flags)?;
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    let tx = conn.transaction()?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", LAYOUT)?;
    for (_, create) in OBJECTS {
        tx.execute_batch(create)?;
    }
    tx.commit()?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.close().map_err(|(_, error)| error.into())
}

fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
