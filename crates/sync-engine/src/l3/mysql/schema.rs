//! The tables of an archive database, and nothing else. All text is kept as its bytes: no collation, no conversion.
//!
//! `items` — one row a key; a tombstone is a row too.
//!
//! | column | meaning |
//! |---|---|
//! | `id` | the key, UTF-8 |
//! | `time`, `origin` | the stamp |
//! | `live` | 1: an item; 0: a tombstone, whose columns from `hash` on are empty, zero or NULL |
//! | `hash` | SHA-256 of the content, 32 bytes; empty for a tombstone |
//! | `expires_at` | epoch milliseconds, or NULL |
//! | `updated_at` | epoch milliseconds |
//! | `version` | the caller's number |
//! | `content_type` | 0: binary, 1: JSON |
//! | `route` | 1: kept in the cache tier, 2: kept in the archive, 3: both |
//! | `redis_ttl` | seconds, or NULL |
//! | `state` | the caller's tag |
//! | `batch_id`, `trace_parent`, `trace_state`, `home_instance_id` | text, or NULL |
//! | `bytes` | length of the content, so that a scan can sum up what it does not read |
//! | `content` | the payload |
//! | `dead` | a tombstone's `time`, or NULL |
//!
//! `items_expiry` — index by `expires_at`; `items_dead` — index by `dead`. Both go on with the key.
//!
//! `merkle` — the materialized nodes of the tree: `prefix` (bytes of the key), `count`, `sum` (32 bytes), `split` (0 or 1).
//!
//! `meta` — small values by name: those of [`MetaKey`](crate::l3::MetaKey), and the numbers below, each 8 bytes big-endian.

use std::collections::BTreeMap;

use super::cells::RowCells;
use super::failure::{Failure, damaged};
use super::session::Session;
use super::value;

const META: &str = "meta";

/// Name in `meta` of the layout's number.
const LAYOUT: &str = "layout";
/// The layout that this program writes.
const LAYOUT_NUMBER: u64 = 2;
/// Name in `meta` of the tree's number. Its row is the lock that puts commits in line.
pub(super) const TREE_SEQ: &str = "tree_seq";
/// Name in `meta` of the clock bound.
pub(super) const CLOCK_BOUND: &str = "clock_bound";
/// Name in `meta` of the greatest stamp time of a tombstone that was removed.
pub(super) const COLLECTED: &str = "collected";

/// Longest key, prefix or free-text field is 1024 bytes: see [`crate::limits`]. A state has at most 256; its column is as
/// wide as the others.
const CREATE: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS items (
    id VARBINARY(1024) NOT NULL PRIMARY KEY,
    time BIGINT UNSIGNED NOT NULL,
    origin BIGINT UNSIGNED NOT NULL,
    live TINYINT UNSIGNED NOT NULL,
    hash VARBINARY(32) NOT NULL,
    expires_at BIGINT,
    updated_at BIGINT NOT NULL,
    version BIGINT UNSIGNED NOT NULL,
    content_type TINYINT UNSIGNED NOT NULL,
    route TINYINT UNSIGNED NOT NULL,
    redis_ttl BIGINT UNSIGNED,
    state VARBINARY(1024) NOT NULL,
    batch_id VARBINARY(1024),
    trace_parent VARBINARY(1024),
    trace_state VARBINARY(1024),
    home_instance_id VARBINARY(1024),
    bytes INT UNSIGNED NOT NULL,
    content LONGBLOB NOT NULL,
    dead BIGINT UNSIGNED,
    KEY items_expiry (expires_at),
    KEY items_dead (dead)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
    "CREATE TABLE IF NOT EXISTS merkle (
    prefix VARBINARY(1024) NOT NULL PRIMARY KEY,
    count BIGINT UNSIGNED NOT NULL,
    sum VARBINARY(32) NOT NULL,
    split TINYINT UNSIGNED NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
    "CREATE TABLE IF NOT EXISTS meta (
    name VARBINARY(64) NOT NULL PRIMARY KEY,
    value LONGBLOB NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
];

const BYTES: &str = "varbinary";
const NUMBER: &str = "bigint";
const SMALL: &str = "tinyint";

