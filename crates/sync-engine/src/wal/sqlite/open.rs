//! Opening a log: whose it is, what is damaged, what can be kept.

use std::fs::{File, TryLockError};
use std::io::BufReader;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::aside::{Aside, beside};
use super::file::LogFile;
use super::identity::is_log;
use super::layout;
use super::tail::{self, Tail};
use super::{rebuild, row};
use crate::item::stamp::HlcTime;
use crate::wal::{WalError, WalPos};

/// Where new positions begin when a damaged file says nothing of the old ones: far from all of them, and further each time.
const BLIND: WalPos = 1 << 48;

/// A log that is open.
#[derive(Debug)]
pub struct OpenedLog {
    /// The file, ready to be written.
    pub file: LogFile,
    /// The lowest position that may hold a record.
    pub low: WalPos,
    /// The greatest time that was ever stamped.
    pub clock: HlcTime,
    /// What was found damaged.
    pub damage: Option<String>,
    /// Keeps other processes out for as long as it lives.
    pub lock: File,
}

/// What is known of the damage so far.
struct Findings<'a> {
    path: &'a Path,
    aside: Option<Aside>,
    sentences: Vec<String>,
    /// More than the positions that may have been lost: a record takes more than a byte.
    gap: u64,
}

/// Opens the log at `path`, or makes one where there is none.
pub fn open(path: &Path) -> Result<OpenedLog, WalError> {
    let lock = lock(path)?;
    rebuild::finish(path)?;
    let mut findings = Findings {
        path,
        aside: None,
        sentences: Vec::new(),
        gap: 0,
    };
    match is_log(path)? {
        true => findings.survey_tail()?,
        false => findings.begin()?,
    }
    let conn = findings.sound_connection()?;
    layout::set_modes(&conn).map_err(|error| failure(path, error))?;
    let (low, end) = layout::extent(&conn)
        .map_err(|error| failure(path, error))?
        .unwrap_or_default();
    let clock = layout::clock(&conn).map_err(|error| failure(path, error))?;
    let mut file = LogFile::new(conn, low, end.saturating_add(findings.gap));
    // So that damage at the end of the `-wal` is met once.
    file.checkpoint_whole()?;
    Ok(OpenedLog {
        file,
        low: if low == end {
            end.saturating_add(findings.gap)
        } else {
            low
        },
        clock,
        damage: (!findings.sentences.is_empty()).then(|| findings.sentences.join("; ")),
        lock,
    })
}

fn lock(path: &Path) -> Result<File, WalError> {
    let lock = beside(path, ".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WalError::InUse {
            path: path.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn damaged(path: &Path, source: impl Into<crate::error::Source>) -> WalError {
    WalError::Damaged {
        path: path.display().to_string(),
        source: source.into(),
    }
}

fn failure(path: &Path, error: rusqlite::Error) -> WalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, error),
        _ => error.into(),
    }
}

impl Findings<'_> {
    /// Copies database and `-wal`, once.
    fn put_aside(&mut self) -> Result<String, WalError> {
        if let Some(aside) = &self.aside {
            return Ok(aside.base.display().to_string());
        }
        let aside = Aside::next(self.path)?;
        aside.copy(self.path)?;
        let shown = aside.base.display().to_string();
        self.aside = Some(aside);
        Ok(shown)
    }

    fn bytes_of(&self, suffix: &str) -> u64 {
        std::fs::metadata(beside(self.path, suffix)).map_or(0, |found| found.len())
    }

    /// No log yet, unless its `-wal` says that there was one.
    fn begin(&mut self) -> Result<(), WalError> {
        let mut next = 0;
        let orphan = self.bytes_of("-wal");
        if orphan > 0 {
            let copy = self.put_aside()?;
            next = BLIND;
            self.sentences.push(format!(
                "the log {} is gone and only its -wal file ({orphan} bytes) was there; it was put aside as {copy}-wal and a new log begun",
                self.path.display(),
            ));
        }
        rebuild::fresh(self.path, next)
    }

    fn survey_tail(&mut self) -> Result<(), WalError> {
        let wal = beside(self.path, "-wal");
        let found = match File::open(&wal) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            opened => tail::survey(BufReader::new(opened?))?,
        };
        match found {
            Tail::Whole => {}
            Tail::Unfinished { from, bytes } => {
                let aside = Aside::next(self.path)?;
                aside.copy_tail(self.path, from, bytes)?;
                self.gap = bytes;
                self.sentences.push(format!(
                    "the last write to {} is incomplete; its {bytes} bytes were put aside as {}-tail \
                     (a crash in the middle of a write leaves this, and such a write was not acknowledged)",
                    wal.display(),
                    aside.base.display(),
                ));
            }
            Tail::Broken { from } => {
                let copy = self.put_aside()?;
                self.gap = self.bytes_of("-wal");
                self.sentences.push(format!(
                    "{} is damaged at byte {from}: writes behind it cannot be read; the log was copied to {copy} before it was repaired",
                    wal.display(),
                ));
            }
        }
        Ok(())
    }

    /// A connection to a file in which every page and every row is sound: this one, or one rebuilt from it.
    fn sound_connection(&mut self) -> Result<Connection, WalError> {
        let conn = layout::connect(self.path).map_err(|error| failure(self.path, error))?;
        let Some(fault) = fault_in(&conn)? else {
            return Ok(conn);
        };
        if conn
            .prepare("SELECT first, count, crc, records FROM log")
            .is_err()
        {
            return Err(damaged(self.path, fault));
        }
        let copy = self.put_aside()?;
        let blind = BLIND.saturating_mul(self.aside.as_ref().map_or(1, |aside| aside.number));
        let gap = self.bytes_of("").saturating_add(self.bytes_of("-wal"));
        let saved = rebuild::salvage(self.path, conn, gap, blind)?;
        self.gap = 0;
        self.sentences.push(format!(
            "{} is damaged ({fault}): {saved}; the log was copied to {copy} before it was repaired",
            self.path.display(),
        ));
        layout::connect(self.path).map_err(|error| failure(self.path, error))
    }
}

/// Looks at every page and every row.
fn fault_in(conn: &Connection) -> Result<Option<String>, WalError> {
    match pages_fault(conn).and_then(|fault| match fault {
        Some(fault) => Ok(Some(fault)),
        None => rows_fault(conn),
    }) {
        Ok(fault) => Ok(fault),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Ok(Some(error.to_string()))
            }
            _ => Err(error.into()),
        },
    }
}

fn pages_fault(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    // SQLite answers in several lines; the last one says where.
    Ok((verdict != "ok").then(|| verdict.replace('\n', " ")))
}

fn rows_fault(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement =
        conn.prepare("SELECT first, count, crc, records FROM log ORDER BY first")?;
    let mut rows = statement.query([])?;
    let mut end = 0;
    while let Some(found) = rows.next()? {
        let row: row::Row = layout::row_of(found)?;
        if let Err(fault) = row.records() {
            return Ok(Some(fault.to_string()));
        }
        if row.first < end {
            return Ok(Some(format!(
                "the rows before and at position {} overlap",
                row.first
            )));
        }
        end = row.end();
    }
    Ok(None)
}
