//! How streams look on the wire.

use super::{Entry, ReadResult, StreamInfo};
use crate::resp::{Proto, Reply};

/// XRANGE and XREVRANGE: an array of entries.
pub fn entries(reply: &mut Reply<'_>, entries: &[Entry]) {
    reply.array(entries.len());
    for one in entries {
        entry(reply, one);
    }
}

/// One entry: its id, then its fields and values in one flat array.
pub fn entry(reply: &mut Reply<'_>, entry: &Entry) {
    reply.array(2);
    reply.bulk(entry.id.to_string().as_bytes());
    reply.array(entry.fields.len().saturating_mul(2));
    for (field, value) in &entry.fields {
        reply.bulk(field);
        reply.bulk(value);
    }
}

/// XREAD: each key with its entries, in version 3 as a map; no array if there is no news.
pub fn read(reply: &mut Reply<'_>, result: &ReadResult) {
    if result.is_empty() {
        return reply.null_array();
    }
    match reply.proto() {
        Proto::Resp2 => reply.array(result.len()),
        Proto::Resp3 => reply.map(result.len()),
    }
    for (key, found) in result {
        if reply.proto() == Proto::Resp2 {
            reply.array(2);
        }
        reply.bulk(key);
        entries(reply, found);
    }
}

/// XINFO STREAM. There are no consumer groups and no radix tree here, but clients expect the
/// fields.
pub fn info(reply: &mut Reply<'_>, info: &StreamInfo) {
    reply.map(10);
    number(reply, "length", info.length as u64);
    number(reply, "radix-tree-keys", 1);
    number(reply, "radix-tree-nodes", 2);
    id(reply, "last-generated-id", info.last_generated_id);
    id(reply, "max-deleted-entry-id", info.max_deleted_entry_id);
    number(reply, "entries-added", info.entries_added);
    id(
        reply,
        "recorded-first-entry-id",
        info.recorded_first_entry_id,
    );
    number(reply, "groups", 0);
    edge(reply, "first-entry", info.first_entry.as_ref());
    edge(reply, "last-entry", info.last_entry.as_ref());
}

fn number(reply: &mut Reply<'_>, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.integer(i64::try_from(value).unwrap_or(i64::MAX));
}

fn id(reply: &mut Reply<'_>, name: &str, id: super::StreamId) {
    reply.bulk(name.as_bytes());
    reply.bulk(id.to_string().as_bytes());
}

fn edge(reply: &mut Reply<'_>, name: &str, found: Option<&Entry>) {
    reply.bulk(name.as_bytes());
    match found {
        Some(found) => entry(reply, found),
        None => reply.null(),
    }
}
