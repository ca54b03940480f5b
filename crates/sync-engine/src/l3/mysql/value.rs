//! The small values of the table `meta`.

use mysql_async::Value;

use super::cells::RowCells;
use super::failure::{Failure, damaged};
use super::session::Session;
use crate::l3::columns::Cells;

/// The value of this name.
pub(super) async fn get(session: &mut Session, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let sql = "SELECT value FROM meta WHERE name = ?";
    let rows = session.rows(sql, vec![name.into()]).await?;
    rows.into_iter()
        .next()
        .map(|row| RowCells::new("meta", row).take_blob(0))
        .transpose()
}

/// Writes the value of this name.
pub(super) async fn set(session: &mut Session, name: &str, value: Vec<u8>) -> Result<(), Failure> {
    let sql = "INSERT INTO meta (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)";
    session
        .run(sql, vec![name.into(), Value::Bytes(value)])
        .await
}

/// Writes the number of this name, unless there is one.
pub(super) async fn add_number(
    session: &mut Session,
    name: &str,
    number: u64,
) -> Result<(), Failure> {
    let sql =
        "INSERT INTO meta (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE name = meta.name";
    session.run(sql, vec![name.into(), bytes(number)]).await
}

/// Writes the number of this name, unless there is a greater one: the byte order of the values is that of the numbers.
pub(super) async fn raise_number(
    session: &mut Session,
    name: &str,
    number: u64,
) -> Result<(), Failure> {
    let sql = "INSERT INTO meta (name, value) VALUES (?, ?) \
        ON DUPLICATE KEY UPDATE value = IF(VALUES(value) > meta.value, VALUES(value), meta.value)";
    session.run(sql, vec![name.into(), bytes(number)]).await
}

/// The number of this name.
pub(super) async fn number(session: &mut Session, name: &str) -> Result<u64, Failure> {
    number_of(name, get(session, name).await?)
}

/// The number of this name, its row locked until the transaction ends.
pub(super) async fn lock_number(session: &mut Session, name: &str) -> Result<u64, Failure> {
    let sql = "SELECT value FROM meta WHERE name = ? FOR UPDATE";
    let rows = session.rows(sql, vec![name.into()]).await?;
    let value = rows
        .into_iter()
        .next()
        .map(|row| RowCells::new("meta", row).take_blob(0));
    number_of(name, value.transpose()?)
}

/// Writes the number of this name.
pub(super) async fn set_number(
    session: &mut Session,
    name: &str,
    number: u64,
) -> Result<(), Failure> {
    set(session, name, number.to_be_bytes().to_vec()).await
}

fn bytes(number: u64) -> Value {
    Value::Bytes(number.to_be_bytes().to_vec())
}

fn number_of(name: &str, value: Option<Vec<u8>>) -> Result<u64, Failure> {
    // `open` writes every number, so a missing one was removed by somebody.
    let value =
        value.ok_or_else(|| damaged(format!("table meta, key {name:?}"), "it is not there"))?;
    match <[u8; 8]>::try_from(&value[..]) {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) => Err(damaged(
            format!("table meta, key {name:?}"),
            format!("the value is {} bytes long instead of 8", value.len()),
        )),
    }
}
