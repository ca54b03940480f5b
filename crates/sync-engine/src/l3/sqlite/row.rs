//! Rows to values and back.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::failure::{Failure, damaged};
use super::schema::{ordered, unordered};
use crate::item::hash::ContentHash;
use crate::item::key::Key;
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::item::{ContentType, Leaf, Stored, SyncItem};
use crate::merkle::node::{Aggregate, NodeRow};

/// Columns of an item's leaf, the key first.
pub(super) const LEAF: &str = "id, time, origin, live, hash";

/// All columns of an item, in the order of the table.
pub(super) const ITEM: &str = "id, time, origin, live, hash, expires_at, updated_at, version, \
    content_type, route, redis_ttl, state, batch_id, trace_parent, trace_state, home_instance_id, content";

/// All columns of a node.
pub(super) const NODE: &str = "prefix, count, sum, split";

const JSON: i64 = 1;
const ROUTE_CACHE: i64 = 1;
const ROUTE_ARCHIVE: i64 = 2;

/// The stamp's two columns.
pub(super) fn stamp_columns(stamp: Stamp) -> (i64, i64) {
    (ordered(stamp.time.0), ordered(stamp.origin.raw()))
}

/// The columns `content_type`, `route` and `redis_ttl`.
pub(super) fn option_columns(item: &SyncItem) -> (i64, i64, Option<i64>) {
    let options = &item.submit_options;
    let json = i64::from(item.content_type == ContentType::Json);
    let route = i64::from(options.redis) * ROUTE_CACHE + i64::from(options.sql) * ROUTE_ARCHIVE;
    // A time to live is at most 2^40 seconds.
    let ttl = options.redis_ttl.map(|ttl| ttl.secs().cast_signed());
    (json, route, ttl)
}

/// The key and leaf of a row of [`LEAF`] or [`ITEM`].
pub(super) fn leaf(row: &Row) -> Result<(Key, Leaf), Failure> {
    let cells = Cells {
        row,
        table: "items",
    };
    let key =
        Key::parse(cells.text_bytes(0)?).map_err(|error| cells.damage(0, &error.to_string()))?;
    let stamp = Stamp {
        time: HlcTime(unordered(cells.int(1)?)),
        origin: Origin::from_raw(unordered(cells.int(2)?)),
    };
    let hash = match cells.flag(3)? {
        true => Some(ContentHash(cells.hash(4)?)),
        false => None,
    };
    Ok((key, Leaf { stamp, hash }))
}

/// The record of a row of [`ITEM`].
pub(super) fn stored(row: &Row) -> Result<Stored, Failure> {
    let (key, leaf) = leaf(row)?;
    match leaf.hash {
        None => Ok(Stored::Tombstone {
            key,
            stamp: leaf.stamp,
        }),
        Some(hash) => Ok(Stored::Live(item(row, key, leaf.stamp, hash)?)),
    }
}

fn item(row: &Row, key: Key, stamp: Stamp, hash: ContentHash) -> Result<SyncItem, Failure> {
    let cells = Cells {
        row,
        table: "items",
    };
    let content_type = match cells.flag(8)? {
        true => ContentType::Json,
        false => ContentType::Binary,
    };
    let expires_at = cells.optional_int(5)?;
    let updated_at = cells.int(6)?;
    let version = cells.int(7)?.cast_unsigned();
    let submit_options = options(&cells)?;
    let state = cells.text(11)?;
    let batch_id = cells.optional_text(12)?;
    let trace_parent = cells.optional_text(13)?;
    let trace_state = cells.optional_text(14)?;
    let home_instance_id = cells.optional_text(15)?;
    let content = Bytes::copy_from_slice(cells.blob(16)?);
    let item = SyncItem::from_parts(key, content, hash, content_type).edit(|fields| {
        fields.stamp = stamp;
        fields.version = version;
        fields.updated_at = updated_at;
        fields.expires_at = expires_at;
        fields.submit_options = submit_options;
        fields.batch_id = batch_id;
        fields.trace_parent = trace_parent;
        fields.trace_state = trace_state;
        fields.home_instance_id = home_instance_id;
        // A new item shares the default tag's one allocation.
        if *fields.state != *state {
            fields.state = Arc::from(state);
        }
    });
    Ok(item)
}

