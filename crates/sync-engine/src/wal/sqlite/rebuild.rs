//! A fresh file with what could be read of a damaged one, put in its place in one step.

use std::path::Path;

use rusqlite::Connection;

use super::aside::{beside, remove, sync_directory};
use super::layout;
use super::row::{self, Row};
use crate::item::stamp::HlcTime;
use crate::wal::{WalError, WalPos};

/// A file that is being written, and may be half there.
const DRAFT: &str = ".rebuilding";
/// A file that is complete, and takes the place of the log.
const READY: &str = ".rebuilt";
/// Above this a position is not believed: no log gets so far.
const PLAUSIBLE: WalPos = 1 << 62;

/// What a rebuild saved.
#[derive(Debug, Default)]
pub struct Saved {
    /// Records kept where they were.
    kept: u64,
    /// Records found in damaged rows, kept at new positions.
    rescued: u64,
    /// Rows that were damaged, and may have held more.
    damaged: u64,
}

impl std::fmt::Display for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kept,
            rescued,
            damaged,
        } = self;
        write!(
            f,
            "{kept} records are intact, {rescued} more were recovered from {damaged} damaged rows"
        )
    }
}

/// Finishes a rebuild that a crash cut short, or drops one that was not complete.
pub fn finish(path: &Path) -> Result<(), WalError> {
    for suffix in ["", "-journal", "-wal"] {
        remove(&beside(path, &format!("{DRAFT}{suffix}")))?;
    }
    let ready = beside(path, READY);
    if ready.try_exists()? {
        // What they hold is in the rebuilt file or was put aside.
        remove(&beside(path, "-wal"))?;
        remove(&beside(path, "-shm"))?;
        sync_directory(path)?;
        std::fs::rename(ready, path)?;
        sync_directory(path)?;
    }
    Ok(())
}

/// Puts an empty log at `path` that begins at `next`.
pub fn fresh(path: &Path, next: WalPos) -> Result<(), WalError> {
    replace(path, |draft| {
        layout::insert(draft, &layout::marker(next, HlcTime::default()))
    })
}

/// Puts in place of `path` a file with everything that `damaged` still gives. New positions begin `gap` after the last known one, so that
/// none is used twice; where nothing is known they begin at `blind`.
pub fn salvage(
    path: &Path,
    damaged: Connection,
    gap: u64,
    blind: WalPos,
) -> Result<Saved, WalError> {
    let mut saved = Saved::default();
    replace(path, |draft| {
        let mut bad = Vec::new();
        let (mut end, mut clock) = (None, HlcTime::default());
        for first in positions(&damaged) {
            match read(&damaged, first) {
                Some(row) if row.records().is_ok() => {
                    end = end.max(Some(row.end()));
                    if row.count == 0 {
                        clock = clock.max(layout::time_of(&row.records));
                        continue;
                    }
                    layout::insert(draft, &row)?;
                    saved.kept += row.count;
                }
                _ => bad.push(first),
            }
        }
        saved.damaged = bad.len() as u64;
        let believed = bad.iter().copied().filter(|first| *first < PLAUSIBLE).max();
        let mut next = end
            .max(believed)
            .map_or(blind, |end| end.saturating_add(gap));
        for row in bad.into_iter().filter_map(|first| read(&damaged, first)) {
            let records: Vec<_> = row.intact().into_iter().map(|(_, record)| record).collect();
            for pack in row::pack(&records).unwrap_or_default() {
                let row = layout::packed(next, pack);
                next = row.end();
                saved.rescued += row.count;
                layout::insert(draft, &row)?;
            }
        }
        layout::insert(draft, &layout::marker(next, clock))
    })?;
    // Only now: on closing SQLite may write to the damaged file, which by then is out of the way.
    drop(damaged);
    Ok(saved)
}

/// Writes a log file beside `path` and renames it into place.
fn replace(
    path: &Path,
    fill: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<(), WalError> {
    let draft = beside(path, DRAFT);
    let conn = Connection::open(&draft)?;
    layout::create(&conn)?;
    let tx = conn.unchecked_transaction()?;
    fill(&conn)?;
    tx.commit()?;
    conn.close().map_err(|(_, error)| error)?;
    std::fs::rename(&draft, beside(path, READY))?;
    sync_directory(path)?;
    finish(path)
}

/// Every row's position, from both ends, so that one damaged page in between hides as little as may be.
fn positions(conn: &Connection) -> Vec<WalPos> {
    let mut found = std::collections::BTreeSet::new();
    for order in ["ASC", "DESC"] {
        let query = format!("SELECT first FROM log ORDER BY first {order}");
        let Ok(mut statement) = conn.prepare(&query) else {
            continue;
        };
        let Ok(rows) = statement.query_map([], |row| row.get::<_, i64>(0)) else {
            continue;
        };
        found.extend(
            rows.map_while(Result::ok)
                .filter_map(|first| WalPos::try_from(first).ok()),
        );
    }
    found.into_iter().collect()
}

fn read(conn: &Connection, first: WalPos) -> Option<Row> {
    let query = "SELECT first, count, crc, records FROM log WHERE first = ?";
    let mut statement = conn.prepare_cached(query).ok()?;
    statement
        .query_row([layout::signed(first)], layout::row_of)
        .ok()
}
