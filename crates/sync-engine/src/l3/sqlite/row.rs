//! Rows to values and back.

use rusqlite::Row;

use super::cells::RowCells;
use super::failure::Failure;
use super::schema::ordered;
use crate::item::key::Key;
use crate::item::stamp::Stamp;
use crate::item::{ContentType, Leaf, Stored, SyncItem};
use crate::l3::columns;
use crate::merkle::node::{Aggregate, NodeRow};

/// The stamp's two columns.
pub(super) fn stamp_columns(stamp: Stamp) -> (i64, i64) {
    (ordered(stamp.time.0), ordered(stamp.origin.raw()))
}

/// The columns `content_type`, `route` and `redis_ttl`.
pub(super) fn option_columns(item: &SyncItem) -> (i64, i64, Option<i64>) {
    let options = &item.submit_options;
    let json = i64::from(item.content_type == ContentType::Json);
    let route = columns::route_of(options).cast_signed();
    // A time to live is at most 2^40 seconds.
    let ttl = options.redis_ttl.map(|ttl| ttl.secs().cast_signed());
    (json, route, ttl)
}

/// The columns `count` and `sum`.
pub(super) fn aggregate_columns(aggregate: &Aggregate) -> (i64, [u8; 32]) {
    let bytes = aggregate.to_bytes();
    let mut sum = [0; 32];
    sum.copy_from_slice(&bytes[8..]);
    (aggregate.count.cast_signed(), sum)
}

/// The key and leaf of a row of [`columns::LEAF`] or [`columns::ITEM`].
pub(super) fn leaf(row: &Row) -> Result<(Key, Leaf), Failure> {
    columns::leaf(&RowCells::new("items", row))
}

/// The record of a row of [`columns::ITEM`].
pub(super) fn stored(row: &Row) -> Result<Stored, Failure> {
    columns::stored(RowCells::new("items", row))
}

/// The node of a row of [`columns::NODE`].
pub(super) fn node(row: &Row) -> Result<NodeRow, Failure> {
    columns::node(RowCells::new("merkle", row))
}
