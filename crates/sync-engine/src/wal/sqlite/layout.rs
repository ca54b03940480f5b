//! What the file looks like: one table, one row a group of appends.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::row::{Pack, Row, checksum};
use super::{CHECKPOINT_BYTES, PAGE_BYTES};
use crate::item::stamp::HlcTime;
use crate::wal::WalPos;

/// `application_id` of a log, at a fixed place in the file's header: "RSQW".
pub const APPLICATION_ID: u32 = u32::from_be_bytes(*b"RSQW");
/// `user_version`: the layout of the table.
pub const LAYOUT: u32 = 1;

/// One row a group of appends: an insert per group, not per record. `count` stands before `records`, so that it is read without
/// following the pages of a large row.
const TABLE: &str = "CREATE TABLE log (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, crc INTEGER NOT NULL, records BLOB NOT NULL)";
const INSERT: &str = "INSERT OR REPLACE INTO log (first, count, crc, records) VALUES (?, ?, ?, ?)";

/// A position as SQLite's signed integer. 2^63 of them do not run out.
pub fn signed(pos: WalPos) -> i64 {
    i64::try_from(pos).unwrap_or(i64::MAX)
}

/// A position or count as it was stored; what no log writes counts as 0.
pub fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Opens the file, which is there, for one connection alone.
pub fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    // No other process is waited for: the lock file keeps them out.
    conn.busy_timeout(std::time::Duration::ZERO)?;
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(conn)
}

/// Sets how the log is written: every commit synced, pages copied back when the writer says so.
pub fn set_modes(conn: &Connection) -> rusqlite::Result<()> {
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| {
        row.get::<_, String>(0)
    })?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(rusqlite::Error::InvalidParameterName(format!(
            "journal_mode stays {mode}"
        )));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", 2 * CHECKPOINT_BYTES as i64)?;
    conn.set_prepared_statement_cache_capacity(16);
    Ok(())
}

/// Makes the table in an empty file.
pub fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.pragma_update(None, "user_version", LAYOUT)?;
    conn.execute_batch(TABLE)
}

/// Writes a row as it is.
pub fn insert(conn: &Connection, row: &Row) -> rusqlite::Result<()> {
    conn.prepare_cached(INSERT)?.execute(params![
        signed(row.first),
        signed(row.count),
        row.crc,
        &row.records[..]
    ])?;
    Ok(())
}

/// The row of a query for `first, count, crc, records`.
pub fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let records: Vec<u8> = row.get(3)?;
    Ok(Row {
        first: unsigned(row.get(0)?),
        count: unsigned(row.get(1)?),
        crc: row.get(2)?,
        records: records.into(),
    })
}

/// The row that holds these records from `first` on.
pub fn packed(first: WalPos, pack: Pack) -> Row {
    let count = u64::from(pack.count);
    Row {
        first,
        count,
        crc: checksum(first, count, &pack.bytes),
        records: pack.bytes.into(),
    }
}

/// The last row: it keeps the next position, also when there are no records, and the greatest time that was ever stamped.
pub fn marker(next: WalPos, clock: HlcTime) -> Row {
    let pack = Pack {
        count: 0,
        bytes: clock.0.to_be_bytes().to_vec(),
    };
    packed(next, pack)
}

/// The time that the last marker keeps, if there is one.
pub fn clock(conn: &Connection) -> rusqlite::Result<HlcTime> {
    let query = "SELECT records FROM log WHERE count = 0 ORDER BY first DESC LIMIT 1";
    let kept: Option<Vec<u8>> = conn.query_row(query, [], |row| row.get(0)).optional()?;
    Ok(kept.map_or_else(HlcTime::default, |kept| time_of(&kept)))
}

/// The time in a marker.
pub fn time_of(marker: &[u8]) -> HlcTime {
    let time = marker.first_chunk().copied();
    HlcTime(time.map_or(0, u64::from_be_bytes))
}

/// The highest position after any row, and the lowest position of a record; `None` for an empty table.
pub fn extent(conn: &Connection) -> rusqlite::Result<Option<(WalPos, WalPos)>> {
    let last = "SELECT first, count FROM log ORDER BY first DESC LIMIT 1";
    let end = conn
        .query_row(last, [], |row| {
            let (first, count): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(unsigned(first).saturating_add(unsigned(count)))
        })
        .optional()?;
    let Some(end) = end else { return Ok(None) };
    let first = "SELECT first FROM log WHERE count > 0 ORDER BY first LIMIT 1";
    let low = conn
        .query_row(first, [], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(Some((low.map_or(end, unsigned), end)))
}
