//! Rows to values and back.

use std::sync::Arc;

use mysql_async::Value;

use super::cells::Cells;
use super::failure::Failure;
use crate::item::hash::ContentHash;
use crate::item::key::Key;
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::item::{ContentType, Leaf, Stored, SyncItem};
use crate::merkle::node::{Aggregate, NodeRow};

/// Columns of an item's leaf, the key first.
pub(super) const LEAF: &str = "id, time, origin, live, hash";

/// All columns of an item that are read, in the order of the table.
pub(super) const ITEM: &str = "id, time, origin, live, hash, expires_at, updated_at, version, \
    content_type, route, redis_ttl, state, batch_id, trace_parent, trace_state, home_instance_id, content";

/// All columns of a node.
pub(super) const NODE: &str = "prefix, count, sum, split";

/// How many values [`values_of`] gives.
pub(super) const COLUMNS: usize = 18;

const ROUTE_CACHE: u64 = 1;
const ROUTE_ARCHIVE: u64 = 2;

/// The values of a record's row: `time`, `origin`, `live` and `hash` behind `id`, `bytes` before `content`, the rest as in [`ITEM`].
pub(super) fn values_of(record: &Stored) -> [Value; COLUMNS] {
    let stamp = record.stamp();
    let (id, time, origin) = (record.key().as_str(), stamp.time.0, stamp.origin.raw());
    let none = Value::NULL;
    let empty = || Value::Bytes(Vec::new());
    match record {
        Stored::Tombstone { .. } => [
            id.into(),
            time.into(),
            origin.into(),
            0.into(),
            empty(),
            none.clone(),
            0.into(),
            0.into(),
            0.into(),
            0.into(),
            none.clone(),
            empty(),
            none.clone(),
            none.clone(),
            none.clone(),
            none,
            0.into(),
            empty(),
        ],
        Stored::Live(item) => [
            id.into(),
            time.into(),
            origin.into(),
            1.into(),
            item.content_hash.0.as_slice().into(),
            item.expires_at.into(),
            item.updated_at.into(),
            item.version.into(),
            (item.content_type == ContentType::Json).into(),
            route_of(&item.submit_options).into(),
            item.submit_options.redis_ttl.map(CacheTtl::secs).into(),
            (*item.state).into(),
            item.batch_id.as_deref().into(),
            item.trace_parent.as_deref().into(),
            item.trace_state.as_deref().into(),
            item.home_instance_id.as_deref().into(),
            item.content.len().into(),
            item.content.as_ref().into(),
        ],
    }
}

fn route_of(options: &SubmitOptions) -> u64 {
    u64::from(options.redis) * ROUTE_CACHE + u64::from(options.sql) * ROUTE_ARCHIVE
}

/// About how many bytes of a packet the record's row takes.
pub(super) fn packet_bytes_of(record: &Stored) -> usize {
    let texts = match record {
        Stored::Tombstone { .. } => 0,
        Stored::Live(item) => {
            let extras = [
                &item.batch_id,
                &item.trace_parent,
                &item.trace_state,
                &item.home_instance_id,
            ];
            let extras = extras
                .iter()
                .filter_map(|extra| extra.as_deref())
                .map(str::len);
            item.state.len() + extras.sum::<usize>()
        }
    };
    // Numbers, lengths and types: 18 values of at most 8 bytes, a length and a type each.
    record.size_bytes() + texts + 256
}

/// The key and leaf of a row of [`LEAF`] or [`ITEM`].
pub(super) fn leaf(cells: &Cells) -> Result<(Key, Leaf), Failure> {
    let key = Key::parse(cells.bytes(0)?).map_err(|error| cells.damage(0, &error.to_string()))?;
    let stamp = Stamp {
        time: HlcTime(cells.number(1)?),
        origin: Origin::from_raw(cells.number(2)?),
    };
    let hash = match cells.flag(3)? {
        true => Some(ContentHash(cells.hash(4)?)),
        false => None,
    };
    Ok((key, Leaf { stamp, hash }))
}

/// The record of a row of [`ITEM`].
pub(super) fn stored(row: Vec<Value>) -> Result<Stored, Failure> {
    let mut cells = Cells::new("items", row);
    let (key, leaf) = leaf(&cells)?;
    let stamp = leaf.stamp;
    match leaf.hash {
        None => Ok(Stored::Tombstone { key, stamp }),
        Some(hash) => Ok(Stored::Live(item(&mut cells, key, stamp, hash)?)),
    }
}

fn item(cells: &mut Cells, key: Key, stamp: Stamp, hash: ContentHash) -> Result<SyncItem, Failure> {
    let content_type = match cells.flag(8)? {
        true => ContentType::Json,
        false => ContentType::Binary,
    };
    let (expires_at, updated_at, version) = (
        cells.optional_signed(5)?,
        cells.signed(6)?,
        cells.number(7)?,
    );
    let submit_options = options(cells)?;
    let state: Box<str> = cells.text(11)?.into();
    let extras = [12, 13, 14, 15].map(|at| cells.optional_text(at));
    let [batch_id, trace_parent, trace_state, home_instance_id] = extras;
    let (batch_id, trace_parent) = (batch_id?, trace_parent?);
    let (trace_state, home_instance_id) = (trace_state?, home_instance_id?);
    let content = cells.take_bytes(16)?;
    let item = SyncItem::from_parts(key, content.into(), hash, content_type).edit(|fields| {
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
    let route = cells.number(9)?;
    if route > ROUTE_CACHE + ROUTE_ARCHIVE {
        return Err(cells.damage(9, "is none of 0 to 3"));
    }
    let redis_ttl = match cells.is_null(10) {
        true => None,
        false => Some(CacheTtl::custom_secs(cells.number(10)?)),
    };
    Ok(SubmitOptions {
        redis: route & ROUTE_CACHE != 0,
        redis_ttl,
        sql: route & ROUTE_ARCHIVE != 0,
        state: None,
    })
}

/// The node of a row of [`NODE`].
pub(super) fn node(row: Vec<Value>) -> Result<NodeRow, Failure> {
    let mut cells = Cells::new("merkle", row);
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&cells.number(1)?.to_be_bytes());
    bytes[8..].copy_from_slice(&cells.hash(2)?);
    let split = cells.flag(3)?;
    Ok(NodeRow {
        prefix: cells.take_bytes(0)?,
        aggregate: Aggregate::from_bytes(&bytes),
        split,
    })
}

/// The values of a node's row.
pub(super) fn values_of_node(node: &NodeRow) -> [Value; 4] {
    let bytes = node.aggregate.to_bytes();
    [
        node.prefix.as_slice().into(),
        node.aggregate.count.into(),
        bytes[8..].into(),
        node.split.into(),
    ]
}
