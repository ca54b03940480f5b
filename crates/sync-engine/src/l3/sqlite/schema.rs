//! The tables of an archive file, and nothing else.
//!
//! `items` — one row a key; a tombstone is a row too. It is a rowid table: wide rows in a `WITHOUT ROWID` tree are several times slower.
//!
//! | column | meaning |
//! |---|---|
//! | `id` | the key; TEXT compares by its UTF-8 bytes |
//! | `time`, `origin` | the stamp: unsigned 64-bit numbers with the sign bit flipped, so that SQL's signed order is theirs (see [`ordered`]) |
//! | `live` | 1: an item; 0: a tombstone, whose columns from `hash` on are empty, zero or NULL |
//! | `hash` | SHA-256 of the content, 32 bytes; empty for a tombstone |
//! | `expires_at` | epoch milliseconds, or NULL |
//! | `updated_at` | epoch milliseconds |
//! | `version` | the caller's unsigned number, as the signed number of the same bits |
//! | `content_type` | 0: binary, 1: JSON |
//! | `route` | 1: kept in the cache tier, 2: kept in the archive, 3: both |
//! | `redis_ttl` | seconds, or NULL |
//! | `state` | the caller's tag |
//! | `batch_id`, `trace_parent`, `trace_state`, `home_instance_id` | text, or NULL |
//! | `content` | the payload. Last, so that reading the others never walks its overflow pages |
//!
//! `items_expiry` — the rows that have an `expires_at`, by it.
//!
//! `items_dead` — the tombstones, by time and key.
//!
//! `merkle` — the materialized nodes of the tree: `prefix` (bytes of the key), `count` (bits of the unsigned number),
//! `sum` (32 bytes), `split` (0 or 1).
//!
//! `meta` — small values by name: those of [`MetaKey`](crate::l3::MetaKey), and the three numbers below, each 8 bytes big-endian.

/// `PRAGMA application_id`: "rSQL". What makes the file one of ours.
pub(super) const APPLICATION_ID: i32 = 0x7253_514c;

/// `PRAGMA user_version`: the layout of the tables.
pub(super) const LAYOUT: i32 = 2;

/// Name in `meta` of the tree's number.
pub(super) const TREE_SEQ: &str = "tree_seq";

/// Name in `meta` of the clock bound.
pub(super) const CLOCK_BOUND: &str = "clock_bound";

/// Name in `meta` of the greatest stamp time of a tombstone that was removed.
pub(super) const COLLECTED: &str = "collected";

/// Name and text of everything created, in order. A file is used only if it has each of them, letter by letter.
pub(super) const OBJECTS: [(&str, &str); 5] = [
    (
        "items",
        "CREATE TABLE items (
    id TEXT PRIMARY KEY NOT NULL,
    time INTEGER NOT NULL,
    origin INTEGER NOT NULL,
    live INTEGER NOT NULL,
    hash BLOB NOT NULL,
    expires_at INTEGER,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    content_type INTEGER NOT NULL,
    route INTEGER NOT NULL,
    redis_ttl INTEGER,
    state TEXT NOT NULL,
    batch_id TEXT,
    trace_parent TEXT,
    trace_state TEXT,
    home_instance_id TEXT,
    content BLOB NOT NULL
) STRICT",
    ),
    (
        "items_expiry",
        "CREATE INDEX items_expiry ON items (expires_at) WHERE expires_at IS NOT NULL",
    ),
    (
        "items_dead",
        "CREATE INDEX items_dead ON items (time, id) WHERE live = 0",
    ),
    (
        "merkle",
        "CREATE TABLE merkle (
    prefix BLOB PRIMARY KEY NOT NULL,
    count INTEGER NOT NULL,
    sum BLOB NOT NULL,
    split INTEGER NOT NULL
) STRICT",
    ),
    (
        "meta",
        "CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT",
    ),
];

/// The signed number that stands for `n` in a column whose order matters.
pub(super) fn ordered(n: u64) -> i64 {
    n.cast_signed() ^ i64::MIN
}

/// The number that [`ordered`] stands for.
pub(super) fn unordered(n: i64) -> u64 {
    (n ^ i64::MIN).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ordered_numbers_keep_their_order(a: u64, b: u64) {
            prop_assert_eq!(unordered(ordered(a)), a);
            prop_assert_eq!(ordered(a).cmp(&ordered(b)), a.cmp(&b));
        }
    }
}
