//! The queries.

use std::collections::BTreeMap;

use mysql_async::Value;

use super::cells::RowCells;
use super::chunk::list;
use super::failure::Failure;
use super::schema::TREE_SEQ;
use super::session::Session;
use super::value;
use crate::item::key::Key;
use crate::item::stamp::{HlcTime, Stamp};
use crate::item::{Leaf, Stored};
use crate::l3::KeyRange;
use crate::l3::columns::{self, Cells, ITEM, LEAF, NODE};
use crate::merkle::node::NodeRow;

/// Keys in one statement.
const KEYS_MAX: usize = 1024;

/// Bytes of keys in one statement. Padded to twice as many, they fit the smallest packet that is accepted.
const KEYS_BYTES: usize = 96 << 10;

/// Tombstones up to a time, behind one of them. A comparison of pairs would not be looked up in the index.
pub(super) const DEAD: &str = "dead BETWEEN ? AND ? AND (dead > ? OR id > ?) ORDER BY dead, id";

/// The range as a condition with its values.
fn in_range(range: &KeyRange) -> (&'static str, Vec<Value>) {
    let start = Value::from(&range.start[..]);
    match &range.end {
        None => ("id >= ?", vec![start]),
        Some(end) => ("id >= ? AND id < ?", vec![start, Value::from(&end[..])]),
    }
}

/// Some keys as the list of an IN, the shortest one repeated until their number is a power of two: to ask twice changes nothing,
/// and so few statements do for all numbers.
fn padded(keys: &[&Key]) -> Vec<Value> {
    let mut values: Vec<Value> = keys.iter().map(|key| Value::from(key.as_str())).collect();
    if let Some(shortest) = keys.iter().min_by_key(|key| key.len()) {
        let value = Value::from(shortest.as_str());
        values.resize(keys.len().next_power_of_two(), value);
    }
    values
}

/// The keys in runs of one statement each.
fn statements<'a>(keys: &'a [&'a Key]) -> impl Iterator<Item = &'a [&'a Key]> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(KEYS_MAX).take_while(|key| {
            bytes += key.len();
            bytes <= KEYS_BYTES
        });
        let (run, later) = rest.split_at_checked(fitting.count())?;
        rest = later;
        (!run.is_empty()).then_some(run)
    })
}