/// Name and type of every column, by table.
const COLUMNS: [(&str, &[(&str, &str)]); 3] = [
    (
        "items",
        &[
            ("id", BYTES),
            ("time", NUMBER),
            ("origin", NUMBER),
            ("live", SMALL),
            ("hash", BYTES),
            ("expires_at", NUMBER),
            ("updated_at", NUMBER),
            ("version", NUMBER),
            ("content_type", SMALL),
            ("route", SMALL),
            ("redis_ttl", NUMBER),
            ("state", BYTES),
            ("batch_id", BYTES),
            ("trace_parent", BYTES),
            ("trace_state", BYTES),
            ("home_instance_id", BYTES),
            ("bytes", "int"),
            ("content", "longblob"),
            ("dead", NUMBER),
        ],
    ),
    (
        "merkle",
        &[
            ("prefix", BYTES),
            ("count", NUMBER),
            ("sum", BYTES),
            ("split", SMALL),
        ],
    ),
    (META, &[("name", BYTES), ("value", "longblob")]),
];

/// Creates what is missing, and makes sure that what is there is an archive of this program.
pub(super) async fn prepare(session: &mut Session) -> Result<(), Failure> {
    // Looked at first, so that nothing is added to a database of something else. An archive of another layout may have other
    // columns, and is told by its number.
    check_layout(session).await?;
    check_tables(session, true).await?;
    for sql in CREATE {
        session.tell(sql).await?;
    }
    check_tables(session, false).await?;
    let numbers = [
        (LAYOUT, LAYOUT_NUMBER),
        (TREE_SEQ, 0),
        (CLOCK_BOUND, 0),
        (COLLECTED, 0),
    ];
    for (name, number) in numbers {
        value::add_number(session, name, number).await?;
    }
    check_layout(session).await
}

/// If there is a layout's number, it is that of this program.
async fn check_layout(session: &mut Session) -> Result<(), Failure> {
    let found = columns(session).await?;
    let is_ours =
        |(table, wanted): &(&str, &[_])| *table == META && are_same(found.get(META), wanted);
    if !COLUMNS.iter().any(is_ours) || value::get(session, LAYOUT).await?.is_none() {
        return Ok(());
    }
    match value::number(session, LAYOUT).await? {
        LAYOUT_NUMBER => Ok(()),
        other => Err(damaged(
            "table meta",
            format!("the tables have layout {other}, this program knows layout {LAYOUT_NUMBER}"),
        )),
    }
}

fn are_same(found: Option<&Vec<(String, String)>>, wanted: &[(&str, &str)]) -> bool {
    let found = found.map(Vec::as_slice).unwrap_or_default();
    let pairs = || found.iter().map(|(name, kind)| (&**name, &**kind));
    pairs().eq(wanted.iter().copied())
}

/// The tables that are there have these columns and can undo a transaction. `some` may be missing.
async fn check_tables(session: &mut Session, some: bool) -> Result<(), Failure> {
    let found = columns(session).await?;
    for (table, wanted) in COLUMNS {
        let columns = found.get(table);
        if columns.is_none() {
            match some {
                true => continue,
                false => return Err(damaged(format!("table {table}"), "it is not there")),
            }
        }
        if !are_same(columns, wanted) {
            return Err(damaged(
                format!("table {table}"),
                "its columns are not those of an archive; give the archive a database of its own",
            ));
        }
    }
    let engines = "SELECT table_name, engine FROM information_schema.tables \
        WHERE table_schema = DATABASE() AND table_name IN ('items', 'merkle', 'meta')";
    for row in session.rows(engines, Vec::new()).await? {
        let cells = RowCells::new("tables", row);
        let (table, engine) = (cells.lossy(0), cells.lossy(1));
        if !engine.eq_ignore_ascii_case("innodb") {
            let how = format!("its engine is {engine}, and only InnoDB can undo a transaction");
            return Err(damaged(format!("table {table}"), how));
        }
    }
    Ok(())
}

/// Name and type of the columns there are, by table, in their order.
async fn columns(
    session: &mut Session,
) -> Result<BTreeMap<String, Vec<(String, String)>>, Failure> {
    let sql = "SELECT table_name, column_name, data_type FROM information_schema.columns \
        WHERE table_schema = DATABASE() AND table_name IN ('items', 'merkle', 'meta') \
        ORDER BY table_name, ordinal_position";
    let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in session.rows(sql, Vec::new()).await? {
        let cells = RowCells::new("columns", row);
        let column = (cells.lossy(1), cells.lossy(2).to_lowercase());
        tables.entry(cells.lossy(0)).or_default().push(column);
    }
    Ok(tables)
}
