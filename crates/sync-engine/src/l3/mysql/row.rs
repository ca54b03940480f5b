//! Values to rows.

use mysql_async::Value;

use crate::item::options::CacheTtl;
use crate::item::{ContentType, Stored};
use crate::l3::columns;
use crate::merkle::node::NodeRow;

/// How many values [`values_of`] gives.
pub(super) const COLUMNS: usize = 19;

/// The values of a record's row: `time`, `origin`, `live` and `hash` behind `id`, `bytes` before `content`, `dead` behind it, the rest as in [`columns::ITEM`].
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
            time.into(),
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
            columns::route_of(&item.submit_options).into(),
            item.submit_options.redis_ttl.map(CacheTtl::secs).into(),
            (*item.state).into(),
            item.batch_id.as_deref().into(),
            item.trace_parent.as_deref().into(),
            item.trace_state.as_deref().into(),
            item.home_instance_id.as_deref().into(),
            item.content.len().into(),
            item.content.as_ref().into(),
            none,
        ],
    }
}

/// The values by which one write is told from others: `id`, `time`, `origin`.
pub(super) fn identity_of(record: &Stored) -> [Value; 3] {
    let stamp = record.stamp();
    let (time, origin) = (stamp.time.0, stamp.origin.raw());
    [record.key().as_str().into(), time.into(), origin.into()]
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
    // Numbers, lengths and types: 19 values of at most 8 bytes, a length and a type each.
    record.size_bytes() + texts + 256
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