/// The rows of these keys.
pub(super) async fn get_many(
    session: &mut Session,
    keys: &[Key],
) -> Result<Vec<Option<Stored>>, Failure> {
    let asked: Vec<&Key> = keys.iter().collect();
    let mut found = BTreeMap::new();
    for chunk in statements(&asked) {
        let values = padded(chunk);
        let sql = format!(
            "SELECT {ITEM} FROM items WHERE id IN ({})",
            list("?", values.len())
        );
        for cells in session.rows(&sql, values).await? {
            let record = columns::stored(RowCells::new("items", cells))?;
            found.insert(record.key().clone(), record);
        }
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// The leaves of these keys.
pub(super) async fn leaves_of(
    session: &mut Session,
    keys: &[&Key],
) -> Result<Vec<Option<Leaf>>, Failure> {
    let mut found = BTreeMap::new();
    for chunk in statements(keys) {
        let values = padded(chunk);
        let sql = format!(
            "SELECT {LEAF} FROM items WHERE id IN ({})",
            list("?", values.len())
        );
        for cells in session.rows(&sql, values).await? {
            let (key, leaf) = columns::leaf(&RowCells::new("items", cells))?;
            found.insert(key, leaf);
        }
    }
    Ok(keys.iter().map(|key| found.get(*key).copied()).collect())
}

/// The rows of a range, see [`crate::l3::ArchiveStore::scan`]: first how many fit, then those.
pub(super) async fn scan(
    session: &mut Session,
    range: &KeyRange,
    limit: usize,
    bytes_max: usize,
) -> Result<Vec<Stored>, Failure> {
    let fitting = fitting(session, range, limit, bytes_max).await?;
    if fitting == 0 {
        return Ok(Vec::new());
    }
    let (condition, mut values) = in_range(range);
    values.push(Value::from(fitting));
    let sql = format!("SELECT {ITEM} FROM items WHERE {condition} ORDER BY id LIMIT ?");
    let rows = session.rows(&sql, values).await?;
    rows.into_iter()
        .map(|cells| columns::stored(RowCells::new("items", cells)))
        .collect()
}

/// How many rows of the range a scan gives.
async fn fitting(
    session: &mut Session,
    range: &KeyRange,
    limit: usize,
    bytes_max: usize,
) -> Result<u64, Failure> {
    let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let (mut rest, mut range) = (limit, range.clone());
    let (mut fitting, mut bytes) = (0, 0u64);
    loop {
        let page = rest.min(KEYS_MAX);
        let (condition, mut values) = in_range(&range);
        values.push(Value::from(page));
        let sql = format!("SELECT id, bytes FROM items WHERE {condition} ORDER BY id LIMIT ?");
        let rows = session.rows(&sql, values).await?;
        let found = rows.len();
        for row in rows {
            let mut cells = RowCells::new("items", row);
            let content = cells.number(1)?;
            let id = cells.take_blob(0)?;
            bytes = bytes
                .saturating_add(content)
                .saturating_add(id.len() as u64);
            fitting += 1;
            if bytes > bytes_max {
                return Ok(fitting);
            }
            range = range.after(&id);
        }
        rest -= found;
        if found < page || rest == 0 {
            return Ok(fitting);
        }
    }
}

/// The keys and leaves of a range.
pub(super) async fn scan_leaves(
    session: &mut Session,
    range: &KeyRange,
    limit: usize,
) -> Result<Vec<(Key, Leaf)>, Failure> {
    let (condition, mut values) = in_range(range);
    values.push(Value::from(limit));
    let sql = format!("SELECT {LEAF} FROM items WHERE {condition} ORDER BY id LIMIT ?");
    let rows = session.rows(&sql, values).await?;
    rows.into_iter()
        .map(|cells| columns::leaf(&RowCells::new("items", cells)))
        .collect()
}

/// The live, unexpired rows of a range.
pub(super) async fn count_live(
    session: &mut Session,
    range: &KeyRange,
    now_ms: i64,
) -> Result<u64, Failure> {
    let (condition, mut values) = in_range(range);
    values.push(Value::from(now_ms));
    let sql = format!(
        "SELECT COUNT(*) FROM items WHERE {condition} AND live = 1 AND (expires_at IS NULL OR expires_at > ?)"
    );
    let rows = session.rows(&sql, values).await?;
    rows.into_iter()
        .next()
        .map_or(Ok(0), |row| RowCells::new("items", row).number(0))
}

/// Items past their end, the longest past first.
pub(super) async fn expired(
    session: &mut Session,
    now_ms: i64,
    limit: usize,
) -> Result<Vec<(Key, Leaf)>, Failure> {
    let sql = format!("SELECT {LEAF} FROM items WHERE expires_at <= ? ORDER BY expires_at LIMIT ?");
    let rows = session
        .rows(&sql, vec![Value::from(now_ms), Value::from(limit)])
        .await?;
    rows.into_iter()
        .map(|cells| columns::leaf(&RowCells::new("items", cells)))
        .collect()
}

/// Tombstones, see [`crate::l3::ArchiveStore::tombstones`].
pub(super) async fn tombstones(
    session: &mut Session,
    until: HlcTime,
    after: Option<&(Key, Stamp)>,
    limit: usize,
) -> Result<Vec<(Key, Stamp)>, Failure> {
    let sql = format!("SELECT {LEAF} FROM items WHERE {DEAD} LIMIT ?");
    // No key is empty.
    let (time, id) = after.map_or((0, ""), |(key, stamp)| (stamp.time.0, key.as_str()));
    let (time, until) = (Value::from(time), Value::from(until.0));
    let values = vec![time.clone(), until, time, id.into(), Value::from(limit)];
    let rows = session.rows(&sql, values).await?;
    let stamped = |(key, leaf): (Key, Leaf)| (key, leaf.stamp);
    rows.into_iter()
        .map(|cells| columns::leaf(&RowCells::new("items", cells)).map(stamped))
        .collect()
}

/// Every node, and the tree's number, from one snapshot.
pub(super) async fn load_tree(session: &mut Session) -> Result<(Vec<NodeRow>, u64), Failure> {
    session
        .tell("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    session
        .begin("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        .await?;
    match load_tree_inside(session).await {
        Ok(tree) => {
            session.commit().await?;
            Ok(tree)
        }
        Err(failure) => {
            session.roll_back(&failure).await;
            Err(failure)
        }
    }
}

async fn load_tree_inside(session: &mut Session) -> Result<(Vec<NodeRow>, u64), Failure> {
    let sql = format!("SELECT {NODE} FROM merkle ORDER BY prefix");
    let rows = session.rows(&sql, Vec::new()).await?;
    let nodes = rows
        .into_iter()
        .map(|row| columns::node(RowCells::new("merkle", row)).map_err(Failure::of_node))
        .collect::<Result<_, _>>()?;
    Ok((nodes, value::number(session, TREE_SEQ).await?))
}
