//! Freeing: slices of rows below a floor, few enough that no append waits long for it.

use rusqlite::{Connection, params};

use super::layout::{signed, unsigned};
use super::{FREE_BYTES, FREE_ROWS};
use crate::wal::WalPos;

const FREEABLE: &str = "SELECT first, count, length(records) FROM log WHERE first >= ? AND first < ? ORDER BY first LIMIT ?";
pub const DELETE: &str = "DELETE FROM log WHERE first BETWEEN ? AND ?";

/// The positions of the first and the last row of the next slice below `floor`, if there is one.
pub fn next_slice(
    conn: &Connection,
    low: WalPos,
    floor: WalPos,
) -> rusqlite::Result<Option<(WalPos, WalPos)>> {
    if low >= floor {
        return Ok(None);
    }
    let mut statement = conn.prepare_cached(FREEABLE)?;
    let mut rows = statement.query(params![signed(low), signed(floor), FREE_ROWS])?;
    let (mut slice, mut bytes) = (None, 0);
    while let Some(row) = rows.next()? {
        let first = unsigned(row.get(0)?);
        if first.saturating_add(unsigned(row.get(1)?)) > floor || bytes >= FREE_BYTES {
            break;
        }
        bytes += unsigned(row.get(2)?);
        slice = Some((slice.map_or(first, |(start, _)| start), first));
    }
    Ok(slice)
}

/// Deletes the next slice of rows below `floor`: few enough that no append waits long for it.
pub fn delete_slice(conn: &Connection, low: &mut WalPos, floor: WalPos) -> rusqlite::Result<()> {
    if let Some((first, last)) = next_slice(conn, *low, floor)? {
        conn.prepare_cached(DELETE)?
            .execute([signed(first), signed(last)])?;
        *low = last.saturating_add(1);
    }
    Ok(())
}
