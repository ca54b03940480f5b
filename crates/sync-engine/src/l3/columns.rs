//! The columns of both SQL archives, and what their cells mean.

use std::sync::Arc;

use crate::item::hash::ContentHash;
use crate::item::key::Key;
use crate::item::options::{CacheTtl, SubmitOptions};
use crate::item::stamp::{HlcTime, Origin, Stamp};
use crate::item::{ContentType, DEFAULT_STATE, Leaf, Stored, SyncItem};
use crate::merkle::node::{Aggregate, NodeRow};

/// Columns of an item's leaf, the key first.
pub(super) const LEAF: &str = "id, time, origin, live, hash";

/// All columns of an item that are read, in the order of the table.
pub(super) const ITEM: &str = "id, time, origin, live, hash, expires_at, updated_at, version, \
    content_type, route, redis_ttl, state, batch_id, trace_parent, trace_state, home_instance_id, content";

/// All columns of a node.
pub(super) const NODE: &str = "prefix, count, sum, split";

const ROUTE_CACHE: u64 = 1;
const ROUTE_ARCHIVE: u64 = 2;

/// The cells of one row, checked as they are read: an unfit one is damage.
pub(super) trait Cells {
    type Failure;

    /// What is wrong with a cell, shown with table, key and column.
    fn damage(&self, at: usize, problem: &str) -> Self::Failure;

    fn is_null(&self, at: usize) -> Result<bool, Self::Failure>;

    /// An unsigned number.
    fn number(&self, at: usize) -> Result<u64, Self::Failure>;

    /// An unsigned number by which rows are compared.
    fn ordered(&self, at: usize) -> Result<u64, Self::Failure>;

    fn signed(&self, at: usize) -> Result<i64, Self::Failure>;

    fn blob(&self, at: usize) -> Result<&[u8], Self::Failure>;

    /// A blob, moved out where that saves a copy.
    fn take_blob(&mut self, at: usize) -> Result<Vec<u8>, Self::Failure>;

    /// The bytes of a text.
    fn text_bytes(&self, at: usize) -> Result<&[u8], Self::Failure>;

    fn flag(&self, at: usize) -> Result<bool, Self::Failure> {
        match self.number(at)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damage(at, "is neither 0 nor 1")),
        }
    }

    fn hash(&self, at: usize) -> Result<[u8; 32], Self::Failure> {
        let bytes = self.blob(at)?;
        <[u8; 32]>::try_from(bytes)
            .map_err(|_| self.damage(at, &format!("is {} bytes long instead of 32", bytes.len())))
    }

    fn text(&self, at: usize) -> Result<&str, Self::Failure> {
        std::str::from_utf8(self.text_bytes(at)?).map_err(|_| self.damage(at, "is not UTF-8"))
    }

    fn optional_text(&self, at: usize) -> Result<Option<Box<str>>, Self::Failure> {
        match self.is_null(at)? {
            true => Ok(None),
            false => self.text(at).map(|text| Some(text.into())),
        }
    }
}

/// What `route` says: a bit for each tier.
pub(super) fn route_of(options: &SubmitOptions) -> u64 {
    u64::from(options.redis) * ROUTE_CACHE + u64::from(options.sql) * ROUTE_ARCHIVE
}

/// The key and leaf of a row of [`LEAF`] or [`ITEM`].
pub(super) fn leaf<C: Cells>(cells: &C) -> Result<(Key, Leaf), C::Failure> {
    let key =
        Key::parse(cells.text_bytes(0)?).map_err(|error| cells.damage(0, &error.to_string()))?;
    let stamp = Stamp {
        time: HlcTime(cells.ordered(1)?),
        origin: Origin::from_raw(cells.ordered(2)?),
    };
    let hash = match cells.flag(3)? {
        true => Some(ContentHash(cells.hash(4)?)),
        false => None,
    };
    Ok((key, Leaf { stamp, hash }))
}

/// The record of a row of [`ITEM`].
pub(super) fn stored<C: Cells>(mut cells: C) -> Result<Stored, C::Failure> {
    let (key, leaf) = leaf(&cells)?;
    let stamp = leaf.stamp;
    match leaf.hash {
        None => Ok(Stored::Tombstone { key, stamp }),
        Some(hash) => Ok(Stored::Live(item(&mut cells, key, stamp, hash)?)),
    }
}

fn item<C: Cells>(
    cells: &mut C,
    key: Key,
    stamp: Stamp,
    hash: ContentHash,
) -> Result<SyncItem, C::Failure> {
    let content_type = match cells.flag(8)? {
        true => ContentType::Json,
        false => ContentType::Binary,
    };
    let expires_at = match cells.is_null(5)? {
        true => None,
        false => Some(cells.signed(5)?),
    };
    let (updated_at, version) = (cells.signed(6)?, cells.number(7)?);
    let submit_options = options(cells)?;
    // A new item shares the default tag's one allocation.
    let state = cells.text(11)?;
    let state: Option<Arc<str>> = (state != DEFAULT_STATE).then(|| state.into());
    let (batch_id, trace_parent) = (cells.optional_text(12)?, cells.optional_text(13)?);
    let (trace_state, home_instance_id) = (cells.optional_text(14)?, cells.optional_text(15)?);
    let content = cells.take_blob(16)?;
    let item = SyncItem::from_parts(key, content.into(), hash, content_type);
    Ok(item.edit(|fields| {
        fields.stamp = stamp;
        fields.version = version;
        fields.updated_at = updated_at;
        fields.expires_at = expires_at;
        fields.submit_options = submit_options;
        fields.batch_id = batch_id;
        fields.trace_parent = trace_parent;
        fields.trace_state = trace_state;
        fields.home_instance_id = home_instance_id;
        if let Some(state) = state {
            fields.state = state;
        }
    }))
}

fn options<C: Cells>(cells: &C) -> Result<SubmitOptions, C::Failure> {
    let route = cells.number(9)?;
    if route > ROUTE_CACHE + ROUTE_ARCHIVE {
        return Err(cells.damage(9, "is none of 0 to 3"));
    }
    let redis_ttl = match cells.is_null(10)? {
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
pub(super) fn node<C: Cells>(mut cells: C) -> Result<NodeRow, C::Failure> {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&cells.number(1)?.to_be_bytes());
    bytes[8..].copy_from_slice(&cells.hash(2)?);
    let split = cells.flag(3)?;
    Ok(NodeRow {
        prefix: cells.take_blob(0)?,
        aggregate: Aggregate::from_bytes(&bytes),
        split,
    })
}