fn options(cells: &Cells) -> Result<SubmitOptions, Failure> {
    let route = cells.int(9)?;
    if !(0..=ROUTE_CACHE + ROUTE_ARCHIVE).contains(&route) {
        return Err(cells.damage(9, "is none of 0 to 3"));
    }
    let redis_ttl = cells
        .optional_int(10)?
        .map(|secs| CacheTtl::custom_secs(secs.cast_unsigned()));
    Ok(SubmitOptions {
        redis: route & ROUTE_CACHE != 0,
        redis_ttl,
        sql: route & ROUTE_ARCHIVE != 0,
        state: None,
    })
}

/// The node of a row of [`NODE`].
pub(super) fn node(row: &Row) -> Result<NodeRow, Failure> {
    let cells = Cells {
        row,
        table: "merkle",
    };
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&cells.int(1)?.to_be_bytes());
    bytes[8..].copy_from_slice(&cells.hash(2)?);
    Ok(NodeRow {
        prefix: cells.blob(0)?.to_vec(),
        aggregate: Aggregate::from_bytes(&bytes),
        split: cells.flag(3)?,
    })
}

/// The columns `count` and `sum`.
pub(super) fn aggregate_columns(aggregate: &Aggregate) -> (i64, [u8; 32]) {
    let bytes = aggregate.to_bytes();
    let mut sum = [0; 32];
    sum.copy_from_slice(&bytes[8..]);
    (aggregate.count.cast_signed(), sum)
}

/// A row whose cells are checked; an unfit one is damage, shown with table, key and column.
struct Cells<'a> {
    row: &'a Row<'a>,
    table: &'static str,
}

impl<'a> Cells<'a> {
    fn damage(&self, at: usize, problem: &str) -> Failure {
        let key = match self.row.get_ref(0) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => String::from_utf8_lossy(bytes),
            _ => "?".into(),
        };
        let column = self.row.as_ref().column_name(at).unwrap_or("?");
        damaged(
            format!("table {}, key {key:?}", self.table),
            format!("the column {column} {problem}"),
        )
        .into()
    }

    fn unfit(&self, at: usize, value: ValueRef, wanted: &str) -> Failure {
        self.damage(at, &format!("is {} instead of {wanted}", value.data_type()))
    }

    fn int(&self, at: usize) -> Result<i64, Failure> {
        match self.row.get_ref(at)? {
            ValueRef::Integer(n) => Ok(n),
            other => Err(self.unfit(at, other, "an integer")),
        }
    }

    fn optional_int(&self, at: usize) -> Result<Option<i64>, Failure> {
        match self.row.get_ref(at)? {
            ValueRef::Null => Ok(None),
            _ => self.int(at).map(Some),
        }
    }

    fn flag(&self, at: usize) -> Result<bool, Failure> {
        match self.int(at)? {
            0 => Ok(false),
            // Also what says "JSON" in `content_type`.
            JSON => Ok(true),
            _ => Err(self.damage(at, "is neither 0 nor 1")),
        }
    }

    fn blob(&self, at: usize) -> Result<&'a [u8], Failure> {
        match self.row.get_ref(at)? {
            ValueRef::Blob(bytes) => Ok(bytes),
            other => Err(self.unfit(at, other, "a blob")),
        }
    }

    fn hash(&self, at: usize) -> Result<[u8; 32], Failure> {
        let bytes = self.blob(at)?;
        <[u8; 32]>::try_from(bytes)
            .map_err(|_| self.damage(at, &format!("is {} bytes long instead of 32", bytes.len())))
    }

    fn text_bytes(&self, at: usize) -> Result<&'a [u8], Failure> {
        match self.row.get_ref(at)? {
            ValueRef::Text(bytes) => Ok(bytes),
            other => Err(self.unfit(at, other, "text")),
        }
    }

    fn text(&self, at: usize) -> Result<&'a str, Failure> {
        std::str::from_utf8(self.text_bytes(at)?).map_err(|_| self.damage(at, "is not UTF-8"))
    }

    fn optional_text(&self, at: usize) -> Result<Option<Box<str>>, Failure> {
        match self.row.get_ref(at)? {
            ValueRef::Null => Ok(None),
            _ => self.text(at).map(|text| Some(text.into())),
        }
    }
}
