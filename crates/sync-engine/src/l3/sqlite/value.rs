//! The small values of the table `meta`.

use rusqlite::{Connection, OptionalExtension, params};

use super::failure::{Failure, damaged};

/// The value of this name.
pub(super) fn get(conn: &Connection, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let mut select = conn.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(select.query_row([name], |row| row.get(0)).optional()?)
}

/// Writes the value of this name.
pub(super) fn set(conn: &Connection, name: &str, value: &[u8]) -> Result<(), Failure> {
    let mut upsert = conn.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?;
    upsert.execute(params![name, value])?;
    Ok(())
}

/// The number of this name; 0 as long as none was written.
pub(super) fn number(conn: &Connection, name: &str) -> Result<u64, Failure> {
    let Some(value) = get(conn, name)? else {
        return Ok(0);
    };
    match <[u8; 8]>::try_from(&value[..]) {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) => Err(damaged(
            format!("table meta, key {name:?}"),
            format!("the value is {} bytes long instead of 8", value.len()),
        )
        .into()),
    }
}

/// Writes the number of this name.
pub(super) fn set_number(conn: &Connection, name: &str, number: u64) -> Result<(), Failure> {
    set(conn, name, &number.to_be_bytes())
}
