//! The queries. Each call is one read transaction, so it sees one snapshot.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failure::Failure;
use super::row;
use super::schema::{TREE_SEQ, ordered};
use super::value;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::l3::KeyRange;
use crate::l3::columns::{ITEM, LEAF, NODE};
use crate::merkle::node::NodeRow;

/// A range of keys. The bounds are bytes that need not be UTF-8: a cast makes them text as they are, and text is
/// compared byte by byte.
const IN_RANGE: &str = "id >= CAST(?1 AS TEXT) AND id < CAST(?2 AS TEXT)";

/// Greater than every key: no UTF-8 text has a byte 0xff.
const AFTER_ALL: &[u8] = &[0xff];

/// Tombstones up to a time, behind one of them.
const DEAD: &str = "live = 0 AND time <= ?1 AND (time, id) > (?2, ?3) ORDER BY time, id";

fn end_of(range: &KeyRange) -> &[u8] {
    range.end.as_deref().unwrap_or(AFTER_ALL)
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The rows of these keys.
pub(super) fn get_many(
    conn: &mut Connection,
    keys: &[Key],
) -> Result<Vec<Option<Stored>>, Failure> {
    let sql = format!("SELECT {ITEM} FROM items WHERE id = ?1");
    each_key(conn, keys, &sql, row::stored)
}

/// The leaves of these keys.
pub(super) fn leaves_of(conn: &mut Connection, keys: &[Key]) -> Result<Vec<Option<Leaf>>, Failure> {
    let sql = format!("SELECT {LEAF} FROM items WHERE id = ?1");
    each_key(conn, keys, &sql, |row| Ok(row::leaf(row)?.1))
}

fn each_key<T>(
    conn: &mut Connection,
    keys: &[Key],
    sql: &str,
    decode: impl Fn(&Row) -> Result<T, Failure>,
) -> Result<Vec<Option<T>>, Failure> {
    let tx = conn.transaction()?;
    let mut select = tx.prepare_cached(sql)?;
    keys.iter()
        .map(|key| {
            select
                .query_row([key.as_str()], |row| Ok(decode(row)))
                .optional()?
                .transpose()
        })
        .collect()
}

/// The rows of a range, see [`crate::l3::ArchiveStore::scan`].
pub(super) fn scan(
    conn: &mut Connection,
    range: &KeyRange,
    limit: usize,
    bytes_max: usize,
) -> Result<Vec<Stored>, Failure> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT {ITEM} FROM items WHERE {IN_RANGE} ORDER BY id LIMIT ?3"
    ))?;
    let mut rows = select.query(params![&range.start[..], end_of(range), sql_limit(limit)])?;
    let mut found = Vec::new();
    let mut bytes = 0usize;
    while let Some(row) = rows.next()? {
        let stored = row::stored(row)?;
        bytes = bytes.saturating_add(stored.size_bytes());
        found.push(stored);
        if bytes > bytes_max {
            break;
        }
    }
    Ok(found)
}

/// The keys and leaves of a range.
pub(super) fn scan_leaves(
    conn: &mut Connection,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<(Key, Leaf)>, Failure> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT {LEAF} FROM items WHERE {IN_RANGE} ORDER BY id LIMIT ?3"
    ))?;
    let parameters = params![&range.start[..], end_of(range), sql_limit(limit)];
    let rows = select.query_map(parameters, |row| Ok(row::leaf(row)))?;
    rows.map(|row| row?).collect()
}

/// The live, unexpired rows of a range.
pub(super) fn count_live(
    conn: &mut Connection,
    range: &KeyRange,
    now_ms: i64,
) -> Result<u64, Failure> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT count(*) FROM items WHERE {IN_RANGE} AND live = 1 AND (expires_at IS NULL OR expires_at > ?3)"
    ))?;
    let parameters = params![&range.start[..], end_of(range), now_ms];
    let count: i64 = select.query_row(parameters, |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// Items past their end, the longest past first.
pub(super) fn expired(
    conn: &mut Connection,
    now_ms: i64,
    limit: usize,
) -> Result<Vec<(Key, Leaf)>, Failure> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT {LEAF} FROM items WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2"
    ))?;
    let rows = select.query_map(params![now_ms, sql_limit(limit)], |row| Ok(row::leaf(row)))?;
    rows.map(|row| row?).collect()
}

/// Tombstones, see [`crate::l3::ArchiveStore::tombstones`].
pub(super) fn tombstones(
    conn: &mut Connection,
    until: HlcTime,
    after: Option<&(Key, Stamp)>,
    limit: usize,
) -> Result<Vec<(Key, Stamp)>, Failure> {
    let sql = format!("SELECT {LEAF} FROM items WHERE {DEAD} LIMIT ?4");
    let mut select = conn.prepare_cached(&sql)?;
    // No key is empty.
    let (time, id) = after.map_or((0, ""), |(key, stamp)| (stamp.time.0, key.as_str()));
    let parameters = params![ordered(until.0), ordered(time), id, sql_limit(limit)];
    let rows = select.query_map(parameters, |row| Ok(row::leaf(row)))?;
    let stamped = |(key, leaf): (Key, Leaf)| (key, leaf.stamp);
    rows.map(|row| row?.map(stamped)).collect()
}

/// Every node, and the tree's number.
pub(super) fn load_tree(conn: &mut Connection) -> Result<(Vec<NodeRow>, u64), Failure> {
    let tx = conn.transaction()?;
    let mut select = tx.prepare_cached(&format!("SELECT {NODE} FROM merkle ORDER BY prefix"))?;
    let nodes = select
        .query_map([], |row| Ok(row::node(row).map_err(Failure::of_node)))?
        .map(|row| row?)
        .collect::<Result<_, Failure>>()?;
    Ok((nodes, value::number(&tx, TREE_SEQ)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l3::sqlite::schema::OBJECTS;

    fn plan_of(sql: &str) -> String {
        let conn = Connection::open_in_memory().unwrap();
        for (_, create) in OBJECTS {
            conn.execute_batch(create).unwrap();
        }
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = vec![rusqlite::types::Value::Null; explain.parameter_count()];
        let lines = explain
            .query_map(rusqlite::params_from_iter(parameters), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    /// A range query that sorts, or that walks past the range's end, would make every page of a listing as slow as the table is long.
    #[test]
    fn ranges_expiries_and_tombstones_are_searched_in_their_index() {
        let plan = plan_of(&format!(
            "SELECT {ITEM} FROM items WHERE {IN_RANGE} ORDER BY id LIMIT ?3"
        ));
        assert_eq!(
            plan,
            "SEARCH items USING INDEX sqlite_autoindex_items_1 (id>? AND id<?)"
        );
        let plan = plan_of(&format!(
            "SELECT {LEAF} FROM items WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2"
        ));
        assert_eq!(plan, "SEARCH items USING INDEX items_expiry (expires_at<?)");
        let plan = plan_of(&format!("SELECT {LEAF} FROM items WHERE {DEAD} LIMIT ?4"));
        assert_eq!(
            plan,
            "SEARCH items USING INDEX items_dead ((time,id)>(?,?) AND time<?)"
        );
    }
}
